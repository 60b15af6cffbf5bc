"""How time and memory of a training step grow: with the batch, the length of texts, the members of a
stack, layers, examples and threads. BERT-base with layers of the shape of Llama-3.1-8B, random weights.

    python3 bench/scaling.py WORK --program target/release/pifi-probe --texts train.jsonl [--svg FILE]

`WORK` holds `bert` and `llama` with four layers, as `bench/gpu_case.py` makes them. Every point is a run of
`layers` whose costs are read from its `run.json`. Prints a table and keeps it in WORK/scaling.json; `--axes`
measures some of it anew, `--svg` draws all that is there and needs matplotlib.
"""

import argparse
import csv
import glob
import json
import os
import statistics
import subprocess
import tempfile

AXES = {
    "batch": ("examples of a step", [4, 8, 16, 32, 64]),
    "length": ("tokens of every text", [16, 32, 64, 100]),
    "members": ("members of a stack", [1, 2, 4]),
    "layers": ("layers, one after another", [1, 2, 4]),
    "examples": ("training examples", [32, 64, 128, 256]),
    "threads": ("threads", [1, 2]),
}


def texts(source, target, words=None):
    """A CSV of the source's texts; with `words`, of texts that are at least so many words long."""
    with open(source, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    with open(target, "w", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        table.writerow(["text", "label"])
        held, label = [], 0
        for row in rows:
            if words is None:
                table.writerow([" ".join(row["text"].split()), row["label"]])
                continue
            held, label = held + row["text"].split(), row["label"]
            if len(held) >= words:
                table.writerow([" ".join(held), label])
                held = []


def last(count):
    """The last so many layers: the last one is always among those that `layers` trains."""
    return ",".join(f"-{number}" for number in range(count, 0, -1))


def run(a, data, layers="-1", batch=32, length=100, stack=1, examples=None, threads=None):
    """Costs of the runs of one call of `layers`."""
    with tempfile.TemporaryDirectory(dir=a.work) as out:
        command = [
            a.program, "layers", "--llm", os.path.join(a.work, "llama"), "--slm", os.path.join(a.work, "bert"),
            "--task", f"texts={data}", f"--layers={layers}", "--controls", "none", "--seeds", "1", "--epochs", "1",
            "--batch-size", str(batch), "--max-length", str(length), "--stack", str(stack), "--device", "cpu",
            "--limit-train", str(examples or batch * a.steps), "--limit-eval", "8", "--pooling", "cls", "--jobs", "1",
            "--threads", str(threads or os.cpu_count()), "--out", out, "--yes",
        ]
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if ended.returncode != 0:
            raise SystemExit(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stderr[-2000:]}")
        costs = []
        for path in glob.glob(os.path.join(out, "**", "run.json"), recursive=True):
            with open(path, encoding="utf-8") as text:
                costs.append(json.load(text)["cost"])
        return costs


def measure(a, points):
    with tempfile.TemporaryDirectory(dir=a.work) as folder:
        real, long = os.path.join(folder, "real.csv"), os.path.join(folder, "long.csv")
        texts(a.texts, real)
        texts(a.texts, long, words=110)
        for axis in a.axes.split(",") if a.axes else []:
            points[axis] = []
            for value in AXES[axis][1]:
                costs = {
                    "batch": lambda: run(a, real, batch=value),
                    "length": lambda: run(a, long, length=value),
                    "members": lambda: run(a, real, stack=value, layers=last(value)),
                    "layers": lambda: run(a, real, layers=last(value)),
                    "examples": lambda: run(a, real, examples=value),
                    "threads": lambda: run(a, real, threads=value),
                }[axis]()
                # cells of a stack share their worker, and tell its time each
                workers = costs if axis == "layers" else costs[:1]
                whole = axis in ("layers", "examples")
                seconds = (
                    sum(cost["stages"]["training_seconds"] for cost in workers) if whole
                    else 1 / statistics.median(cost["steps_per_second"] for cost in workers)
                )
                memory = max(cost["peak_memory_bytes"] for cost in costs) / 2**30
                points[axis].append((value, seconds, memory))
                what = "training" if whole else "a step"
                print(f"| {axis} | {value} | {seconds:.2f} s {what} | {memory:.2f} GiB |", flush=True)


def draw(points, path):
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"font.size": 8, "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, places = pyplot.subplots(2, 3, figsize=(9, 5), layout="constrained")
    for place, axis in zip(places.flat, [axis for axis in AXES if axis in points]):
        x, seconds, memory = zip(*points[axis])
        whole = axis in ("layers", "examples")
        place.plot(x, seconds, "o-", color="#0072b2")
        place.set(xlabel=AXES[axis][0], ylim=(0, 1.1 * max(seconds)), xlim=(0, 1.06 * max(x)), xticks=x)
        place.set_ylabel("s of training" if whole else "s a step", color="#0072b2")
        beside = place.twinx()
        beside.plot(x, memory, "s--", color="#d55e00")
        beside.set(ylim=(0, 1.25 * max(memory)))
        beside.set_ylabel("peak GiB", color="#d55e00")
    figure.savefig(path)


def main():
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("work")
    flags.add_argument("--program", required=True)
    flags.add_argument("--texts", required=True, help="JSON lines with `text` and `label`")
    flags.add_argument("--axes", default=",".join(AXES), help="which to measure, by commas; none with an empty word")
    flags.add_argument("--steps", type=int, default=3, help="of a point")
    flags.add_argument("--svg")
    a = flags.parse_args()
    a.program, a.work = os.path.abspath(a.program), os.path.abspath(a.work)
    kept, points = os.path.join(a.work, "scaling.json"), {}
    if os.path.isfile(kept):
        with open(kept, encoding="utf-8") as text:
            points = json.load(text)
    measure(a, points)
    with open(kept, "w", encoding="utf-8") as out:
        json.dump(points, out)
    if a.svg:
        draw(points, a.svg)


if __name__ == "__main__":
    main()
