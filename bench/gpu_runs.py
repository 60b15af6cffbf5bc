"""Reads what runs of pifi-probe left behind, for bench/gpu.sh.

    python3 bench/gpu_runs.py compare STORE STORE    losses of the same cells on two devices
    python3 bench/gpu_runs.py speed STORE            milliseconds a step and a model's step, losses
    python3 bench/gpu_runs.py peer FILE              the same of what pytorch_step.py printed
"""

import glob
import json
import os
import re
import sys

# The published sweep: 32 layers, 3 epochs over 6,920 sentences in batches of 32.
MODELS, STEPS = 32, 648


def runs(store):
    found = {}
    for path in glob.glob(os.path.join(store, "**", "run.json"), recursive=True):
        with open(path, encoding="utf-8") as text:
            run = json.load(text)
        if run.get("result"):
            found[json.dumps([run["condition"], run["seed"]])] = run
    return found


def losses(run):
    validation = [epoch["validation"]["loss"] for epoch in run["result"]["validation"]]
    return validation + [each["metrics"]["loss"] for each in run["result"]["evaluations"]]


def peer(path):
    """The median of the later half of a peer's steps: the earlier ones compile and warm up."""
    with open(path, encoding="utf-8") as text:
        steps = [float(step) for step in re.findall(r"step \d+: loss [\d.]+, ([\d.]+) s", text.read())]
    steps = sorted(steps[len(steps) // 2 :])
    if not steps:
        print(f"ended without a step, see {path}")
        return
    step = steps[len(steps) // 2]
    print(f"{1e3 * step:.2f} ms a step, {MODELS} x {STEPS} of them {MODELS * STEPS * step:.0f} s")


def main():
    what = sys.argv[1]
    if what == "peer":
        return peer(sys.argv[2])
    stores = [runs(store) for store in sys.argv[2:]]
    if not all(stores):
        print("no finished run")
    elif what == "compare":
        ours, theirs = stores
        if ours.keys() != theirs.keys():
            print(f"other cells: {sorted(ours)} {sorted(theirs)}")
            return
        pairs = [pair for cell in ours for pair in zip(losses(ours[cell]), losses(theirs[cell]))]
        apart = max(abs(a - b) / abs(a) for a, b in pairs)
        print(f"{len(pairs)} losses of {len(ours)} cells, farthest apart {apart:.1e}: {'equal' if apart < 1e-3 else 'DIFFERENT'}")
    else:
        done = list(stores[0].values())
        rates = [run["cost"]["steps_per_second"] for run in done if run["cost"].get("steps_per_second")]
        if not rates:
            print("no rate in its runs")
            return
        step = 1e3 / (sum(rates) / len(rates))
        stacked = max(run["config"]["stack"] for run in done)
        shown = ", ".join(f"{losses(run)[0]:.5f}" for run in done[:4])
        whole = MODELS * STEPS * step / stacked / 1e3
        print(
            f"{step:.2f} ms a step, {step / stacked:.2f} ms a model's step, {MODELS} x {STEPS} of them {whole:.0f} s; "
            f"validation losses {shown}"
        )


if __name__ == "__main__":
    main()
