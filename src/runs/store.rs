//! The layout of an output directory, and every write below its `runs/`:
//!
//! ```text
//! runs/<cell>/           a finished run: run.json, history.parquet, predictions.parquet,
//!                        model.safetensors if asked for; appears by one rename, never rewritten
//! runs/failed/<cell>.json   the last failure of a cell that has no result
//! runs/damaged/<cell>.N/    what was found in a run's place and is no run, moved aside
//! runs/.work/<cell>/     checkpoints of a running cell
//! runs/.staged/<cell>/   a run being written
//! runs/.locks/<cell>.{lease,claim}
//! ```
//!
//! Any number of processes may use one directory; see [`super::lease`].

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::parquet::{self, HistoryRow, TaskPredictions};
use super::record::{RunRecord, SCHEMA_VERSION, Status};
use super::{Checkpoints, Claim, Error, Lease, atomic};

/// The runs of one output directory.
#[derive(Clone, Debug)]
pub struct Store {
    runs: PathBuf,
}

/// What is known of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CellState {
    /// Nothing.
    Absent,
    /// Its run is finished (perhaps by a newer program).
    Done,
    /// Its last attempt failed, for this reason.
    Failed(String),
    /// There is something in its place that is no run, for this reason.
    Damaged(String),
}

/// Writes a file's content.
pub type Writer<'a> = dyn Fn(&mut dyn Write) -> io::Result<()> + 'a;

/// Everything that a finished run consists of.
pub struct FinishedRun<'a> {
    /// `run.json`.
    pub record: &'a RunRecord,
    /// `history.parquet`.
    pub history: &'a [HistoryRow],
    /// `predictions.parquet`.
    pub predictions: &'a [TaskPredictions],
    /// Writes `model.safetensors`.
    pub model: Option<&'a Writer<'a>>,
}

/// A run that is written and flushed, but does not stand in its place yet.
#[derive(Debug)]
#[must_use = "a staged run counts for nothing until it is committed"]
pub struct Staged<'a> {
    store: &'a Store,
    claim: &'a Claim,
    folder: PathBuf,
}

impl Store {
    /// Opens an output directory for writing, making it where it is absent. A file is written and
    /// removed again, so that an unwritable place or a full disk is named before any work.
    ///
    /// # Errors
    /// [`Error::Unwritable`], [`Error::DiskFull`] and other refusals of the file system.
    pub fn open(outputs: &Path) -> Result<Self, Error> {
        let store = Self::at(outputs);
        for folder in ["failed", ".work", ".staged", ".locks"] {
            let folder = store.runs.join(folder);
            fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        }
        let probe = store.runs.join(format!(".probe.{}", std::process::id()));
        let written = atomic::write_new(&probe, |out| out.write_all(&[0; 4096]));
        let removed = fs::remove_file(&probe).map_err(|e| Error::io("remove", &probe, e));
        written.and(removed)?;
        Ok(store)
    }

    /// An output directory to be read; nothing is made.
    pub fn at(outputs: &Path) -> Self {
        Self { runs: outputs.join("runs") }
    }

    /// Where the runs stand.
    pub fn folder(&self) -> &Path {
        &self.runs
    }

    /// Where a cell's run stands or will stand.
    pub fn run_folder(&self, cell: &str) -> PathBuf {
        self.runs.join(cell)
    }

    /// What is known of a cell.
    ///
    /// # Errors
    /// Refusals of the file system other than absence.
    pub fn state(&self, cell: &str) -> Result<CellState, Error> {
        check_id(cell)?;
        if self.run_folder(cell).exists() {
            return match self.read(cell) {
                Ok(_) | Err(Error::Newer { .. }) => Ok(CellState::Done),
                Err(Error::Io { source, .. }) if source.kind() != io::ErrorKind::NotFound => {
                    Err(Error::io("read", &self.run_folder(cell), source))
                }
                Err(damage) => Ok(CellState::Damaged(damage.to_string())),
            };
        }
        let path = self.failure_path(cell);
        match read_record(&path) {
            Ok(RunRecord { status: Status::Failed { reason, .. }, .. }) => Ok(CellState::Failed(reason)),
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(CellState::Absent)
            }
            Ok(_) => Ok(CellState::Failed("unknown".into())),
            Err(unreadable) => Ok(CellState::Failed(unreadable.to_string())),
        }
    }

    /// Whether the cell's run is finished.
    ///
    /// # Errors
    /// As [`Store::state`].
    pub fn is_done(&self, cell: &str) -> Result<bool, Error> {
        Ok(self.state(cell)? == CellState::Done)
    }

    /// Whether the cell's run kept its weights.
    pub fn has_model(&self, cell: &str) -> bool {
        self.run_folder(cell).join("model.safetensors").is_file()
    }

    /// Takes a cell for this engine, or `None` while another one has it.
    ///
    /// # Errors
    /// [`Error::NoLocks`] and refusals of the file system.
    pub fn lease(&self, cell: &str) -> Result<Option<Lease>, Error> {
        check_id(cell)?;
        Lease::take(&self.runs.join(".locks").join(format!("{cell}.lease")), cell)
    }

    /// Takes the right to write a cell's outputs, or `None` while another process has it.
    ///
    /// # Errors
    /// [`Error::NoLocks`] and refusals of the file system.
    pub fn claim(&self, cell: &str) -> Result<Option<Claim>, Error> {
        check_id(cell)?;
        Claim::take(&self.runs.join(".locks").join(format!("{cell}.claim")), cell)
    }

    /// Takes that right as soon as it is free, for at most so long: the worker of an engine that was
    /// killed needs a moment to notice.
    ///
    /// # Errors
    /// As [`Store::claim`].
    pub fn claim_within(&self, cell: &str, patience: Duration) -> Result<Option<Claim>, Error> {
        let since = Instant::now();
        loop {
            let claim = self.claim(cell)?;
            if claim.is_some() || since.elapsed() >= patience {
                return Ok(claim);
            }
            std::thread::sleep(Duration::from_millis(50).min(patience));
        }
    }

    /// The checkpoints of a claimed cell.
    ///
    /// # Errors
    /// Refusals of the file system.
    pub fn checkpoints(&self, claim: &Claim) -> Result<Checkpoints, Error> {
        Checkpoints::in_folder(self.work_folder(claim.cell()))
    }

    /// Writes a finished run beside its place and flushes it to the disk.
    ///
    /// # Errors
    /// A record that contradicts itself or the claim, parts that do not fit together, a full disk;
    /// nothing is left behind then.
    pub fn stage<'a>(&'a self, claim: &'a Claim, run: &FinishedRun<'_>) -> Result<Staged<'a>, Error> {
        if run.record.cell != claim.cell() || run.record.status != Status::Done {
            let reason = format!("its record is of `{}`, {:?}", run.record.cell, run.record.status);
            return Err(Error::Inconsistent { cell: claim.cell().into(), reason });
        }
        run.record.check()?;
        let folder = self.runs.join(".staged").join(claim.cell());
        // what a killed process left: the claim says that nobody is writing it
        remove_folder(&folder)?;
        fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        if let Err(failed) = write_parts(&folder, run) {
            remove_folder(&folder)?;
            return Err(failed);
        }
        Ok(Staged { store: self, claim, folder })
    }

    /// Stages a finished run and commits it.
    ///
    /// # Errors
    /// As [`Store::stage`] and [`Staged::commit`].
    pub fn publish(&self, claim: &Claim, run: &FinishedRun<'_>) -> Result<bool, Error> {
        self.stage(claim, run)?.commit()
    }

    /// Keeps the reason why a cell has no result; the next command tries it again.
    ///
    /// # Errors
    /// A record without a failure or of another cell, and refusals of the file system.
    pub fn record_failure(&self, lease: &Lease, record: &RunRecord) -> Result<(), Error> {
        if record.cell != lease.cell() || record.status == Status::Done {
            let reason = format!("its failure is of `{}`, {:?}", record.cell, record.status);
            return Err(Error::Inconsistent { cell: lease.cell().into(), reason });
        }
        record.check()?;
        atomic::replace(&self.failure_path(&record.cell), |out| write_json(out, record))
    }

    /// The record of a finished run.
    ///
    /// # Errors
    /// An absent or damaged run, or one of a newer program.
    pub fn read(&self, cell: &str) -> Result<RunRecord, Error> {
        check_id(cell)?;
        let path = self.run_folder(cell).join("run.json");
        let record = read_record(&path)?;
        if record.cell != cell {
            return Err(Error::malformed(
                &path,
                format!("it is the run `{}`, expected `{cell}`", record.cell),
            ));
        }
        record.check().map_err(|e| Error::malformed(&path, e))?;
        if record.status != Status::Done {
            return Err(Error::malformed(&path, "it is a failure, expected a finished run"));
        }
        Ok(record)
    }

    /// The history of a finished run.
    ///
    /// # Errors
    /// As [`parquet::read_history`].
    pub fn history(&self, cell: &str) -> Result<Vec<HistoryRow>, Error> {
        parquet::read_history(&self.run_folder(cell).join("history.parquet"))
    }

    /// The predictions of a finished run.
    ///
    /// # Errors
    /// As [`parquet::read_predictions`].
    pub fn predictions(&self, cell: &str) -> Result<Vec<TaskPredictions>, Error> {
        parquet::read_predictions(&self.run_folder(cell).join("predictions.parquet"))
    }

    /// Ids in the places of runs, finished or damaged, sorted.
    ///
    /// # Errors
    /// Refusals of the file system; an absent directory has no runs.
    pub fn cells(&self) -> Result<Vec<String>, Error> {
        let mut names = list(&self.runs)?;
        names.retain(|name| check_id(name).is_ok());
        Ok(names)
    }

    /// The last failures of the cells that have no result, by id; unreadable ones as errors.
    ///
    /// # Errors
    /// Refusals of the file system when listing.
    pub fn failures(&self) -> Result<Vec<Result<RunRecord, Error>>, Error> {
        let folder = self.runs.join("failed");
        let names = list(&folder)?;
        let records =
            names.iter().filter(|name| name.strip_suffix(".json").is_some_and(|id| check_id(id).is_ok()));
        Ok(records.map(|name| read_record(&folder.join(name))).collect())
    }

    /// The run that the first characters of an id stand for.
    ///
    /// # Errors
    /// [`Error::UnknownRun`] and [`Error::AmbiguousRun`].
    pub fn resolve(&self, prefix: &str) -> Result<String, Error> {
        let mut matches = self.cells()?;
        matches.retain(|cell| cell.starts_with(prefix) && !prefix.is_empty());
        match matches.len() {
            0 => Err(Error::UnknownRun { prefix: prefix.into(), path: self.runs.clone() }),
            1 => Ok(matches.remove(0)),
            _ => Err(Error::AmbiguousRun { prefix: prefix.into(), matches }),
        }
    }

    fn work_folder(&self, cell: &str) -> PathBuf {
        self.runs.join(".work").join(cell)
    }

    fn failure_path(&self, cell: &str) -> PathBuf {
        self.runs.join("failed").join(format!("{cell}.json"))
    }

    fn move_aside(&self, cell: &str) -> Result<(), Error> {
        let folder = self.runs.join("damaged");
        fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        let mut number = 1;
        let mut place = folder.join(format!("{cell}.{number}"));
        while place.exists() {
            number += 1;
            place = folder.join(format!("{cell}.{number}"));
        }
        fs::rename(self.run_folder(cell), &place).map_err(|e| Error::io("move", &self.run_folder(cell), e))
    }
}

impl Staged<'_> {
    /// Puts the run into its place, unless a finished run stands there already: that one stays, and
    /// the answer is `false`. Checkpoints and old failures of the cell are removed.
    ///
    /// # Errors
    /// Refusals of the file system.
    pub fn commit(self) -> Result<bool, Error> {
        let (store, cell) = (self.store, self.claim.cell());
        let place = store.run_folder(cell);
        let before = store.state(cell)?;
        let new = before != CellState::Done;
        if let CellState::Damaged(_) = before {
            store.move_aside(cell)?;
        }
        if new {
            fs::rename(&self.folder, &place).map_err(|e| Error::io("write", &place, e))?;
            atomic::sync_folder(&store.runs)?;
        } else {
            remove_folder(&self.folder)?;
        }
        remove_folder(&store.work_folder(cell))?;
        match fs::remove_file(store.failure_path(cell)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", &store.failure_path(cell), e))
            }
            _ => Ok(new),
        }
    }
}

/// Ids are hexadecimal digits, so that they are safe as names of files.
fn check_id(cell: &str) -> Result<(), Error> {
    let digits = cell.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if digits && (1..=64).contains(&cell.len()) { Ok(()) } else { Err(Error::BadId(cell.into())) }
}

fn write_parts(folder: &Path, run: &FinishedRun<'_>) -> Result<(), Error> {
    let cell = &run.record.cell;
    let misfit =
        |e: polars::prelude::PolarsError| Error::Inconsistent { cell: cell.clone(), reason: e.to_string() };
    let mut history = parquet::history_frame(run.history).map_err(misfit)?;
    let mut predictions = parquet::predictions_frame(run.predictions).map_err(misfit)?;
    for (table, frame) in [("history", &mut history), ("predictions", &mut predictions)] {
        let path = folder.join(format!("{table}.parquet"));
        // in memory first, so that a full disk is the system's own error and not one about parquet
        let mut bytes = Vec::new();
        parquet::write(frame, table, &mut bytes).map_err(misfit)?;
        atomic::write_new(&path, |out| out.write_all(&bytes))?;
    }
    if let Some(model) = run.model {
        atomic::write_new(&folder.join("model.safetensors"), |out| model(out))?;
    }
    atomic::write_new(&folder.join("run.json"), |out| write_json(out, run.record))?;
    atomic::sync_folder(folder)
}

fn write_json(out: &mut impl Write, record: &RunRecord) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, record)?;
    out.write_all(b"\n")
}

fn read_record(path: &Path) -> Result<RunRecord, Error> {
    #[derive(serde::Deserialize)]
    struct Header {
        schema_version: u32,
    }
    let text = fs::read(path).map_err(|e| Error::io("read", path, e))?;
    let header: Header = serde_json::from_slice(&text).map_err(|e| Error::malformed(path, e))?;
    if header.schema_version > SCHEMA_VERSION {
        let (path, found) = (path.to_path_buf(), header.schema_version);
        return Err(Error::Newer { path, found, known: SCHEMA_VERSION });
    }
    serde_json::from_slice(&text).map_err(|e| Error::malformed(path, e))
}

fn list(folder: &Path) -> Result<Vec<String>, Error> {
    let failed = |e| Error::io("read", folder, e);
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

fn remove_folder(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", folder, e)),
        _ => Ok(()),
    }
}
