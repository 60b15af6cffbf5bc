"""A whole epoch of `layers`, as a user runs it, beside the same epoch in PyTorch: the models, texts and
hyper-parameters of compare_steps.py, whose steps PyTorch takes one after another.

    python3 benches/compare_epoch.py WORK --program target/release/pifi-probe --data DIR --tokenizer DIR

`DIR` of the data holds `train.jsonl` and `validation.jsonl` with `text` and `label`. PyTorch pads to the
longest text of a batch and to 100 tokens, as published (`--peers`), and has no dropout; pifi-probe has its
packing and its dropout. With `--peer-steps` PyTorch takes the first so many steps of the epoch, whose order is
random, and the others are taken to be as long. Needs torch, transformers and safetensors.
"""

import argparse
import glob
import json
import os
import re
import sys
import tempfile

from compare_steps import PEERS, STEP, models, run


def main():
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("work")
    flags.add_argument("--program", required=True)
    flags.add_argument("--data", required=True)
    flags.add_argument("--tokenizer", required=True, help="a directory with the tokenizer.json of BERT")
    flags.add_argument("--peers", default="longest,eager", help=f"some of {', '.join(PEERS)}")
    flags.add_argument("--peer-steps", type=int, help="[default: all]")
    flags.add_argument("--threads", type=int, default=2)
    a = flags.parse_args()
    slm, llm = models(a.work, a.tokenizer)
    train = os.path.join(a.data, "train.jsonl")
    with open(train, encoding="utf-8") as lines:
        examples = sum(1 for _ in lines)
    with tempfile.TemporaryDirectory(dir=a.work) as out:
        run([
            a.program, "layers", "--llm", llm, "--slm", slm, "--task", f"texts={a.data}", "--layers=-1", "--seeds", "1",
            "--controls", "none", "--epochs", "1", "--pooling", "cls", "--device", "cpu", "--limit-eval", "8",
            "--jobs", "1", "--threads", str(a.threads), "--out", out, "--yes",
        ])
        [path] = glob.glob(os.path.join(out, "runs", "**", "run.json"), recursive=True)
        with open(path, encoding="utf-8") as text:
            cost = json.load(text)["cost"]
    ours, peak = cost["stages"]["training_seconds"], cost["peak_memory_bytes"] / 2**30
    print(f"pifi-probe: {ours:.0f} s of {examples} texts, {peak:.2f} GiB", flush=True)

    steps = -(-examples // 32)
    taken = min(a.peer_steps or steps, steps)
    given = ["--slm", slm, "--llm", llm, "--layer", "1", "--texts", train, "--max-len", "100", "--shuffle"]
    given += ["--steps", str(taken), "--threads", str(a.threads)]
    for peer in a.peers.split(","):
        text = run([sys.executable, STEP, os.path.join(a.work, "epoch"), *given, *PEERS[peer]])
        seconds = [float(wall) for wall in re.findall(r"step \d+: loss [\d.]+, ([\d.]+) s", text)]
        epoch = sum(seconds) / len(seconds) * steps
        peak = re.search(r"peak memory ([\d.]+) GiB", text)[1]
        print(f"PyTorch, {peer}: {epoch:.0f} s by {len(seconds)} of {steps} steps, {peak} GiB")
        print(f"pifi-probe over it: {ours / epoch:.3f}", flush=True)


if __name__ == "__main__":
    main()
