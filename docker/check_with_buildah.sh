#!/bin/sh
# Build the Dockerfile stages that need only Debian and PyPI, without a container engine, and start
# the firmware they hold. The base image is made by debootstrap, so no image registry is needed.
# Runs as root on Debian; DIRECTORY keeps the base image between runs.
#   docker/check_with_buildah.sh DIRECTORY
set -eu
[ $# -eq 1 ] || { echo "usage: $0 DIRECTORY" >&2; exit 2; }
directory=$(mkdir -p "$1" && cd "$1" && pwd)
root=$(cd "$(dirname "$0")/.." && pwd)
certificates=/etc/ssl/certs/ca-certificates.crt
mirror=$(sed -n 's/^URIs: //p' /etc/apt/sources.list.d/debian.sources | head -n 1)

"$root/firmware/third_party/install_packages.sh" buildah ca-certificates crun debootstrap
export STORAGE_DRIVER=vfs
storage() { buildah --root "$directory/storage" --runroot "$directory/run" "$@"; }

if ! storage inspect --type image docker.io/library/debian:bookworm-slim >/dev/null 2>&1; then
    rm -rf "$directory/rootfs"
    debootstrap --variant=minbase --include=ca-certificates bookworm "$directory/rootfs" "$mirror"
    base=$(storage from scratch)
    storage add --quiet "$base" "$directory/rootfs" /
    storage config --cmd bash \
        --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$base"
    storage commit --quiet "$base" docker.io/library/debian:bookworm-slim
    storage rm "$base"
fi

# The host's certificates let pip work behind a proxy that the host trusts.
storage bud --format docker --isolation chroot --pull-never --layers=false --target firmware \
    --volume "$certificates:$certificates:ro" --file "$root/docker/Dockerfile" \
    --ignorefile "$root/docker/Dockerfile.dockerignore" --tag firmware "$root"

# Without a model package the firmware must say so and end with the code of that error.
container=$(storage from --pull-never localhost/firmware)
status=0
storage run --isolation chroot "$container" -- qemu-system-arm -machine mps3-an547 -nodefaults \
    -display none -monitor none -serial stdio -semihosting-config enable=on,target=native \
    -kernel /build/board/platform/corstone300/enhancer.elf </dev/null || status=$?
storage rm "$container"
package_missing=20
[ "$status" -eq "$package_missing" ] || { echo "unexpected exit code $status" >&2; exit 1; }
echo "docker stages built, firmware started"
