#!/bin/sh
# Enhance a noisy file in the container; results are left in ./runs/docker.
#   docker/run.sh [--fvp] [demo options, see --help]
set -eu
image=sparse-enhancer:virtual
board=virtual
if [ "${1-}" = --fvp ]; then
    image=sparse-enhancer:fvp
    board=fvp
    shift
fi
mkdir -p runs/docker
exec docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD/runs/docker:/runs" "$image" \
    --board "$board" --out /runs "$@"
