//! Tasks on local files: what is found, what is guessed, what is said about it.

use std::fs;
use std::io::Write;
use std::path::Path;

use pifi_probe::data::{self, Error, Limits, SplitFiles};
use pifi_probe::seed::Seed;
use polars::prelude::{Column, DataFrame, ParquetWriter};

use crate::{load, named};

fn jsonl(path: &Path, rows: usize, key: &str) {
    let line =
        |row: usize| format!("{{\"{key}\": \"text {row} of {}\", \"label\": {}}}\n", path.display(), row % 2);
    fs::write(path, (0..rows).map(line).collect::<String>()).unwrap();
}

#[test]
fn a_folder_of_split_files_takes_the_labels_of_its_catalogue_name() {
    let folder = tempfile::tempdir().unwrap();
    for (file, rows) in [("train.jsonl", 6), ("dev.jsonl", 4), ("test.jsonl", 2)] {
        jsonl(&folder.path().join(file), rows, "text");
    }
    let dataset = load(&named("sst2", folder.path())).unwrap();
    assert_eq!(
        (dataset.name.as_str(), dataset.labels.as_slice()),
        ("sst2", &["negative".to_owned(), "positive".to_owned()][..])
    );
    let sizes = [&dataset.train, &dataset.validation, &dataset.test].map(|split| split.examples.len());
    assert_eq!(sizes, [6, 4, 2]);
    let ids: Vec<u64> = dataset.train.examples.iter().map(|example| example.id).collect();
    assert_eq!(ids, [0, 1, 2, 3, 4, 5]);
    assert_eq!(dataset.train.examples[1].label, 1);
    assert!(dataset.notes.iter().any(|note| note.contains("label from `label`")), "{:?}", dataset.notes);
}

#[test]
fn one_file_is_split_by_the_split_seed_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reviews.jsonl");
    jsonl(&path, 100, "Review");
    let spec = data::resolve(&named("mine", &path)).unwrap();
    let load = |seed| data::load(&spec, &SplitFiles::new(), Seed(seed), Limits::default()).unwrap();
    let (first, again, other) = (load(1), load(1), load(2));
    assert_eq!((&first, &first.hash), (&again, &again.hash));
    assert_ne!(first.hash, other.hash);
    let mut ids: Vec<u64> = [&first.train, &first.validation, &first.test]
        .into_iter()
        .flat_map(|split| split.examples.iter().map(|example| example.id))
        .collect();
    assert_eq!(
        [80, 10, 10],
        [&first.train, &first.validation, &first.test].map(|split| split.examples.len())
    );
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..100));
    assert!(first.notes.iter().any(|note| note.contains("80 %")), "{:?}", first.notes);
    assert_eq!(first.labels, ["0", "1"]);
}

#[test]
fn a_limit_keeps_part_of_what_a_larger_one_keeps() {
    let spec = data::resolve("demo").unwrap();
    let load = |train| {
        let limits = Limits { train: Some(train), ..Limits::default() };
        data::load(&spec, &SplitFiles::new(), Seed(1), limits).unwrap()
    };
    let (small, large) = (load(50), load(200));
    assert_eq!((small.train.examples.len(), large.train.examples.len()), (50, 200));
    assert!(small.train.examples.iter().all(|example| large.train.examples.contains(example)));
    assert_ne!(small.hash, large.hash);
    let whole = data::load(&spec, &SplitFiles::new(), Seed(1), Limits::default()).unwrap();
    assert_eq!([&small.whole_hash, &large.whole_hash, &whole.whole_hash], [&whole.hash; 3]);
    assert_eq!(small.test, large.test);
}

#[test]
fn published_splits_and_label_maps_apply_to_local_files() {
    let folder = tempfile::tempdir().unwrap();
    // CoLA: no test file; the test is the validation file, validation a fifth of the training rows
    jsonl(&folder.path().join("train.jsonl"), 50, "sentence");
    jsonl(&folder.path().join("validation.jsonl"), 20, "sentence");
    let cola = load(&named("cola", folder.path())).unwrap();
    let sizes = [&cola.train, &cola.validation, &cola.test].map(|split| split.examples.len());
    assert_eq!(sizes, [40, 10, 20]);
    // tweets: 1 is dropped, 2 becomes positive
    let folder = tempfile::tempdir().unwrap();
    for split in ["train", "validation", "test"] {
        let rows = (0..9).map(|row| format!("{{\"text\": \"t{row}\", \"label\": {}}}\n", row % 3));
        fs::write(folder.path().join(format!("{split}.jsonl")), rows.collect::<String>()).unwrap();
    }
    let tweets = load(&named("tweet_sentiment_binary", folder.path())).unwrap();
    let train: Vec<(u64, u32)> = tweets.train.examples.iter().map(|row| (row.id, row.label)).collect();
    assert_eq!(train, [(0, 0), (2, 1), (3, 0), (5, 1), (6, 0), (8, 1)]);
    assert!(tweets.notes.iter().any(|note| note.contains("3 rows left out")), "{:?}", tweets.notes);
}

#[test]
fn mnli_holds_out_its_last_training_rows_and_names_its_test() {
    let folder = tempfile::tempdir().unwrap();
    let pair = |row: usize| {
        format!("{{\"premise\": \"p{row}\", \"hypothesis\": \"h{row}\", \"label\": {}}}\n", row % 3)
    };
    let pairs = |rows: usize| (0..rows).map(pair).collect::<Vec<_>>().concat();
    fs::write(folder.path().join("train.jsonl"), pairs(9832 + 30)).unwrap();
    fs::write(folder.path().join("validation_mismatched.jsonl"), pairs(12)).unwrap();
    let mnli = load(&named("mnli", folder.path())).unwrap();
    let sizes = [&mnli.train, &mnli.validation, &mnli.test].map(|split| split.examples.len());
    assert_eq!(sizes, [30, 9832, 12]);
    assert_eq!(mnli.validation.examples[0].id, 30);
    assert_eq!(mnli.test.examples[3].pair.as_deref(), Some("h3"));
}

#[test]
fn every_format_and_packing_gives_the_same_rows() {
    let texts = ["plain", "a \"quoted\" word", "comma, inside", "umlaut ä", "", "emoji 🙂"];
    let labels = ["good", "bad", "good", "bad", "good", "bad"];
    let folder = tempfile::tempdir().unwrap();
    let json: String = texts
        .iter()
        .zip(labels)
        .map(|(text, label)| serde_json::json!({"text": text, "label": label}).to_string() + "\n")
        .collect();
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let csv: String = std::iter::once("text,label\r\n".to_owned())
        .chain(texts.iter().zip(labels).map(|(text, label)| format!("{},{label}\r\n", quoted(text))))
        .collect();
    let tsv: String = std::iter::once("label\ttext\n".to_owned())
        .chain(texts.iter().zip(labels).map(|(text, label)| format!("{label}\t{text}\n")))
        .collect();
    let gzip = |bytes: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let mut parquet = Vec::new();
    let columns = vec![Column::new("text".into(), texts), Column::new("label".into(), labels)];
    ParquetWriter::new(&mut parquet).finish(&mut DataFrame::new(texts.len(), columns).unwrap()).unwrap();
    let array = format!("[{}]", json.trim_end().replace('\n', ","));
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("a.jsonl", json.clone().into_bytes()),
        ("b.json", array.into_bytes()),
        ("c.csv", csv.clone().into_bytes()),
        ("d.tsv", tsv.clone().into_bytes()),
        ("e.parquet", parquet),
        ("f.jsonl.gz", gzip(&json)),
        ("g.csv.zst", zstd::encode_all(csv.as_bytes(), 1).unwrap()),
        ("h.tsv", gzip(&tsv)),
        ("i.csv", [b"\xef\xbb\xbf", csv.as_bytes()].concat()),
        ("j.csv", csv.replace("\r\n", "\n\n").into_bytes()),
    ];
    let mut hashes = Vec::new();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let task = format!(
            "labels = [\"bad\", \"good\"]\n[source.files]\ntrain = \"{name}\"\nvalidation = \"{name}\"\ntest = [\"{name}\"]\n"
        );
        let file = folder.path().join(format!("{name}.toml"));
        fs::write(&file, task).unwrap();
        let dataset = load(&file.display().to_string()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found: Vec<&str> = dataset.train.examples.iter().map(|row| row.text.as_str()).collect();
        assert_eq!(found, texts, "{name}");
        assert!(dataset.notes.iter().any(|note| note == "train: 1 texts are empty"));
        hashes.push(dataset.hash);
    }
    hashes.dedup();
    assert_eq!(hashes.len(), 1);
}

#[test]
fn a_task_file_says_columns_labels_and_splits_without_code() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "1,dire,x\n2,poor,x\n3,so so,x\n4,good,x\n5,<b>great</b>  &amp; fun,x\n";
    fs::write(folder.path().join("stars.csv"), csv.repeat(10)).unwrap();
    let task = r#"
        text = "column_2"
        label = "column_1"
        header = false
        labels = ["negative", "positive"]
        map = { 1 = "negative", 2 = "negative", 4 = "positive", 5 = "positive" }
        drop = ["3"]
        strip_html = true
        squeeze_whitespace = true
        source = { files = { train = "stars.csv" } }
        splits.train = { from = "train", all_but_last = 8 }
        splits.validation = { from = "train", last = 8 }
        splits.test = { from = "train", shuffled = [0.0, 0.25] }
    "#;
    let path = folder.path().join("stars.toml");
    fs::write(&path, task).unwrap();
    let dataset = load(&path.display().to_string()).unwrap();
    assert_eq!(dataset.name, "stars");
    let sizes = [&dataset.train, &dataset.validation, &dataset.test].map(|split| split.examples.len());
    assert_eq!(sizes, [32, 8, 10]);
    assert_eq!(dataset.train.examples[3].text, "great & fun");
    assert_eq!((dataset.train.examples[3].id, dataset.train.examples[3].label), (4, 1));
    fs::write(&path, task.replace("header", "headr")).unwrap();
    let error = data::resolve(&named("stars", &path)).unwrap_err();
    assert!(matches!(error, Error::TaskFile { .. }) && error.to_string().contains("headr"), "{error}");
}
