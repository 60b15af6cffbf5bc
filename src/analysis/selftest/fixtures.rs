//! Fixtures of `reference/analyses.md` section 2.

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
