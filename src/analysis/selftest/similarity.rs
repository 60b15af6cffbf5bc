//! Sections 2, 3 and 8: representation similarity.

use ndarray::{Array2, s};

use super::fixtures::{demo, p_and_q, toy};
use super::{Check, check, words};
use crate::analysis::similarity::cca::{self, Basis, Rule};
use crate::analysis::similarity::cka::{self, Median};
use crate::analysis::similarity::knn::{Neighbours, jaccard, mutual};
use crate::analysis::similarity::linear::gram;
use crate::analysis::similarity::procrustes::{Fit, fit};
use crate::analysis::similarity::rsa::{self, Inner, Outer};
use crate::analysis::similarity::{MEASURES, Options, Side};
use crate::analysis::statistics::bootstrap::quantile;
use crate::seed::Seed;

const FINDINGS: &str = "1 findings";
const DEMO: &str = "2 published demo";
const CKA: &str = "3.1-3.5 CKA";
const CCA: &str = "3.6-3.7 CCA";
const SHAPE: &str = "3.8 Procrustes";
const RSA: &str = "3.9 RSA";
const NEIGHBOURS: &str = "3.10 mutual kNN";
const DEBUGGING: &str = "8 intermediate values";

pub(super) fn checks() -> Vec<Check> {
    let mut all = published();
    all.extend(findings());
    all.extend(kernels());
    all.extend(canonical());
    all.extend(shapes());
    all.extend(neighbours());
    all.extend(intermediate());
    all
}

fn findings() -> Vec<Check> {
    vec![
        check(FINDINGS, "biased CKA of independent features, n = 32", 0.974, 2, || independent(32)),
        check(FINDINGS, "biased CKA of independent features, n = 128", 0.914, 2, || independent(128)),
        check(FINDINGS, "biased CKA of independent features, n = 512", 0.731, 2, || independent(512)),
    ]
}

/// Biased CKA of normal numbers of 768 and 4096 channels that have nothing to do with each other.
fn independent(n: usize) -> Result<f64, String> {
    let kernel = |width: usize| {
        let mut stream = Seed(n as u64).derive(&width.to_string()).stream();
        gram(Array2::from_shape_simple_fn((n, width), || stream.normal()).view())
    };
    cka::kernel_biased(&kernel(768), &kernel(4_096)).map_err(words)
}

fn published() -> Vec<Check> {
    vec![
        check(DEMO, "linear CKA", 0.557_613_256_6, 10, || {
            let (x, y) = demo();
            cka::linear_biased(x.view(), y.view()).map_err(words)
        }),
        check(DEMO, "RBF CKA, t = 0.5", 0.654_831_182_3, 10, || {
            let (x, y) = demo();
            cka::rbf(x.view(), y.view(), 0.5, Median::All).map_err(words)
        }),
        check(DEMO, "debiased CKA", 0.513_456_489_5, 10, || {
            let (x, y) = demo();
            cka::linear(x.view(), y.view()).map_err(words)
        }),
        check(DEMO, "R² CCA, centred", 0.545_396_332_2, 10, || {
            let (x, y) = demo();
            cca::cca_r2(x.view(), y.view()).map_err(words)
        }),
        check(DEMO, "R² CCA, not centred, as published", 0.543_123_855_9, 10, || {
            let (x, y) = demo();
            cca::cca_r2_uncentred(x.view(), y.view()).map_err(words)
        }),
        check(DEMO, "minibatch CKA, 10 x 10", 0.543_730_812, 9, || {
            let (x, y) = demo();
            cka::minibatch(x.view(), y.view(), 10).map_err(words)
        }),
    ]
}

fn kernels() -> Vec<Check> {
    vec![
        check(CKA, "toy, biased", 0.873_293_813_586_7, 13, || {
            let (x, y) = toy();
            cka::linear_biased(x.view(), y.view()).map_err(words)
        }),
        check(CKA, "toy, chance level of biased", 0.225_401_9, 7, || {
            let (x, y) = toy();
            let ratio = |side: &Array2<f64>| cka::participation_ratio(&gram(side.view()));
            Ok(cka::chance_biased(ratio(&x), ratio(&y), 8))
        }),
        check(CKA, "toy, debiased", 0.855_476_807_427_9, 13, || {
            let (x, y) = toy();
            cka::linear(x.view(), y.view()).map_err(words)
        }),
        check(CKA, "toy, debiased by features", 0.855_476_807_427_9, 13, || {
            let (x, y) = toy();
            cka::linear_by_features(x.view(), y.view()).map_err(words)
        }),
        check(CKA, "toy, HSIC_u(K, L)", 98.180_952_381, 9, || {
            unbiased(|k, l| cka::hsic_unbiased(k, l).map_err(words))
        }),
        check(CKA, "toy, HSIC_u(K, K)", 68.209_523_810, 9, || {
            unbiased(|k, _| cka::hsic_unbiased(k, k).map_err(words))
        }),
        check(CKA, "toy, HSIC_u(L, L)", 193.104_761_905, 9, || {
            unbiased(|_, l| cka::hsic_unbiased(l, l).map_err(words))
        }),
        check(CKA, "null s.d. of debiased CKA, n = 8", 0.223_606_797_7, 10, || Ok(cka::chance_debiased(8))),
        check(CKA, "toy, mean of debiased CKA over all orders", 0.0, 15, || {
            let all = all_orders()?;
            Ok(all.iter().sum::<f64>() / all.len() as f64)
        }),
        check(CKA, "toy, s.d. of debiased CKA over all orders", 0.223_606_797_7, 10, || {
            let all = all_orders()?;
            Ok((all.iter().map(|value| value * value).sum::<f64>() / all.len() as f64).sqrt())
        }),
        check(CKA, "toy, orders with as much debiased CKA", 8.0, 12, || {
            let observed = all_orders()?[0];
            Ok(all_orders()?.iter().filter(|value| **value >= observed - 1e-12).count() as f64)
        }),
        check(CKA, "HSIC with the Gaussian kernel, ignite's example", 0.092_266_444_06, 11, || {
            let x = Array2::from_shape_fn((10, 5), |(row, column)| (5 * row + column) as f64);
            let y = x.mapv(|value| (value * std::f64::consts::TAU / 50.0).sin());
            let kernel = |side: &Array2<f64>| cka::gaussian(side.view(), 1.0, Median::All).map_err(words);
            cka::hsic_unbiased(&kernel(&x)?, &kernel(&y)?).map_err(words)
        }),
        check(CKA, "toy, minibatches of 4", 0.992_364_272, 9, || {
            let (x, y) = toy();
            cka::minibatch(x.view(), y.view(), 4).map_err(words)
        }),
        check(CKA, "toy, RBF biased, t = 1", 0.943_347_125_731, 12, || {
            let (x, y) = toy();
            cka::rbf(x.view(), y.view(), 1.0, Median::All).map_err(words)
        }),
        check(CKA, "toy, RBF debiased, t = 1", 0.921_742_626, 9, || {
            let (x, y) = toy();
            cka::rbf_debiased(x.view(), y.view(), 1.0, Median::All).map_err(words)
        }),
    ]
}

fn unbiased(of: impl Fn(&Array2<f64>, &Array2<f64>) -> Result<f64, String>) -> Result<f64, String> {
    let (x, y) = toy();
    of(&gram(x.view()), &gram(y.view()))
}

/// Debiased CKA of the toy for all 8! orders of Y's examples, the observed one first.
fn all_orders() -> Result<Vec<f64>, String> {
    let (x, y) = toy();
    let measure = MEASURES.iter().find(|measure| measure.name == "cka").ok_or("there is no `cka`")?;
    let options = Options::default();
    let side = |of: &Array2<f64>| Side::new(measure, of.view(), &options).map_err(words);
    let (x, y) = (side(&x)?, side(&y)?);
    let mut order: Vec<usize> = (0..8).collect();
    let mut all = Vec::new();
    loop {
        all.push(x.compare(&y.reordered(&order), measure, &options).map_err(words)?);
        // the next order in the lexicographic sense
        let Some(from) = (0..7).rev().find(|&at| order[at] < order[at + 1]) else { return Ok(all) };
        let to = (from + 1..8).rev().find(|&at| order[at] > order[from]).unwrap_or(from + 1);
        order.swap(from, to);
        order[from + 1..].reverse();
    }
}

fn canonical() -> Vec<Check> {
    vec![
        check(CCA, "toy, first correlation", 0.984_751_666_821, 12, || correlation(0)),
        check(CCA, "toy, second correlation", 0.895_027_939_492, 12, || correlation(1)),
        check(CCA, "toy, mean correlation", 0.939_889_803, 9, || {
            let (x, y) = toy();
            cca::cca(x.view(), y.view()).map_err(words)
        }),
        check(CCA, "toy, SVCCA", 0.938_374_443_924, 12, || {
            let (x, y) = toy();
            cca::svcca(x.view(), y.view(), Rule::Variance).map_err(words)
        }),
        check(CCA, "toy, PWCCA of X", 0.953_070_588_970, 12, || {
            let (x, y) = toy();
            cca::pwcca(x.view(), y.view()).map_err(words)
        }),
        check(CCA, "toy, PWCCA of Y", 0.954_572_236, 9, || {
            let (x, y) = toy();
            cca::pwcca(y.view(), x.view()).map_err(words)
        }),
    ]
}

fn correlation(at: usize) -> Result<f64, String> {
    let (x, y) = toy();
    let basis = |side: &Array2<f64>| Basis::new(side.view()).map_err(words);
    cca::correlations(&basis(&x)?, &basis(&y)?).get(at).copied().ok_or_else(|| "there is none".to_owned())
}

fn shapes() -> Vec<Check> {
    vec![
        check(SHAPE, "toy, nuclear norm", 98.728_385_115_584, 12, || Ok(fitted()?.nuclear)),
        check(SHAPE, "toy, size and shape", 4.668_321_943_572, 12, || Ok(fitted()?.size_and_shape())),
        check(SHAPE, "toy, 2 - 2ν", 0.133_465_312_307, 12, || Ok(fitted()?.normalised().powi(2))),
        check(SHAPE, "toy, 1 - ν", 0.066_732_656_153, 12, || Ok(1.0 - fitted()?.similarity())),
        check(SHAPE, "toy, angle", 0.367_391_785_763, 12, || Ok(fitted()?.angle())),
    ]
}

fn fitted() -> Result<Fit, String> {
    let (x, y) = toy();
    fit(x.view(), y.view()).map_err(words)
}

fn neighbours() -> Vec<Check> {
    vec![
        check(RSA, "toy, squared Euclid, Pearson", 0.804_507_082_958, 12, || squared(Outer::Pearson)),
        // the reference rounds the twelfth digit of .878220994227638 up
        check(RSA, "toy, squared Euclid, Spearman", 0.878_220_994_228, 12, || squared(Outer::Spearman)),
        check(RSA, "toy, squared Euclid, Kendall", 0.722_625_65, 8, || squared(Outer::Kendall)),
        check(RSA, "toy, cosine, Pearson", 0.637_580_526_512, 12, || cosine(1e15, Outer::Pearson)),
        // some cosines of the toy are equal in exact arithmetic only
        check(RSA, "toy, cosine, Spearman", 0.673_788_23, 8, || cosine(1e12, Outer::Spearman)),
        check(NEIGHBOURS, "k = 1, overlap", 0.75, 12, || overlap(1)),
        check(NEIGHBOURS, "k = 2, overlap", 0.812_5, 12, || overlap(2)),
        check(NEIGHBOURS, "k = 3, overlap", 0.833_333, 6, || overlap(3)),
        check(NEIGHBOURS, "k = 2, Jaccard", 0.75, 12, || shared(2)),
        check(NEIGHBOURS, "k = 3, Jaccard", 0.775, 12, || shared(3)),
    ]
}

fn squared(outer: Outer) -> Result<f64, String> {
    let (x, y) = toy();
    let of = |side: &Array2<f64>| -> Result<Vec<f64>, String> {
        let distances = rsa::dissimilarities(side.view(), Inner::Euclid).map_err(words)?;
        // squares of whole numbers are whole
        Ok(distances.iter().map(|distance| (distance * distance).round()).collect())
    };
    rsa::correlate(&of(&x)?, &of(&y)?, outer).map_err(words)
}

fn cosine(units: f64, outer: Outer) -> Result<f64, String> {
    let (x, y) = toy();
    let of = |side: &Array2<f64>| -> Result<Vec<f64>, String> {
        let all = rsa::dissimilarities(side.view(), Inner::Cosine).map_err(words)?;
        Ok(all.iter().map(|distance| (distance * units).round()).collect())
    };
    rsa::correlate(&of(&x)?, &of(&y)?, outer).map_err(words)
}

fn overlap(k: usize) -> Result<f64, String> {
    let (p, q) = p_and_q();
    mutual(p.view(), q.view(), k).map_err(words)
}

fn shared(k: usize) -> Result<f64, String> {
    let (p, q) = p_and_q();
    let find = |side: &Array2<f64>| Neighbours::find(side.view(), k).map_err(words);
    Ok(jaccard(&find(&p)?, &find(&q)?))
}

fn intermediate() -> Vec<Check> {
    vec![
        check(DEBUGGING, "toy, biased HSIC(K, L)", 126.409_757_653, 9, || {
            unbiased(|k, l| Ok(cka::hsic_biased(k, l)))
        }),
        check(DEBUGGING, "toy, median of squared distances of X", 17.0, 11, || median_of(&toy().0)),
        check(DEBUGGING, "toy, median of squared distances of Y", 26.0, 11, || median_of(&toy().1)),
        check(DEBUGGING, "toy, mean HSIC_u(K, L) of two batches", 31.333_333, 6, || {
            let (x, y) = toy();
            of_batches(&x, &y)
        }),
        check(DEBUGGING, "toy, mean HSIC_u(K, K) of two batches", 24.666_667, 6, || {
            let (x, _) = toy();
            of_batches(&x, &x)
        }),
        check(DEBUGGING, "toy, mean HSIC_u(L, L) of two batches", 40.416_667, 6, || {
            let (_, y) = toy();
            of_batches(&y, &y)
        }),
        check(DEBUGGING, "toy, 95% of debiased CKA over all orders", 0.429_979, 6, || {
            let mut all = all_orders()?;
            all.sort_by(f64::total_cmp);
            Ok(quantile(&all, 0.95))
        }),
        check(DEBUGGING, "toy, participation ratio of X", 1.557_412, 6, || {
            unbiased(|k, _| Ok(cka::participation_ratio(k)))
        }),
        check(DEBUGGING, "toy, participation ratio of Y", 1.598_482, 6, || {
            unbiased(|_, l| Ok(cka::participation_ratio(l)))
        }),
    ]
}

/// The median that the Gaussian kernel of width 1 has used, from a value of it and its distance.
fn median_of(side: &Array2<f64>) -> Result<f64, String> {
    let kernel = cka::gaussian(side.view(), 1.0, Median::All).map_err(words)?;
    let difference = &side.row(0) - &side.row(1);
    Ok(-difference.dot(&difference) / (2.0 * kernel[[0, 1]].ln()))
}

/// Mean of the unbiased HSIC of rows 0 to 3 and 4 to 7.
fn of_batches(x: &Array2<f64>, y: &Array2<f64>) -> Result<f64, String> {
    let of = |start: usize| {
        let batch = |side: &Array2<f64>| gram(side.slice(s![start..start + 4, ..]));
        cka::hsic_unbiased(&batch(x), &batch(y)).map_err(words)
    };
    Ok(f64::midpoint(of(0)?, of(4)?))
}
