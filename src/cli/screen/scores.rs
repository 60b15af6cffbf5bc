//! `layers --screen score`: layers ranked by scores of the LLM's own hidden states of the training
//! texts, without any training.

use super::super::Context;
use super::super::attachments;
use super::super::commands::represent::compute;
use super::super::commands::score::{Scoring, long, ranked, reasons};
use super::super::signals::Stop;
use super::Rounds;
use crate::analysis::scores::Method;
use crate::analysis::scores::method;
use crate::analysis::scores::screen::USUAL;
use crate::analysis::screen::{Criterion, Round, kept};
use crate::device::Choice;
use crate::error::Failure;
use crate::hub::alias::Role;
use crate::runs::representations::Representations;
use crate::seed::Seed;
use crate::sweep::represent::{Request, Texts};
use crate::sweep::{Study, screen::listed};

/// Most training texts that are read: scores of 2,000 rank layers as those of all do, and some of
/// them cost the square of the number.
pub(super) const TEXTS: usize = 2_000;
/// Texts passed through a layer at once.
const BATCH: usize = 32;

/// Hidden states of the study's training texts in all of `layers`, as `represent` computes them with
/// its usual pooling: the same representation where there is one already.
fn request(study: &Study, layers: &[usize]) -> Result<Request, Failure> {
    Ok(Request {
        role: Role::Llm,
        model: study.llm.clone(),
        texts: Texts {
            task: study.task.clone(),
            split: "train",
            split_seed: study.split_seed,
            limit: Some(study.limits.max_train_examples.map_or(TEXTS, |limit| limit.min(TEXTS))),
            max_length: study.hyper_parameters.max_length,
            batch: BATCH,
        },
        pool: None,
        layers: listed(layers),
        device: study.device.parse::<Choice>()?.resolve()?,
    })
}

/// Scores the layers and keeps the best by mean rank; the table goes to `scores/` below all outputs.
///
/// # Errors
/// As `represent` and `score`; scores that do not tell the layers apart.
pub(super) fn round(
    study: &Study,
    how: &Rounds<'_>,
    layers: &[usize],
    last: usize,
    context: &Context,
    stop: &Stop,
) -> Result<Round, Failure> {
    let out = &how.engine.out;
    let store = Representations::at(out);
    let found = compute(&request(study, layers)?, &store, context, stop)?;
    let methods: Vec<&'static Method> = USUAL.split(',').filter_map(method).collect();
    let scoring = Scoring::of(&methods, store.open(&found.manifest), Seed(study.split_seed));
    let mut rows = scoring.rows(&mut |site, seconds| {
        stop.check()?;
        context.output.detail(&format!("scored {site} in {seconds:.1} s"));
        Ok(())
    })?;
    for reason in reasons(&rows) {
        context.output.warn(&reason);
    }
    let name = format!("{}-screen", how.name);
    let folder = out.join("scores").join(&name);
    long(&rows, &found.manifest, None).write(&folder)?;
    attachments::write_scores(&folder, &found.manifest, &rows, study.split_seed)?;
    // the embeddings are no layer to plug in
    rows.retain(|row| row.layer.is_some_and(|layer| layers.contains(&layer)));
    let scores = ranked(&rows)?;
    let left = kept(&scores, Criterion::MeanRank, how.keep, last);
    Ok(Round { study: format!("scores/{name}"), criterion: Criterion::MeanRank, scores, kept: left })
}
