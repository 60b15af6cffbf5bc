//! Why a worker that ended without a result did so.

use std::process::ExitStatus;

use super::event::STOPPED;
use crate::runs::record::FailureKind;

/// What an exit says about the cells that have no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stopped at a checkpoint: they are to be gone on with.
    Unfinished,
    /// They failed.
    Failed(FailureKind, String),
}

/// What is known about the worker besides its exit.
pub(super) struct Circumstances {
    /// Whether it was asked to stop, or killed, by its engine.
    pub(super) stopped_by_engine: bool,
    /// Its last words on standard error.
    pub(super) last_words: Option<String>,
    /// The last line on standard output that was no event.
    pub(super) garbage: Option<String>,
    /// Whether it said that the run is there.
    pub(super) said_done: bool,
}

pub(super) fn verdict(status: ExitStatus, circumstances: &Circumstances) -> Verdict {
    if circumstances.stopped_by_engine || status.code() == Some(STOPPED) {
        return Verdict::Unfinished;
    }
    let words = circumstances.last_words.as_deref().map(|words| format!(": {words}")).unwrap_or_default();
    match (status.code(), signal(status)) {
        (_, Some(9)) => Verdict::Failed(
            FailureKind::OutOfMemory,
            "killed by signal 9: most likely the kernel's out-of-memory killer".into(),
        ),
        (_, Some(signal)) => {
            Verdict::Failed(FailureKind::Killed, format!("killed by signal {signal}{}{words}", name(signal)))
        }
        (Some(0), _) if circumstances.said_done => Verdict::Failed(
            FailureKind::Crashed,
            "the worker said that it was done, but there is no run in its place".into(),
        ),
        (Some(0), _) => {
            let printed = circumstances.garbage.as_deref().map(|line| {
                let line: String = line.chars().take(80).collect();
                format!("; it printed `{line}`, expected events as JSON lines")
            });
            let reason = format!("the worker ended without a result{}", printed.unwrap_or_default());
            Verdict::Failed(FailureKind::Crashed, reason)
        }
        (Some(code), _) => {
            Verdict::Failed(FailureKind::Crashed, format!("the worker exited with code {code}{words}"))
        }
        (None, None) => Verdict::Failed(FailureKind::Crashed, format!("the worker ended ({status}){words}")),
    }
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> Option<i32> {
    None
}

/// The common signals; their numbers are the same on all systems that have them.
fn name(signal: i32) -> &'static str {
    match signal {
        2 => " (interrupt)",
        4 => " (illegal instruction)",
        6 => " (abort)",
        8 => " (arithmetic)",
        11 => " (segmentation fault)",
        15 => " (termination)",
        _ => "",
    }
}
