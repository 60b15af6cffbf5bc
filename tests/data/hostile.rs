//! Files that are wrong: each gives one error with the file, the row, the value and what was
//! expected, and none makes the reader panic.

use std::fs;
use std::path::Path;

use pifi_probe::data::{self, Error, Limits, SplitFiles};
use pifi_probe::error::Diagnose;
use pifi_probe::seed::Seed;
use polars::prelude::{Column, DataFrame, ParquetWriter};

use crate::{load, named};

/// The error of one file, read as the catalogue's `sst2` or as a task without a catalogue name.
fn refusal(task: &str, file: &str, bytes: &[u8]) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file);
    fs::write(&path, bytes).unwrap();
    let error = load(&named(task, &path)).expect_err(file);
    let message = error.to_string();
    assert!(message.contains(file), "{message}");
    assert!(message.starts_with(|letter: char| !letter.is_uppercase()), "{message}");
    error
}

fn says(error: &Error, parts: &[&str]) {
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "`{message}` does not say `{part}`");
    }
    assert!(error.hint().is_some(), "`{message}` has no hint");
}

#[test]
fn an_unknown_label_is_named_with_its_row_and_the_known_ones() {
    let error =
        refusal("sst2", "a.jsonl", b"{\"text\": \"x\", \"label\": 1}\n{\"text\": \"y\", \"label\": 7}\n");
    says(&error, &["row 2", "unknown label `7`", "`0`", "`negative`", "`positive`"]);
    let error = refusal("sst2", "a.csv", b"text,label\nx,1\ny,99999999999999999999\n");
    says(&error, &["row 2", "99999999999999999999"]);
    let error = refusal("sst2", "a.jsonl", b"{\"text\": \"x\", \"label\": -1}\n");
    says(&error, &["row 1", "unknown label `-1`"]);
}

#[test]
fn missing_columns_are_answered_with_those_that_are_there() {
    let error = refusal("sst2", "a.csv", b"title,stars\nx,1\n");
    says(&error, &["looks like a label", "`title`, `stars`", "`label`"]);
    let error = refusal("mine", "a.jsonl", b"{\"words\": \"x\", \"label\": 1}\n");
    says(&error, &["looks like a text", "`words`"]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "text,label\nx,1\n").unwrap();
    let task = folder.path().join("a.toml");
    fs::write(&task, "text = \"body\"\nsource = { files = { train = \"a.csv\" } }\n").unwrap();
    says(&load(&task.display().to_string()).unwrap_err(), &["no column `body`", "`text`, `label`"]);
}

#[test]
fn empty_files_are_refused() {
    let packed = zstd::encode_all(&b""[..], 1).unwrap();
    for (file, bytes) in [
        ("a.csv", &b""[..]),
        ("b.csv", b"text,label\n"),
        ("c.jsonl", b"\n\n"),
        ("d.json", b"[]"),
        ("e.tsv", b"\n"),
        ("f.jsonl.zst", &packed),
    ] {
        assert!(matches!(refusal("mine", file, bytes), Error::Empty { .. }), "{file}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_found_by_row() {
    for (file, bytes, row) in [
        ("a.jsonl", &b"{\"text\": \"x\", \"label\": 1}\n{\"text\": \"\xff\", \"label\": 1}\n"[..], 2),
        ("b.csv", b"text,label\nx,1\ny,0\n\xe9t\xe9,1\n", 3),
        ("c.tsv", b"text\tlabel\n\xe9t\xe9\t1\n", 1),
        ("d.csv", b"text,label\n\"two\nlines\",1\nab\xff,0\n", 2),
    ] {
        let error = refusal("mine", file, bytes);
        assert!(matches!(&error, Error::NotUtf8 { row: found, .. } if *found == row), "{error}");
    }
}

#[test]
fn ragged_rows_are_found_by_row() {
    for (file, bytes, row, fields) in [
        ("a.csv", &b"text,label\nx,1\nno, quotes,1\n"[..], 2, 3),
        ("b.csv", b"text,label\n\"a, b\",1\nshort\n", 2, 1),
        ("c.tsv", b"text\tlabel\nx\t1\ta tab too many\n", 1, 3),
    ] {
        let error = refusal("mine", file, bytes);
        let found = matches!(&error, Error::Ragged { row: r, fields: f, expected: 2, .. } if (*r, *f) == (row, fields));
        assert!(found, "{error}");
        assert!(error.hint().is_some());
    }
    says(&refusal("mine", "d.csv", b"text,label\n\"never closed,1\nx,0\n"), &["row 1", "no end"]);
}

#[test]
fn wrong_values_are_found_by_row() {
    let error =
        refusal("mine", "a.jsonl", b"{\"text\": \"x\", \"label\": 1}\n{\"text\": null, \"label\": 1}\n");
    says(&error, &["row 2", "`text` is null"]);
    let error = refusal("mine", "a.jsonl", b"{\"text\": \"x\", \"label\": 1}\n{\"label\": 1}\n");
    says(&error, &["row 2", "`text` is null"]);
    let error = refusal("mine", "a.jsonl", b"{\"text\": 5, \"label\": 1}\n");
    assert!(error.to_string().contains("holds the number `5`, expected text"), "{error}");
    let error = refusal("mine", "a.jsonl", b"{\"text\": \"x\", \"label\": [1]}\n");
    assert!(error.to_string().contains("type an array, expected a whole number"), "{error}");
    let error = refusal("mine", "a.jsonl", b"{\"text\": \"x\", \"label\": 0.5}\n");
    assert!(error.to_string().contains("`0.5`"), "{error}");
    says(&refusal("mine", "a.jsonl", b"{\"text\": \"x\", \"label\": 1}\n{\"text\": \"y\"\n"), &["row 2"]);
    says(&refusal("mine", "a.jsonl", b"3\n"), &["row 1", "a number, expected an object"]);
    let mut deep = b"[".repeat(100_000);
    deep.push(b'\n');
    says(&refusal("mine", "a.jsonl", &deep), &["JSON"]);
}

#[test]
fn a_column_of_different_numbers_is_no_label() {
    let rows: Vec<String> = (0..2000).map(|row| format!("x,{row}")).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, format!("text,label\n{}\n", rows.join("\n"))).unwrap();
    says(&load(&named("mine", &path)).unwrap_err(), &["2000 different values", "2 to 1000"]);
    fs::write(&path, "text,label\nx,1\ny,1\n").unwrap();
    says(&load(&named("mine", &path)).unwrap_err(), &["1 different values"]);
}

#[test]
fn folders_and_splits_that_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = data::resolve(&named("mine", folder.path())).unwrap_err();
    says(&error, &["no training file"]);
    fs::write(folder.path().join("a.txt"), "x").unwrap();
    let error = data::resolve(&named("mine", &folder.path().join("a.txt"))).unwrap_err();
    assert!(matches!(error, Error::UnknownFormat { .. }), "{error}");
    assert!(matches!(data::resolve("mine=missing.csv"), Err(Error::NotFound { .. })));
    let hub = data::resolve("imdb").unwrap();
    let error = data::load(&hub, &SplitFiles::new(), Seed(1), Limits::default()).unwrap_err();
    assert!(error.to_string().contains("needs the split `train`"), "{error}");
    fs::write(folder.path().join("one.csv"), "text,label\nx,1\ny,0\n").unwrap();
    let error = load(&named("mine", &folder.path().join("one.csv"))).unwrap_err();
    assert!(matches!(error, Error::EmptySplit { split: "validation", .. }), "{error}");
}

fn parquet(path: &Path, rows: usize) -> Vec<u8> {
    let texts: Vec<String> = (0..rows).map(|row| format!("text number {row}")).collect();
    let labels: Vec<i64> = (0..rows as i64).map(|row| row % 2).collect();
    let columns = vec![Column::new("text".into(), texts), Column::new("label".into(), labels)];
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut DataFrame::new(rows, columns).unwrap()).unwrap();
    fs::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn damaged_files_are_errors_and_never_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let whole = parquet(&path, 200);
    assert_eq!(load(&named("sst2", &path)).unwrap().train.examples.len(), 160);
    for length in [0, 3, 8, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(load(&named("sst2", &path)).is_err(), "{length} bytes");
    }
    // one byte changed anywhere: an error, or rows, but no panic that leaves the reader
    let mut refused = 0;
    for at in (0..whole.len() * 4).step_by(13) {
        let mut bytes = whole.clone();
        bytes[at % whole.len()] ^= [0x55, 0x80, 0x01, 0xff][at / whole.len()];
        fs::write(&path, bytes).unwrap();
        refused += usize::from(load(&named("sst2", &path)).is_err());
    }
    assert!(refused > 0);
    for (file, bytes) in
        [("b.csv.gz", &b"\x1f\x8b\x08nonsense"[..]), ("c.csv.zst", b"\x28\xb5\x2f\xfdnonsense")]
    {
        let error = refusal("mine", file, bytes);
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
    }
}
