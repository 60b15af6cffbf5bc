//! `journal.jsonl`: what happened in a study, one event a line, only ever appended to. Several
//! processes may append; each line is one write. A kill can tear the last line of a process; it is
//! named when reading, and the next process starts a new one.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::event::SCHEMA_VERSION;
use super::{SweepEvent, WorkerEvent};
use crate::runs::{Error, clock};

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// RFC 3339 in UTC.
    pub time: String,
    /// Process that wrote it.
    pub process: u32,
    /// Version of the events.
    pub schema_version: u32,
    /// What happened.
    #[serde(flatten)]
    pub event: SweepEvent,
}

/// A line that is no entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// From 1.
    pub line: usize,
    /// Why it cannot be read.
    pub reason: String,
}

/// A journal that is being appended to.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens a journal, making it and its folder where they are absent.
    ///
    /// # Errors
    /// Refusals of the file system.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        }
        let opened = OpenOptions::new().create(true).read(true).append(true).open(path);
        let mut file = opened.map_err(|e| Error::io("write", path, e))?;
        let closed = ends_with_newline(&mut file).map_err(|e| Error::io("read", path, e))?;
        if !closed {
            file.write_all(b"\n").map_err(|e| Error::io("write", path, e))?;
        }
        Ok(Self { path: path.to_path_buf(), file })
    }

    /// Appends an event, unless it is one of the many steps; ends of cells are flushed to the disk.
    ///
    /// # Errors
    /// Refusals of the file system.
    pub fn append(&mut self, event: &SweepEvent) -> Result<(), Error> {
        if matches!(event, SweepEvent::Worker(WorkerEvent::Step { .. })) {
            return Ok(());
        }
        let entry = Entry {
            time: clock::now(),
            process: std::process::id(),
            schema_version: SCHEMA_VERSION,
            event: event.clone(),
        };
        let mut line = serde_json::to_string(&entry).expect("events have string keys");
        line.push('\n');
        let mut written = self.file.write_all(line.as_bytes());
        if matches!(event, SweepEvent::CellDone { .. } | SweepEvent::CellFailed { .. }) {
            written = written.and_then(|()| self.file.sync_data());
        }
        written.map_err(|e| Error::io("write", &self.path, e))
    }
}

/// Reads a journal: its entries in order, and the lines that are none.
///
/// # Errors
/// Refusals of the file system.
pub fn read(path: &Path) -> Result<(Vec<Entry>, Vec<Torn>), Error> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    let (mut entries, mut torn) = (Vec::new(), Vec::new());
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(entry) => entries.push(entry),
            Err(error) => torn.push(Torn { line: at + 1, reason: error.to_string() }),
        }
    }
    Ok((entries, torn))
}

fn ends_with_newline(file: &mut File) -> std::io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_torn_anywhere_costs_itself_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("study").join("journal.jsonl");
        let started = SweepEvent::SweepStarted { cells: 3, done: 0 };
        let done = SweepEvent::SweepDone { done: 3, failed: 0, unfinished: 0 };
        Journal::open(&path).expect("opens").append(&started).expect("appends");
        let line = std::fs::read(&path).expect("reads");
        for cut in 1..line.len() {
            std::fs::write(&path, [&line[..], &line[..cut]].concat()).expect("writes");
            let (entries, torn) = read(&path).expect("reads");
            // the last cut only lacks the newline
            let whole = usize::from(cut == line.len() - 1);
            assert_eq!((entries.len(), torn.len()), (1 + whole, 1 - whole), "cut at {cut}");
            Journal::open(&path).expect("opens").append(&done).expect("appends");
            let (entries, _) = read(&path).expect("reads");
            assert_eq!(entries.last().map(|entry| &entry.event), Some(&done), "cut at {cut}");
        }
    }

    #[test]
    fn steps_are_not_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal.jsonl");
        let step =
            WorkerEvent::Step { cell: "ab".into(), step: 1, total: 2, loss: 1.0, tokens_per_second: 1.0 };
        Journal::open(&path).expect("opens").append(&SweepEvent::Worker(step)).expect("appends");
        assert_eq!(read(&path).expect("reads"), (Vec::new(), Vec::new()));
    }
}
