//! A training's state as bytes, and back: little-endian, with a version and a hash, read as hostile.
//!
//! ```text
//! magic      8 bytes   "pifi-ckp"
//! version    u32       1
//! header     u64       its length, then JSON: counters, members, epochs
//! history    S f64 learning rates, S u64 tokens, S*K f64 losses, S*K f64 gradient norms
//! arenas     K*P f32 each: values, first moments, second moments, best values if there are any
//! digest     32 bytes  SHA-256 of all before it
//! ```

use std::io::{Read, Write};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::state::MemberState;
use super::{EpochRecord, Error, History, Moments, State};
use crate::device::Device;
use crate::nn::{Arena, Layout};

const MAGIC: [u8; 8] = *b"pifi-ckp";
const VERSION: u32 = 1;
/// A header holds a few numbers a member and epoch; longer ones are not read.
const LONGEST_HEADER: u64 = 64 << 20;
/// Bytes that are converted or read at once.
const PIECE: usize = 1 << 16;

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    fingerprint: String,
    step: u64,
    epoch: u32,
    batch: usize,
    parameters: usize,
    loss_sums: Vec<f64>,
    members: Vec<MemberState>,
    has_best: bool,
    epochs: Vec<EpochRecord>,
}

impl State {
    /// Writes all of it; a state that is read back goes on to the same bits.
    ///
    /// # Errors
    /// [`Error::Io`] when the bytes cannot be written.
    pub fn write(&self, to: &mut dyn Write) -> Result<(), Error> {
        let header = Header {
            fingerprint: self.fingerprint.clone(),
            step: self.step,
            epoch: self.epoch,
            batch: self.batch,
            parameters: self.layout().len(),
            loss_sums: self.loss_sums.clone(),
            members: self.members.clone(),
            has_best: self.best.is_some(),
            epochs: self.history.epochs.clone(),
        };
        let header = serde_json::to_vec(&header).map_err(std::io::Error::from)?;
        let mut to = Hashing { inner: to, hash: Sha256::new() };
        to.write_all(&MAGIC)?;
        to.write_all(&VERSION.to_le_bytes())?;
        to.write_all(&(header.len() as u64).to_le_bytes())?;
        to.write_all(&header)?;
        let history = &self.history;
        write_numbers(&mut to, &history.learning_rates, f64::to_le_bytes)?;
        write_numbers(&mut to, &history.tokens, u64::to_le_bytes)?;
        write_numbers(&mut to, &history.losses, f64::to_le_bytes)?;
        write_numbers(&mut to, &history.gradient_norms, f64::to_le_bytes)?;
        for arena in [&self.values, &self.moments.first, &self.moments.second].into_iter().chain(&self.best) {
            write_numbers(&mut to, &arena.read_all(), f32::to_le_bytes)?;
        }
        let digest = to.hash.clone().finalize();
        to.write_all(&digest)?;
        Ok(to.flush()?)
    }

    /// All of it in memory.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes).expect("memory can be written and the state holds finite counters");
        bytes
    }

    /// Reads what [`State::write`] wrote for a run of this layout and number of members. Memory
    /// grows with what is really there, not with what the bytes claim.
    ///
    /// # Errors
    /// [`Error::Format`], [`Error::Damaged`] and [`Error::Io`]. Whether it is the right run is the
    /// trainer's to say.
    pub fn read(
        from: &mut dyn Read,
        device: Device,
        layout: &Arc<Layout>,
        members: usize,
    ) -> Result<Self, Error> {
        let mut from = Hashing { inner: from, hash: Sha256::new() };
        if take::<8>(&mut from)? != MAGIC {
            return Err(damaged("it does not begin as a checkpoint"));
        }
        let version = u32::from_le_bytes(take(&mut from)?);
        if version != VERSION {
            return Err(Error::Format { found: version, expected: VERSION });
        }
        let header = read_header(&mut from, layout, members)?;
        let steps = usize::try_from(header.step).map_err(|_| damaged("it counts too many steps"))?;
        let cells = steps.checked_mul(members).ok_or_else(|| damaged("it counts too many steps"))?;
        let history = History {
            learning_rates: read_numbers(&mut from, steps, f64::from_le_bytes)?,
            tokens: read_numbers(&mut from, steps, u64::from_le_bytes)?,
            losses: read_numbers(&mut from, cells, f64::from_le_bytes)?,
            gradient_norms: read_numbers(&mut from, cells, f64::from_le_bytes)?,
            epochs: header.epochs,
        };
        let mut arena = || -> Result<Arena, Error> {
            let numbers = read_numbers(&mut from, layout.len() * members, f32::from_le_bytes)?;
            Ok(Arena::from_numbers(device, Arc::clone(layout), members, numbers))
        };
        let values = arena()?;
        let moments = Moments { first: arena()?, second: arena()? };
        let best = if header.has_best { Some(arena()?) } else { None };
        let digest: [u8; 32] = from.hash.clone().finalize().into();
        if take::<32>(&mut from)? != digest {
            return Err(damaged("its hash does not fit its bytes"));
        }
        if from.read(&mut [0])? != 0 {
            return Err(damaged("bytes follow its end"));
        }
        Ok(Self {
            fingerprint: header.fingerprint,
            step: header.step,
            epoch: header.epoch,
            batch: header.batch,
            loss_sums: header.loss_sums,
            members: header.members,
            values,
            moments,
            best,
            history,
        })
    }

    /// [`State::read`] from memory.
    ///
    /// # Errors
    /// As there.
    pub fn from_bytes(
        mut bytes: &[u8],
        device: Device,
        layout: &Arc<Layout>,
        members: usize,
    ) -> Result<Self, Error> {
        Self::read(&mut bytes, device, layout, members)
    }
}

fn damaged(what: impl Into<String>) -> Error {
    Error::Damaged { what: what.into() }
}

fn read_header(from: &mut impl Read, layout: &Layout, members: usize) -> Result<Header, Error> {
    let len = u64::from_le_bytes(take(from)?);
    if len > LONGEST_HEADER {
        return Err(damaged(format!("its header claims {len} bytes")));
    }
    let bytes = read_numbers(from, len as usize, |byte: [u8; 1]| byte[0])?;
    let header: Header =
        serde_json::from_slice(&bytes).map_err(|error| damaged(format!("its header: {error}")))?;
    let found = [header.members.len(), header.loss_sums.len(), header.parameters];
    if found != [members, members, layout.len()] {
        return Err(damaged(format!(
            "it holds {} members of {} parameters, not {members} of {}",
            found[0],
            found[2],
            layout.len()
        )));
    }
    let whole = |epoch: &EpochRecord| epoch.train_loss.len() == members && epoch.validation.len() == members;
    if header.epochs.len() != header.epoch as usize || !header.epochs.iter().all(whole) {
        return Err(damaged("its epochs are not whole"));
    }
    Ok(header)
}

/// Passes bytes through and hashes them.
struct Hashing<T> {
    inner: T,
    hash: Sha256,
}

impl Write for Hashing<&mut dyn Write> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl Read for Hashing<&mut dyn Read> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.hash.update(&bytes[..read]);
        Ok(read)
    }
}

fn write_numbers<T: Copy, const N: usize>(
    to: &mut impl Write,
    numbers: &[T],
    bytes: fn(T) -> [u8; N],
) -> std::io::Result<()> {
    let mut piece = Vec::with_capacity(PIECE);
    for numbers in numbers.chunks(PIECE / N) {
        piece.clear();
        piece.extend(numbers.iter().flat_map(|&number| bytes(number)));
        to.write_all(&piece)?;
    }
    Ok(())
}

fn read_numbers<T, const N: usize>(
    from: &mut impl Read,
    count: usize,
    number: fn([u8; N]) -> T,
) -> Result<Vec<T>, Error> {
    let mut numbers = Vec::new();
    let mut piece = vec![0; PIECE / N * N];
    while numbers.len() < count {
        let bytes = (count - numbers.len()).min(PIECE / N) * N;
        fill(from, &mut piece[..bytes])?;
        let (whole, _) = piece[..bytes].as_chunks::<N>();
        numbers.extend(whole.iter().map(|&bytes| number(bytes)));
    }
    Ok(numbers)
}

fn take<const N: usize>(from: &mut impl Read) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    fill(from, &mut bytes)?;
    Ok(bytes)
}

fn fill(from: &mut impl Read, bytes: &mut [u8]) -> Result<(), Error> {
    from.read_exact(bytes).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => damaged("it ends early"),
        _ => Error::Io(error),
    })
}
