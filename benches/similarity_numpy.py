"""The computation of benches/similarity.rs in NumPy, block by block:
python3 benches/similarity_numpy.py N WIDTH LAYERS

Debiased linear CKA, shared nearest neighbours (k = 10) and RSA (correlation distances; Pearson, and
Spearman by a histogram of 2**18 bins) between all layers. Tiles are f32, sums f64.
"""

import sys
import time

import numpy as np

BINS = 1 << 18
K = 10
MEMORY = 1 << 30


def blocks(n, layers, kinds):
    size = max(1, min(n, 2048, int((MEMORY / (4 * layers * kinds)) ** 0.5)))
    size = -(-n // -(-n // size))
    starts = list(range(0, n, size))
    spans = [slice(start, min(n, start + size)) for start in starts]
    return [(a, b) for at, a in enumerate(spans) for b in spans[at:]]


def prepare(x):
    centred = x - x.mean(0, dtype=np.float64).astype(np.float32)
    rows = x - x.mean(1, keepdims=True, dtype=np.float64).astype(np.float32)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return centred, rows / np.linalg.norm(rows, axis=1, keepdims=True), unit


def upper(tile, a, b):
    return np.triu(tile, 1) if a.start == b.start else tile


def run(features, layers, rsa, knn):
    n = features[0].shape[0]
    prepared = [prepare(x) for x in features]
    kinds = 1 + (rsa is not None)
    pairs = blocks(n, layers, kinds)
    ranks = None
    if rsa == "spearman":
        ranks = []
        for layer in range(layers):
            _, rows, _ = prepared[layer % len(prepared)]
            counts = np.zeros(BINS, np.int64)
            for a, b in pairs:
                distances = 1 - rows[a] @ rows[b].T
                keep = np.triu_indices(distances.shape[0], 1) if a.start == b.start else (slice(None),)
                found = np.clip(distances[keep].ravel() * (BINS / 2), 0, BINS - 1).astype(np.int32)
                counts += np.bincount(found, minlength=BINS)
            before = np.cumsum(counts) - counts
            ranks.append(((before + counts / 2) / counts.sum() - 0.5).astype(np.float32))
    gram, distance = np.zeros((layers, layers)), np.zeros((layers, layers))
    nearest = [np.full((n, K), np.inf, np.float32) for _ in range(layers)]
    places = [np.zeros((n, K), np.int32) for _ in range(layers)]

    def keep_nearest(layer, span, tile, others):
        both = np.concatenate([nearest[layer][span], tile], 1)
        where = np.concatenate(
            [places[layer][span], np.broadcast_to(np.arange(others.start, others.stop, dtype=np.int32), tile.shape)], 1
        )
        best = np.argpartition(both, K - 1, axis=1)[:, :K]
        nearest[layer][span] = np.take_along_axis(both, best, 1)
        places[layer][span] = np.take_along_axis(where, best, 1)

    for a, b in pairs:
        grams, distances = [], []
        for layer in range(layers):
            centred, rows, unit = prepared[layer % len(prepared)]
            grams.append(upper(centred[a] @ centred[b].T, a, b).ravel())
            if rsa is not None:
                tile = 1 - rows[a] @ rows[b].T
                if ranks is not None:
                    found = np.clip(tile * (BINS / 2), 0, BINS - 1).astype(np.int32)
                    tile = ranks[layer][found]
                distances.append(upper(tile, a, b).ravel())
            if knn:
                tile = 1 - unit[a] @ unit[b].T
                if a.start == b.start:
                    np.fill_diagonal(tile, np.inf)
                else:
                    keep_nearest(layer, b, tile.T, a)
                keep_nearest(layer, a, tile, b)
        stacked = np.stack(grams)
        gram += 2 * (stacked @ stacked.T)
        if rsa is not None:
            stacked = np.stack(distances)
            distance += 2 * (stacked @ stacked.T)
    if knn:
        for i in range(layers):
            for j in range(i, layers):
                np.mean([len(np.intersect1d(p, q)) for p, q in zip(places[i][:100], places[j][:100])])
    return gram, distance


def main():
    n, width, layers = (int(word) for word in sys.argv[1:4])
    generator = np.random.default_rng(0)
    features = [generator.random((n, width), np.float32) - 0.5 for _ in range(min(4, layers))]
    cases = [
        ("cka", None, False),
        ("cka + knn", None, True),
        ("cka + knn + rsa (pearson)", "pearson", True),
        ("cka + knn + rsa (spearman)", "spearman", True),
    ]
    print(f"n {n}, width {width}, {layers} layers")
    for name, rsa, knn in cases:
        start, used = time.perf_counter(), time.process_time()
        run(features, layers, rsa, knn)
        wall, used = time.perf_counter() - start, time.process_time() - used
        print(f"{name:28} {wall:9.2f} s {used:9.2f} s of processors", flush=True)


main()
