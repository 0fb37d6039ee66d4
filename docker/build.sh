#!/bin/sh
# Build the container image.
#   docker/build.sh          virtual board: sparse-enhancer:virtual
#   docker/build.sh --fvp    Arm's FVP as well: sparse-enhancer:fvp; you accept Arm's licence by it
set -eu
cd "$(dirname "$0")/.."
case "${1-}" in
"") docker build --file docker/Dockerfile --target virtual --tag sparse-enhancer:virtual . ;;
--fvp)
    echo "Arm's Corstone-300 FVP comes under Arm's licence, which you accept by building:"
    echo "https://developer.arm.com/downloads/-/arm-ecosystem-fvps"
    docker build --file docker/Dockerfile --target fvp --tag sparse-enhancer:fvp \
        --build-arg ACCEPT_ARM_FVP_LICENCE=yes .
    ;;
*)
    echo "usage: docker/build.sh [--fvp]" >&2
    exit 2
    ;;
esac
