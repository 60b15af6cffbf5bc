"""Training steps of pifi-probe and of PyTorch, paired in one run: BERT-base with one layer of the shape
of Llama-3.1-8B, the pooled plug, random weights, real texts. Prints a table with medians of rounds and
the losses of both sides.

    python3 benches/compare_steps.py WORK --program target/release/pifi-probe \\
        --texts train.jsonl --tokenizer DIR --length 32 --threads 1 --rounds 3

`WORK` keeps the models (1.3 GB) for further runs. Needs torch, transformers and safetensors. Peers:
`--peer eager` as published, padded to `--length`; `longest` pads to the longest text of a batch;
`compile` and `bf16` as they say, alone or with `-longest`. `--packed` lets pifi-probe leave padding out, as it trains.
`--slm DIR --llm DIR` compares with real models instead of the random ones of these shapes.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys

STEP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pytorch_step.py")
PEERS = {
    "eager": [], "longest": ["--pad", "longest"], "compile": ["--compile"], "bf16": ["--bf16"],
    "compile-longest": ["--compile", "--pad", "longest"], "bf16-longest": ["--bf16", "--pad", "longest"],
}


def models(work, tokenizer):
    """Random weights of real shapes, made once."""
    slm, llm = os.path.join(work, "bert"), os.path.join(work, "llama")
    if os.path.isfile(os.path.join(llm, "model.safetensors")):
        return slm, llm
    import torch
    from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    BertModel(BertConfig(), add_pooling_layer=False).save_pretrained(slm)
    shutil.copy(os.path.join(tokenizer, "tokenizer.json"), slm)
    config = LlamaConfig(
        vocab_size=512, hidden_size=4096, intermediate_size=14336, num_hidden_layers=2, num_attention_heads=32,
        num_key_value_heads=8, rope_theta=500000.0, rms_norm_eps=1e-5, max_position_embeddings=8192,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(llm)
    return slm, llm


def run(command, fine=(0,)):
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if ended.returncode not in fine:
        sys.exit(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stderr[-2000:]}")
    return ended.stdout


def main():
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("work")
    flags.add_argument("--program", required=True)
    flags.add_argument("--texts", required=True, help="JSON lines with `text` and `label`")
    flags.add_argument("--tokenizer", help="a directory with the tokenizer.json of BERT, for the random models")
    flags.add_argument("--slm", help="a directory with a model of transformers and its tokenizer.json")
    flags.add_argument("--llm", help="a directory with a model of transformers")
    flags.add_argument("--length", type=int, default=32)
    flags.add_argument("--threads", type=int, default=2)
    flags.add_argument("--steps", type=int, default=3, help="of a round; the first is warm-up")
    flags.add_argument("--rounds", type=int, default=3)
    flags.add_argument("--peer", choices=PEERS, default="eager")
    flags.add_argument("--packed", action="store_true")
    a = flags.parse_args()
    if bool(a.slm) != bool(a.llm):
        flags.error("--slm and --llm go together")
    if not (a.slm or a.tokenizer):
        flags.error("the random models need --tokenizer")
    slm, llm = (a.slm, a.llm) if a.slm else models(a.work, a.tokenizer)
    out = os.path.join(a.work, f"curve-{a.length}-{a.threads}")
    given = ["--slm", slm, "--llm", llm, "--texts", a.texts, "--max-len", str(a.length), "--shuffle"]
    given += ["--steps", str(a.steps), "--threads", str(a.threads)]
    sides = {"pytorch": [], "pifi-probe": []}
    peaks, losses, products = {"pytorch": [], "pifi-probe": []}, {}, []
    for turn in range(a.rounds):
        # a peer that pads otherwise leaves no curve: the published one is computed for it, once
        if turn == 0 and a.peer != "eager":
            run([sys.executable, STEP, out, *given])
        text = run([sys.executable, STEP, out if a.peer == "eager" else f"{out}-peer", *given, *PEERS[a.peer]])
        found = re.findall(r"step \d+: loss ([\d.]+), ([\d.]+) s, ([\d.]+) CPU s", text)
        losses["pytorch"] = [float(loss) for loss, _, _ in found]
        sides["pytorch"].append([(float(wall), float(cpu)) for _, wall, cpu in found][1:])
        peaks["pytorch"].append(float(re.search(r"peak memory ([\d.]+) GiB", text)[1]))
        command = [a.program, "verify", "--times", "--json", "--threads", str(a.threads), out]
        # 1: the later steps of two f32 computations may drift apart further than reference values may
        printed = run(command + ["--packed"] * a.packed, fine=(0, 1))
        events = [json.loads(line) for line in printed.splitlines()]
        steps = [event for event in events if event["event"] == "step"]
        losses["pifi-probe"] = [step["loss"] for step in steps]
        sides["pifi-probe"].append([(step["seconds"], step["cpu_seconds"]) for step in steps][1:])
        products += [(s["products_gflop"], s["products_seconds"], s["seconds"]) for s in steps[1:]]
        peaks["pifi-probe"].append(max(e["peak_memory_bytes"] for e in events if "peak_memory_bytes" in e) / 2**30)

    apart = max(abs(ours - theirs) for ours, theirs in zip(losses["pifi-probe"], losses["pytorch"]))
    if a.peer in ("eager", "longest") and apart > 1e-3:
        sys.exit(f"the losses are {apart} apart: this is not the same work")
    print(f"length {a.length}, {a.threads} threads, peer {a.peer}{', packed' * a.packed}, {a.rounds} rounds")
    print("| side | s a step, median (min, max) | CPU s a step | peak GiB | losses |\n|---|---|---|---|---|")
    for side, rounds in sides.items():
        wall = [step[0] for each in rounds for step in each]
        cpu = [step[1] for each in rounds for step in each]
        shown = " ".join(f"{loss:.5f}" for loss in losses[side])
        print(
            f"| {side} | {statistics.median(wall):.2f} ({min(wall):.2f}, {max(wall):.2f}) "
            f"| {statistics.median(cpu):.2f} | {max(peaks[side]):.2f} | {shown} |"
        )
    for at, what in enumerate(["wall", "CPU"]):
        pairs = [
            statistics.median(step[at] for step in ours) / statistics.median(step[at] for step in theirs)
            for ours, theirs in zip(sides["pifi-probe"], sides["pytorch"])
        ]
        print(f"{what} time, pifi-probe over PyTorch: {statistics.median(pairs):.3f} ({min(pairs):.3f}, {max(pairs):.3f})")
    gflop, seconds, wall = (statistics.median(column) for column in zip(*products))
    rate, share = gflop / seconds, seconds / wall / a.threads
    print(f"products: {gflop:.0f} GFLOP a step at {rate:.0f} GF/s and thread, {share:.0%} of the step")


if __name__ == "__main__":
    main()
