#!/usr/bin/env bash
# Compiles the kernels for the host and puts them behind a stand-in for CUDA's driver and cuBLAS, so
# that a program built by ../build-cuda.sh runs its whole CUDA path without a GPU.
#
# usage: build.sh OUTDIR; then LD_LIBRARY_PATH=OUTDIR pifi-probe verify DIR --device cuda
#   TRAFFIC=1   counts what kernels read and write (traffic.cpp) and computes no products
# Needs a C++17 compiler for x86-64 Linux (CXX, default g++).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kernels=$here/../../../src/nn/cuda
mkdir -p "$1"
out=$(cd "$1" && pwd)
cxx=${CXX:-g++}
command -v "$cxx" >/dev/null || { echo "no C++ compiler: expected \`$cxx\` on the PATH, or CXX" >&2; exit 2; }
flags=(-std=c++17 -O2 -fPIC -ffp-contract=off -fno-strict-aliasing -Wall -Wextra -Werror -Wno-unknown-pragmas -DPIFI_EMULATED
    "-I$here" "-I$kernels" -fvisibility=hidden)
sources=("$here/driver.cpp")
counted=()
if [ "${TRAFFIC:-0}" = 1 ]; then
    flags+=(-DPIFI_TRAFFIC)
    sources+=("$here/traffic.cpp")
    # the calls alone: traffic.cpp answers them
    counted=(-fsanitize=thread)
fi
for file in "$kernels"/*.cu; do
    name=$(basename "$file" .cu)
    {
        echo "#include \"$name.cu\""
        # an extern "C" __global__ function, its name on the same line
        sed -nE 's/^extern "C" __global__ void (__launch_bounds__\([0-9]+\) )?(\w+)\(.*/static emulated::Kernel announced_\2("\2", \2);/p' "$file"
    } > "$out/$name.cpp"
    sources+=("$out/$name.cpp")
done
objects=()
for source in "${sources[@]}"; do
    object=$out/$(basename "$source" .cpp).o
    case $source in "$out"/*) of_kernels=("${counted[@]}") ;; *) of_kernels=() ;; esac
    "$cxx" "${flags[@]}" "${of_kernels[@]}" -c "$source" -o "$object"
    objects+=("$object")
done
"$cxx" -shared -o "$out/libcuda.so.1" "${objects[@]}" -Wl,-soname,libcuda.so.1 -pthread
ln -sf libcuda.so.1 "$out/libcublas.so.13"
echo "$out"
