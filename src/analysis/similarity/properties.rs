//! What must hold for any features: reference/analyses.md section 3.12.

use ndarray::{Array2, s};
use proptest::prelude::*;

use super::decompose::left;
use super::measure::Kind;
use super::{MEASURES, Measure, Options, Undefined, cka, compare, linear};
use crate::seed::Seed;

/// Few neighbours, small batches, and no permutations.
fn options() -> Options {
    Options { neighbours: 4, batch: 20, permutations: 0, ..Options::default() }
}

fn value(measure: &Measure, x: &Array2<f64>, y: &Array2<f64>) -> f64 {
    let found = compare(measure, x.view(), y.view(), &options());
    found.unwrap_or_else(|reason| panic!("{}: {reason}", measure.name)).value
}

fn normals(seed: u64, rows: usize, columns: usize) -> Array2<f64> {
    let mut stream = Seed(seed).stream();
    Array2::from_shape_simple_fn((rows, columns), || stream.normal())
}

/// A rotation: the left singular vectors of a random square matrix.
fn rotation(seed: u64, width: usize) -> Array2<f64> {
    left(normals(seed, width, width).view()).vectors
}

/// Related sides of different widths, each with an offset of its own.
fn sides(seed: u64) -> (Array2<f64>, Array2<f64>) {
    let x = normals(seed, 60, 9) + 0.5;
    let y = x.dot(&normals(seed + 1, 9, 7)) + 2.0 * normals(seed + 2, 60, 7) - 1.0;
    (x, y)
}

/// A side of the width that the measure can compare with `x`.
fn partner(measure: &Measure, x: &Array2<f64>, y: &Array2<f64>) -> Array2<f64> {
    if measure.kind == Kind::Cosine { x.slice(s![.., ..]).mapv(|value| value * value) } else { y.clone() }
}

/// Angles and roots of differences lose half the digits near zero: the root of what rounding
/// leaves of two squared sizes, about 60 x 9 here, is some 1e-6.
fn tolerance(measure: &Measure, value: f64) -> f64 {
    if measure.column.starts_with("dist") { 1e-5 * value.abs().max(1.0) } else { 1e-9 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_side_equals_itself_and_order_of_sides_matters_to_pwcca_alone(seed in 0..1_000_000_u64) {
        let (x, y) = sides(seed);
        for measure in MEASURES {
            let y = partner(measure, &x, &y);
            let itself = value(measure, &x, &x);
            let best = measure.direction.best();
            prop_assert!((itself - best).abs() < 1e-5, "{} {itself}", measure.name);
            let (one, other) = (value(measure, &x, &y), value(measure, &y, &x));
            if measure.symmetric {
                prop_assert!((one - other).abs() < tolerance(measure, one), "{}", measure.name);
            } else {
                prop_assert!((one - other).abs() > 1e-9, "{} is symmetric after all", measure.name);
            }
            prop_assert!(one.is_finite());
        }
    }

    #[test]
    fn what_a_measure_does_not_see_changes_nothing(seed in 0..1_000_000_u64) {
        let (x, y) = sides(seed);
        let turned = x.dot(&rotation(seed + 3, 9));
        let scaled = &x * 37.5;
        let moved = &x + &(100.0 * normals(seed + 4, 1, 9));
        let mapped = x.dot(&(normals(seed + 5, 9, 9) + 3.0 * Array2::<f64>::eye(9)));
        for measure in MEASURES {
            let y = partner(measure, &x, &y);
            let before = value(measure, &x, &y);
            let allowed = measure.invariance;
            let cases = [
                (allowed.orthogonal, &turned, "rotation"),
                (allowed.scale, &scaled, "scale"),
                (allowed.translation, &moved, "translation"),
                (allowed.linear, &mapped, "linear map"),
            ];
            if measure.kind == Kind::Pwcca {
                let (one, other) = (value(measure, &y, &x), value(measure, &y, &mapped));
                prop_assert!((one - other).abs() < 1e-9, "{one} {other}");
            }
            for (unseen, x, what) in cases {
                if unseen {
                    let after = value(measure, x, &y);
                    let tolerance = tolerance(measure, before);
                    prop_assert!((after - before).abs() < tolerance, "{} {what} {before} {after}", measure.name);
                }
            }
        }
    }

    #[test]
    fn the_form_by_features_equals_the_form_by_examples(seed in 0..1_000_000_u64, width in 1..90_usize) {
        let (x, y) = (normals(seed, 40, width) + 3.0, normals(seed + 1, 40, 5));
        let by_examples = cka::linear(x.view(), y.view());
        let by_features = cka::linear_by_features(x.view(), y.view());
        prop_assert!((by_examples.unwrap() - by_features.unwrap()).abs() < 1e-9);
    }

    #[test]
    fn rotated_scaled_and_moved_sides_are_at_distance_zero_even_padded(seed in 0..1_000_000_u64) {
        let x = normals(seed, 100, 10);
        let mut wider = Array2::zeros((100, 14));
        wider.slice_mut(s![.., ..10]).assign(&x);
        let wider = 2.5 * wider.dot(&rotation(seed + 1, 14)) + 0.7;
        for name in ["procrustes", "procrustes-angle"] {
            let distance = value(Measure::named(name).unwrap(), &x, &wider);
            prop_assert!(distance < 1e-6, "{name} {distance}");
        }
        let debiased = value(Measure::named("cka").unwrap(), &x, &wider);
        prop_assert!((debiased - 1.0).abs() < 1e-10);
    }

    #[test]
    fn no_input_gives_a_number_that_is_none(
        rows in 0..7_usize, width in 0..4_usize, seed in 0..1_000_000_u64, spoiled in 0..4_u8,
    ) {
        let mut x = normals(seed, rows, width);
        match spoiled {
            0 => x.fill(3.0),
            1 => x.iter_mut().take(1).for_each(|value| *value = f64::NAN),
            2 => x.mapv_inplace(|value| value * 1e37),
            _ => x.iter_mut().for_each(|value| *value = value.round()),
        }
        let y = normals(seed + 1, rows, 2);
        let options = Options { neighbours: 2, permutations: 3, ..options() };
        for measure in MEASURES {
            for (x, y) in [(&x, &y), (&y, &x), (&x, &x)] {
                if let Ok(found) = compare(measure, x.view(), y.view(), &options) {
                    prop_assert!(found.value.is_finite(), "{} of {x:?} and {y:?}", measure.name);
                    if let Some(chance) = found.chance {
                        prop_assert!(chance.mean.is_finite() && chance.threshold.is_finite());
                    }
                }
            }
        }
    }
}

/// Section 3.12 (Project-MONAI/MONAI PR#9129): biased HSIC of independent normals is far from zero.
#[test]
fn the_biased_criterion_of_independent_normals_shrinks_with_n() {
    let cases = [(32, 0.198), (64, 0.114), (128, 0.056), (256, 0.029)];
    let mut last = f64::INFINITY;
    for (n, published) in cases {
        let draws = (0..40).map(|draw| {
            let kernel = |seed| linear::gram(normals(seed, n, 2).view());
            cka::hsic_biased(&kernel(1_000 + draw), &kernel(2_000 + draw))
        });
        let mean = draws.sum::<f64>() / 40.0;
        assert!(mean < last && mean > 0.2 * published && mean < 5.0 * published, "{n} {mean} {published}");
        last = mean;
    }
}

#[test]
fn reasons_stand_where_numbers_would_mean_nothing() {
    let named = |name: &str, x: &Array2<f64>, y: &Array2<f64>| {
        compare(Measure::named(name).unwrap(), x.view(), y.view(), &options())
    };
    let (x, y) = sides(1);
    let flat = Array2::from_elem((60, 3), 0.1);
    assert_eq!(named("cka", &flat, &y), Err(Undefined::NoVariance));
    assert_eq!(named("knn", &Array2::zeros((60, 3)), &y), Err(Undefined::NoDirection { row: 0 }));
    assert_eq!(named("rsa", &flat, &y), Err(Undefined::NoDirection { row: 0 }));
    let mut broken = x.clone();
    broken[[3, 3]] = f64::INFINITY;
    assert_eq!(named("svcca", &broken, &y), Err(Undefined::NotFinite));
    let few = |rows: usize, x: &Array2<f64>| x.slice(s![..rows, ..]).to_owned();
    assert_eq!(named("cka", &few(3, &x), &few(3, &y)), Err(Undefined::TooFew { n: 3, least: 4 }));
    let refused = named("cca", &few(10, &x), &few(10, &y));
    assert_eq!(refused, Err(Undefined::Saturated { n: 10, width: 9 }));
    assert_eq!(named("cka", &x, &few(59, &y)), Err(Undefined::Unpaired { left: 60, right: 59 }));
}
