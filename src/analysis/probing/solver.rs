//! Limited-memory BFGS with a weak Wolfe line search (Liu and Nocedal, 1989; the bisection of Lewis
//! and Overton, 2013), for smooth and strictly convex functions, from a first guess of the inverse
//! Hessian where there is one.

use crate::analysis::products::add;

/// Pairs of steps and changes that stand for the curvature.
const MEMORY: usize = 10;
/// Sufficient decrease.
const DECREASE: f64 = 1e-4;
/// Curvature that a step must use up.
const CURVATURE: f64 = 0.9;
/// Halvings and doublings of one line search.
const TRIALS: usize = 40;
/// Relative rounding of a function value that does not count as an increase.
const ROUNDING: f64 = 1e-14;

/// Where the search ended.
pub(super) struct Minimum {
    /// The point.
    pub(super) point: Vec<f64>,
    /// Steps taken.
    pub(super) steps: usize,
    /// Whether the gradient came below the tolerance.
    pub(super) converged: bool,
}

/// The product of a gradient with a guess of the inverse Hessian.
pub(super) type Guess<'a> = dyn Fn(&[f64]) -> Vec<f64> + 'a;

/// Minimises from `point` until no part of the gradient is above `tolerance`.
pub(super) fn minimise(
    mut point: Vec<f64>,
    tolerance: f64,
    most_steps: usize,
    guess: Option<&Guess<'_>>,
    mut function: impl FnMut(&[f64]) -> (f64, Vec<f64>),
) -> Minimum {
    let (mut value, mut gradient) = function(&point);
    let mut memory: Vec<(Vec<f64>, Vec<f64>, f64)> = Vec::new();
    for steps in 0..=most_steps {
        let largest = gradient.iter().fold(0.0, |max: f64, part| max.max(part.abs()));
        if largest <= tolerance || steps == most_steps {
            return Minimum { point, steps, converged: largest <= tolerance };
        }
        let direction = downhill(&gradient, &memory, guess);
        let slope = dot(&gradient, &direction);
        let plain = memory.is_empty() && guess.is_none();
        let first = if plain { 1.0 / dot(&gradient, &gradient).sqrt().max(1.0) } else { 1.0 };
        let search = Search { point: &point, direction: &direction, value, slope, first };
        let Some((next, next_value, next_gradient)) = search.run(&mut function) else {
            // no step lowers the value any more: rounding has been reached before the tolerance
            if memory.is_empty() {
                return Minimum { point, steps, converged: false };
            }
            memory.clear();
            continue;
        };
        let step: Vec<f64> = next.iter().zip(&point).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&step, &change);
        if curvature > 0.0 {
            if memory.len() == MEMORY {
                memory.remove(0);
            }
            memory.push((step, change, curvature));
        }
        (point, value, gradient) = (next, next_value, next_gradient);
    }
    Minimum { point, steps: most_steps, converged: false }
}

/// Minus the gradient times the inverse Hessian that the memory stands for.
fn downhill(gradient: &[f64], memory: &[(Vec<f64>, Vec<f64>, f64)], guess: Option<&Guess<'_>>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|part| -part).collect();
    let mut along = vec![0.0; memory.len()];
    for (at, (step, change, curvature)) in memory.iter().enumerate().rev() {
        along[at] = dot(step, &direction) / curvature;
        add(&mut direction, -along[at], change);
    }
    if let Some(guess) = guess {
        direction = guess(&direction);
    } else if let Some((_, change, curvature)) = memory.last() {
        let scale = curvature / dot(change, change);
        for part in &mut direction {
            *part *= scale;
        }
    }
    for (at, (step, change, curvature)) in memory.iter().enumerate() {
        let back = dot(change, &direction) / curvature;
        add(&mut direction, along[at] - back, step);
    }
    direction
}

struct Search<'a> {
    point: &'a [f64],
    direction: &'a [f64],
    value: f64,
    slope: f64,
    first: f64,
}

impl Search<'_> {
    fn run(&self, function: &mut impl FnMut(&[f64]) -> (f64, Vec<f64>)) -> Option<(Vec<f64>, f64, Vec<f64>)> {
        let (mut low, mut high, mut length) = (0.0, f64::INFINITY, self.first);
        let slack = ROUNDING * self.value.abs();
        let mut enough = None;
        for _ in 0..TRIALS {
            let mut next = self.point.to_vec();
            add(&mut next, length, self.direction);
            let (value, gradient) = function(&next);
            if value.is_finite() && value <= self.value + DECREASE * length * self.slope + slack {
                if dot(&gradient, self.direction) >= CURVATURE * self.slope {
                    return Some((next, value, gradient));
                }
                low = length;
                enough = Some((next, value, gradient));
            } else {
                high = length;
            }
            length = if high.is_finite() { f64::midpoint(low, high) } else { 2.0 * low };
        }
        enough
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quadratic of condition 1e4 whose minimum is known: x_i = 1 / (i + 1).
    #[test]
    fn a_stretched_bowl_is_walked_to_its_bottom() {
        let size = 30;
        let weight = |at: usize| 10f64.powf(4.0 * at as f64 / (size - 1) as f64);
        let found = minimise(vec![0.0; size], 1e-10, 1_000, None, |x| {
            let off: Vec<f64> = x.iter().enumerate().map(|(at, x)| x - 1.0 / (at + 1) as f64).collect();
            let value = off.iter().enumerate().map(|(at, off)| 0.5 * weight(at) * off * off).sum();
            (value, off.iter().enumerate().map(|(at, off)| weight(at) * off).collect())
        });
        assert!(found.converged, "{} steps", found.steps);
        assert!(found.point.iter().enumerate().all(|(at, x)| (x - 1.0 / (at + 1) as f64).abs() < 1e-9));
    }

    #[test]
    fn running_out_of_steps_is_told() {
        let found = minimise(vec![5.0, 5.0], 1e-12, 2, None, |x| {
            (x[0].powi(4) + 100.0 * x[1].powi(2), vec![4.0 * x[0].powi(3), 200.0 * x[1]])
        });
        assert!(!found.converged);
        assert_eq!(found.steps, 2);
    }
}
