//! `score` from the command line: stored hidden states in, tables out.

use std::path::Path;
use std::process::{Command, Output};

use pifi_probe::runs::representations::{Manifest, Representations, SCHEMA_VERSION, Site, SourceOf};
use pifi_probe::seed::Seed;
use serde_json::Value;

const ROWS: usize = 60;
const WIDTH: usize = 5;

fn manifest(key: &str, split: &str, sites: usize) -> Manifest {
    let site = |at: usize| Site {
        name: if at == 0 { "embeddings".into() } else { format!("layer {}", at - 1) },
        layer: at.checked_sub(1),
        width: WIDTH,
        file: String::new(),
        sha256: String::new(),
    };
    Manifest {
        schema_version: SCHEMA_VERSION,
        key: key.into(),
        source: SourceOf::Llm,
        model: "tiny/model".into(),
        revision: "abc".into(),
        task: "sst2".into(),
        // as with a limit, which cuts the one split that is read
        data_hash: format!("{split} limited"),
        whole_hash: Some("def".into()),
        split: split.into(),
        pool: "mean".into(),
        max_length: 100,
        limit: None,
        n: ROWS,
        sites: (0..sites).map(site).collect(),
        example_ids: (0..ROWS as u64).collect(),
        labels: (0..ROWS as u32).map(|row| row % 2).collect(),
        label_names: vec!["negative".into(), "positive".into()],
    }
}

/// Normal numbers whose first column is moved by the label, more so in later sites.
fn numbers(sites: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut stream = Seed(seed).stream();
    let mut number = |site: usize, row: usize, column: usize| {
        let moved = if column == 0 { site as f32 * ((row % 2) as f32 - 0.5) } else { 0.0 };
        moved + stream.normal() as f32
    };
    (0..sites)
        .map(|site| (0..ROWS * WIDTH).map(|at| number(site, at / WIDTH, at % WIDTH)).collect())
        .collect()
}

fn stored(out: &Path, constant: bool) {
    let store = Representations::at(out);
    let mut train = numbers(5, 1);
    if constant {
        train[0].fill(1.0);
    }
    store.put(&manifest("0123456789abcdef", "train", 5), &train).expect("writes");
    store.put(&manifest("fedcba9876543210", "validation", 5), &numbers(5, 2)).expect("writes");
}

fn score(out: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pifi-probe"));
    command.args(["score", "tiny/model:sst2:train", "--out"]).arg(out).args(arguments);
    command.output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_score_of_every_site_is_printed_and_written() {
    let out = tempfile::tempdir().expect("a temporary folder");
    stored(out.path(), false);
    let scores = "logme,logme_11,hscore,hscore_shrunk,hscore_tll,transrate,transrate_weighted,nleep,nce,knn,\
                  probe,probe_macro_f1,probe_mcc,probe_nll,mdl";
    let found = score(out.path(), &["--scores", scores, "--json", "--keep", "2", "--name", "all"]);
    assert!(found.status.success(), "{}", text(&found.stderr));
    let document: Value = serde_json::from_slice(&found.stdout).expect("one document");
    let rows = document["scores"].as_array().expect("rows");
    assert_eq!(rows.len(), 5 * 15);
    assert!(rows.iter().all(|row| row["value"].is_f64() && row["reason"].is_null()), "{rows:#?}");
    // the stored validation split was found, and a probe on the last site tells the classes
    let last = |name: &str| rows.iter().rfind(|row| row["score"] == name).expect("a row")["value"].clone();
    assert_eq!(rows[0]["evaluated_key"], "fedcba9876543210");
    assert!(last("probe").as_f64().expect("a number") > 0.85, "{}", last("probe"));
    let kept = document["kept"].as_array().expect("layers");
    assert_eq!((kept.len(), kept.last().and_then(Value::as_u64)), (2, Some(3)));
    for ending in ["csv", "parquet"] {
        assert!(out.path().join(format!("scores/all/scores.{ending}")).is_file());
    }
    let again = score(out.path(), &["--scores", scores, "--json", "--keep", "2", "--name", "all"]);
    assert_eq!(again.stdout, found.stdout);
}

#[test]
fn people_get_a_row_a_site_and_the_reason_where_a_score_has_no_value() {
    let out = tempfile::tempdir().expect("a temporary folder");
    stored(out.path(), true);
    let found = score(out.path(), &["--scores", "logme,knn"]);
    assert!(found.status.success(), "{}", text(&found.stderr));
    let (table, talk) = (text(&found.stdout), text(&found.stderr));
    assert!(table.lines().any(|line| line.starts_with("embeddings") && line.contains("n/a")), "{table}");
    assert!(
        talk.contains("`logme` has no value for 1 of 5 sites: all examples have the same features"),
        "{talk}"
    );
}

#[test]
fn a_control_task_reads_the_texts_and_wants_one_a_row() {
    let out = tempfile::tempdir().expect("a temporary folder");
    stored(out.path(), false);
    let texts = out.path().join("texts.txt");
    let lines: Vec<String> = (0..ROWS).map(|row| format!("word{} and more", row % 7)).collect();
    std::fs::write(&texts, lines.join("\n")).expect("writes");
    let path = texts.display().to_string();
    let found =
        score(out.path(), &["--scores", "knn", "--texts", &path, "--eval-texts", &path, "--format", "csv"]);
    assert!(found.status.success(), "{}", text(&found.stderr));
    assert_eq!(text(&found.stdout).matches("selectivity").count(), 5);
    std::fs::write(&texts, "only one").expect("writes");
    let found = score(out.path(), &["--scores", "knn", "--texts", &path, "--eval-texts", &path]);
    assert_eq!(found.status.code(), Some(2));
    assert!(text(&found.stderr).contains("expected a line for each example"), "{}", text(&found.stderr));
}

#[test]
fn what_cannot_be_is_refused_as_wrong_usage_before_anything_is_scored() {
    let out = tempfile::tempdir().expect("a temporary folder");
    stored(out.path(), false);
    let own = "tiny/model:sst2:train";
    for (arguments, expected) in [
        (&["--scores", "logmee"][..], "logmee"),
        (&["--eval", "nobody"][..], "no representation `nobody`"),
        (&["--eval", own][..], "other examples than the fitted ones"),
        (&["--eval", own, "--eval", own][..], "as many as REPRESENTATIONs"),
        (&["--scores", "knn", "--keep", "2"][..], "one score does not choose"),
        (&["--name", "../away"][..], "letters, digits"),
        (&["--against", "nothing"][..], "is no study"),
    ] {
        let found = score(out.path(), arguments);
        assert_eq!(found.status.code(), Some(2), "{arguments:?} {}", text(&found.stderr));
        assert!(text(&found.stderr).contains(expected), "{arguments:?} {}", text(&found.stderr));
    }
    assert!(!out.path().join("scores").exists());
}
