//! The words of a study as the values that models and training take.

use std::collections::BTreeSet;

use super::settings::{Defect, HyperParameters, MaskMode, Optimizer, PlugMode, Pooling, Schedule};
use super::{Error, Study};
use crate::error::Failure;
use crate::models::plug::{self, PlugSpec};
use crate::models::pooling;
use crate::runs::{Condition, Control};
use crate::seed::Seed;
use crate::train::schedule::{Shape, Warmup};
use crate::train::{self, AsPublished};

/// The training of one seed.
///
/// # Errors
/// A value outside its range.
pub(super) fn config(study: &Study, seed: Seed) -> Result<train::Config, Failure> {
    let HyperParameters { epochs, batch_size, max_length, .. } = study.hyper_parameters;
    let hyper = &study.hyper_parameters;
    let mut as_published = BTreeSet::new();
    for defect in &study.as_published.0 {
        as_published.extend(published(*defect));
    }
    let arguments = train::Arguments {
        epochs: u32::try_from(epochs).map_err(|_| Error::TooManyEpochs { epochs })?,
        batch_size,
        max_length,
        optimizer: match hyper.optimizer {
            Optimizer::Adam => train::Optimizer::Adam,
            Optimizer::AdamW => train::Optimizer::AdamW,
        },
        learning_rate: hyper.learning_rate,
        weight_decay: hyper.weight_decay,
        schedule: match hyper.schedule {
            Schedule::Constant => Shape::Constant,
            Schedule::Linear => Shape::Linear,
        },
        warmup: Warmup::Ratio(hyper.warmup),
        label_smoothing: hyper.label_smoothing,
        clip: hyper.clip,
        head_dropout: hyper.head_dropout,
        seed,
        as_published,
        ..train::Arguments::default()
    };
    Ok(arguments.check()?)
}

/// Defects that training itself reproduces; the others are matters of data, plug and generation.
fn published(defect: Defect) -> Option<AsPublished> {
    match defect {
        Defect::Metrics => Some(AsPublished::Metrics),
        Defect::DropLast => Some(AsPublished::DropLast),
        Defect::SpanPadding => Some(AsPublished::SpanPadding),
        Defect::Mask | Defect::LossPadding | Defect::Rescale | Defect::TestSplits => None,
    }
}

/// What stands between encoder and head.
pub(super) fn plug(study: &Study, condition: Condition, width: usize) -> PlugSpec {
    match condition {
        Condition::Control(Control::Base) => PlugSpec::Base,
        Condition::Control(Control::Mappers) => PlugSpec::Mappers { width },
        Condition::Control(Control::Mlp) => PlugSpec::Mlp { width },
        Condition::Layer(_) | Condition::Control(Control::Random | Control::Shuffled) => PlugSpec::Layer {
            width,
            mask: match study.mask {
                MaskMode::Bidirectional => plug::Mask::Bidirectional,
                MaskMode::Causal => plug::Mask::Causal,
                MaskMode::AsPublished => plug::Mask::AsPublished,
            },
            honour_window: study.window == super::WindowMode::Honour,
        },
    }
}

/// Which rows pass the plug.
pub(super) fn mode(study: &Study) -> plug::PlugMode {
    match study.plug {
        PlugMode::Pooled => plug::PlugMode::Pooled,
        PlugMode::Sequence => plug::PlugMode::Sequence,
    }
}

/// From rows to one.
pub(super) fn pooling(pooling: Pooling) -> pooling::Pooling {
    match pooling {
        Pooling::Cls => pooling::Pooling::Cls,
        Pooling::Mean => pooling::Pooling::Mean,
        Pooling::MeanPad => pooling::Pooling::MeanPad,
        Pooling::Last => pooling::Pooling::Last,
    }
}
