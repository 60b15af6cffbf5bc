"""Rates of the products of a training step in numpy (OpenBLAS, in the wheels of PyPI) and PyTorch (MKL or
oneDNN), to be held against `cargo bench --bench kernels -- linear` in the same hour:

    python3 bench/products.py --threads 1

The same shapes and layouts: y = x W^T, dx = dy W, dW += dy^T x, of BERT-base at 1024 rows and of one layer
of Llama-3.1-8B at 32. Prints GFLOP/s, the median of `--rounds`. Every round takes the next of as many
matrices as do not fit into the caches (`--apart`), as the layers of a model do not.
"""

import argparse
import os
import statistics
import time

SHAPES = [
    ("bert up", 1024, 768, 3072),
    ("bert down", 1024, 3072, 768),
    ("bert square", 1024, 768, 768),
    ("llama up", 32, 4096, 14336),
    ("llama down", 32, 14336, 4096),
]


def main():
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--threads", type=int, default=1)
    flags.add_argument("--rounds", type=int, default=20)
    flags.add_argument("--apart", type=int, default=4, help="sets of matrices that take turns")
    a = flags.parse_args()
    # before the libraries are loaded: they read it once
    for name in ["OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"]:
        os.environ[name] = str(a.threads)
    import numpy
    import torch

    torch.set_num_threads(a.threads)
    print(f"{a.threads} threads, numpy {numpy.__version__}, PyTorch {torch.__version__}, GFLOP/s")
    print("| product | OpenBLAS | PyTorch |\n|---|---|---|")
    numbers = numpy.random.default_rng(0)
    for name, rows, inputs, outputs in SHAPES:
        sets = [
            [numbers.random(shape, dtype=numpy.float32) for shape in
             [(rows, inputs), (outputs, inputs), (rows, outputs), (rows, outputs), (rows, inputs), (outputs, inputs)]]
            for _ in range(a.apart)
        ]
        ways = {
            "forward": lambda x, w, y, dy, dx, dw, multiply: multiply(x, w.T, y),
            "backward of inputs": lambda x, w, y, dy, dx, dw, multiply: multiply(dy, w, dx),
            "backward of weights": lambda x, w, y, dy, dx, dw, multiply: multiply(dy.T, x, dw),
        }
        libraries = {
            "OpenBLAS": (sets, lambda a, b, out: numpy.matmul(a, b, out=out)),
            "PyTorch": ([[torch.from_numpy(x) for x in each] for each in sets], lambda a, b, out: torch.mm(a, b, out=out)),
        }
        for way, product in ways.items():
            if rows == 32 and way == "backward of weights":
                continue
            rates = {}
            for library, (matrices, multiply) in libraries.items():
                seconds = []
                for turn in range(a.rounds + 1):
                    begun = time.perf_counter()
                    product(*matrices[turn % a.apart], multiply)
                    seconds.append(time.perf_counter() - begun)
                rates[library] = 2e-9 * rows * inputs * outputs / statistics.median(seconds[1:])
            print(f"| {name} {way} | {rates['OpenBLAS']:.0f} | {rates['PyTorch']:.0f} |")


if __name__ == "__main__":
    main()
