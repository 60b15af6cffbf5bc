//! Fixtures of `reference/analyses.md` section 2.

use ndarray::{Array2, array};

/// Accuracies of five seeds.
pub(super) const A: [f64; 5] = [0.90, 0.91, 0.92, 0.88, 0.93];
/// Accuracies of the same seeds under another condition.
pub(super) const B: [f64; 5] = [0.89, 0.905, 0.90, 0.91, 0.88];
/// p values to correct.
pub(super) const P_VALUES: [f64; 4] = [0.01, 0.04, 0.03, 0.005];

/// Six data sets (rows) and four methods, higher is better.
pub(super) const FRIEDMAN_6X4: [[f64; 4]; 6] = [
    [0.91, 0.89, 0.93, 0.90],
    [0.84, 0.82, 0.85, 0.83],
    [0.77, 0.78, 0.80, 0.76],
    [0.66, 0.64, 0.69, 0.65],
    [0.95, 0.94, 0.95, 0.93],
    [0.71, 0.70, 0.74, 0.73],
];

/// X (8x2) and Y (8x3) of the toy.
pub(super) fn toy() -> (Array2<f64>, Array2<f64>) {
    let x = array![[1, 2], [2, 1], [3, 5], [4, 3], [5, 6], [6, 2], [7, 8], [8, 4]];
    let y = array![[2, 0, 1], [1, 1, 0], [4, 2, 3], [3, 5, 1], [6, 4, 4], [5, 7, 2], [8, 3, 6], [7, 9, 5]];
    (x.mapv(f64::from), y.mapv(f64::from))
}

/// Labels of the toy.
pub(super) const LABELS: [u32; 8] = [0, 0, 1, 0, 1, 0, 1, 1];

/// P (8x3) and Q (8x2), whose cosines have no ties.
pub(super) fn p_and_q() -> (Array2<f64>, Array2<f64>) {
    let p = array![[9, 1, 2], [8, 2, 1], [1, 7, 3], [2, 9, 1], [3, 2, 8], [1, 3, 9], [5, 5, 6], [6, 4, 1]];
    let q = array![[7, 1], [9, 2], [2, 8], [1, 9], [4, 5], [3, 7], [5, 5], [8, 3]];
    (p.mapv(f64::from), q.mapv(f64::from))
}

/// Probabilities of three source classes.
pub(super) fn theta() -> Array2<f64> {
    array![
        [0.7, 0.2, 0.1],
        [0.6, 0.3, 0.1],
        [0.2, 0.5, 0.3],
        [0.5, 0.4, 0.1],
        [0.1, 0.6, 0.3],
        [0.6, 0.1, 0.3],
        [0.1, 0.3, 0.6],
        [0.2, 0.2, 0.6]
    ]
}

/// The published demo's X and Y (100x10 each): NumPy's legacy generator with seed 1337, `X =
/// randn(100, 10)` and `Y = randn(100, 10) + X`, stored side by side as little-endian doubles.
pub(super) fn demo() -> (Array2<f64>, Array2<f64>) {
    const BYTES: &[u8; 16_000] = include_bytes!("demo-100x20.bin");
    let number = |at: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&BYTES[8 * at..8 * at + 8]);
        f64::from_le_bytes(eight)
    };
    let side =
        |from: usize| Array2::from_shape_fn((100, 10), |(row, column)| number(20 * row + from + column));
    (side(0), side(10))
}

/// Scores of five layers, and the accuracies that they foretell.
pub(super) const SCORE_A: [f64; 5] = [0.1, 0.4, 0.35, 0.8, 0.7];
/// The accuracies.
pub(super) const SCORE_B: [f64; 5] = [88.0, 90.1, 89.9, 91.0, 91.2];

/// Errors of three domains: trained on the row, tested on the column.
pub(super) const E: [[f64; 3]; 3] = [[0.08, 0.20, 0.15], [0.12, 0.10, 0.18], [0.14, 0.22, 0.09]];

/// Accuracies at home and elsewhere.
pub(super) const HOME_AND_AWAY: [(f64, f64); 5] =
    [(0.90, 0.80), (0.91, 0.82), (0.92, 0.83), (0.93, 0.86), (0.94, 0.86)];
