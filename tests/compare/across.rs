//! Conditions over several data sets.

use pifi_probe::analysis::compare::{Comparison, compare};
use pifi_probe::analysis::statistics::Resampling;
use pifi_probe::runs::Condition;
use pifi_probe::seed::Seed;

use crate::fixture::{BASE, Made, all_but, compared, gathered, store};

const SETS: [&str; 5] = ["set1", "set2", "set3", "set4", "set5"];

/// reference/analyses.md section 2: `friedman_6x4`, in percent.
const FRIEDMAN_6X4: [[usize; 4]; 6] = [
    [91, 89, 93, 90],
    [84, 82, 85, 83],
    [77, 78, 80, 76],
    [66, 64, 69, 65],
    [95, 94, 95, 93],
    [71, 70, 74, 73],
];

fn right(of_hundred: usize) -> Vec<bool> {
    all_but(100, |at| at >= of_hundred)
}

/// Four layers that were trained at home and tested on six sets with those accuracies.
pub(crate) fn six_sets_four_conditions() -> Vec<Made> {
    let layer = |at: usize| {
        let elsewhere =
            SETS.iter().zip(&FRIEDMAN_6X4[1..]).map(|(set, row)| (*set, right(row[at]))).collect();
        let home = Made::new(&format!("a{at}"), Condition::Layer(at), 0, right(FRIEDMAN_6X4[0][at]));
        Made { elsewhere, ..home }
    };
    (0..4).map(layer).collect()
}

fn near(value: f64, golden: f64, tolerance: f64) {
    assert!((value - golden).abs() < tolerance, "{value} {golden}");
}

fn layers(count: usize) -> Vec<String> {
    (0..count).map(|layer| format!("layer:{layer}")).collect()
}

fn all(runs: &[Made], words: &[String]) -> Comparison {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (_folder, store) = store(runs);
    compared(&store, &words).expect("compares")
}

/// reference/analyses.md sections 6 and 8.
#[test]
fn sets_that_runs_were_tested_on_give_the_golden_values() {
    let across = all(&six_sets_four_conditions(), &layers(4)).across.expect("six sets");
    assert_eq!(across.methods, ["layer 0", "layer 1", "layer 2", "layer 3"]);
    assert_eq!(across.blocks.len(), 6);
    let ranks = across.ranks.expect("ranks");
    near(ranks.friedman.chi_squared, 12.864_407, 5e-7);
    near(ranks.friedman.p, 0.004_939_2, 5e-8);
    for (rank, golden) in ranks.friedman.mean_ranks.iter().zip([2.25, 3.5, 1.083_333, 3.166_667]) {
        near(*rank, golden, 5e-7);
    }
    near(ranks.critical.as_ref().expect("has one").ranks, 1.914_843, 5e-7);
    // 3.5 and 3.1667 are further than that from 1.0833
    assert_eq!(ranks.apart, [(2, 1), (2, 3)]);
    // the last layer of four is layer 3
    assert_eq!(ranks.control.expect("a control").control, 3);
    assert!(across.warning.is_none() && across.notes[0].contains("not independent"), "{:?}", across.notes);
}

#[test]
fn runs_of_one_condition_that_were_trained_on_several_tasks_are_one_method() {
    let mut runs = Vec::new();
    for (at, task) in ["home", "away", "far"].into_iter().enumerate() {
        let mut made = |name: &str, condition, of_hundred| {
            for seed in 0..2 {
                let made = Made::new(&format!("{name}{at}{seed}"), condition, seed, right(of_hundred));
                runs.push(Made { task, ..made });
            }
        };
        made("a", Condition::Layer(1), 80 + at);
        made("b", Condition::Layer(2), 70 + at);
        made("c", BASE, 60 + at);
    }
    // a third seed that only one of them has counts nowhere
    let extra = Made { cell: "e0".into(), seed: 9, right: right(1), ..runs[0].clone() };
    runs.push(extra);
    let words: Vec<String> = ["layer:1", "layer:2", "base"].map(str::to_owned).into();
    let across = all(&runs, &words).across.expect("three sets");
    assert_eq!(across.methods, ["layer 1", "layer 2", "base"]);
    assert_eq!(across.blocks.len(), 3);
    assert_eq!(across.blocks[0].seeds, [0, 1]);
    near(across.blocks[0].accuracies[0], 0.8, 1e-12);
    let ranks = across.ranks.expect("ranks");
    near(ranks.friedman.chi_squared, 6.0, 1e-9);
    // no last layer is among them: no plug is the control
    assert_eq!(ranks.control.expect("a control").control, 2);
    assert!(!across.notes[0].contains("not independent"), "{:?}", across.notes);
}

#[test]
fn more_than_ten_conditions_are_warned_of_and_compared_with_a_control_alone() {
    let layer = |at: usize| {
        let home = Made::new(&format!("a{at:02}"), Condition::Layer(at), 0, right(50 + at));
        Made { elsewhere: vec![("set1", right(40 + at)), ("set2", right(30 + at))], ..home }
    };
    let runs: Vec<Made> = (0..12).map(layer).collect();
    let across = all(&runs, &layers(12)).across.expect("three sets");
    let warning = across.warning.expect("is warned of");
    assert!(warning.contains("12 are ranked over 3 data sets") && warning.contains("Holm"), "{warning}");
    let ranks = across.ranks.expect("ranks");
    assert!(ranks.apart.is_empty());
    let control = ranks.control.expect("a control");
    // the last of the model's four layers
    assert_eq!((control.control, control.others.len()), (3, 11));
    assert!(control.others.iter().all(|other| other.p_holm >= other.p));
    // another control by name
    let (_folder, store) = store(&runs);
    let words = layers(12);
    let groups = gathered(&store, &words.iter().map(String::as_str).collect::<Vec<_>>()).groups;
    let comparison = compare(&groups, Some(7), Resampling::new(Seed(0))).expect("compares");
    let ranks = comparison.across.expect("three sets").ranks.expect("ranks");
    assert_eq!(ranks.control.expect("a control").control, 7);
}

#[test]
fn what_is_not_common_to_all_is_no_data_set_and_is_named() {
    let mut runs = six_sets_four_conditions();
    runs[2].elsewhere.remove(0);
    runs[3].elsewhere[1].1.pop();
    let across = all(&runs, &layers(4)).across.expect("four sets are left");
    assert_eq!(across.blocks.len(), 4);
    let told = across.notes.join("\n");
    assert!(told.contains("`layer 2` was not tested there"), "{told}");
    assert!(told.contains("`layer 3` was tested on other examples than `layer 0`"), "{told}");
    // two conditions are a pair, and one set is no several
    assert!(all(&runs[..2], &layers(2)).across.is_none());
    let alone: Vec<Made> = runs.into_iter().map(|made| Made { elsewhere: Vec::new(), ..made }).collect();
    assert!(all(&alone, &layers(4)).across.is_none());
}
