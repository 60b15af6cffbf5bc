#!/usr/bin/env bash
# Everything that the first minutes on a machine with a GPU should tell, in one run below nine minutes:
# that the program starts, that it computes what the CPU computes, how fast; a table comes last.
#
# usage: gpu.sh PROGRAM.xz ORACLE [WORK]
#   PROGRAM.xz  by bench/cuda/build-cuda.sh and xz
#   ORACLE      tests/fixtures/oracle
#   WORK        models of real shapes, kept for further runs (17 GB; default: a folder of TMPDIR)
#   BUDGET=520  seconds after which nothing more is started, and what runs is ended
#   TINY=1      tiny models, STEPS=n training examples / 32, DEVICE=cuda:N, HEADLINE=further arguments of the
#               headline: to try the script itself
# Needs bash, python3 with numpy, a driver, and CUDA's libraries (PyTorch's will do).
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$1 oracle=$(cd "$2" && pwd) work=${3:-${TMPDIR:-/tmp}/pifi-gpu}
device=${DEVICE:-cuda:0} steps=${STEPS:-40}
mkdir -p "$work"
table=$work/table.txt
: > "$table"
run() { bash "$here/cuda/run-cuda.sh" "$program" "$@"; }
row() { printf '%-44s %s\n' "$1" "$2" >> "$table"; }

# 1. The machine, and whether the program sees it
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null
ldconfig -p 2>/dev/null | grep -m1 libcuda.so
seen=$(run doctor | grep '^device')
echo "$seen"
row "device" "${seen#device }"
case $seen in *cuda:*"no GPU"* | *"cpu ("*) echo "no GPU: nothing further to measure"; cat "$table"; exit 1 ;; esac

# 2. Correctness: reference outputs of transformers
begun=$SECONDS
timeout 150 bash "$here/cuda/run-cuda.sh" "$program" verify "$oracle" --device "$device" > "$work/verify.txt"
code=$?
grep -E 'FAIL' "$work/verify.txt"
row "oracle, exit $code, $((SECONDS - begun)) s" "$(tail -1 "$work/verify.txt")"

# 3. Correctness: the same training on both devices
sweep() { # name, device, stack, further arguments
    rm -rf "$work/runs-$1"
    local left=$((${BUDGET:-520} - SECONDS)) limit=${LIMIT:-60}
    if [ "$left" -le 5 ]; then echo "$1 left out: the time is up"; return; fi
    timeout "$((left < limit ? left : limit))" bash "$here/cuda/run-cuda.sh" "$program" layers --out "$work/runs-$1" --device "$2" --stack "$3" "${@:4}" \
        > "$work/$1.txt" 2>&1 || { echo "$1 ended with $?"; tail -3 "$work/$1.txt"; }
}
demo=(--llm demo --layers 0,3 --controls mappers --seeds 1 --epochs 1 --limit-train 192 --limit-eval 64)
sweep demo-cpu cpu 1 "${demo[@]}"
LIMIT=${LIMIT:-90} sweep demo-gpu "$device" 2 "${demo[@]}"
row "demo, CPU alone against GPU stacked" "$(python3 "$here/gpu_runs.py" compare "$work/runs-demo-cpu" "$work/runs-demo-gpu")"
LIMIT=${LIMIT:-90} sweep demo-bf16 "$device/bf16" 2 "${demo[@]}"
row "the same in bf16" "$(python3 "$here/gpu_runs.py" compare "$work/runs-demo-cpu" "$work/runs-demo-bf16")"

# 4. Speed: a step of BERT-base with a layer of Llama-3-8B's shape, batch 32, pooled plug
tiny=()
[ "${TINY:-0}" = 1 ] && tiny=(--tiny)
python3 "$here/gpu_case.py" "$work" --tokenizer "$oracle/slm/_tokenizers/bert/tokenizer.json" --all-layers "${tiny[@]}" || exit 1
plain=(--slm "$work/bert" --task "texts=$work/texts.csv" --controls none --seeds 1 --pooling cls)
few=(--epochs 1 --limit-train $((32 * steps)) --limit-eval 32)
case=(--llm "$work/llama" "${plain[@]}" "${few[@]}")
for precision in f32 tf32 bf16; do
    sweep "one-$precision" "$device/$precision" 1 --layers 3 "${case[@]}"
    row "1 member, $precision" "$(python3 "$here/gpu_runs.py" speed "$work/runs-one-$precision")"
done
sweep four-tf32 "$device/tf32" 4 --layers 0-3 "${case[@]}"
row "4 members stacked, tf32" "$(python3 "$here/gpu_runs.py" speed "$work/runs-four-tf32")"
sweep four-bf16 "$device/bf16" 4 --layers 0-3 "${case[@]}"
row "4 members stacked, bf16" "$(python3 "$here/gpu_runs.py" speed "$work/runs-four-bf16")"
sweep sequence-tf32 "$device/tf32" 1 --layers 3 --plug sequence "${case[@]}"
row "1 member, tf32, sequence plug" "$(python3 "$here/gpu_runs.py" speed "$work/runs-sequence-tf32")"
for precision in tf32 bf16; do
    LIMIT=${LIMIT:-90} sweep "all-$precision" "$device/$precision" auto --llm "$work/llama32" --layers all "${plain[@]}" "${few[@]}"
    row "32 members stacked, $precision" "$(python3 "$here/gpu_runs.py" speed "$work/runs-all-$precision")"
done

# 5. The peer: the published loop (f32, padded to 100), and the strongest that PyTorch has
peer() { # name, further arguments
    local left=$((${BUDGET:-520} - SECONDS))
    if [ "$left" -le 20 ]; then row "PyTorch, $1" "left out: the time is up"; return; fi
    timeout "$((left < 90 ? left : 90))" python3 "$here/../benches/pytorch_step.py" "$work/peer" --slm "$work/bert" --llm "$work/llama" \
        --texts "$work/texts.jsonl" --steps "$steps" --device cuda "${@:2}" > "$work/peer.txt" 2>&1
    row "PyTorch, $1" "$(python3 "$here/gpu_runs.py" peer "$work/peer.txt")"
}
if python3 -c 'import torch, transformers; assert torch.cuda.is_available()' 2>/dev/null; then
    peer "f32 padded to 100, as published"
    peer "bf16, compiled, padded to the longest" --bf16 --compile --pad longest
else
    row "PyTorch" "not measured: no torch and transformers that see the GPU"
fi

# 6. The headline, with everything but making the models: 32 layers, 3 epochs of 6,920 sentences
begun=$SECONDS
LIMIT=${LIMIT:-240} sweep headline "$device/bf16" auto --llm "$work/llama32" --layers all "${plain[@]}" --epochs 3 ${HEADLINE:-}
row "all of 32 layers x 3 epochs, bf16, $((SECONDS - begun)) s" "$(python3 "$here/gpu_runs.py" speed "$work/runs-headline")"

echo
cat "$table"
