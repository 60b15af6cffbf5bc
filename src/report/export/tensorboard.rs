//! Event files as TensorBoard reads them: records framed as TFRecord, each a protobuf message
//! `Event`, written by hand (engines.md, section 6.2). One directory and one file a run, so that
//! writing again replaces and never doubles.

use std::path::{Path, PathBuf};

use super::scalars::{Point, points, times};
use super::{Error, Outcome, Run};
use crate::runs::RunRecord;

/// Writes a run below `folder` and returns its file. A file that is there with the same content is
/// left alone.
///
/// # Errors
/// A record without readable times; a file or folder that cannot be written.
pub fn write(folder: &Path, run: &Run, most: usize) -> Result<(PathBuf, Outcome), Error> {
    let (started, _) = times(&run.record)?;
    let folder = folder.join(name(&run.record));
    let short: String = run.record.cell.chars().take(12).collect();
    let path = folder.join(format!("events.out.tfevents.{}.pifi-probe.{}", started / 1000, word(&short)));
    let bytes = file(started, &points(run, most)?);
    if std::fs::read(&path).is_ok_and(|found| found == bytes) {
        return Ok((path, Outcome::Present));
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    std::fs::create_dir_all(&folder).map_err(failed(&folder))?;
    // TensorBoard reads every file with `tfevents` in its name: the unfinished one has none
    let partial = folder.join(format!(".partial-{}", std::process::id()));
    let written = std::fs::write(&partial, &bytes)
        .map_err(failed(&partial))
        .and_then(|()| std::fs::rename(&partial, &path).map_err(failed(&path)));
    if written.is_err() {
        // the failure above is the one to report
        let _ = std::fs::remove_file(&partial);
    }
    written.map(|()| (path, Outcome::Written))
}

/// The run's directory, which is its name in TensorBoard: `sst2/layer-07/seed-1-3fa8c0d1`.
fn name(record: &RunRecord) -> PathBuf {
    let condition = match record.condition {
        crate::runs::Condition::Layer(layer) => format!("layer-{layer:02}"),
        crate::runs::Condition::Control(control) => control.name().to_owned(),
    };
    let short: String = record.cell.chars().take(8).collect();
    Path::new(&word(&record.subject.task)).join(condition).join(format!(
        "seed-{}-{}",
        record.seed.0,
        word(&short)
    ))
}

/// A text as one part of a path.
fn word(text: &str) -> String {
    let kept: String = text
        .chars()
        .take(100)
        .map(|letter| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '_' })
        .collect();
    let kept = kept.trim_start_matches('.');
    if kept.is_empty() { "_".to_owned() } else { kept.to_owned() }
}

/// A whole event file; `started` in milliseconds since 1970.
fn file(started: u64, points: &[Point]) -> Vec<u8> {
    let mut bytes = record(&event(started, 0, &field(3, b"brain.Event:2")));
    for point in points {
        let mut value = field(1, point.key.as_bytes());
        // field 2, four bytes
        value.push(0x15);
        value.extend((point.value as f32).to_le_bytes());
        let summary = field(1, &value);
        bytes.extend(record(&event(point.time, point.step, &field(5, &summary))));
    }
    bytes
}

/// The message `Event`: time, step and one more field.
fn event(milliseconds: u64, step: u64, rest: &[u8]) -> Vec<u8> {
    // field 1, eight bytes: seconds
    let mut bytes = vec![0x09];
    bytes.extend((milliseconds as f64 / 1000.0).to_le_bytes());
    // field 2, a number of variable length
    bytes.push(0x10);
    varint(step, &mut bytes);
    bytes.extend(rest);
    bytes
}

/// A field of bytes: its number with wire type 2, their length, they themselves.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    varint(content.len() as u64, &mut bytes);
    bytes.extend(content);
    bytes
}

fn varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A payload in its frame: length, its checksum, payload, its checksum.
fn record(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u64).to_le_bytes();
    let mut bytes = length.to_vec();
    bytes.extend(masked(&length).to_le_bytes());
    bytes.extend(payload);
    bytes.extend(masked(payload).to_le_bytes());
    bytes
}

/// The checksum as frames have it: rotated and shifted, so that a checksum of data that hold
/// checksums stays a good one.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// CRC-32C (Castagnoli), reflected.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(!0, |crc, byte| crc >> 8 ^ TABLE[((crc ^ u32::from(*byte)) & 0xFF) as usize])
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut value = at as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0x82F6_3B78 } else { value >> 1 };
            bit += 1;
        }
        table[at] = value;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests;
