//! How long all pairs of layers take: `cargo bench --bench similarity -- N WIDTH LAYERS [ROUNDS] [CASE]`.
//! Features are made from a seed; a few distinct layers stand for all, which changes no amount of
//! work. `benches/similarity_numpy.py` does the same computation in NumPy.

#![expect(clippy::print_stdout, reason = "a table on the terminal is all that a bench is for")]

use std::convert::Infallible;
use std::ops::Range;
use std::time::Instant;

use pifi_probe::analysis::similarity::pairs::{Layers, MEMORY, Request, all};
use pifi_probe::analysis::similarity::rsa::{Inner, Outer};
use pifi_probe::seed::Seed;

/// Distinct layers.
const DISTINCT: usize = 4;

struct Made {
    rows: usize,
    columns: usize,
    layers: usize,
    values: Vec<Vec<f32>>,
}

impl Layers for Made {
    type Error = Infallible;

    fn len(&self) -> usize {
        self.layers
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self, _: usize) -> usize {
        self.columns
    }

    fn read(&self, layer: usize, rows: Range<usize>) -> Result<Vec<f32>, Self::Error> {
        let values = &self.values[layer % self.values.len()];
        Ok(values[rows.start * self.columns..rows.end * self.columns].to_vec())
    }
}

fn main() {
    // cargo adds `--bench`
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let sizes: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let case = words.iter().find(|word| word.parse::<usize>().is_err());
    let [rows, columns, layers] = sizes.get(..3).and_then(|it| it.try_into().ok()).unwrap_or([1000, 512, 16]);
    let rounds = sizes.get(3).copied().unwrap_or(1);
    let made = |layer: usize| -> Vec<f32> {
        let mut stream = Seed(layer as u64).stream();
        (0..rows * columns).map(|_| stream.uniform() as f32 - 0.5).collect()
    };
    let layers = Made { rows, columns, layers, values: (0..DISTINCT.min(layers)).map(made).collect() };
    println!("n {rows}, width {columns}, {} layers, {} threads", layers.layers, rayon::current_num_threads());
    let cases = [
        ("cka", Request { cka: true, rsa: None, neighbours: None, memory: MEMORY }),
        ("cka + knn", Request { cka: true, rsa: None, neighbours: Some(10), memory: MEMORY }),
        (
            "cka + knn + rsa (pearson)",
            Request {
                cka: true,
                rsa: Some((Inner::Correlation, Outer::Pearson)),
                neighbours: Some(10),
                memory: MEMORY,
            },
        ),
        (
            "cka + knn + rsa (spearman)",
            Request {
                cka: true,
                rsa: Some((Inner::Correlation, Outer::Spearman)),
                neighbours: Some(10),
                memory: MEMORY,
            },
        ),
    ];
    for (name, request) in cases.iter().filter(|(name, _)| case.is_none_or(|case| case == name)) {
        let mut best = f64::INFINITY;
        for _ in 0..rounds {
            let start = Instant::now();
            let table = all(&layers, request, &|_, _| Ok(())).unwrap_or_else(|never| match never {});
            assert!(table.cka.is_some_and(|grid| grid.iter().all(Result::is_ok)));
            best = best.min(start.elapsed().as_secs_f64());
        }
        // the symmetric half of every layer's Gram matrix
        let flops = layers.layers as f64 * (rows as f64).powi(2) * columns as f64;
        println!("{name:28} {best:9.2} s   {:7.1} GFLOP/s of one Gram pass", flops / best / 1e9);
    }
}
