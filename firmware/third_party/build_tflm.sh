#!/bin/sh
# Fetch TensorFlow Lite Micro at the pinned commit, unless DIRECTORY holds it, and build its library with
# CMSIS-NN for one CPU. Its makefile fetches CMSIS-NN, CMSIS and Arm's Ethos-U driver at commits of its own.
# Needs git, curl, wget, unzip, an Arm toolchain, and a python3 with numpy and Pillow.
#   build_tflm.sh DIRECTORY cortex-m55 u55      with the driver of the NPU
#   build_tflm.sh DIRECTORY cortex-m7+fp
#   build_tflm.sh DIRECTORY cortex-m4+fp
set -eu
commit=90b983c2b3f1480642e040bbd2ddb37b998f3424 # main, 20 August 2026
[ $# -eq 2 ] || [ $# -eq 3 ] || { echo "usage: $0 DIRECTORY CPU [u55]" >&2; exit 2; }
directory=$1 cpu=$2 npu=${3-}

if [ ! -e "$directory" ]; then
    partial=$directory.partial
    rm -rf "$partial"
    git init --quiet "$partial"
    git -C "$partial" fetch --quiet --depth 1 https://github.com/tensorflow/tflite-micro "$commit"
    git -C "$partial" checkout --quiet FETCH_HEAD
    mv "$partial" "$directory"
fi
cd "$directory"
exec make -j "$(nproc)" -f tensorflow/lite/micro/tools/make/Makefile TARGET=cortex_m_generic \
    TARGET_ARCH="$cpu" TARGET_TOOLCHAIN_ROOT=/usr/bin/ OPTIMIZED_KERNEL_DIR=cmsis_nn \
    ${npu:+CO_PROCESSOR=ethos_u ETHOSU_ARCH="$npu"} microlite
