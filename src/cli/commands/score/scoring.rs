//! Scores of every site of stored hidden states, one site in memory at a time.

use std::time::Instant;

use ndarray::Array2;

use super::tables::Row;
use crate::analysis::probing::control::{Examples, selectivity};
use crate::analysis::scores::table::{Evaluation, Layer};
use crate::analysis::scores::{Method, Score};
use crate::error::Failure;
use crate::runs::representations::Representation;
use crate::seed::Seed;

/// Name of the control task among the scores.
const SELECTIVITY: &str = "selectivity";

/// Types of the training and of the evaluated examples.
pub(super) type Types = (Vec<u64>, Vec<u64>);

/// What is scored, and by what.
pub(crate) struct Scoring<'a> {
    /// The scores.
    pub(crate) methods: &'a [&'static Method],
    /// Hidden states of training examples.
    pub(crate) train: Representation,
    /// Those that probes are judged on, of the same sites.
    pub(crate) evaluated: Option<Representation>,
    /// Types of both, for a control task.
    pub(super) types: Option<&'a Types>,
    /// Decides every random choice.
    pub(crate) seed: Seed,
}

impl<'a> Scoring<'a> {
    /// Scores that need no examples beyond the training ones.
    pub(crate) fn of(methods: &'a [&'static Method], train: Representation, seed: Seed) -> Self {
        Self { methods, train, evaluated: None, types: None, seed }
    }

    /// Scores each site; `tell` hears its name and the seconds that it took.
    ///
    /// # Errors
    /// Hidden states that cannot be read, and what `tell` says.
    pub(crate) fn rows(
        &self,
        tell: &mut dyn FnMut(&str, f64) -> Result<(), Failure>,
    ) -> Result<Vec<Row>, Failure> {
        let Self { methods, train, evaluated, types, seed } = self;
        // hidden states that nothing reads stay on the disk
        let judged = methods.iter().any(|method| method.needs_evaluation) || types.is_some();
        let manifest = train.manifest();
        let mut rows = Vec::new();
        for (at, site) in manifest.sites.iter().enumerate() {
            let start = Instant::now();
            let x = matrix(train, at)?;
            let other = match evaluated {
                Some(other) if judged => Some((matrix(other, at)?, &other.manifest().labels)),
                _ => None,
            };
            let evaluation = other.as_ref().map(|(x, labels)| Evaluation::new(x.view(), labels));
            let labels = &manifest.labels;
            let layer = Layer::new(x.view(), labels);
            let mut scores: Vec<Score> =
                methods.iter().map(|method| method.score_of(&layer, evaluation.as_ref(), *seed)).collect();
            if let (Some((of_train, of_other)), Some((other, gold))) = (types, &other) {
                let fitted = Examples { features: x.view(), labels, types: of_train };
                let judged = Examples { features: other.view(), labels: gold, types: of_other };
                scores.push(control(fitted, judged, manifest.label_names.len(), *seed));
            }
            tell(&site.name, start.elapsed().as_secs_f64())?;
            rows.push(Row { site: site.name.clone(), layer: site.layer, scores });
        }
        Ok(rows)
    }
}

/// A site's rows in f64.
fn matrix(of: &Representation, site: usize) -> Result<Array2<f64>, Failure> {
    let values: Vec<f64> = of.read(site)?.into_iter().map(f64::from).collect();
    let shape = (of.manifest().n, of.manifest().sites[site].width);
    Ok(Array2::from_shape_vec(shape, values).expect("a site is read with n times width numbers"))
}

/// The control task as a row among the scores.
fn control<'a>(fitted: Examples<'a>, judged: Examples<'a>, classes: usize, seed: Seed) -> Score {
    let (n, width) = fitted.features.dim();
    let found = selectivity(fitted, judged, seed);
    let estimate = found.as_ref().ok().map(|found| found.difference.estimate);
    Score {
        name: SELECTIVITY,
        remark: found.as_ref().ok().map(|found| {
            let (real, control) = (found.real.accuracy.value, found.control.accuracy.value);
            format!("accuracy {real:.4}, on the control task {control:.4}, p {:.4}", found.difference.p)
        }),
        value: found.map(|found| found.difference.estimate.value),
        interval: estimate,
        n,
        width,
        classes,
        higher_is_better: true,
        recipe: "accuracy of probe minus that on random labels of first words, paired by example; \
                 bootstrap interval",
    }
}
