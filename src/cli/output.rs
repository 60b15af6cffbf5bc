//! Where words go: data to standard output, talk to standard error, both to nobody else. The only
//! file that writes to either.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::ColorChoice;
use serde::Serialize;
use serde_json::json;

use super::environment;
use super::error::Error;
use crate::error::Failure;

/// Version of everything that `--json` prints.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// How loud the program is and for whom.
#[derive(Debug)]
pub(crate) struct Output {
    /// Machines read standard output.
    pub(crate) json: bool,
    /// Only data, warnings and errors.
    pub(crate) quiet: bool,
    /// Details too.
    pub(crate) verbose: bool,
    colour: bool,
    log: Option<Mutex<File>>,
    pipe_broken: AtomicBool,
}

impl Output {
    /// Output with these wishes; everything said goes to `log_file` too.
    ///
    /// # Errors
    /// A log file that cannot be written.
    pub(crate) fn new(
        (json, quiet, verbose): (bool, bool, bool),
        colour: ColorChoice,
        log_file: Option<&Path>,
    ) -> Result<Self, Failure> {
        let open = |path: &Path| {
            let opened = File::options().create(true).append(true).open(path);
            opened.map_err(|cause| Error::Unwritable { path: path.to_owned(), cause })
        };
        Ok(Self {
            json,
            quiet,
            verbose,
            colour: match colour {
                ColorChoice::Always => true,
                ColorChoice::Never => false,
                ColorChoice::Auto => environment::stderr_is_terminal(),
            },
            log: log_file.map(open).transpose()?.map(Mutex::new),
            pipe_broken: AtomicBool::new(false),
        })
    }

    /// Whether a reader of standard output went away, which ends the program without a complaint.
    pub(crate) fn pipe_broken(&self) -> bool {
        self.pipe_broken.load(Ordering::SeqCst)
    }

    /// Whether bars may be drawn on standard error.
    pub(crate) fn draws(&self) -> bool {
        !self.json && !self.quiet && environment::can_draw()
    }

    /// Writes data as it is.
    ///
    /// # Errors
    /// When nobody reads it any more, or the disk behind it is full.
    pub(crate) fn data(&self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.map_err(|cause| {
            if cause.kind() == ErrorKind::BrokenPipe {
                self.pipe_broken.store(true, Ordering::SeqCst);
            }
            Error::Output(cause).into()
        })
    }

    /// Writes one line of data.
    ///
    /// # Errors
    /// As [`Self::data`].
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        self.data(&format!("{text}\n"))
    }

    /// Writes a document for machines, `schema_version` first.
    ///
    /// # Errors
    /// As [`Self::data`].
    pub(crate) fn document(&self, value: &impl Serialize) -> Result<(), Failure> {
        self.line(&serde_json::to_string_pretty(&versioned(value)).expect("documents have string keys"))
    }

    /// Writes an event for machines on one line, `schema_version` first.
    ///
    /// # Errors
    /// As [`Self::data`].
    pub(crate) fn event(&self, value: &impl Serialize) -> Result<(), Failure> {
        self.line(&serde_json::to_string(&versioned(value)).expect("events have string keys"))
    }

    /// Tells a person how it goes; `--quiet` hears nothing.
    pub(crate) fn say(&self, text: &str) {
        self.log(text);
        if !self.quiet {
            stderr(text);
        }
    }

    /// Tells what only `--verbose` wants to know.
    pub(crate) fn detail(&self, text: &str) {
        self.log(text);
        if self.verbose && !self.quiet {
            stderr(text);
        }
    }

    /// Tells what must be known.
    pub(crate) fn warn(&self, text: &str) {
        self.log(&format!("warning: {text}"));
        stderr(&format!("{} {text}", self.painted("33;1", "warning:")));
    }

    /// Keeps a line in the log file alone.
    pub(crate) fn log(&self, text: &str) {
        if let Some(log) = &self.log {
            let mut file = log.lock().unwrap_or_else(PoisonError::into_inner);
            // a log that fails does not end the work that it tells of
            let _ = writeln!(file, "{} {text}", crate::runs::clock::now());
        }
    }

    /// Tells why the command ends: `error: ...`, a blank line and `hint: ...` on standard error,
    /// and with `--json` an object on standard output too.
    pub(crate) fn error(&self, failure: &Failure) {
        let (message, hint, code) = (failure.to_string(), failure.hint(), failure.category().exit_code());
        self.log(&format!("error: {message}"));
        stderr(&format!("{} {message}", self.painted("31;1", "error:")));
        if let Some(hint) = &hint {
            stderr(&format!("\n{} {hint}", self.painted("36;1", "hint:")));
        }
        if self.json {
            let event = json!({
                "event": "error",
                "message": message,
                "hint": hint,
                "category": format!("{:?}", failure.category()).to_lowercase(),
                "exit_code": code,
            });
            // whoever reads standard output is told if it can be
            let _ = self.event(&event);
        }
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Writes a line to standard error; there is nobody to tell if that fails.
pub(crate) fn stderr(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn versioned(value: &impl Serialize) -> serde_json::Value {
    let mut object = serde_json::Map::from_iter([("schema_version".to_owned(), SCHEMA_VERSION.into())]);
    match serde_json::to_value(value).expect("documents have string keys and finite numbers") {
        serde_json::Value::Object(fields) => object.extend(fields),
        other => {
            object.insert("items".into(), other);
        }
    }
    object.into()
}
