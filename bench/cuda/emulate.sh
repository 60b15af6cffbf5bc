#!/usr/bin/env bash
# Tests the CUDA path without a GPU: builds the stand-in for the driver (emulate/) and the test `cuda`,
# and runs it. Every operation is compared with its CPU form, and the oracle fixtures are recomputed.
#
# usage: emulate.sh [further cargo arguments]; CUDA_BUILD_CACHE as for build-cuda.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
stand_in=$("$here/emulate/build.sh" "$project/target/emulated")
test=$("$here/build-cuda.sh" "$project" --test cuda "$@" | sed -n 's|^binary: \(.*/cuda-[0-9a-f]*\)$|\1|p')
LD_LIBRARY_PATH=$stand_in${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$test" --nocapture
