//! The published and derived values of reference/analyses.md, sections 2, 3 and 8.

use ndarray::{Array2, array};

use super::cca::{Basis, Rule};
use super::cka::{self, Median};
use super::linear::{centred, gram};
use super::rsa::{Inner, Outer};
use super::{Measure, Options, Side, cca, compare, knn, null, procrustes, rsa};
use crate::seed::Seed;

fn toy() -> (Array2<f64>, Array2<f64>) {
    let x = array![[1, 2], [2, 1], [3, 5], [4, 3], [5, 6], [6, 2], [7, 8], [8, 4]];
    let y = array![[2, 0, 1], [1, 1, 0], [4, 2, 3], [3, 5, 1], [6, 4, 4], [5, 7, 2], [8, 3, 6], [7, 9, 5]];
    (x.mapv(f64::from), y.mapv(f64::from))
}

/// P and Q of section 2, whose cosines have no ties.
fn without_ties() -> (Array2<f64>, Array2<f64>) {
    let p = array![[9, 1, 2], [8, 2, 1], [1, 7, 3], [2, 9, 1], [3, 2, 8], [1, 3, 9], [5, 5, 6], [6, 4, 1]];
    let q = array![[7, 1], [9, 2], [2, 8], [1, 9], [4, 5], [3, 7], [5, 5], [8, 3]];
    (p.mapv(f64::from), q.mapv(f64::from))
}

/// The published vector: NumPy's legacy generator, seed 1337.
fn demo() -> (Array2<f64>, Array2<f64>) {
    let text = include_str!("../../../tests/fixtures/similarity/demo.json");
    let sides: std::collections::HashMap<String, Vec<[f64; 10]>> =
        serde_json::from_str(text).expect("the fixture is JSON");
    (Array2::from(sides["X"].clone()), Array2::from(sides["Y"].clone()))
}

#[track_caller]
fn close(found: f64, golden: f64, tolerance: f64) {
    assert!((found - golden).abs() <= tolerance, "{found} is not {golden}");
}

/// Section 3.1.
#[test]
fn biased_linear_cka() {
    let (x, y) = toy();
    close(cka::linear_biased(x.view(), y.view()).unwrap(), 0.873_293_813_586_7, 1e-13);
    let (k, l) = (gram(x.view()), gram(y.view()));
    close(cka::kernel_biased(&k, &l).unwrap(), 0.873_293_813_586_7, 1e-13);
    close(cka::hsic_biased(&k, &l), 126.409_757_653, 5e-10);
    let ratios = (cka::participation_ratio(&k), cka::participation_ratio(&l));
    close(ratios.0, 1.557_412, 5e-7);
    close(ratios.1, 1.598_482, 5e-7);
    close(cka::chance_biased(ratios.0, ratios.1, 8), 0.225_401_9, 5e-8);
    let (x, y) = demo();
    close(cka::linear_biased(x.view(), y.view()).unwrap(), 0.557_613_256_6, 5e-11);
}

/// Section 3.2.
#[test]
fn debiased_linear_cka() {
    let (x, y) = toy();
    close(cka::linear(x.view(), y.view()).unwrap(), 0.855_476_807_427_9, 1e-13);
    close(cka::linear_by_features(x.view(), y.view()).unwrap(), 0.855_476_807_427_9, 1e-13);
    let (k, l) = (gram(x.view()), gram(y.view()));
    for (a, b, golden) in [(&k, &l, 98.180_952_381), (&k, &k, 68.209_523_810), (&l, &l, 193.104_761_905)] {
        close(cka::hsic_unbiased(a, b).unwrap(), golden, 5e-10);
    }
    let (x, y) = demo();
    close(cka::linear(x.view(), y.view()).unwrap(), 0.513_456_489_5, 5e-11);
}

/// Section 3.3: over all 8! orders, mean 0 and s.d. sqrt(1/20), eight of which reach the observed.
#[test]
fn the_null_distribution_of_debiased_cka_is_that_over_all_orders() {
    let (x, y) = toy();
    let cka = Measure::named("cka").unwrap();
    let options = Options::default();
    let side = |x: &Array2<f64>| Side::new(cka, x.view(), &options).unwrap();
    let (first, second) = (side(&x), side(&y));
    let observed = first.compare(&second, cka, &options).unwrap();
    let mut order: Vec<usize> = (0..8).collect();
    let mut values = Vec::new();
    heap(&mut order, 8, &mut |order| {
        values.push(first.compare(&second.reordered(order), cka, &options).unwrap());
    });
    assert_eq!(values.len(), 40_320);
    let mean = values.iter().sum::<f64>() / 40_320.0;
    let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 40_320.0).sqrt();
    close(mean, 0.0, 1e-14);
    close(deviation, 0.223_606_797_7, 1e-10);
    close(cka::chance_debiased(8), 0.223_606_797_7, 1e-10);
    assert_eq!(values.iter().filter(|&&value| value >= observed - 1e-12).count(), 8);
    values.sort_by(f64::total_cmp);
    close(values[(0.95 * 40_319.0) as usize], 0.429_979, 1e-3);
}

fn heap(order: &mut Vec<usize>, left: usize, each: &mut impl FnMut(&[usize])) {
    if left <= 1 {
        return each(order);
    }
    for i in 0..left {
        heap(order, left - 1, each);
        order.swap(if left.is_multiple_of(2) { i } else { 0 }, left - 1);
    }
}

/// Section 3.4.
#[test]
fn minibatch_cka() {
    let (x, y) = toy();
    close(cka::minibatch(x.view(), y.view(), 4).unwrap(), 0.992_364_272, 5e-10);
    let (x, y) = demo();
    close(cka::minibatch(x.view(), y.view(), 10).unwrap(), 0.543_730_812, 5e-10);
}

/// Section 3.5, with the medians of section 8.
#[test]
fn gaussian_cka() {
    let (x, y) = toy();
    close(cka::rbf(x.view(), y.view(), 1.0, Median::All).unwrap(), 0.943_347_125_731, 5e-13);
    close(cka::rbf_debiased(x.view(), y.view(), 1.0, Median::All).unwrap(), 0.921_742_626, 5e-10);
    // neighbours (1,2) and (2,1) are sqrt 2 apart
    let kernel = cka::gaussian(x.view(), 1.0, Median::All).unwrap();
    close(kernel[[0, 1]], (-2.0 / (2.0 * 17.0_f64)).exp(), 1e-15);
    let (x, y) = demo();
    close(cka::rbf(x.view(), y.view(), 0.5, Median::All).unwrap(), 0.654_831_182_3, 5e-11);
}

/// Section 3.6.
#[test]
fn canonical_correlations() {
    let (x, y) = toy();
    let (first, second) = (Basis::new(x.view()).unwrap(), Basis::new(y.view()).unwrap());
    let found = cca::correlations(&first, &second);
    close(found[0], 0.984_751_666_821, 5e-13);
    close(found[1], 0.895_027_939_492, 5e-13);
    close(cca::cca(x.view(), y.view()).unwrap(), 0.939_889_803, 5e-10);
    close(cca::svcca(x.view(), y.view(), Rule::Variance).unwrap(), 0.938_374_443_924, 5e-13);
    assert_eq!((first.kept(Rule::Variance), second.kept(Rule::Variance)), (2, 2));
    let (x, y) = demo();
    close(cca::cca_r2(x.view(), y.view()).unwrap(), 0.545_396_332_2, 5e-11);
}

/// Section 3.7; both orders, with unequal widths.
#[test]
fn weighted_canonical_correlations() {
    let (x, y) = toy();
    close(cca::pwcca(x.view(), y.view()).unwrap(), 0.953_070_588_970, 5e-13);
    close(cca::pwcca(y.view(), x.view()).unwrap(), 0.954_572_236, 5e-10);
}

/// Section 3.8.
#[test]
fn procrustes_in_three_scalings() {
    let (x, y) = toy();
    let fit = procrustes::fit(x.view(), y.view()).unwrap();
    close(fit.nuclear, 98.728_385_115_584, 5e-13);
    close(fit.size_and_shape(), 4.668_321_943_572, 5e-13);
    close(fit.normalised().powi(2), 0.133_465_312_307, 5e-13);
    close(1.0 - fit.similarity(), 0.066_732_656_153, 1e-12);
    close(fit.angle(), 0.367_391_785_763, 5e-13);
}

/// Section 3.9: squared Euclidean distances have the ranks of the distances. The Spearman value is
/// .878220994227638 in NumPy too; the reference rounds its twelfth digit up.
#[test]
fn correlations_of_dissimilarities() {
    let (x, y) = toy();
    let squared = |x: &Array2<f64>| -> Vec<f64> {
        rsa::dissimilarities(x.view(), Inner::Euclid).unwrap().iter().map(|d| (d * d).round()).collect()
    };
    let (a, b) = (squared(&x), squared(&y));
    close(rsa::correlate(&a, &b, Outer::Pearson).unwrap(), 0.804_507_082_958, 5e-13);
    close(rsa::correlate(&a, &b, Outer::Spearman).unwrap(), 0.878_220_994_228, 5e-13);
    close(rsa::correlate(&a, &b, Outer::Kendall).unwrap(), 0.722_625_65, 5e-9);
    let pearson = rsa::rsa(x.view(), y.view(), Inner::Cosine, Outer::Pearson).unwrap();
    close(pearson, 0.637_580_526_512, 5e-13);
    // some cosines of the toy are equal in exact arithmetic only: digits beyond 12 would break the ties
    let rounded = |x: &Array2<f64>| -> Vec<f64> {
        let all = rsa::dissimilarities(x.view(), Inner::Cosine).unwrap();
        all.iter().map(|d| (d * 1e12).round()).collect()
    };
    let spearman = rsa::correlate(&rounded(&x), &rounded(&y), Outer::Spearman).unwrap();
    close(spearman, 0.673_788_23, 5e-9);
}

/// Sections 3.10 and 8.
#[test]
fn shared_neighbours() {
    let (p, q) = without_ties();
    for (k, overlap, jaccard) in [(1, 0.75, 0.75), (2, 0.8125, 0.75), (3, 20.0 / 24.0, 0.775)] {
        close(knn::mutual(p.view(), q.view(), k).unwrap(), overlap, 1e-15);
        let find = |x: &Array2<f64>| knn::Neighbours::find(x.view(), k).unwrap();
        close(knn::jaccard(&find(&p), &find(&q)), jaccard, 1e-15);
    }
}

/// Section 1, row 6, and section 3.1: n = 32, widths 768 and 4096, independent normals.
#[test]
fn biased_cka_of_wide_noise_is_its_chance_level_and_debiased_cka_is_zero() {
    let mut stream = Seed(9).stream();
    let mut noise = |width: usize| Array2::from_shape_simple_fn((32, width), || stream.normal());
    let (x, y) = (noise(768), noise(4096));
    let named = |name: &str| compare(Measure::named(name).unwrap(), x.view(), y.view(), &Options::default());
    let biased = named("cka-biased").unwrap();
    // one draw there and another here, whose s.d. is 0.0015
    close(biased.value, 0.974, 0.006);
    close(biased.chance.unwrap().mean, 0.973_9, 0.005);
    close(biased.chance.unwrap().mean, biased.value, 0.004);
    let debiased = named("cka").unwrap();
    assert!(debiased.value.abs() < 4.0 * debiased.chance.unwrap().deviation.unwrap());
    assert_eq!(debiased.chance.unwrap().mean, 0.0);
}

/// The closed form for U-centred kernels is the special case of the general moments.
#[test]
fn general_moments_agree_with_the_closed_form_of_debiased_cka() {
    let (x, y) = toy();
    let kernel = |x: &Array2<f64>| cka::u_centred(&gram(centred(x.view()).unwrap().view()));
    let (k, l) = (kernel(&x), kernel(&y));
    let (a, b) = (null::PairSums::of(&k), null::PairSums::of(&l));
    let (mean, variance) = null::moments(8, &a, &b);
    let size = (a.squares * b.squares).sqrt();
    close(mean / size, 0.0, 1e-14);
    close(variance.sqrt() / size, cka::chance_debiased(8), 1e-12);
}
