//! What was typed, turned into calls, and what is printed: the only place that prints, reads
//! environment variables or chooses an exit code.

mod args;
mod ask;
mod attachments;
mod commands;
mod distances;
mod environment;
mod error;
mod machine;
mod output;
mod plan;
mod progress;
mod run;
mod screen;
mod signals;
mod stored;
mod study;
mod text;
mod transfer;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, ColorChoice, CommandFactory, FromArgMatches};

use self::args::{Cli, Command, Global};
use self::error::Error;
use self::output::Output;
use crate::error::Failure;

/// Everything that a command is run with besides its own flags.
pub(crate) struct Context {
    /// Flags of every command.
    pub(crate) global: Global,
    /// Where words go.
    pub(crate) output: Output,
    /// The command's flags by their source: typed or defaulted.
    pub(crate) typed: ArgMatches,
    /// The command line, the program's name first.
    pub(crate) arguments: Vec<OsString>,
}

impl Context {
    /// What `hub` must know, from the flags and the environment.
    ///
    /// # Errors
    /// As [`crate::hub::Settings::from_environment`].
    pub(crate) fn hub(&self) -> Result<crate::hub::Settings, Failure> {
        environment::hub_settings(self.global.token_file.as_deref(), self.global.offline)
    }

    /// Threads of the computation: as asked for, else one a core.
    pub(crate) fn threads(&self) -> usize {
        self.global.threads.map_or_else(machine::cores, usize::from)
    }

    /// Whether a flag was typed, as against left at its default.
    pub(crate) fn was_typed(&self, flag: &str) -> bool {
        let known = matches!(self.typed.try_contains_id(flag), Ok(true));
        known && self.typed.value_source(flag) == Some(ValueSource::CommandLine)
    }

    /// The command line as a shell takes it.
    pub(crate) fn command_line(&self) -> String {
        let words = self.arguments.iter().enumerate();
        text::shell_words(words.map(|(at, word)| {
            match at {
                0 => std::path::Path::new(word)
                    .file_name()
                    .map_or_else(|| "pifi-probe".into(), |name| name.to_string_lossy().into_owned()),
                _ => word.to_string_lossy().into_owned(),
            }
        }))
    }
}

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    let arguments = environment::arguments();
    match std::panic::catch_unwind(|| typed(arguments)) {
        Ok(code) => code,
        Err(_) => {
            // the panic's own words stand above
            let bug = Failure::from(Error::Bug("see the lines above".into()));
            report_early(&bug, false)
        }
    }
}

fn typed(arguments: Vec<OsString>) -> ExitCode {
    let colour = environment::colours().choice(colour_flag(&arguments));
    let parsed = Cli::command().color(colour).try_get_matches_from(&arguments);
    let parsed = parsed.and_then(|mut matches| {
        let cli = Cli::from_arg_matches_mut(&mut matches.clone())?;
        let (_, typed) = matches.remove_subcommand().expect("a subcommand is required");
        Ok((cli, typed))
    });
    let (cli, typed) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error, arguments.iter().any(|word| word == "--json")),
    };
    let global = cli.global;
    let output = Output::new((global.json, global.quiet, global.verbose), colour, global.log_file.as_deref());
    let output = match output {
        Ok(output) => output,
        Err(failure) => return report_early(&failure, global.json),
    };
    let context = Context { global, output, typed, arguments };
    let ended = start_threads(&context, &cli.command).and_then(|()| run(cli.command, &context));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        // whoever read our output has seen enough
        Err(_) if context.output.pipe_broken() => ExitCode::SUCCESS,
        Err(failure) => {
            context.output.error(&failure);
            ExitCode::from(failure.category().exit_code())
        }
    }
}

fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Layers(args) => commands::layers::run(&args, context),
        Command::Transfer(args) => commands::transfer::run(&args, context),
        Command::Analyze(args) => commands::analyze::run(&args, context),
        Command::Train(args) => commands::train::run(&args, context),
        Command::Predict(args) => commands::predict::run(&args, context),
        Command::Inspect(args) => commands::inspect::run(&args, context),
        Command::Fetch(args) => commands::fetch::run(&args, context),
        Command::Represent(args) => commands::represent::run(&args, context),
        Command::Runs(args) => commands::runs::run(args, context),
        Command::Compare(args) => commands::compare::run(&args, context),
        Command::Power(args) => commands::power::run(&args, context),
        Command::Score(args) => commands::score::run(&args, context),
        Command::Report(args) => commands::report::run(&args, context),
        Command::Similarity(args) => commands::similarity::run(&args, context),
        Command::Export(args) => commands::export::run(&args, context),
        Command::Verify(args) => commands::verify::run(&args, context),
        Command::Selftest => commands::selftest::run(context),
        Command::Doctor => commands::doctor::run(context),
        Command::Cache(args) => commands::cache::run(args, context),
        Command::Completions(args) => commands::completions::run(&args, context),
        Command::Man(args) => commands::manual::run(&args, context),
        Command::DemoModels(args) => commands::demo_models::run(&args, context),
        Command::Worker(args) => commands::worker::run(&args, context),
    }
}

/// The pool that all computations share. A worker's number of threads stands in its plan.
fn start_threads(context: &Context, command: &Command) -> Result<(), Failure> {
    if matches!(command, Command::Worker(_)) {
        return Ok(());
    }
    machine::start_threads(context.threads())
}

/// Prints what clap found: help and version are data, anything else is wrong usage.
fn usage(error: &clap::Error, json: bool) -> ExitCode {
    let code = u8::try_from(error.exit_code()).unwrap_or(2);
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if json && !asked {
        let message = error.to_string();
        let first = message.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        return report_json(&first, code);
    }
    // a closed pipe is no reason to complain
    let _ = error.print();
    ExitCode::from(code)
}

fn report_json(message: &str, code: u8) -> ExitCode {
    output::stderr(&format!("error: {message}"));
    if let Ok(output) = Output::new((true, false, false), ColorChoice::Never, None) {
        let event = serde_json::json!({
            "event": "error", "message": message, "hint": "`--help` shows what can be typed",
            "category": "usage", "exit_code": code,
        });
        let _ = output.event(&event);
    }
    ExitCode::from(code)
}

/// Tells of an error that came up before there was an [`Output`], or after it was lost.
fn report_early(failure: &Failure, json: bool) -> ExitCode {
    if let Ok(output) = Output::new((json, false, false), ColorChoice::Auto, None) {
        output.error(failure);
    }
    ExitCode::from(failure.category().exit_code())
}

/// `--color` before clap reads it, so that clap's own messages heed it.
fn colour_flag(arguments: &[OsString]) -> ColorChoice {
    let words: Vec<_> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let value = words.iter().enumerate().find_map(|(at, word)| match *word {
        "--color" => words.get(at + 1).copied(),
        word => word.strip_prefix("--color="),
    });
    value.and_then(|value| value.parse().ok()).unwrap_or(ColorChoice::Auto)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_colour_flag_is_found_in_both_spellings() {
        let flag = |words: &[&str]| colour_flag(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(flag(&["x", "--color", "never"]), ColorChoice::Never);
        assert_eq!(flag(&["x", "--color=always", "doctor"]), ColorChoice::Always);
        assert_eq!(flag(&["x", "--color", "blue"]), ColorChoice::Auto);
    }
}
