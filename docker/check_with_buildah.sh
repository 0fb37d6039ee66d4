#!/bin/sh
# Build the image of the virtual board, which needs only Debian and PyPI, without a container engine,
# and run the demo in it. The base image is made by debootstrap, so no image registry is needed.
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
storage bud --format docker --isolation chroot --pull-never --layers=false --target virtual \
    --volume "$certificates:$certificates:ro" --env "PIP_CERT=$certificates" \
    --file "$root/docker/Dockerfile" --ignorefile "$root/docker/Dockerfile.dockerignore" \
    --tag virtual "$root"

container=$(storage from --pull-never localhost/virtual)
status=0
storage run --isolation chroot "$container" -- \
    /opt/venv/bin/python -m pipeline.boards.demo --out /tmp/demo || status=$?
storage rm "$container"
[ "$status" -eq 0 ] || { echo "the demo ended with exit code $status" >&2; exit 1; }
echo "docker stages built, demo run"
