//! The one place that reads the environment: variables, terminals, the command line itself.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::ColorChoice;

use crate::error::Failure;
use crate::hub;
use crate::report::export::mlflow::Credentials;

/// A variable, if it is set and is text.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The arguments as typed, the program's name first.
pub(crate) fn arguments() -> Vec<OsString> {
    std::env::args_os().collect()
}

/// This program's own file, to start workers from.
pub(crate) fn program() -> PathBuf {
    std::env::current_exe()
        .unwrap_or_else(|_| arguments().first().map_or_else(|| "pifi-probe".into(), PathBuf::from))
}

/// What `hub` must know, from flags and the variables that users of `huggingface_hub` know.
///
/// # Errors
/// As [`hub::Settings::from_environment`].
pub(crate) fn hub_settings(token_file: Option<&Path>, offline: bool) -> Result<hub::Settings, Failure> {
    Ok(hub::Settings::from_environment(variable, token_file, offline)?)
}

/// What the variables of MLflow's own client say of its server.
pub(crate) struct Mlflow {
    /// Address of the server.
    pub(crate) server: Option<String>,
    /// Name of the experiment.
    pub(crate) experiment: Option<String>,
    /// Who asks.
    pub(crate) credentials: Option<Credentials>,
}

/// Reads them.
pub(crate) fn mlflow() -> Mlflow {
    let given = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let password = || {
        let (user, password) = (given("MLFLOW_TRACKING_USERNAME")?, given("MLFLOW_TRACKING_PASSWORD")?);
        Some(Credentials::Password { user, password })
    };
    let token = given("MLFLOW_TRACKING_TOKEN").map(|token| Credentials::Token(token.trim().to_owned()));
    Mlflow {
        server: given("MLFLOW_TRACKING_URI"),
        experiment: given("MLFLOW_EXPERIMENT_NAME"),
        credentials: token.or_else(password),
    }
}

/// Whether a person sees standard error.
pub(crate) fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Whether a person can answer a question.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && stderr_is_terminal()
}

/// Whether a terminal can draw progress bars.
pub(crate) fn can_draw() -> bool {
    stderr_is_terminal() && variable("TERM").is_none_or(|term| term != "dumb")
}

/// Which colours are wanted, before a flag is heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Colours {
    forced: bool,
    refused: bool,
}

/// `NO_COLOR` (no-color.org), `CLICOLOR_FORCE` and `TERM=dumb`.
pub(crate) fn colours() -> Colours {
    let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    let dumb = variable("TERM").is_some_and(|term| term == "dumb");
    Colours {
        forced: set("CLICOLOR_FORCE") && variable("CLICOLOR_FORCE").is_none_or(|value| value != "0"),
        refused: set("NO_COLOR") || dumb,
    }
}

impl Colours {
    /// What a flag means here; it counts more than a variable.
    pub(crate) fn choice(self, flag: ColorChoice) -> ColorChoice {
        match flag {
            ColorChoice::Auto if self.refused => ColorChoice::Never,
            ColorChoice::Auto if self.forced => ColorChoice::Always,
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_counts_more_than_a_variable_and_a_refusal_more_than_a_wish() {
        let colours = Colours { forced: true, refused: true };
        assert_eq!(colours.choice(ColorChoice::Auto), ColorChoice::Never);
        assert_eq!(colours.choice(ColorChoice::Always), ColorChoice::Always);
        let forced = Colours { forced: true, refused: false };
        assert_eq!(forced.choice(ColorChoice::Auto), ColorChoice::Always);
        assert_eq!(forced.choice(ColorChoice::Never), ColorChoice::Never);
    }
}
