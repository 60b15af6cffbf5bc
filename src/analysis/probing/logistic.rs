//! Logistic regression with an L2 penalty, in f64: `½ ‖W‖² + c Σ_i −ln p(y_i | x_i)`, as scikit-learn
//! states it. Two classes have one logit, C > 2 classes have C. The penalty keeps separable data
//! from diverging; the intercept is free unless told otherwise.

use super::curvature::{Curvature, Inverse};
use super::solver::{Guess, minimise};
use crate::analysis::products::{add, dot, with_row};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis, s};
use rayon::prelude::*;

/// Rows of which logits and gradient are formed while they are in cache; also the order of the sums.
const TOGETHER: usize = 256;

/// How to fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Weight of the loss against the penalty; more is less penalty.
    pub c: f64,
    /// Whether the intercept is penalised too, as a code that must never be infinitely sure needs.
    pub penalise_intercept: bool,
    /// The largest part of the gradient at the end, relative to that at zero weights.
    pub tolerance: f64,
    /// Steps after which it ends unconverged.
    pub most_steps: usize,
}

impl Fit {
    /// A free intercept, a relative gradient of 1e-5 and at most 1 000 steps.
    pub fn new(c: f64) -> Self {
        Self { c, penalise_intercept: false, tolerance: 1e-5, most_steps: 1_000 }
    }
}

/// A fitted model.
#[derive(Clone, Debug)]
pub struct Model {
    /// `[K, D]`, K = 1 for two classes, else C.
    pub weights: Array2<f64>,
    /// `[K]`.
    pub intercepts: Vec<f64>,
    /// C.
    pub classes: usize,
    /// Whether the gradient came below the tolerance.
    pub converged: bool,
    /// Steps taken.
    pub steps: usize,
}

impl Model {
    /// `ln p`, `[N, C]`.
    pub fn log_probabilities(&self, x: ArrayView2<'_, f64>) -> Array2<f64> {
        let logits = x.dot(&self.weights.t()) + ArrayView1::from(&self.intercepts);
        let mut logs = Array2::zeros((x.nrows(), self.classes));
        for (logits, mut logs) in logits.rows().into_iter().zip(logs.rows_mut()) {
            if self.classes == 2 {
                logs[0] = -softplus(logits[0]);
                logs[1] = -softplus(-logits[0]);
            } else {
                let whole = log_sum(logits);
                logs.iter_mut().zip(&logits).for_each(|(log, logit)| *log = logit - whole);
            }
        }
        logs
    }

    /// Mean over the examples of the predictions' variance, in units of that of two equal chances for
    /// C classes: at most 1 / C.
    fn variance(&self, x: ArrayView2<'_, f64>) -> f64 {
        let logs = self.log_probabilities(x);
        let sum: f64 = logs.iter().map(|log| log.exp() * (1.0 - log.exp())).sum();
        let most = (self.classes - 1) as f64 * x.nrows() as f64;
        (sum / most).max(f64::MIN_POSITIVE)
    }

    /// The likeliest class of each example; the first of equal ones.
    pub fn predict(&self, x: ArrayView2<'_, f64>) -> Vec<usize> {
        self.log_probabilities(x).rows().into_iter().map(likeliest).collect()
    }
}

/// The first of the largest.
pub(super) fn likeliest(logs: ArrayView1<'_, f64>) -> usize {
    (0..logs.len()).fold(0, |best, at| if logs[at] > logs[best] { at } else { best })
}

/// Fits features `[N, D]` and labels below `classes`, from zero or from another fit of the same shape.
pub fn fit<'a>(
    x: ArrayView2<'a, f64>,
    labels: &'a [usize],
    classes: usize,
    settings: Fit,
    start: Option<&Model>,
) -> Model {
    fit_along(x, labels, classes, settings, start, None)
}

/// As [`fit`], in fewer steps for knowing the curvature of the same features, whose columns have mean
/// zero.
pub(super) fn fit_along<'a>(
    x: ArrayView2<'a, f64>,
    labels: &'a [usize],
    classes: usize,
    settings: Fit,
    start: Option<&Model>,
    curvature: Option<&Curvature<'a>>,
) -> Model {
    let (outputs, width) = (if classes == 2 { 1 } else { classes }, x.ncols());
    let problem = Problem { x, labels, outputs, settings };
    let size = outputs * (width + 1);
    let (_, at_zero) = problem.value(&vec![0.0; size]);
    let scale = at_zero.iter().fold(0.0, |max: f64, part| max.max(part.abs()));
    let point = match start {
        Some(model) => model.weights.iter().chain(&model.intercepts).copied().collect(),
        None => vec![0.0; size],
    };
    let variance = start.map_or(1.0 / classes as f64, |model| model.variance(x));
    let weight = settings.c * if classes == 2 { variance / 2.0 } else { variance };
    let inverse = curvature.and_then(|curvature| curvature.inverse(weight));
    let guess = inverse.as_ref().map(|inverse| {
        let intercept = weight * x.nrows() as f64 + if settings.penalise_intercept { 1.0 } else { 0.0 };
        move |gradient: &[f64]| problem.guess(gradient, inverse, intercept)
    });
    let guess = guess.as_ref().map(|guess| guess as &Guess<'_>);
    let tolerance = settings.tolerance * scale;
    let found = minimise(point, tolerance, settings.most_steps, guess, |point| problem.value(point));
    let (weights, intercepts) = found.point.split_at(outputs * width);
    Model {
        weights: Array2::from_shape_vec((outputs, width), weights.to_vec()).expect("the point has this size"),
        intercepts: intercepts.to_vec(),
        classes,
        converged: found.converged,
        steps: found.steps,
    }
}

#[derive(Clone, Copy)]
struct Problem<'a> {
    x: ArrayView2<'a, f64>,
    labels: &'a [usize],
    outputs: usize,
    settings: Fit,
}

impl Problem<'_> {
    /// The function and its gradient: weights first, then intercepts.
    fn value(&self, point: &[f64]) -> (f64, Vec<f64>) {
        let (n, width) = self.x.dim();
        let (weights, intercepts) = point.split_at(self.outputs * width);
        let matrix = ArrayView2::from_shape((self.outputs, width), weights).expect("the point has this size");
        let starts: Vec<usize> = (0..n).step_by(TOGETHER).collect();
        let parts: Vec<(f64, Vec<f64>)> = starts
            .par_iter()
            .map(|&start| self.part(matrix, intercepts, (start, (start + TOGETHER).min(n))))
            .collect();
        let mut gradient = vec![0.0; point.len()];
        let mut loss = 0.0;
        for (part, of_part) in parts {
            loss += part;
            gradient.iter_mut().zip(of_part).for_each(|(sum, part)| *sum += part);
        }
        let penalised = if self.settings.penalise_intercept { point.len() } else { weights.len() };
        let c = self.settings.c;
        for part in &mut gradient {
            *part *= c;
        }
        gradient[..penalised].iter_mut().zip(point).for_each(|(part, weight)| *part += weight);
        let square: f64 = point[..penalised].iter().map(|weight| weight * weight).sum();
        (c * loss + 0.5 * square, gradient)
    }

    fn part(
        &self,
        weights: ArrayView2<'_, f64>,
        intercepts: &[f64],
        (start, end): (usize, usize),
    ) -> (f64, Vec<f64>) {
        let x = self.x.slice(s![start..end, ..]);
        if self.outputs == 1 {
            return part_of_two(x, weights.row(0), intercepts[0], &self.labels[start..end]);
        }
        // logits, then what the loss says of each
        let mut residuals = x.dot(&weights.t()) + ArrayView1::from(intercepts);
        let mut loss = 0.0;
        for (mut row, &label) in residuals.rows_mut().into_iter().zip(&self.labels[start..end]) {
            let whole = log_sum(row.view());
            loss += whole - row[label];
            row.mapv_inplace(|logit| (logit - whole).exp());
            row[label] -= 1.0;
        }
        let mut gradient: Vec<f64> = residuals.t().dot(&x).iter().copied().collect();
        gradient.extend(residuals.sum_axis(Axis(0)));
        (loss, gradient)
    }

    /// A gradient times a guess of the inverse Hessian, which takes no heed of how classes go together.
    fn guess(&self, gradient: &[f64], inverse: &Inverse<'_>, intercept: f64) -> Vec<f64> {
        let (weights, intercepts) = gradient.split_at(self.outputs * self.x.ncols());
        let mut guess = Vec::with_capacity(gradient.len());
        for weights in weights.chunks_exact(self.x.ncols().max(1)) {
            guess.extend(inverse.apply(weights));
        }
        guess.extend(intercepts.iter().map(|part| part / intercept));
        guess
    }
}

/// [`Problem::part`] of two classes: each row is read once, for its logit and its part of the gradient.
fn part_of_two(
    x: ArrayView2<'_, f64>,
    weights: ArrayView1<'_, f64>,
    intercept: f64,
    labels: &[usize],
) -> (f64, Vec<f64>) {
    let width = x.ncols();
    let mut gradient = vec![0.0; width + 1];
    let mut loss = 0.0;
    with_row(weights, |weights| {
        for (row, &label) in x.rows().into_iter().zip(labels) {
            with_row(row, |row| {
                let target = if label == 1 { 1.0 } else { 0.0 };
                let logit = dot(row, weights) + intercept;
                loss += softplus(logit) - target * logit;
                let residual = 1.0 / (1.0 + (-logit).exp()) - target;
                add(&mut gradient[..width], residual, row);
                gradient[width] += residual;
            });
        }
    });
    (loss, gradient)
}

/// `ln(1 + e^x)` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn log_sum(logits: ArrayView1<'_, f64>) -> f64 {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |max, logit| max.max(*logit));
    largest + logits.iter().map(|logit| (logit - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::super::super::scores::synthetic::{normal, shifted};
    use super::*;
    use linfa::Dataset;
    use linfa::traits::Fit as _;

    fn exact(c: f64) -> Fit {
        Fit { tolerance: 1e-11, ..Fit::new(c) }
    }

    /// One column with values -1 and 1 and no intercept to speak of: with a of n examples on the side
    /// of their sign, the weight solves w = c (a - n σ(w)). Here n = 10, a = 8, c = 1.
    #[test]
    fn a_closed_form_is_met() {
        let labels: Vec<usize> =
            (0..10).map(|at| usize::from(at < 5) ^ usize::from(at == 0 || at == 9)).collect();
        let x = Array2::from_shape_fn((10, 1), |(at, _)| if at < 5 { 1.0 } else { -1.0 });
        let model = fit(x.view(), &labels, 2, exact(1.0), None);
        let w = model.weights[[0, 0]];
        let right = 8.0 - 10.0 / (1.0 + (-w).exp());
        assert!(model.converged && (w - right).abs() < 1e-9, "{w} {right}");
        assert!(model.intercepts[0].abs() < 1e-9);
    }

    #[test]
    fn separable_data_does_not_diverge() {
        let (x, labels) = shifted(40, 3, 50.0, 1);
        let labels: Vec<usize> = labels.into_iter().map(|label| label as usize).collect();
        let model = fit(x.view(), &labels, 2, Fit::new(1e6), None);
        assert!(model.converged && model.weights.iter().all(|weight| weight.abs() < 100.0));
        assert_eq!(model.predict(x.view()), labels);
    }

    #[test]
    fn two_and_three_classes_have_the_minimum_of_linfa() {
        let x = normal(90, 4, 2);
        let labels: Vec<usize> = (0..90)
            .map(|at| usize::from(x[[at, 0]] + 0.7 * x[[at, 1]] > 0.2) + usize::from(x[[at, 2]] > 0.9))
            .collect();
        let linfa = linfa_logistic::MultiLogisticRegression::<f64>::default()
            .alpha(1.0)
            .gradient_tolerance(1e-10)
            .max_iterations(500);
        let theirs = linfa.fit(&Dataset::new(x.clone(), ndarray::Array1::from(labels.clone()))).unwrap();
        let ours = fit(x.view(), &labels, 3, exact(1.0), None);
        let difference = &ours.weights.t() - theirs.params();
        assert!(difference.iter().all(|part| part.abs() < 1e-6), "{difference}");
        let labels: Vec<usize> = labels.into_iter().map(|label| label.min(1)).collect();
        let linfa = linfa_logistic::LogisticRegression::<f64>::default()
            .alpha(1.0)
            .gradient_tolerance(1e-10)
            .max_iterations(500);
        let theirs = linfa.fit(&Dataset::new(x.clone(), ndarray::Array1::from(labels.clone()))).unwrap();
        let ours = fit(x.view(), &labels, 2, exact(1.0), None);
        // which of the two classes linfa takes as positive depends on their sizes
        let (us, them) = (ours.weights.row(0), theirs.params());
        assert!(us.iter().zip(them).all(|(a, b)| (a.abs() - b.abs()).abs() < 1e-6), "{us} {them}");
    }

    #[test]
    fn threads_and_a_warm_start_do_not_move_the_minimum() {
        let (x, labels) = shifted(600, 8, 1.0, 4);
        let labels: Vec<usize> = labels.into_iter().map(|label| label as usize).collect();
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| fit(x.view(), &labels, 2, exact(0.1), None))
        };
        let (one, three) = (run(1), run(3));
        assert_eq!(one.weights, three.weights);
        let warm = fit(x.view(), &labels, 2, exact(0.1), Some(&fit(x.view(), &labels, 2, exact(0.01), None)));
        assert!((&warm.weights - &one.weights).iter().all(|part| part.abs() < 1e-8));
    }

    #[test]
    fn knowing_the_curvature_moves_no_minimum_in_either_shape() {
        for (n, width) in [(300, 40), (40, 300)] {
            let (raw, labels) = shifted(n, width, 1.5, 4);
            let scale = Array2::from_shape_fn((n, width), |(_, at)| 1.0 / (1 + at) as f64);
            let x = crate::analysis::scores::linear::centred((raw * scale).view());
            for classes in [2, 3] {
                let labels: Vec<usize> = labels
                    .iter()
                    .enumerate()
                    .map(|(at, label)| (*label as usize + at / 7) % classes)
                    .collect();
                let curvature = Curvature::of(x.view());
                for c in [1e-3, 1.0] {
                    for penalise_intercept in [true, false] {
                        let settings = Fit { penalise_intercept, ..exact(c) };
                        let plain = fit(x.view(), &labels, classes, settings, None);
                        let along = fit_along(x.view(), &labels, classes, settings, None, Some(&curvature));
                        assert!(plain.converged && along.converged && along.steps <= plain.steps + 5);
                        let apart = &plain.weights - &along.weights;
                        assert!(apart.iter().all(|part| part.abs() < 1e-7), "{n} {classes} {c} {apart}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_end_without_convergence_is_told() {
        let (x, labels) = shifted(60, 5, 1.0, 4);
        let labels: Vec<usize> = labels.into_iter().map(|label| label as usize).collect();
        let model = fit(x.view(), &labels, 2, Fit { most_steps: 1, ..exact(1.0) }, None);
        assert!(!model.converged);
    }
}
