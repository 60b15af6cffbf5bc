//! Similarities, training-free scores and distances between domains of stored matrices:
//! `values.json` (whose `definitions` decide between published variants) and `matrices.safetensors`.
//!
//! Three tables map a value's name to what computes it. A name that stands in none of them is
//! reported as unsupported, so a measure is verified as soon as it is entered.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::{Array2, ArrayView2};
use serde::Deserialize;
use serde_json::Value;

use super::compare::{Case, Golden, json};
use super::{Error, Outcome, Recomputed};
use crate::analysis::probing::domain::{self, Classifier};
use crate::analysis::scores::logme::{self, Recipe};
use crate::analysis::scores::transrate::{self, Weights};
use crate::analysis::scores::{self, hscore, leep};
use crate::analysis::similarity::cca::{self, Rule};
use crate::analysis::similarity::cka::{self, Median};
use crate::analysis::similarity::rsa::{Inner, Outer};
use crate::analysis::similarity::{knn, procrustes, rsa};
use crate::error::Failure;

/// Relative or absolute, whichever is smaller: both sides reckon in f64.
const TOLERANCE: f64 = 1e-8;

/// Absolute, of an angle or a difference that is zero but for rounding under a root.
const NEAR_ZERO: f64 = 1e-6;

/// Of a distance to a fitted border: it sums the rounding of every coefficient, and the references'
/// logistic fit stops 1e-8 before its optimum.
const MARGIN: f64 = 1e-7;

type View<'a> = ArrayView2<'a, f64>;

/// A value, or the reason why there is none.
type Found = Result<f64, String>;

/// The same where a value may be a list.
type Listed = Result<Vec<f64>, String>;

/// What compares the two sides of a pair.
type Pairwise = fn(View, View) -> Found;

/// The same with the number at the end of the value's name.
type Numbered = fn(View, View, f64) -> Found;

/// What scores features by labels: features, labels, and the probabilities of a source model.
type Labelled = fn(View, &[u32], View) -> Listed;

/// What compares the examples of two domains.
type Domains = fn(View, View) -> Listed;

fn told<T, E: std::fmt::Display>(found: Result<T, E>) -> Result<T, String> {
    found.map_err(|reason| reason.to_string())
}

fn fitted(x: View, y: View, part: fn(procrustes::Fit) -> f64) -> Found {
    told(procrustes::fit(x, y).map(part))
}

/// Values of pairs of matrices.
const PAIRWISE: &[(&str, Pairwise)] = &[
    ("cca_mean", |x, y| told(cca::cca(x, y))),
    ("cca_r2", |x, y| told(cca::cca_r2(x, y))),
    ("cka_linear", |x, y| told(cka::linear_biased(x, y))),
    ("cka_linear_debiased", |x, y| told(cka::linear(x, y))),
    ("procrustes_angle", |x, y| fitted(x, y, procrustes::Fit::angle)),
    ("procrustes_dist2", |x, y| fitted(x, y, procrustes::Fit::squared)),
    ("procrustes_sim", |x, y| fitted(x, y, procrustes::Fit::similarity)),
    ("pwcca_x", |x, y| told(cca::pwcca(x, y))),
    ("pwcca_y", |x, y| told(cca::pwcca(y, x))),
    ("rsa_corr_spearman", |x, y| told(rsa::rsa(x, y, Inner::Correlation, Outer::Spearman))),
    ("rsa_cosine_kendall", |x, y| told(rsa::rsa(x, y, Inner::Cosine, Outer::Kendall))),
    ("rsa_euclid_pearson", |x, y| told(rsa::rsa(x, y, Inner::Euclid, Outer::Pearson))),
    ("svcca_sum99", |x, y| told(cca::svcca(x, y, Rule::Sum))),
    ("svcca_var99", |x, y| told(cca::svcca(x, y, Rule::Variance))),
];

/// Values of pairs whose name ends in a number.
const NUMBERED: &[(&str, Numbered)] = &[
    ("cka_rbf_", |x, y, t| told(cka::rbf(x, y, t, Median::All))),
    ("cka_rbf_offdiag_", |x, y, t| told(cka::rbf(x, y, t, Median::OffDiagonal))),
    ("mutual_knn_", |x, y, k| told(knn::mutual(x, y, k as usize))),
];

fn scored(x: View, labels: &[u32], score: fn(&scores::Labelled) -> Result<f64, scores::Undefined>) -> Listed {
    told(scores::Labelled::new(x, labels).and_then(|data| score(&data))).map(|value| vec![value])
}

fn logme(x: View, labels: &[u32], recipe: Recipe) -> Listed {
    told(scores::Labelled::new(x, labels).and_then(|data| logme::logme(&data, recipe)))
        .map(|value| vec![value])
}

fn transrate(x: View, labels: &[u32], weights: Weights) -> Listed {
    let rate = |data| transrate::transrate(&data, transrate::EPSILON, weights);
    told(scores::Labelled::new(x, labels).and_then(rate)).map(|value| vec![value])
}

/// Values of features with labels.
const LABELLED: &[(&str, Labelled)] = &[
    ("hscore", |x, labels, _| scored(x, labels, hscore::hscore)),
    ("hscore_shrunk", |x, labels, _| scored(x, labels, hscore::hscore_shrunk)),
    ("ledoit_wolf_shrinkage", |x, labels, _| scored(x, labels, hscore::ledoit_wolf_shrinkage)),
    ("leep", |_, labels, source| told(leep::leep(source, labels)).map(|value| vec![value])),
    ("logme", |x, labels, _| logme(x, labels, Recipe::Converged)),
    ("logme_sklearn_crosscheck", |x, labels, _| logme(x, labels, Recipe::Converged)),
    ("logme_11", |x, labels, _| logme(x, labels, Recipe::Published)),
    ("logme_per_class", |x, labels, _| {
        let data = scores::Labelled::new(x, labels);
        told(data.and_then(|data| logme::per_class(&data, Recipe::Converged)))
    }),
    ("transrate", |x, labels, _| transrate(x, labels, Weights::Equal)),
    ("transrate_weighted", |x, labels, _| transrate(x, labels, Weights::BySize)),
];

fn apart(s: View, t: View, classifier: Classifier, part: fn(domain::DomainDistance) -> f64) -> Listed {
    told(domain::proxy_a_distance(s, t, classifier)).map(|found| vec![part(found)])
}

fn margin(s: View, t: View, classifier: Classifier) -> Listed {
    told(domain::smallest_margin(s, t, classifier)).map(|value| vec![value])
}

/// Values of two domains.
const DOMAINS: &[(&str, Domains)] = &[
    ("adist_logreg", |s, t| apart(s, t, Classifier::Logistic, |found| found.distance.value)),
    ("adist_logreg_err", |s, t| apart(s, t, Classifier::Logistic, |found| found.error.value)),
    ("adist_lsq", |s, t| apart(s, t, Classifier::LeastSquares, |found| found.distance.value)),
    ("adist_lsq_err", |s, t| apart(s, t, Classifier::LeastSquares, |found| found.error.value)),
    ("logreg_coef", |s, t| told(domain::logistic_weights(s, t)).map(|(weights, _)| weights)),
    ("logreg_intercept", |s, t| told(domain::logistic_weights(s, t)).map(|(_, intercept)| vec![intercept])),
    ("logreg_min_margin", |s, t| margin(s, t, Classifier::Logistic)),
    ("lsq_min_margin", |s, t| margin(s, t, Classifier::LeastSquares)),
];

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default)]
    pairs: BTreeMap<String, BTreeMap<String, Value>>,
    #[serde(default)]
    labels: BTreeMap<String, BTreeMap<String, Value>>,
    #[serde(default)]
    domains: BTreeMap<String, Value>,
}

pub(super) fn run(directory: &Path) -> Recomputed {
    let path = directory.join("values.json");
    let malformed = |what: String| Failure::from(Error::Malformed { path: path.clone(), what });
    let document: Document = serde_json::from_value(json(&path)?)
        .map_err(|cause| malformed(format!("is not as described: {cause}")))?;
    let matrices = Matrices(Golden::open(&directory.join("matrices.safetensors"))?);
    let (mut cases, mut unknown) = (Vec::new(), Vec::new());
    let mut add = |name: String, expected: &Value, found: Option<Listed>| match (expected, found) {
        (Value::Null, Some(found)) => cases.push(case(name, found.map(|_| f64::NAN), None)),
        (Value::Number(number), Some(found)) => cases.push(case(name, one(found), number.as_f64())),
        (Value::Array(list), Some(found)) => {
            for (at, expected) in list.iter().enumerate() {
                let found =
                    found.clone().and_then(|all| all.get(at).copied().ok_or_else(|| SHORT.to_owned()));
                cases.push(case(format!("{name}[{at}]"), found, expected.as_f64()));
            }
        }
        _ => unknown.push(name),
    };
    for (pair, values) in &document.pairs {
        let sides = pair.split_once('|').ok_or_else(|| {
            malformed(format!("has a pair named `{pair}`, expected two matrices with `|` between them"))
        })?;
        let (x, y) = (matrices.read(sides.0)?, matrices.read(sides.1)?);
        for (name, expected) in values {
            let found = pairwise(name, x.view(), y.view());
            add(format!("{pair} {name}"), expected, found.map(|value| value.map(|value| vec![value])));
        }
    }
    for (features, values) in &document.labels {
        let sides = if values.keys().any(|name| table(LABELLED, name).is_some()) {
            Some((matrices.read(features)?, matrices.labels()?, matrices.read("source_probs")?))
        } else {
            None
        };
        for (name, expected) in values {
            let score = table(LABELLED, name).zip(sides.as_ref());
            let found = score.map(|(score, (x, labels, source))| score(x.view(), labels, source.view()));
            add(format!("{features} {name}"), expected, found);
        }
    }
    for (name, expected) in &document.domains {
        let found = match table(DOMAINS, name) {
            Some(compare) => {
                Some(compare(matrices.read("domain_s")?.view(), matrices.read("domain_t")?.view()))
            }
            None => None,
        };
        add(format!("domains {name}"), expected, found);
    }
    if cases.is_empty() {
        let reason = format!("none of its {} values has a measure here", unknown.len());
        return Ok(("similarity".to_owned(), Outcome::Unsupported(reason)));
    }
    Ok(("similarity".to_owned(), Outcome::Partly { cases, unknown }))
}

const SHORT: &str = "the list is shorter";

fn one(found: Listed) -> Found {
    found.and_then(|all| all.first().copied().ok_or_else(|| SHORT.to_owned()))
}

fn table<F: Copy>(entries: &[(&str, F)], name: &str) -> Option<F> {
    entries.iter().find(|entry| entry.0 == name).map(|entry| entry.1)
}

/// The value of this name, `None` where nothing computes it.
fn pairwise(name: &str, x: View, y: View) -> Option<Found> {
    if let Some(compute) = table(PAIRWISE, name) {
        return Some(compute(x, y));
    }
    NUMBERED.iter().find_map(|(prefix, compute)| {
        let number: f64 = name.strip_prefix(prefix)?.parse().ok()?;
        (number.is_finite() && number > 0.0).then(|| compute(x, y, number))
    })
}

/// An expected `None` says that the value must not exist.
fn case(name: String, found: Found, expected: Option<f64>) -> Case {
    let near_zero = expected.is_some_and(|expected| expected.abs() < NEAR_ZERO)
        && ["procrustes_angle", "procrustes_dist2"].iter().any(|rooted| name.ends_with(rooted));
    let tolerance = match near_zero {
        true => NEAR_ZERO,
        false if name.ends_with("_min_margin") => MARGIN,
        false => TOLERANCE,
    };
    let error = match (found, expected) {
        (Ok(found), Some(expected)) => (found - expected).abs() / expected.abs().max(1.0),
        (Err(_), None) => 0.0,
        _ => f64::INFINITY,
    };
    Case { name, error, tolerance }
}

struct Matrices(Golden);

impl Matrices {
    fn read(&self, name: &str) -> Result<Array2<f64>, Failure> {
        let (values, shape) = self.0.floats(name)?;
        let [rows, columns] = shape[..] else {
            return Err(self.0.malformed(format!("has shape {shape:?} in `{name}`, expected two axes")));
        };
        let values = values.into_iter().map(f64::from).collect();
        Array2::from_shape_vec((rows, columns), values)
            .map_err(|cause| self.0.malformed(format!("holds no matrix in `{name}`: {cause}")))
    }

    fn labels(&self) -> Result<Vec<u32>, Failure> {
        let (numbers, _) = self.0.integers("labels")?;
        let labels = numbers.iter().map(|&label| u32::try_from(label)).collect::<Result<_, _>>();
        labels.map_err(|_| self.0.malformed("holds labels that are negative or too large".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_numbers_find_their_measure_and_others_none() {
        let x = Array2::from_shape_fn((9, 3), |(i, j)| ((i * i + 3 * j) as f64).sin());
        for known in ["mutual_knn_7", "cka_rbf_0.5", "cka_rbf_offdiag_2", "cka_linear"] {
            assert!(
                matches!(pairwise(known, x.view(), x.view()), Some(Ok(one)) if (one - 1.0).abs() < 1e-12)
            );
        }
        for unknown in ["mutual_knn_", "mutual_knn_-1", "cka_rbf_x", "cka_rbf_inf", "unheard"] {
            assert!(pairwise(unknown, x.view(), x.view()).is_none(), "{unknown}");
        }
        assert!(matches!(pairwise("mutual_knn_9", x.view(), x.view()), Some(Err(_))));
    }

    #[test]
    fn a_value_that_must_not_exist_fails_when_it_does() {
        assert!(case("x|x cka".into(), Err("none".into()), None).passed());
        assert!(!case("x|x cka".into(), Ok(0.5), None).passed());
        assert!(!case("x|x cka".into(), Err("none".into()), Some(0.5)).passed());
        assert!(case("x|x procrustes_angle".into(), Ok(5e-7), Some(0.0)).passed());
        assert!(!case("x|x cka".into(), Ok(5e-7), Some(0.0)).passed());
    }
}
