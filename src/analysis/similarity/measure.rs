//! The measures as data: names, directions, what they do not see, how many examples they need, and
//! where their chance level comes from.

use super::Undefined;
use super::rsa::{Inner, Outer};

/// Whether a larger value means more or less similar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// `sim_`: 1 for equal sides.
    HigherIsCloser,
    /// `dist_`: 0 for equal sides.
    LowerIsCloser,
}

impl Direction {
    /// Its words in reports.
    pub fn words(self) -> &'static str {
        match self {
            Self::HigherIsCloser => "higher is closer",
            Self::LowerIsCloser => "lower is closer",
        }
    }

    /// The value of a side compared with itself.
    pub fn best(self) -> f64 {
        if self == Self::HigherIsCloser { 1.0 } else { 0.0 }
    }
}

/// What can be done to the first side without changing the value; to the second it can be done too,
/// where PWCCA, the one measure that is not symmetric, allows any invertible linear map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invariance {
    /// Rotations and reflections of the channels.
    pub orthogonal: bool,
    /// One factor for all features.
    pub scale: bool,
    /// An offset for every channel.
    pub translation: bool,
    /// Any invertible linear map of the channels.
    pub linear: bool,
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Debiased linear CKA.
    Cka,
    /// Biased linear CKA.
    CkaBiased,
    /// Debiased linear CKA over minibatches.
    CkaMinibatch,
    /// Debiased CKA with a Gaussian kernel.
    CkaRbf,
    /// Mean canonical correlation.
    Cca,
    /// Mean squared canonical correlation.
    CcaSquared,
    /// Mean canonical correlation of leading directions.
    Svcca,
    /// Weighted mean canonical correlation.
    Pwcca,
    /// Procrustes distance after scaling to size one.
    Procrustes,
    /// Procrustes distance in units of the features.
    ProcrustesSize,
    /// Procrustes angle.
    ProcrustesAngle,
    /// Correlation of dissimilarities.
    Rsa(Inner, Outer),
    /// Shared nearest neighbours.
    Knn,
    /// Shared nearest neighbours by all of both sides.
    KnnJaccard,
    /// Mean cosine, channel by channel.
    Cosine,
}

/// Where the chance level of a measure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Null {
    /// Mean and standard deviation by formula.
    Moments,
    /// The mean by formula; a spread only by permutations.
    Mean,
    /// Permutations only.
    Permutations,
}

/// One measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its name in tables: `sim_...` or `dist_...`.
    pub column: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What is computed.
    pub kind: Kind,
    /// Which way it points.
    pub direction: Direction,
    /// Whether both orders of the sides give one value.
    pub symmetric: bool,
    /// What it does not see.
    pub invariance: Invariance,
    /// Fewest examples.
    pub least: usize,
    /// Where its chance level comes from.
    pub null: Null,
}

const ROTATION: Invariance = Invariance { orthogonal: true, scale: true, translation: true, linear: false };
const SIZED: Invariance = Invariance { scale: false, ..ROTATION };
const LINEAR: Invariance = Invariance { linear: true, ..ROTATION };
const FIXED_ORIGIN: Invariance = Invariance { translation: false, ..ROTATION };
const OWN_AXES: Invariance = Invariance { orthogonal: false, ..ROTATION };
const FIXED_AXES: Invariance = Invariance { orthogonal: false, translation: false, ..ROTATION };

const fn measure(
    name: &'static str,
    column: &'static str,
    title: &'static str,
    kind: Kind,
    invariance: Invariance,
    least: usize,
    null: Null,
) -> Measure {
    let direction =
        if column.as_bytes()[0] == b'd' { Direction::LowerIsCloser } else { Direction::HigherIsCloser };
    let symmetric = !matches!(kind, Kind::Pwcca);
    Measure { name, column, title, kind, direction, symmetric, invariance, least, null }
}

const fn rsa(
    name: &'static str,
    column: &'static str,
    title: &'static str,
    inner: Inner,
    outer: Outer,
) -> Measure {
    let invariance = match inner {
        Inner::Euclid => ROTATION,
        Inner::Cosine => FIXED_ORIGIN,
        Inner::Correlation => FIXED_AXES,
    };
    let null = if matches!(outer, Outer::Kendall) { Null::Permutations } else { Null::Moments };
    measure(name, column, title, Kind::Rsa(inner, outer), invariance, 4, null)
}

/// All measures.
pub const MEASURES: &[Measure] = &[
    measure("cka", "sim_cka", "linear CKA, debiased", Kind::Cka, ROTATION, 4, Null::Moments),
    measure("cka-biased", "sim_cka_biased", "linear CKA, biased", Kind::CkaBiased, ROTATION, 3, Null::Mean),
    measure(
        "cka-minibatch",
        "sim_cka_minibatch",
        "linear CKA over minibatches, debiased",
        Kind::CkaMinibatch,
        ROTATION,
        4,
        Null::Permutations,
    ),
    measure("cka-rbf", "sim_cka_rbf", "Gaussian CKA, debiased", Kind::CkaRbf, ROTATION, 4, Null::Moments),
    measure("cca", "sim_cca", "mean canonical correlation", Kind::Cca, LINEAR, 3, Null::Permutations),
    measure(
        "cca-r2",
        "sim_cca_r2",
        "mean squared canonical correlation",
        Kind::CcaSquared,
        LINEAR,
        3,
        Null::Mean,
    ),
    measure("svcca", "sim_svcca", "SVCCA, 99% of the variance", Kind::Svcca, ROTATION, 3, Null::Permutations),
    measure(
        "pwcca",
        "sim_pwcca",
        "PWCCA, weighted on the first side",
        Kind::Pwcca,
        OWN_AXES,
        3,
        Null::Permutations,
    ),
    measure(
        "procrustes",
        "dist_procrustes",
        "Procrustes distance, sides of size one",
        Kind::Procrustes,
        ROTATION,
        3,
        Null::Permutations,
    ),
    measure(
        "procrustes-size",
        "dist_procrustes_size",
        "Procrustes distance, size and shape",
        Kind::ProcrustesSize,
        SIZED,
        3,
        Null::Permutations,
    ),
    measure(
        "procrustes-angle",
        "dist_procrustes_angle",
        "Procrustes angle",
        Kind::ProcrustesAngle,
        ROTATION,
        3,
        Null::Permutations,
    ),
    rsa(
        "rsa",
        "sim_rsa_correlation_spearman",
        "RSA: correlation distances, Spearman",
        Inner::Correlation,
        Outer::Spearman,
    ),
    rsa(
        "rsa-correlation-pearson",
        "sim_rsa_correlation_pearson",
        "RSA: correlation distances, Pearson",
        Inner::Correlation,
        Outer::Pearson,
    ),
    rsa(
        "rsa-correlation-kendall",
        "sim_rsa_correlation_kendall",
        "RSA: correlation distances, Kendall",
        Inner::Correlation,
        Outer::Kendall,
    ),
    rsa(
        "rsa-cosine",
        "sim_rsa_cosine_spearman",
        "RSA: cosine distances, Spearman",
        Inner::Cosine,
        Outer::Spearman,
    ),
    rsa(
        "rsa-cosine-pearson",
        "sim_rsa_cosine_pearson",
        "RSA: cosine distances, Pearson",
        Inner::Cosine,
        Outer::Pearson,
    ),
    rsa(
        "rsa-cosine-kendall",
        "sim_rsa_cosine_kendall",
        "RSA: cosine distances, Kendall",
        Inner::Cosine,
        Outer::Kendall,
    ),
    rsa(
        "rsa-euclid",
        "sim_rsa_euclid_spearman",
        "RSA: Euclidean distances, Spearman",
        Inner::Euclid,
        Outer::Spearman,
    ),
    rsa(
        "rsa-euclid-pearson",
        "sim_rsa_euclid_pearson",
        "RSA: Euclidean distances, Pearson",
        Inner::Euclid,
        Outer::Pearson,
    ),
    rsa(
        "rsa-euclid-kendall",
        "sim_rsa_euclid_kendall",
        "RSA: Euclidean distances, Kendall",
        Inner::Euclid,
        Outer::Kendall,
    ),
    measure("knn", "sim_knn", "shared nearest neighbours, cosine", Kind::Knn, FIXED_ORIGIN, 4, Null::Moments),
    measure(
        "knn-jaccard",
        "sim_knn_jaccard",
        "shared nearest neighbours by all of both sides, cosine",
        Kind::KnnJaccard,
        FIXED_ORIGIN,
        4,
        Null::Permutations,
    ),
    measure(
        "cosine",
        "sim_cosine",
        "mean cosine, channel by channel",
        Kind::Cosine,
        FIXED_AXES,
        2,
        Null::Permutations,
    ),
];

impl Measure {
    /// The measure of this name on the command line or in tables.
    pub fn named(name: &str) -> Option<&'static Self> {
        MEASURES.iter().find(|measure| measure.name == name || measure.column == name)
    }

    /// Refuses fewer examples than it needs, canonical correlations of as many directions as
    /// examples, and unequal widths where channels are compared.
    ///
    /// # Errors
    /// [`Undefined::TooFew`], [`Undefined::Saturated`], [`Undefined::WidthsDiffer`].
    pub fn permits(&self, n: usize, widths: [usize; 2]) -> Result<(), Undefined> {
        if n < self.least {
            return Err(Undefined::TooFew { n, least: self.least });
        }
        match self.kind {
            Kind::Cca | Kind::CcaSquared | Kind::Pwcca if n <= widths[0].max(widths[1]) + 1 => {
                Err(Undefined::Saturated { n, width: widths[0].max(widths[1]) })
            }
            Kind::Cosine if widths[0] != widths[1] => {
                Err(Undefined::WidthsDiffer { left: widths[0], right: widths[1] })
            }
            _ => Ok(()),
        }
    }

    /// Whether it holds a matrix of examples by examples.
    pub fn is_quadratic(&self) -> bool {
        matches!(
            self.kind,
            Kind::Cka | Kind::CkaBiased | Kind::CkaRbf | Kind::Rsa(..) | Kind::Knn | Kind::KnnJaccard
        )
    }

    /// Whether it works on directions, and can be given the leading ones alone.
    pub fn works_on_directions(&self) -> bool {
        use Kind::{Cca, CcaSquared, Procrustes, ProcrustesAngle, ProcrustesSize, Pwcca, Svcca};
        matches!(self.kind, Cca | CcaSquared | Svcca | Pwcca | Procrustes | ProcrustesSize | ProcrustesAngle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_the_direction_and_none_stands_twice() {
        for (at, measure) in MEASURES.iter().enumerate() {
            let prefix = if measure.direction == Direction::HigherIsCloser { "sim_" } else { "dist_" };
            assert!(measure.column.starts_with(prefix), "{}", measure.column);
            let twice = |other: &Measure| other.name == measure.name || other.column == measure.column;
            assert!(!MEASURES[at + 1..].iter().any(twice), "{}", measure.name);
            assert_eq!(Measure::named(measure.name), Some(measure));
        }
        assert_eq!(Measure::named("cka-unheard"), None);
    }

    #[test]
    fn canonical_correlations_of_as_many_directions_as_examples_are_refused() {
        let cca = Measure::named("cca").unwrap();
        assert_eq!(cca.permits(768, [768, 10]), Err(Undefined::Saturated { n: 768, width: 768 }));
        assert_eq!(cca.permits(1000, [768, 10]), Ok(()));
        let cosine = Measure::named("cosine").unwrap();
        assert_eq!(cosine.permits(10, [3, 4]), Err(Undefined::WidthsDiffer { left: 3, right: 4 }));
    }
}
