//! `compare`, `power` and `selftest` as they are typed.

use std::path::Path;
use std::process::{Command, Output};

use crate::fixture::{Made, store, truncate, twelve_against_three};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pifi-probe"));
    command.args(arguments).current_dir(folder).env_remove("RUST_BACKTRACE");
    command.output().expect("starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("is text")
}

#[test]
fn compare_shows_a_table_and_says_that_one_seed_is_one_seed() {
    let (folder, _store) = store(&twelve_against_three());
    let done = run(folder.path(), &["compare", "a1", "b1", "--out", "."]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let out = text(&done.stdout);
    assert!(out.contains("accuracy on home test") && out.contains("+0.0900"), "{out}");
    assert!(out.contains("0.0352") && out.contains("0.0213"), "{out}");
    assert!(text(&done.stderr).contains("one seed only"));
}

#[test]
fn compare_writes_every_format_and_one_document() {
    let (folder, _store) = store(&twelve_against_three());
    let of = |more: &[&str]| {
        text(&run(folder.path(), &[&["compare", "a1", "b1", "--out", "."], more].concat()).stdout)
    };
    assert!(
        of(&["--format", "markdown"])
            .lines()
            .filter(|line| !line.is_empty())
            .all(|line| line.starts_with('|'))
    );
    let csv = of(&["--format", "csv"]);
    assert!(csv.starts_with("first,second,examples,seeds,difference,low,high"), "{csv}");
    assert_eq!(csv.lines().count(), 2);
    let json: serde_json::Value = serde_json::from_str(&of(&["--json"])).expect("is one document");
    assert_eq!(json["schema_version"], 1);
    let pair = &json["comparison"]["pairs"][0];
    assert_eq!(pair["mcnemar_exact"].as_f64().map(|p| (p * 1e8).round()), Some(3_515_625.0));
    assert!(pair["sign_flip"]["undefined"].as_str().expect("a reason").contains("one observation"));
}

#[test]
fn compare_shows_ranks_the_best_and_both_intervals_in_a_hundred_columns() {
    let (folder, _store) = store(&crate::across::six_sets_four_conditions());
    let conditions = ["layer:0", "layer:1", "layer:2", "last"];
    let arguments = |more: &[&'static str]| [&["compare"], &conditions[..], &["--out", "."], more].concat();
    let done = run(folder.path(), &arguments(&[]));
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let out = text(&done.stdout);
    // reference/analyses.md section 6, `friedman_6x4`
    for words in
        ["12.8644", "0.0049", "Iman-Davenport F", "1.9148", "BCa interval", "flattered by", "minus layer 3"]
    {
        assert!(out.contains(words), "no `{words}` in {out}");
    }
    assert!(out.lines().all(|line| line.chars().count() <= 100), "{out}");
    assert!(text(&done.stderr).contains("are not independent"), "{}", text(&done.stderr));
    let markdown = text(&run(folder.path(), &arguments(&["--format", "markdown"])).stdout);
    assert!(markdown.lines().all(|line| line.is_empty() || line.starts_with('|')), "{markdown}");
    assert!(markdown.contains(" 1.083 |"), "{markdown}");
    let json = run(folder.path(), &arguments(&["--json"]));
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("is one document");
    let across = &json["comparison"]["across"];
    assert_eq!(across["methods"].as_array().map(Vec::len), Some(4));
    assert_eq!(across["ranks"]["friedman"]["sets"], 6);
    assert!(across["ranks"]["friedman"]["iman_davenport"]["f"].is_f64(), "{across}");
    assert!(json["comparison"]["best"][0]["corrected"]["surplus"].is_f64());
    // only one set: no ranks
    let on = text(&run(folder.path(), &arguments(&["--on", "set1"])).stdout);
    assert!(!on.contains("Friedman"), "{on}");
}

#[test]
fn pairs_with_long_names_call_their_conditions_by_number() {
    let [layer, _] = twelve_against_three();
    let named = |cell: &str| {
        let plug = serde_json::json!(cell);
        Made { cell: format!("{cell}{}", "0123456789abcdef".repeat(2)), ..layer.clone() }.with("plug", plug)
    };
    let runs: Vec<Made> = ["a1", "b1", "c1"].map(named).into();
    let (folder, _store) = store(&runs);
    let done = run(folder.path(), &["compare", "a1", "b1", "c1", "--out", "."]);
    let out = text(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert!(out.lines().all(|line| line.chars().count() <= 100), "{out}");
}

#[test]
fn wrong_words_and_damage_have_clear_messages() {
    let (folder, _store) = store(&twelve_against_three());
    let ended = |arguments: &[&str], code: i32, words: &[&str]| {
        let done = run(folder.path(), arguments);
        let told = text(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{told}");
        assert!(words.iter().all(|word| told.contains(word)) && !told.contains("panicked"), "{told}");
    };
    ended(&["compare", "--out", "."], 2, &["nothing to compare is named", "hint:"]);
    ended(&["compare", "a1", "ffff", "--out", "."], 2, &["no run `ffff`", "hint:"]);
    ended(&["compare", "--study", "nowhere", "--out", "."], 2, &["`nowhere` is no study"]);
    ended(&["compare", "a1", "a1", "--out", "."], 1, &["named twice", "only one condition"]);
    ended(
        &["compare", "a1", "b1", "--on", "mars", "--out", "."],
        1,
        &["no predictions for `mars test`", "`home test`"],
    );
    ended(
        &["compare", "a1", "b1", "--against", "random", "--out", "."],
        2,
        &["`random` is none of the conditions"],
    );
    truncate(folder.path(), "a1", "predictions.parquet");
    ended(&["compare", "a1", "b1", "--out", "."], 1, &["run `a1` is left out", "predictions.parquet"]);
}

#[test]
fn everything_can_be_compared_with_one_condition() {
    let [layer, base] = twelve_against_three();
    let third = Made { condition: pifi_probe::runs::Condition::Layer(1), cell: "c1".into(), ..layer.clone() };
    let (folder, _store) = store(&[layer, base, third]);
    let arguments = ["compare", "layer:3", "layer:1", "--against", "base", "--out", ".", "--format", "csv"];
    let out = text(&run(folder.path(), &arguments).stdout);
    assert_eq!(out.lines().count(), 3, "{out}");
    assert!(out.lines().skip(1).all(|line| line.split(',').nth(1) == Some("base")), "{out}");
}

#[test]
fn power_shows_three_tables_and_refuses_what_cannot_be() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let done = run(folder.path(), &["power", "--examples", "872", "--seeds", "1,5"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let out = text(&done.stdout);
    // 32 layers, a deviation of 0.5 points: 1.03 and 0.46 points (reference/analyses.md section 1)
    let row = out.lines().find(|line| line.trim_start().starts_with("32 ")).expect("a row of 32 layers");
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["32", "2.070", "1.03", "0.46"]);
    assert!(text(&done.stderr).contains("cannot reach p < 0.05"));
    let csv = text(&run(folder.path(), &["power", "--format", "csv", "--layers", "28"]).stdout);
    assert!(csv.starts_with("quantity,examples,seeds,layers,difference,value\n"), "{csv}");
    assert!(csv.lines().all(|line| line.split(',').count() == 6), "{csv}");
    let json = run(folder.path(), &["power", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("is one document");
    assert_eq!(json["detectable"].as_array().map(Vec::len), Some(15));
    for (flag, value) in
        [("--alpha", "2"), ("--difference", "0"), ("--discordance", "101"), ("--seed-deviation", "NaN")]
    {
        let refused = run(folder.path(), &["power", flag, value]);
        assert_eq!(refused.status.code(), Some(2), "{flag}");
        assert!(text(&refused.stderr).contains(flag), "{}", text(&refused.stderr));
    }
}

#[test]
fn selftest_shows_measured_against_expected() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let done = run(folder.path(), &["selftest"]);
    let out = text(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{out}");
    assert!(out.lines().next().is_some_and(|line| line.contains("expected") && line.contains("measured")));
    assert!(out.trim_end().ends_with("values recomputed, 0 failed"), "{out}");
    let json = run(folder.path(), &["selftest", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("is one document");
    assert_eq!(json["failed"], 0);
}
