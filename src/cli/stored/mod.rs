//! Stored hidden states as layers to compare: found, held against each other, and read by rows.

mod error;
mod select;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;

use crate::analysis::features::Features;
use crate::analysis::similarity::pairs::Layers;
use crate::error::Failure;
use crate::runs::representations::{Manifest, Representations, Site};

pub(super) use error::Error;

/// One side: a manifest and the places that were asked for.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub(super) manifest: Manifest,
    /// Places by number.
    pub(super) sites: Vec<usize>,
}

impl Chosen {
    /// Finds what was typed, and the places of it.
    ///
    /// # Errors
    /// No such representation, or no such place.
    pub(super) fn find(stored: &Representations, typed: &str, sites: &str) -> Result<Self, Failure> {
        let manifest = stored.find(typed)?;
        let sites = select::sites(&manifest, sites)?;
        Ok(Self { manifest, sites })
    }

    /// The places, in order.
    pub(super) fn each(&self) -> impl Iterator<Item = &Site> {
        self.sites.iter().map(|&at| &self.manifest.sites[at])
    }

    /// Layers of the model, as far as they are stored.
    pub(super) fn layers(&self) -> usize {
        self.manifest.sites.iter().filter_map(|site| site.layer).max().map_or(0, |last| last + 1)
    }
}

/// Refuses sides whose rows are not the same examples in the same order.
///
/// # Errors
/// [`Error::OtherExamples`], which says what differs.
pub(super) fn same_examples(first: &Manifest, second: &Manifest) -> Result<(), Failure> {
    let what = if first.task != second.task {
        format!("tasks `{}` and `{}`", first.task, second.task)
    } else if first.data_hash != second.data_hash {
        format!("data of `{}` with different hashes", first.task)
    } else if first.split != second.split {
        format!("splits `{}` and `{}`", first.split, second.split)
    } else if first.n != second.n {
        format!("{} and {} examples", first.n, second.n)
    } else if first.example_ids != second.example_ids {
        "as many, but other examples".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::OtherExamples { first: first.name(), second: second.name(), what }.into())
}

/// Where the numbers of a layer are.
#[derive(Debug)]
enum Held {
    Memory(Vec<f32>),
    /// The file was checked when it was opened; its numbers begin at this byte.
    File {
        path: PathBuf,
        offset: u64,
    },
}

/// Layers of one or two sides, one after the other.
#[derive(Debug)]
pub(super) struct Stored {
    rows: usize,
    layers: Vec<(usize, Held)>,
}

impl Stored {
    /// Reads and checks all places, and keeps as many in memory as fit into `memory` bytes.
    ///
    /// # Errors
    /// A file that is absent or is not the one that was written.
    pub(super) fn open(
        stored: &Representations,
        sides: &[&Chosen],
        memory: u64,
        stop: &dyn Fn() -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let (mut left, mut layers) = (memory, Vec::new());
        for side in sides {
            let opened = stored.open(&side.manifest);
            for &at in &side.sites {
                stop()?;
                let site = &side.manifest.sites[at];
                let values = opened.read(at)?;
                let bytes = size_of_val(values.as_slice()) as u64;
                let held = if bytes <= left {
                    left -= bytes;
                    Held::Memory(values)
                } else {
                    let path = stored.folder().join(&side.manifest.key).join(&site.file);
                    let size = std::fs::metadata(&path).map_err(|cause| Error::read(&path, cause))?.len();
                    Held::File { offset: size.saturating_sub(bytes), path }
                };
                layers.push((site.width, held));
            }
        }
        Ok(Self { rows: sides.first().map_or(0, |side| side.manifest.n), layers })
    }

    /// These rows of a layer.
    ///
    /// # Errors
    /// As [`Layers::read`].
    pub(super) fn features(&self, layer: usize, rows: Option<&[usize]>) -> Result<Features, Failure> {
        let (columns, values) = (self.columns(layer), self.read(layer, 0..self.rows)?);
        let whole = Features { rows: self.rows, columns, values };
        Ok(rows.map_or_else(|| whole.clone(), |rows| whole.select(rows)))
    }
}

impl Layers for Stored {
    type Error = Failure;

    fn len(&self) -> usize {
        self.layers.len()
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self, layer: usize) -> usize {
        self.layers[layer].0
    }

    fn read(&self, layer: usize, rows: Range<usize>) -> Result<Vec<f32>, Failure> {
        let (columns, held) = &self.layers[layer];
        match held {
            Held::Memory(values) => Ok(values[rows.start * columns..rows.end * columns].to_vec()),
            Held::File { path, offset } => {
                let work = || -> std::io::Result<Vec<f32>> {
                    let mut file = File::open(path)?;
                    file.seek(SeekFrom::Start(offset + (rows.start * columns * size_of::<f32>()) as u64))?;
                    let mut bytes = vec![0; rows.len() * columns * size_of::<f32>()];
                    file.read_exact(&mut bytes)?;
                    Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
                };
                work().map_err(|cause| Error::read(path, cause).into())
            }
        }
    }
}
