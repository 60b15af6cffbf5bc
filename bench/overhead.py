"""What pifi-probe takes besides training and evaluation: its start, and a sweep's overhead.

    python3 bench/overhead.py target/release/pifi-probe [--rounds 3]

The sweep is that of the demo. Its workers' time in steps and evaluations stands in every `run.json`;
what is left of the wall time of all workers is overhead, but for the end, where the last cell trains and
there is nothing left for the other workers: that is told apart. Needs Python alone.
"""

import argparse
import datetime
import glob
import json
import os
import statistics
import subprocess
import tempfile
import time


def seconds(command):
    begun = time.perf_counter()
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if ended.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stderr[-2000:]}")
    return time.perf_counter() - begun


def sweep(program, jobs):
    """Wall seconds, workers' seconds in stages, cells, and seconds in which workers had no cell left, of a
    demo sweep in a fresh store."""
    with tempfile.TemporaryDirectory() as out:
        wall = seconds([program, "layers", "--llm", "demo", "--out", out, "--jobs", str(jobs), "--yes"])
        stages, cells, whole, ends = {}, 0, 0.0, []
        for path in glob.glob(os.path.join(out, "**", "run.json"), recursive=True):
            with open(path, encoding="utf-8") as text:
                run = json.load(text)
            cost = run["cost"]
            ends.append(datetime.datetime.fromisoformat(run["provenance"]["finished"].replace("Z", "+00:00")))
            cells, whole = cells + 1, whole + cost["seconds"]
            for stage in ["preparation_seconds", "training_seconds", "evaluation_seconds"]:
                stages[stage] = stages.get(stage, 0.0) + cost["stages"][stage]
    ends.sort()
    idle = sum((ends[-1] - end).total_seconds() for end in ends[-jobs:])
    return wall, stages, cells, whole, idle


def main():
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("program")
    flags.add_argument("--rounds", type=int, default=3)
    flags.add_argument("--jobs", type=int, default=os.cpu_count())
    a = flags.parse_args()
    for words in [["--version"], ["layers", "--help"], ["runs", "list", "--out", "/nonexistent"]]:
        # the last one's exit code tells that there is no store, which is no matter here
        times = []
        for _ in range(30):
            begun = time.perf_counter()
            subprocess.run([a.program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            times.append(time.perf_counter() - begun)
        print(f"start, {' '.join(words)}: {1e3 * statistics.median(times):.1f} ms median, {1e3 * min(times):.1f} at best")
    for _ in range(a.rounds):
        wall, stages, cells, whole, idle = sweep(a.program, a.jobs)
        useful = stages["training_seconds"] + stages["evaluation_seconds"]
        of = a.jobs * wall
        rest = of - whole - idle
        print(
            f"demo, {cells} cells, {a.jobs} workers: {wall:.1f} s; of {a.jobs} x {wall:.1f} s training "
            f"{stages['training_seconds']:.1f}, evaluation {stages['evaluation_seconds']:.1f}, preparation "
            f"{stages['preparation_seconds']:.1f}, no cell left {idle:.1f}, processes, engine and report "
            f"{rest + whole - useful - stages['preparation_seconds']:.1f}: overhead {1 - (useful + idle) / of:.1%}, "
            f"with the end {1 - useful / of:.1%}"
        )


if __name__ == "__main__":
    main()
