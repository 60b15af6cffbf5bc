//! What may not be compared is named, and the rest is compared all the same.

use pifi_probe::analysis::compare::{Wanted, gather};
use pifi_probe::error::Category;
use serde_json::json;

use crate::fixture::{
    BASE, LAYER, Made, all_but, compared, gathered, store, truncate, twelve_against_three, wanted,
};

/// What speaks against comparing `other` with the run `a1`.
fn reason(other: Made) -> String {
    let [layer, base] = twelve_against_three();
    let cell = other.cell.clone();
    let (_folder, store) = store(&[layer, base, other]);
    let comparison = compared(&store, &["a1", "b1", &cell]).expect("the rest is compared");
    assert_eq!(comparison.pairs.len(), 1, "{:?}", comparison.pairs);
    assert_eq!(comparison.refused.len(), 2);
    comparison.refused[0].reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn other() -> Made {
    let condition = pifi_probe::runs::Condition::Layer(1);
    Made::new("c1", condition, 0, all_but(100, |at| at >= 85))
}

#[test]
fn other_tasks_labels_data_and_rules_are_named() {
    let task = |name, definition, data| json!({"name": name, "definition": definition, "data": data});
    let away = Made { task: "away", ..other() };
    assert_eq!(reason(away), "trained on different tasks, `home` and `away`");
    let labels = other().with("task", task("home", "d2", "0123456789abcdef"));
    assert_eq!(reason(labels), "the label spaces of `home` differ: its definition is d1 and d2");
    let data = other().with("task", task("home", "d1", "ffffffffffff"));
    assert_eq!(reason(data), "the data of `home` differ: hashes 01234567 and ffffffff");
    let published = other().with("as_published", json!(["metrics"]));
    assert_eq!(reason(published), "published defects that are reproduced differ: none and `metrics`");
    let selected = other().with("split_seed", json!(7));
    assert_eq!(reason(selected), "selection protocols (seeds of the splits) differ: `0` and `7`");
    let screen = other().with("train", json!("plug"));
    assert_eq!(reason(screen), "train modes (a screen is no full training) differ: `full` and `plug`");
}

#[test]
fn other_examples_and_seeds_are_named() {
    let shifted = Made { first_id: 140, ..other() };
    assert_eq!(reason(shifted), "evaluated on different examples, 100 and 100 of which 60 are common");
    let classes = Made { classes: 3, ..other() };
    assert_eq!(reason(classes), "the label spaces of `home test` differ: 2 and 3 labels");
    let seed = Made { seed: 5, ..other() };
    assert_eq!(reason(seed), "no seed in common: 0 and 5");
}

#[test]
fn nothing_comparable_is_one_clear_error() {
    let [layer, _] = twelve_against_three();
    let (_folder, store) = store(&[layer, Made { task: "away", ..other() }]);
    let error = compared(&store, &["a1", "c1"]).expect_err("different tasks");
    let expected =
        "no two of the 2 conditions can be compared: trained on different tasks, `home` and `away`";
    assert_eq!(error.to_string(), expected);
    assert!(error.hint().expect("has a remedy").contains("runs diff"));
}

#[test]
fn one_condition_and_no_selection_say_what_is_missing() {
    let [layer, _] = twelve_against_three();
    let (_folder, store) = store(&[layer.clone(), Made { cell: "a2".into(), seed: 1, ..layer }]);
    let error = compared(&store, &["a1", "a2"]).expect_err("one condition");
    assert!(error.to_string().contains("`layer 3` with seeds 0, 1"), "{error}");
    let nothing = gather(&store, &Wanted::default()).expect_err("nothing is named");
    assert_eq!(nothing.category(), Category::Usage);
    let unknown = gather(&store, &wanted(&["a1", "ffff"])).expect_err("no such run");
    assert_eq!(unknown.category(), Category::Usage);
    let absent = gathered(&store, &["layer:3", "base"]);
    assert_eq!(absent.left[0].what, "`base`");
}

#[test]
fn a_run_that_is_named_twice_counts_once() {
    let (_folder, store) = store(&twelve_against_three());
    let found = gathered(&store, &["a1", "a1", "b1"]);
    assert_eq!(found.groups.iter().map(|group| group.runs.len()).sum::<usize>(), 2);
    assert_eq!(found.left[0].reason, "it is named twice, and counted once");
}

#[test]
fn damage_among_many_is_named_and_the_rest_is_compared() {
    let mut runs = Vec::new();
    for seed in 0..12_u64 {
        runs.push(Made::new(&format!("a{seed}"), LAYER, seed, all_but(50, |at| at < 5)));
        runs.push(Made::new(&format!("b{seed}"), BASE, seed, all_but(50, |at| at < 9)));
    }
    let (folder, store) = store(&runs);
    truncate(folder.path(), "a3", "predictions.parquet");
    truncate(folder.path(), "b4", "run.json");
    let newer = folder.path().join("runs/a5/run.json");
    let text = std::fs::read_to_string(&newer)
        .expect("reads")
        .replace("\"schema_version\": 1", "\"schema_version\": 9");
    std::fs::write(&newer, text).expect("writes");
    std::fs::create_dir(folder.path().join("runs/abc")).expect("creates");
    std::fs::write(folder.path().join("runs/abc/run.json"), "{\"mlflow\": true}").expect("writes");
    let found = gathered(&store, &["layer:3", "base"]);
    let mut left: Vec<(String, String)> =
        found.left.iter().map(|it| (it.what.clone(), it.reason.clone())).collect();
    left.sort();
    let names: Vec<&str> = left.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(names, ["run `a3`", "run `a5`", "run `abc`", "run `b4`"]);
    assert!(left[0].1.contains("predictions.parquet"), "{left:?}");
    assert!(left[1].1.contains("schema version 9"), "{left:?}");
    let comparison = compared(&store, &["layer:3", "base"]).expect("the rest is compared");
    assert_eq!(comparison.pairs[0].seeds, [0, 1, 2, 6, 7, 8, 9, 10, 11]);
    // nothing was written or moved
    assert!(folder.path().join("runs/abc/run.json").is_file());
    assert!(!folder.path().join("runs/damaged").exists());
}

#[test]
fn a_run_on_other_examples_than_its_own_condition_is_left_out() {
    let [layer, base] = twelve_against_three();
    let odd = Made { cell: "a2".into(), seed: 1, first_id: 500, ..layer.clone() };
    let (_folder, store) = store(&[layer, base, odd]);
    let found = gathered(&store, &["layer:3", "base"]);
    assert_eq!(found.left[0].reason, "its examples are others than those of the run `a1`");
}
