//! Every layer of one source against every layer of another, by a measure that prepares each layer
//! once; for measures that [`super::pairs`] does not offer, or few examples.

use rayon::prelude::*;

use super::{Measure, Options, Side, Undefined, Value, evaluate, null};

/// Sides by layer, or why a layer has none.
pub type Sides = Vec<Result<Side, Undefined>>;

/// All values `[firsts, seconds]`, row-major; `None` for the seconds compares the firsts with
/// themselves, and a symmetric measure computes each pair once.
pub fn grid(
    measure: &Measure,
    firsts: &Sides,
    seconds: Option<&Sides>,
    options: &Options,
) -> Vec<Result<Value, Undefined>> {
    let others = seconds.unwrap_or(firsts);
    let n = firsts.iter().chain(others).find_map(|side| side.as_ref().ok()).map_or(0, Side::n);
    let orders = null::orders(n, options.permutations, options.seed);
    let once = seconds.is_none() && measure.symmetric;
    let pairs: Vec<(usize, usize)> = (0..firsts.len())
        .flat_map(|a| (0..others.len()).map(move |b| (a, b)))
        .filter(|(a, b)| !once || a <= b)
        .collect();
    let found: Vec<Result<Value, Undefined>> = pairs
        .par_iter()
        .map(|&(a, b)| {
            let (first, second) = (firsts[a].as_ref(), others[b].as_ref());
            evaluate(measure, first.map_err(Clone::clone)?, second.map_err(Clone::clone)?, options, &orders)
        })
        .collect();
    if !once {
        return found;
    }
    let count = firsts.len();
    let mut whole = vec![Err(Undefined::NoVariance); count * count];
    for ((a, b), value) in pairs.into_iter().zip(found) {
        whole[b * count + a] =
            value.clone().map(|value| Value { widths: [value.widths[1], value.widths[0]], ..value });
        whole[a * count + b] = value;
    }
    whole
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::seed::Seed;

    #[test]
    fn a_grid_holds_each_pair_and_one_layer_spoils_only_its_own() {
        let mut stream = Seed(4).stream();
        let mut layers: Vec<Array2<f64>> = [3, 4, 5]
            .iter()
            .map(|&width| Array2::from_shape_simple_fn((30, width), || stream.normal()))
            .collect();
        layers[1].fill(2.0);
        let options = Options { permutations: 19, ..Options::default() };
        for name in ["procrustes", "pwcca"] {
            let measure = Measure::named(name).unwrap();
            let sides: Sides =
                layers.iter().map(|layer| Side::new(measure, layer.view(), &options)).collect();
            let all = grid(measure, &sides, None, &options);
            assert_eq!(all.len(), 9);
            for (at, value) in all.iter().enumerate() {
                assert_eq!(value.is_err(), at / 3 == 1 || at % 3 == 1, "{name} {at}");
            }
            let (one, other) = (all[2].as_ref().unwrap(), all[6].as_ref().unwrap());
            assert_eq!((one.widths, other.widths), ([3, 5], [5, 3]));
            assert_eq!(one.value == other.value, measure.symmetric);
            assert!(one.chance.unwrap().p.unwrap() > 0.0);
            assert_eq!(grid(measure, &sides, Some(&sides), &options).len(), 9);
        }
    }
}
