//! Controls made of the last layer by other numbers in the same shapes. Both are functions of the
//! seed and the tensor's name, so that they do not depend on the order of reading.

use crate::runs::{Condition, Control};
use crate::seed::Seed;

/// What makes a tensor's numbers those of a control.
pub(super) type Change = Box<dyn Fn(&str, Vec<f32>) -> Vec<f32> + Sync>;

/// What changes the numbers of a layer's tensors into those of a control; `None` where they stay as
/// they are.
pub(super) fn change(condition: Condition, seed: Seed) -> Option<Change> {
    match condition {
        Condition::Control(Control::Random) => {
            let seed = seed.derive("random layer");
            Some(Box::new(move |name, numbers| redrawn(seed.derive(name), &numbers)))
        }
        Condition::Control(Control::Shuffled) => {
            let seed = seed.derive("shuffled layer");
            Some(Box::new(move |name, mut numbers| {
                seed.derive(name).stream().shuffle(&mut numbers);
                numbers
            }))
        }
        Condition::Control(Control::Base | Control::Mappers | Control::Mlp | Control::Trained)
        | Condition::Layer(_) => None,
    }
}

/// Normal numbers with the mean and standard deviation of the tensor.
fn redrawn(seed: Seed, numbers: &[f32]) -> Vec<f32> {
    let n = numbers.len().max(1) as f64;
    let mean = numbers.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
    let variance = numbers.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n;
    let deviation = variance.sqrt();
    let mut stream = seed.stream();
    numbers.iter().map(|_| (mean + deviation * stream.normal()) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_keeps_mean_and_deviation_and_shuffled_keeps_the_numbers() {
        let numbers: Vec<f32> = (0..10_000).map(|i| 3.0 + (i % 7) as f32).collect();
        let random = change(Condition::Control(Control::Random), Seed(1)).expect("made of a layer");
        let drawn = random("w", numbers.clone());
        let mean = drawn.iter().sum::<f32>() / 10_000.0;
        assert!((mean - 6.0).abs() < 0.1, "{mean}");
        assert_ne!(drawn, random("v", numbers.clone()));
        let shuffled = change(Condition::Control(Control::Shuffled), Seed(1)).expect("made of a layer");
        let mut again = shuffled("w", numbers.clone());
        assert_ne!(again, numbers);
        let mut sorted = numbers;
        again.sort_by(f32::total_cmp);
        sorted.sort_by(f32::total_cmp);
        assert_eq!(again, sorted);
    }
}
