//! The words of a study as the values that models and training take.

use super::settings::HyperParameters;
use super::{Error, Study};
use crate::error::Failure;
use crate::models::plug::PlugSpec;
use crate::runs::{Condition, Control};
use crate::seed::Seed;
use crate::train::{self, schedule::Warmup};

/// The training of one seed.
///
/// # Errors
/// A value outside its range.
pub(super) fn config(study: &Study, seed: Seed) -> Result<train::Config, Failure> {
    let HyperParameters { epochs, batch_size, max_length, .. } = study.hyper_parameters;
    let hyper = &study.hyper_parameters;
    let arguments = train::Arguments {
        epochs: u32::try_from(epochs).map_err(|_| Error::TooManyEpochs { epochs })?,
        batch_size,
        max_length,
        optimizer: hyper.optimizer,
        learning_rate: hyper.learning_rate,
        weight_decay: hyper.weight_decay,
        schedule: hyper.schedule,
        warmup: Warmup::Ratio(hyper.warmup),
        label_smoothing: hyper.label_smoothing,
        clip: hyper.clip,
        head_dropout: hyper.head_dropout,
        seed,
        as_published: study.as_published.named().clone(),
        ..train::Arguments::default()
    };
    Ok(arguments.check()?)
}

/// What stands between encoder and head.
pub(super) fn plug(study: &Study, condition: Condition, width: usize) -> PlugSpec {
    match condition {
        Condition::Control(Control::Base) => PlugSpec::Base,
        Condition::Control(Control::Mappers) => PlugSpec::Mappers { width },
        Condition::Control(Control::Mlp) => PlugSpec::Mlp { width },
        Condition::Layer(_) | Condition::Control(Control::Random | Control::Shuffled | Control::Trained) => {
            PlugSpec::Layer {
                width,
                mask: study.mask,
                honour_window: study.window == super::WindowMode::Honour,
            }
        }
    }
}

/// Whether the layer between the mappers trains; PiFi's is frozen.
pub(super) fn trains_layer(condition: Condition) -> bool {
    condition == Condition::Control(Control::Trained)
}
