//! Event files against golden bytes, and read back by a decoder that shares nothing with the writer:
//! a bitwise checksum and a general reader of protobuf.

use super::super::scalars::tests::run;
use super::*;

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// engines.md, section 6.2: check value and golden bytes.
#[test]
fn checksums_and_records_have_the_published_bytes() {
    assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    let point = Point { key: "train/loss".into(), value: 1.0, step: 0, time: 1_700_000_000_000 };
    assert_eq!(
        hex(&file(1_700_000_000_000, &[point])),
        "1a00000000000000129bd82d0900000040fc54d94110001a0d627261696e2e4576656e743a32e6773e1a\
         200000000000000029eda9500900000040fc54d94110002a130a110a0a747261696e2f6c6f7373150000803fd2e60ab7"
    );
}

/// The checksum bit by bit.
fn slow_checksum(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        for bit in 0..8 {
            let carry = (crc ^ u32::from(byte >> bit)) & 1;
            crc >>= 1;
            if carry == 1 {
                crc ^= 0x82F6_3B78;
            }
        }
    }
    crc = !crc;
    crc.rotate_right(15).wrapping_add(0xA282_EAD8)
}

enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (head, rest) = bytes.split_at(N);
    *bytes = rest;
    head.try_into().unwrap()
}

fn number(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for place in 0.. {
        let [byte] = take(bytes);
        value |= u64::from(byte & 0x7F) << (7 * place);
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// Any message as (field number, content).
fn message(mut bytes: &[u8]) -> Vec<(u64, Field)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes);
        let content = match key & 7 {
            0 => Field::Number(number(&mut bytes)),
            1 => Field::Number(u64::from_le_bytes(take(&mut bytes))),
            2 => {
                let length = number(&mut bytes) as usize;
                let (head, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(head.to_vec())
            }
            5 => Field::Number(u64::from(u32::from_le_bytes(take(&mut bytes)))),
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, content));
    }
    fields
}

fn bytes_of(fields: &[(u64, Field)], wanted: u64) -> Option<&[u8]> {
    fields.iter().find_map(|(number, field)| match field {
        Field::Bytes(bytes) if *number == wanted => Some(bytes.as_slice()),
        _ => None,
    })
}

fn number_of(fields: &[(u64, Field)], wanted: u64) -> Option<u64> {
    fields.iter().find_map(|(number, field)| match field {
        Field::Number(value) if *number == wanted => Some(*value),
        _ => None,
    })
}

/// (key, step, seconds, value) of every scalar.
fn decode(mut bytes: &[u8]) -> Vec<(String, u64, f64, f32)> {
    let mut scalars = Vec::new();
    let mut first = true;
    while !bytes.is_empty() {
        let length: [u8; 8] = take(&mut bytes);
        assert_eq!(u32::from_le_bytes(take(&mut bytes)), slow_checksum(&length));
        let (payload, rest) = bytes.split_at(u64::from_le_bytes(length) as usize);
        bytes = rest;
        assert_eq!(u32::from_le_bytes(take(&mut bytes)), slow_checksum(payload));
        let event = message(payload);
        if std::mem::take(&mut first) {
            assert_eq!(bytes_of(&event, 3), Some(&b"brain.Event:2"[..]));
            continue;
        }
        let summary = message(bytes_of(&event, 5).unwrap());
        let value = message(bytes_of(&summary, 1).unwrap());
        scalars.push((
            String::from_utf8(bytes_of(&value, 1).unwrap().to_vec()).unwrap(),
            number_of(&event, 2).unwrap(),
            f64::from_bits(number_of(&event, 1).unwrap()),
            f32::from_bits(number_of(&value, 2).unwrap() as u32),
        ));
    }
    scalars
}

#[test]
fn a_written_run_reads_back_point_by_point() {
    let folder = tempfile::tempdir().unwrap();
    let run = run("3fa8c0d1e5", 7, 300);
    let (path, outcome) = write(folder.path(), &run, 0).unwrap();
    assert_eq!(outcome, Outcome::Written);
    let below = path.strip_prefix(folder.path()).unwrap();
    let expected = "home/layer-07/seed-1-3fa8c0d1/events.out.tfevents.1767225600.pifi-probe.3fa8c0d1e5";
    assert_eq!(below, Path::new(expected));
    let found = decode(&std::fs::read(&path).unwrap());
    let expected = points(&run, 0).unwrap();
    assert_eq!(found.len(), expected.len());
    for ((key, step, seconds, value), point) in found.into_iter().zip(expected) {
        assert_eq!((key, step, value), (point.key, point.step, point.value as f32));
        assert_eq!(seconds, point.time as f64 / 1000.0);
    }
}

#[test]
fn writing_again_changes_nothing_and_a_half_written_file_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let run = run("ab", 3, 4);
    let (path, _) = write(folder.path(), &run, 0).unwrap();
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(write(folder.path(), &run, 0).unwrap(), (path.clone(), Outcome::Present));
    std::fs::write(&path, &whole[..20]).unwrap();
    assert_eq!(write(folder.path(), &run, 0).unwrap().1, Outcome::Written);
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn names_from_outside_stay_below_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = run("../../x", 3, 1);
    run.record.subject.task = "../../etc/passwd\0".into();
    let (path, _) = write(folder.path(), &run, 0).unwrap();
    let below = path.strip_prefix(folder.path()).unwrap().to_string_lossy().into_owned();
    assert!(below.starts_with("_.._etc_passwd_/layer-03/seed-1-_.._x/"), "{below}");
    assert!(path.components().all(|part| part.as_os_str() != ".."));
}
