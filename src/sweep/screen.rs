//! Screens: cheap rounds over all layers before the full training of a few. Controls and the last
//! layer are never pruned: without them no number of the others means anything, and late bloomers
//! would be lost unseen.

use super::{Error, Invalid, Study};
use super::{Shape, TrainMode};
use crate::words::words;

words! {
    /// How layers are screened before they are trained in full.
    Screen, "screen" {
        /// All layers are trained in full.
        None = "none",
        /// All layers over a frozen encoder, whose features are computed once.
        Plug = "plug",
        /// All layers for an epoch, the better half for more, and so on.
        Halving = "halving",
        /// By the mean rank under scores of the LLM's own hidden states, which need no training.
        Score = "score",
    }
}

/// One round before the full training.
#[derive(Clone, Debug, PartialEq)]
pub struct Rung {
    /// What is trained, the layers apart.
    pub study: Study,
    /// Layers that go on from it, the last one apart.
    pub keep: usize,
    /// A word for its directory: `screen`, `1-epoch`.
    pub name: String,
}

/// The rounds of training of a screen that leaves `keep` of `layers` layers for the full training; a
/// screen by scores trains nothing and has none. Every round
/// starts its runs anew: a run is known by all that decides it, its number of epochs included.
///
/// # Errors
/// [`Error::Invalid`] for a learning rate that depends on the number of epochs, so that rounds could
/// not be compared; for fewer epochs than a round needs; for a study that is a screen already.
pub fn rungs(study: &Study, screen: Screen, keep: usize, layers: usize) -> Result<Vec<Rung>, Error> {
    let invalid = |field, value: String, expected, hint| {
        Err(Error::Invalid(vec![Invalid { field, value, expected, hint: Some(hint) }]))
    };
    if keep == 0 {
        return invalid("keep", keep.to_string(), "at least 1", "the last layer is kept besides");
    }
    let hyper = &study.hyper_parameters;
    match screen {
        Screen::None | Screen::Score => Ok(Vec::new()),
        Screen::Plug if study.train == TrainMode::Plug => {
            let hint = "with `--train plug` all layers are cheap: leave `--screen` out";
            invalid("screen", screen.to_string(), "`none` with train `plug`", hint)
        }
        Screen::Plug => {
            let study = Study { train: TrainMode::Plug, save: super::Save::None, ..study.clone() };
            Ok(vec![Rung { study, keep, name: "screen".to_owned() }])
        }
        Screen::Halving if hyper.schedule != Shape::Constant || hyper.warmup > 0.0 => {
            let hint = "halving compares runs of different length: ask for `--schedule constant --warmup 0`";
            let value = format!("{}, warm-up {}", hyper.schedule, hyper.warmup);
            invalid("hyper_parameters.schedule", value, "`constant` without warm-up", hint)
        }
        Screen::Halving if hyper.epochs < 2 => {
            let hint = "there is no shorter training than one epoch: ask for more, or for `--screen plug`";
            invalid("hyper_parameters.epochs", hyper.epochs.to_string(), "at least 2", hint)
        }
        Screen::Halving => Ok(halving(study, keep, layers)),
    }
}

/// Epochs double from round to round up to the full number; the layers that go on shrink by one and
/// the same factor down to `keep`.
fn halving(study: &Study, keep: usize, layers: usize) -> Vec<Rung> {
    let mut epochs = vec![study.hyper_parameters.epochs / 2];
    while epochs[0] > 1 {
        epochs.insert(0, epochs[0] / 2);
    }
    let rounds = epochs.len();
    let ratio = (keep as f64 / layers.max(1) as f64).min(1.0);
    let rung = |(at, epochs): (usize, usize)| {
        let mut study = study.clone();
        study.hyper_parameters.epochs = epochs;
        study.save = super::Save::None;
        let left = layers as f64 * ratio.powf((at + 1) as f64 / rounds as f64);
        // 4 as the power of a root may come out as 4.000000001
        let keep = ((left - 1e-9).ceil() as usize).max(keep);
        Rung { study, keep, name: format!("{epochs}-epoch{}", if epochs == 1 { "" } else { "s" }) }
    };
    epochs.into_iter().enumerate().map(rung).collect()
}

/// Layers in the syntax of a study: `3,7,31`.
pub fn listed(layers: &[usize]) -> String {
    layers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Diagnose;

    fn study(epochs: usize) -> Study {
        let mut study = Study { llm: "gpt2".into(), ..Study::default() };
        study.hyper_parameters.epochs = epochs;
        study
    }

    #[test]
    fn halving_doubles_epochs_and_shrinks_layers_evenly() {
        let rungs = rungs(&study(8), Screen::Halving, 4, 32).unwrap();
        let made: Vec<(usize, usize)> =
            rungs.iter().map(|rung| (rung.study.hyper_parameters.epochs, rung.keep)).collect();
        assert_eq!(made, [(1, 16), (2, 8), (4, 4)]);
        let rungs = super::rungs(&study(3), Screen::Halving, 4, 32).unwrap();
        assert_eq!((rungs.len(), rungs[0].keep, rungs[0].name.as_str()), (1, 4, "1-epoch"));
    }

    #[test]
    fn a_plug_screen_is_one_round_over_a_frozen_encoder() {
        let rungs = rungs(&study(3), Screen::Plug, 4, 32).unwrap();
        assert_eq!((rungs.len(), rungs[0].study.train, rungs[0].keep), (1, TrainMode::Plug, 4));
        for trains_nothing in [Screen::None, Screen::Score] {
            assert!(super::rungs(&study(3), trains_nothing, 4, 32).unwrap().is_empty());
        }
    }

    #[test]
    fn screens_that_could_not_be_compared_are_refused_with_a_remedy() {
        let refused = |study: &Study, screen| {
            let error = rungs(study, screen, 4, 32).unwrap_err();
            format!("{error} {}", error.hint().unwrap_or_default())
        };
        let mut linear = study(3);
        linear.hyper_parameters.schedule = Shape::Linear;
        assert!(refused(&linear, Screen::Halving).contains("--schedule constant"));
        assert!(refused(&study(1), Screen::Halving).contains("--screen plug"));
        let plug = Study { train: TrainMode::Plug, ..study(3) };
        assert!(refused(&plug, Screen::Plug).contains("leave `--screen` out"));
        assert!(rungs(&study(3), Screen::Plug, 0, 32).is_err());
    }
}
