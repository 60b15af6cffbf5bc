//! One worker process: started, listened to, stopped.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::event::STOP_LINE;
use super::{Error, WorkerEvent};
use crate::error::Failure;

/// Longest line that is taken for one.
const LONGEST_LINE: u64 = 1 << 20;
/// Lines of a worker's standard error that are kept for the reason of a crash.
const KEPT_LINES: usize = 40;

/// How a worker is started: `program leading... worker --plan plan --cells ID[,ID...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program, usually this one.
    pub program: PathBuf,
    /// Arguments before `worker`.
    pub leading: Vec<OsString>,
    /// The plan's file.
    pub plan: PathBuf,
}

/// What reaches the engine's inbox.
pub(super) enum Said {
    /// A worker's event.
    Event(u64, WorkerEvent),
    /// A line on a worker's standard output that is none.
    Garbage(u64, String),
    /// A line on a worker's standard error.
    Complaint(u64, String),
    /// A worker closed its standard output and its standard error.
    Closed(u64),
    /// The provider is through with a layer.
    Layer(usize, Result<u64, Failure>),
}

/// A running worker.
pub(super) struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    complaints: Arc<Mutex<VecDeque<String>>>,
}

impl Worker {
    pub(super) fn start(
        command: &WorkerCommand,
        number: u64,
        cells: &[&str],
        said: &Sender<Said>,
    ) -> Result<Self, Error> {
        let mut process = Command::new(&command.program);
        process.args(&command.leading).arg("worker").arg("--plan").arg(&command.plan);
        process.arg("--cells").arg(cells.join(","));
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // a group of its own: Ctrl-C reaches the engine alone, which then asks the workers to stop
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut process, 0);
        let spawned = process.spawn();
        let mut child =
            spawned.map_err(|source| Error::Worker { program: command.program.clone(), source })?;
        let stdin = child.stdin.take();
        let complaints = Arc::new(Mutex::new(VecDeque::new()));
        let overhearing = child.stderr.take().map(|err| {
            let (said, kept) = (said.clone(), Arc::clone(&complaints));
            std::thread::spawn(move || overhear(err, number, &said, &kept))
        });
        if let Some(out) = child.stdout.take() {
            let said = said.clone();
            std::thread::spawn(move || listen(out, number, &said, overhearing));
        }
        Ok(Self { child, stdin, complaints })
    }

    /// Asks for a checkpoint and an end. A worker that is gone already does not hear it, which is
    /// as well.
    pub(super) fn ask_to_stop(&mut self) {
        if let Some(stdin) = &mut self.stdin {
            let _ = writeln!(stdin, "{STOP_LINE}").and_then(|()| stdin.flush());
        }
    }

    /// Ends it at once.
    pub(super) fn kill(&mut self) {
        // fails only for a process that has ended
        let _ = self.child.kill();
    }

    /// Its exit status, once it has ended.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The line of its last words that tells most: a panic's message, else the last one.
    pub(super) fn last_words(&self) -> Option<String> {
        let lines = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        let panicked = lines.iter().position(|line| line.contains("panicked at"));
        let told = match panicked {
            Some(at) => lines.iter().skip(at).take(2).cloned().collect::<Vec<_>>().join(" "),
            None => lines.iter().rev().find(|line| !line.trim().is_empty())?.clone(),
        };
        Some(told)
    }
}

impl Drop for Worker {
    /// An engine that leaves early leaves no process behind.
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.kill();
            let _ = self.child.wait();
        }
    }
}

fn listen(out: impl Read, number: u64, said: &Sender<Said>, overhearing: Option<JoinHandle<()>>) {
    each_line(out, |line| {
        let message = match serde_json::from_str(&line) {
            Ok(event) => Said::Event(number, event),
            Err(_) => Said::Garbage(number, line),
        };
        said.send(message).is_ok()
    });
    // the reason of an end is read from the last words, so these have to be in; a thread that
    // panicked has none
    let _ = overhearing.map(JoinHandle::join);
    // nobody listens any more when the engine is through
    let _ = said.send(Said::Closed(number));
}

fn overhear(err: impl Read, number: u64, said: &Sender<Said>, kept: &Mutex<VecDeque<String>>) {
    each_line(err, |line| {
        let mut lines = kept.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push_back(line.clone());
        if lines.len() > KEPT_LINES {
            lines.pop_front();
        }
        drop(lines);
        // goes on when the engine is through, so that the worker is not blocked by a full pipe
        let _ = said.send(Said::Complaint(number, line));
        true
    });
}

/// Calls for every line that is not blank, without its end; longer lines than [`LONGEST_LINE`]
/// come in pieces, and what is no UTF-8 is replaced.
fn each_line(from: impl Read, mut call: impl FnMut(String) -> bool) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut from).take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if !text.is_empty() && !call(text) {
                    return;
                }
            }
        }
    }
}
