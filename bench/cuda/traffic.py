r"""What one training step asks of a GPU, without one: launches, bytes that each kernel reads and writes, and
operations of products. Runs a program built for CUDA on the stand-in that counts (bench/cuda/emulate), once
with one step and once with more, and prints the difference a step.

    TRAFFIC=1 bench/cuda/emulate/build.sh target/traffic
    PROFILE=dev bench/cuda/build-cuda.sh . --bin pifi-probe \
        --config profile.dev.package.pifi-probe.debug-assertions=false
    python3 bench/cuda/traffic.py target/debug/pifi-probe target/traffic --llm DIR --slm DIR --texts CSV

Debug assertions are left out because they read back what products read, which would count. `CSV` has the
columns `text` and `label`; models of real shapes come by `bench/gpu_case.py`. A step of BERT-base takes
minutes. `--copy` and `--product` are rates of a chip in bytes and operations a second, by which the last
lines turn counts into the least time that they can take: arithmetic, not a measurement.
"""

import argparse
import os
import subprocess
import tempfile


def count(a, steps, folder):
    """Starts a run with so many steps; the file that its sums will stand in, and its process."""
    sums = os.path.join(folder, f"{steps}.tsv")
    command = [
        a.program, "layers", "--out", os.path.join(folder, f"runs-{steps}"), "--llm", a.llm, "--slm", a.slm,
        "--task", f"texts={a.texts}", "--layers", a.layers, "--stack", str(a.stack), "--device", f"cuda:0/{a.precision}",
        "--controls", "none", "--seeds", "1", "--epochs", "1", "--limit-train", str(32 * steps), "--limit-eval", "2",
        "--pooling", "cls", "--plug", a.plug,
    ]
    environment = dict(os.environ, LD_LIBRARY_PATH=a.library, EMULATED_TRAFFIC=sums)
    return sums, subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def read(path):
    """Launches, bytes read, bytes written and operations by kernel."""
    sums = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            name, *numbers = line.rstrip("\n").split("\t")
            old = sums.get(name, [0.0] * 4)
            sums[name] = [x + float(y) for x, y in zip(old, numbers)]
    return sums


def main():
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("program")
    flags.add_argument("library")
    for name in ["llm", "slm", "texts"]:
        flags.add_argument(f"--{name}", required=True)
    flags.add_argument("--layers", default="3", help="as many as members")
    flags.add_argument("--stack", type=int, default=1)
    flags.add_argument("--precision", default="bf16", choices=["f32", "tf32", "bf16"])
    flags.add_argument("--plug", default="pooled", choices=["pooled", "sequence"])
    flags.add_argument("--steps", type=int, default=2, help="of the longer run")
    flags.add_argument("--copy", type=float, default=4.3e12)
    flags.add_argument("--product", type=float, default=350e12)
    a = flags.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [count(a, steps, folder) for steps in (1, a.steps)]
        for _, run in runs:
            said = run.communicate()[1]
            if run.returncode != 0:
                raise SystemExit(f"{a.program} ended with {run.returncode}:\n{said[-2000:]}")
        short, long = (read(path) for path, _ in runs)
    steps = a.steps - 1
    table = {name: [(y - x) / steps for x, y in zip(short.get(name, [0.0] * 4), numbers)] for name, numbers in long.items()}
    table = {name: numbers for name, numbers in table.items() if numbers[0] > 0}
    print(f"{'kernel':<24} {'launches':>8} {'MB read':>9} {'MB written':>10} {'GFLOP':>8}")
    for name, (launches, reads, writes, flops) in sorted(table.items(), key=lambda it: -(it[1][1] + it[1][2])):
        print(f"{name:<24} {launches:8.0f} {reads / 1e6:9.1f} {writes / 1e6:10.1f} {flops / 1e9:8.1f}")
    launches, reads, writes, flops = (sum(column) for column in zip(*table.values()))
    print(f"{'all':<24} {launches:8.0f} {reads / 1e6:9.1f} {writes / 1e6:10.1f} {flops / 1e9:8.1f}")
    products = [numbers for name, numbers in table.items() if name.startswith("product")]
    moved = sum(reads + writes for _, reads, writes, _ in products)
    least = max(moved / a.copy, flops / a.product)
    rest = (reads + writes - moved) / a.copy
    print(f"at {a.copy / 1e12:.1f} TB/s and {a.product / 1e12:.0f} TFLOP/s: {1e3 * rest:.2f} ms outside of products, "
          f"{1e3 * least:.2f} ms in them")


if __name__ == "__main__":
    main()
