//! The linear probe: logistic regression on frozen features, standardised by the examples that it is
//! fitted on. The penalty is chosen by the negative log-likelihood of a held-out fifth of the
//! training examples, which is the same fifth for every layer; then all of them are fitted and the
//! evaluated examples are looked at once.

use super::super::scores::{Labelled, Undefined};
use super::super::statistics::{self, Estimate};
use super::curvature::Curvature;
use super::logistic::{Fit, Model, fit_along, likeliest};
use super::scaling::Scaling;
use crate::analysis::statistics::bootstrap::quantile;
use crate::analysis::statistics::proportion::wilson;
use crate::seed::Seed;
use crate::train::metrics::Confusion;
use ndarray::{Array2, ArrayView2, Axis};

/// Weights of the loss that are tried, in scikit-learn's sense of C, on standardised features.
pub const GRID: [f64; 7] = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0];
/// One in this many training examples is held out for the choice of C.
const HELD_OUT: usize = 5;
/// Steps up the grid that may get worse before it ends.
const PATIENCE: usize = 2;
/// Resamples of the intervals of macro-F1 and Matthews' correlation.
const RESAMPLES: usize = 1_000;

/// A fitted probe and how good it is on the evaluated examples.
#[derive(Clone, Debug)]
pub struct LinearProbe {
    /// Accuracy with Wilson's interval.
    pub accuracy: Estimate,
    /// Macro-F1 with a bootstrap interval over examples.
    pub macro_f1: Estimate,
    /// Matthews' correlation with a bootstrap interval over examples.
    pub mcc: Estimate,
    /// Mean negative log-likelihood in nats with its t interval.
    pub nll: Estimate,
    /// The chosen weight of the loss.
    pub c: f64,
    /// Whether the choice stands at an end of the grid, so that a wider one might have moved it.
    pub at_edge: bool,
    /// Whether the last fit converged.
    pub converged: bool,
    /// Steps of the last fit.
    pub steps: usize,
    /// Examples fitted.
    pub fitted: usize,
    /// Whether each evaluated example is right, for paired comparisons.
    pub right: Vec<bool>,
}

/// Fits `train` and evaluates on features `[N, D]` and labels.
///
/// # Errors
/// [`Undefined`] for unequal widths or lengths, too few examples, features that are not finite, or an
/// evaluated class that the training examples lack.
pub fn probe(
    train: &Labelled<'_>,
    features: ArrayView2<'_, f64>,
    labels: &[u32],
    seed: Seed,
) -> Result<LinearProbe, Undefined> {
    let gold = evaluated(train, features, labels)?;
    let (c, at_edge) = choose(train, seed)?;
    let scaling = Scaling::of(train.features);
    let x = scaling.apply(train.features);
    let curvature = Curvature::of(x.view());
    let model = fit_along(x.view(), &train.labels, train.classes(), Fit::new(c), None, Some(&curvature));
    let logs = model.log_probabilities(scaling.apply(features).view());
    let predicted: Vec<u32> = logs.rows().into_iter().map(|row| likeliest(row) as u32).collect();
    let losses: Vec<f64> =
        gold.iter().enumerate().map(|(row, &class)| -logs[[row, class as usize]]).collect();
    let right: Vec<bool> = gold.iter().zip(&predicted).map(|(gold, predicted)| gold == predicted).collect();
    let few = |_| Undefined::TooFew { n: gold.len(), least: 2 };
    Ok(LinearProbe {
        accuracy: wilson(right.iter().filter(|right| **right).count(), right.len()).map_err(few)?,
        macro_f1: resampled(&gold, &predicted, seed.derive("macro-f1"), Confusion::macro_f1)?,
        mcc: resampled(&gold, &predicted, seed.derive("mcc"), Confusion::mcc)?,
        nll: statistics::mean(&losses).map_err(few)?,
        c,
        at_edge,
        converged: model.converged,
        steps: model.steps,
        fitted: train.labels.len(),
        right,
    })
}

/// The labels of evaluated examples as places among the classes of training.
fn evaluated(
    train: &Labelled<'_>,
    features: ArrayView2<'_, f64>,
    labels: &[u32],
) -> Result<Vec<u32>, Undefined> {
    if features.nrows() != labels.len() {
        return Err(Undefined::Lengths { rows: features.nrows(), labels: labels.len() });
    }
    if features.ncols() != train.features.ncols() {
        return Err(Undefined::Widths { left: train.features.ncols(), right: features.ncols() });
    }
    if labels.len() < 2 {
        return Err(Undefined::TooFew { n: labels.len(), least: 2 });
    }
    if features.iter().any(|value| !value.is_finite()) {
        return Err(Undefined::NotFinite);
    }
    let place = |label: &u32| train.known.binary_search(label).map(|place| place as u32);
    labels.iter().map(|label| place(label).map_err(|_| Undefined::UnseenClass { class: *label })).collect()
}

/// The weight of the loss with the least loss on the held-out examples, and whether it is the first
/// or last of the grid. Climbing from the strongest penalty, it ends after two steps that get worse:
/// the fits beyond are the slowest and further from the best.
fn choose(train: &Labelled<'_>, seed: Seed) -> Result<(f64, bool), Undefined> {
    let (fitted, held) = held_out(&train.labels, train.classes(), seed);
    if held.is_empty() || fitted.len() < 2 {
        return Err(Undefined::TooFew { n: train.labels.len(), least: 2 * train.classes() });
    }
    let part = |rows: &[usize]| -> (Array2<f64>, Vec<usize>) {
        (train.features.select(Axis(0), rows), rows.iter().map(|&row| train.labels[row]).collect())
    };
    let (x, labels) = part(&fitted);
    let scaling = Scaling::of(x.view());
    let x = scaling.apply(x.view());
    let (held_x, held_labels) = part(&held);
    let held_x = scaling.apply(held_x.view());
    let curvature = Curvature::of(x.view());
    let mut model: Option<Model> = None;
    let mut best = (f64::INFINITY, 0);
    for (at, &c) in GRID.iter().enumerate() {
        let settings = Fit::new(c);
        let next = fit_along(x.view(), &labels, train.classes(), settings, model.as_ref(), Some(&curvature));
        let logs = next.log_probabilities(held_x.view());
        let loss = -held_labels.iter().enumerate().map(|(row, &class)| logs[[row, class]]).sum::<f64>();
        if loss < best.0 {
            best = (loss, at);
        } else if at >= best.1 + PATIENCE {
            break;
        }
        model = Some(next);
    }
    Ok((GRID[best.1], best.1 == 0 || best.1 + 1 == GRID.len()))
}

/// Rows to fit and rows held out: a fifth of each class, at least one of a class with two examples.
/// Depends on the labels and the seed alone, so that it is the same for all layers.
pub(super) fn held_out(labels: &[usize], classes: usize, seed: Seed) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    seed.derive("held out").stream().shuffle(&mut order);
    let mut left: Vec<usize> = vec![0; classes];
    for &label in labels {
        left[label] += 1;
    }
    for count in &mut left {
        *count = if *count < 2 { 0 } else { (*count / HELD_OUT).max(1) };
    }
    let (mut held, mut fitted): (Vec<usize>, Vec<usize>) = order.into_iter().partition(|&row| {
        let room = left[labels[row]] > 0;
        left[labels[row]] -= usize::from(room);
        room
    });
    held.sort_unstable();
    fitted.sort_unstable();
    (fitted, held)
}

fn resampled(
    gold: &[u32],
    predicted: &[u32],
    seed: Seed,
    metric: impl Fn(&Confusion) -> f64,
) -> Result<Estimate, Undefined> {
    let n = gold.len();
    let mut stream = seed.stream();
    let mut values: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let rows: Vec<usize> = (0..n).map(|_| stream.below(n)).collect();
            let pick = |from: &[u32]| -> Vec<u32> { rows.iter().map(|&row| from[row]).collect() };
            metric(&Confusion::new(&pick(gold), &pick(predicted)))
        })
        .collect();
    let (_, deviation) = statistics::estimate::moments(&values).map_err(|_| Undefined::NotFinite)?;
    values.sort_by(f64::total_cmp);
    let tail = (1.0 - statistics::CONFIDENCE) / 2.0;
    Ok(Estimate {
        value: metric(&Confusion::new(gold, predicted)),
        low: quantile(&values, tail),
        high: quantile(&values, 1.0 - tail),
        standard_error: deviation.unwrap_or(0.0),
        n,
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::scores::synthetic::{normal, shifted};
    use super::*;

    #[test]
    fn a_shift_is_found_and_noise_is_not() {
        let (x, labels) = shifted(400, 10, 3.0, 1);
        let (other, gold) = shifted(300, 10, 3.0, 2);
        let train = Labelled::new(x.view(), &labels).unwrap();
        let found = probe(&train, other.view(), &gold, Seed(1)).unwrap();
        // the best rule errs with Φ(-1.5) = 6.7%
        assert!(found.converged && found.accuracy.covers(0.933), "{:?}", found.accuracy);
        assert!(found.macro_f1.covers(found.accuracy.value) && found.nll.high < std::f64::consts::LN_2);
        let noise = normal(400, 10, 3);
        let train = Labelled::new(noise.view(), &labels).unwrap();
        let found = probe(&train, normal(300, 10, 4).view(), &gold, Seed(1)).unwrap();
        assert!(found.accuracy.covers(0.5) && found.mcc.covers(0.0), "{found:?}");
    }

    #[test]
    fn the_scale_of_a_column_does_not_matter() {
        let (mut x, labels) = shifted(200, 4, 2.0, 1);
        let (mut other, gold) = shifted(100, 4, 2.0, 2);
        let once = probe(&Labelled::new(x.view(), &labels).unwrap(), other.view(), &gold, Seed(1)).unwrap();
        for (column, scale) in [1e4, 1e-3, 7.0, 1.0].into_iter().enumerate() {
            x.column_mut(column).mapv_inplace(|value| scale * value + scale);
            other.column_mut(column).mapv_inplace(|value| scale * value + scale);
        }
        let again = probe(&Labelled::new(x.view(), &labels).unwrap(), other.view(), &gold, Seed(1)).unwrap();
        assert_eq!((once.c, &once.right), (again.c, &again.right));
    }

    #[test]
    fn threads_change_no_bit_of_a_preconditioned_fit() {
        // more rows than a thread takes at a time, and wide enough for a curvature
        let (x, labels) = shifted(700, 40, 0.5, 1);
        let (other, gold) = shifted(300, 40, 0.5, 2);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let train = Labelled::new(x.view(), &labels).unwrap();
            pool.install(|| probe(&train, other.view(), &gold, Seed(1)).unwrap())
        };
        let (alone, together) = (run(1), run(3));
        assert_eq!((alone.c, &alone.right), (together.c, &together.right));
        assert_eq!(alone.nll.value.to_bits(), together.nll.value.to_bits());
        assert_eq!(alone.steps, together.steps);
    }

    #[test]
    fn the_held_out_part_keeps_the_classes_and_repeats() {
        let labels: Vec<usize> = (0..100).map(|at| usize::from(at >= 80)).collect();
        let (fitted, held) = held_out(&labels, 2, Seed(5));
        assert_eq!((fitted.len(), held.len()), (80, 20));
        assert_eq!(held.iter().filter(|row| labels[**row] == 1).count(), 4);
        assert_eq!(held_out(&labels, 2, Seed(5)).1, held);
        assert_ne!(held_out(&labels, 2, Seed(6)).1, held);
    }

    #[test]
    fn evaluated_examples_must_fit_the_training_ones() {
        let (x, labels) = shifted(40, 4, 2.0, 1);
        let train = Labelled::new(x.view(), &labels).unwrap();
        let reason = |x: &Array2<f64>, labels: &[u32]| probe(&train, x.view(), labels, Seed(1)).err();
        assert_eq!(reason(&normal(3, 4, 1), &[0, 1, 2]), Some(Undefined::UnseenClass { class: 2 }));
        assert_eq!(reason(&normal(3, 5, 1), &[0, 1, 1]), Some(Undefined::Widths { left: 4, right: 5 }));
        assert_eq!(reason(&normal(3, 4, 1), &[0, 1]), Some(Undefined::Lengths { rows: 3, labels: 2 }));
    }
}
