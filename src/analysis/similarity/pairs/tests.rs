//! All pairs against the same measures one pair at a time, and what must not change a bit.

use std::ops::Range;

use ndarray::ArrayView2;

use super::super::{Measure, Options, compare};
use super::*;
use crate::analysis::features::Features;
use crate::seed::Seed;

/// Layers in memory.
struct Memory(Vec<Features>);

impl Layers for Memory {
    type Error = &'static str;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn rows(&self) -> usize {
        self.0[0].rows
    }

    fn columns(&self, layer: usize) -> usize {
        self.0[layer].columns
    }

    fn read(&self, layer: usize, rows: Range<usize>) -> Result<Vec<f32>, Self::Error> {
        let columns = self.0[layer].columns;
        Ok(self.0[layer].values[rows.start * columns..rows.end * columns].to_vec())
    }
}

/// Layers of several widths that share a part, with means far from zero.
fn layers(rows: usize) -> Memory {
    let mut stream = Seed(5).stream();
    let shared: Vec<f64> = (0..rows * 3).map(|_| stream.normal()).collect();
    let mut layer = |columns: usize, noise: f64| {
        let mix: Vec<f64> = (0..3 * columns).map(|_| stream.normal()).collect();
        let offsets: Vec<f64> = (0..columns).map(|_| 2.0 * stream.normal()).collect();
        let mut values = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            for (column, offset) in offsets.iter().enumerate() {
                let signal: f64 = (0..3).map(|i| shared[row * 3 + i] * mix[i * columns + column]).sum();
                values.push((offset + signal + noise * stream.normal()) as f32);
            }
        }
        Features::new(rows, columns, values).unwrap()
    };
    Memory(vec![layer(12, 0.3), layer(40, 1.0), layer(5, 3.0), layer(200, 0.1)])
}

fn request(rsa: Option<(Inner, Outer)>, memory: usize) -> Request {
    Request { cka: true, rsa, neighbours: Some(6), memory }
}

fn run(layers: &Memory, request: &Request) -> Table {
    all(layers, request, &|_, _| Ok(())).unwrap()
}

/// Blocks of 25 of 90 examples: 4 layers, 2 kinds of tiles.
const SMALL: usize = 25 * 25 * 4 * 4 * 2;

#[test]
fn all_pairs_are_what_each_pair_gives_alone() {
    let layers = layers(90);
    let matrices: Vec<_> = layers.0.iter().map(Features::to_f64).collect();
    let options = Options { neighbours: 6, ..Options::default() };
    for (name, inner, outer, tolerance) in [
        ("rsa", Inner::Correlation, Outer::Spearman, 2e-4),
        ("rsa-cosine-pearson", Inner::Cosine, Outer::Pearson, 1e-5),
        ("rsa-euclid", Inner::Euclid, Outer::Spearman, 2e-4),
    ] {
        let table = run(&layers, &request(Some((inner, outer)), SMALL));
        let grids =
            [("cka", table.cka, 1e-5), (name, table.rsa, tolerance), ("knn", table.neighbours, 1e-12)];
        for (name, grid, tolerance) in grids {
            let (grid, measure) = (grid.unwrap(), Measure::named(name).unwrap());
            for (pair, found) in grid.iter().enumerate() {
                let side = |at: usize| -> ArrayView2<f64> { matrices[at].view() };
                let alone = compare(measure, side(pair / 4), side(pair % 4), &options).unwrap();
                let found = found.as_ref().unwrap();
                assert!((found.value - alone.value).abs() < tolerance, "{name} {pair} {found:?} {alone:?}");
                let (chance, expected) = (found.chance.unwrap(), alone.chance.unwrap());
                assert!((chance.mean - expected.mean).abs() < 1e-12);
                let (chance, expected) = (chance.deviation.unwrap(), expected.deviation.unwrap());
                assert!((chance / expected - 1.0).abs() < 2e-3, "{name} {chance} {expected}");
                assert_eq!((found.n, found.widths), (alone.n, alone.widths));
            }
        }
    }
}

#[test]
fn threads_change_no_bit_and_blocks_only_the_last_digits() {
    let layers = layers(90);
    let table = |threads: usize, memory: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&layers, &request(Some((Inner::Correlation, Outer::Spearman)), memory)))
    };
    let one = table(1, SMALL);
    assert_eq!(one, table(2, SMALL));
    assert_eq!(one, table(3, SMALL));
    for (a, b) in one.cka.unwrap().iter().zip(table(1, MEMORY).cka.unwrap()) {
        assert!((a.as_ref().unwrap().value - b.unwrap().value).abs() < 1e-6);
    }
}

#[test]
fn a_layer_without_a_value_spoils_its_own_pairs_only() {
    let mut layers = layers(40);
    let broken = |columns: usize, value: f32| Features::new(40, columns, vec![value; 40 * columns]).unwrap();
    layers.0[1] = broken(7, 0.25);
    layers.0[2] = broken(7, f32::NAN);
    layers.0.push(broken(7, 0.0));
    let table = run(&layers, &request(Some((Inner::Cosine, Outer::Pearson)), MEMORY));
    for (pair, value) in table.cka.unwrap().iter().enumerate() {
        let spoiled = [pair / 5, pair % 5].iter().any(|at| [1, 2, 4].contains(at));
        assert_eq!(value.is_err(), spoiled, "{pair} {value:?}");
    }
    let neighbours = table.neighbours.unwrap();
    assert_eq!(neighbours[1], Err(Undefined::NoVariance));
    assert_eq!(neighbours[2], Err(Undefined::NotFinite));
    assert_eq!(neighbours[4], Err(Undefined::NoDirection { row: 0 }));
    assert_eq!(table.rsa.unwrap()[1], Err(Undefined::NoVariance));
    assert!(neighbours[3].is_ok());
}

#[test]
fn too_few_examples_and_errors_of_the_reader_are_told() {
    let few = run(&layers(3), &request(None, MEMORY));
    assert_eq!(few.cka, Some(vec![Err(Undefined::TooFew { n: 3, least: 7 }); 16]));
    let stopped =
        all(&layers(90), &request(None, SMALL), &|done, _| if done > 1 { Err("stop") } else { Ok(()) });
    assert_eq!(stopped, Err("stop"));
}
