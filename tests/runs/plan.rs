//! Plans: which cells there are, and what their ids depend on.

use pifi_probe::runs::{Condition, Control};
use pifi_probe::sweep::{
    Cell, Error, Inputs, Mask, Order, Plan, PlugMode, Save, Seeds, Stack, Study, TrainMode, canonical,
};

use crate::fixture::{inputs, plan, study};

fn ids(plan: &Plan, wanted: impl Fn(&Cell) -> bool) -> Vec<String> {
    plan.cells.iter().filter(|cell| wanted(cell)).map(|cell| cell.id.clone()).collect()
}

#[test]
fn the_last_layer_is_always_there_and_marked_and_controls_come_first() {
    let plan = plan(study(), &[0, 2]);
    let first_seed: Vec<String> = plan.cells.iter().take(6).map(|cell| cell.condition.to_string()).collect();
    assert_eq!(first_seed, ["base", "mappers", "random", "layer 7", "layer 0", "layer 2"]);
    assert_eq!(plan.cells.len(), 12);
    let last: Vec<Condition> = plan.cells.iter().filter(|c| c.last).map(|c| c.condition).collect();
    assert_eq!(last, [Condition::Layer(7); 2]);
}

#[test]
fn a_layer_that_is_not_there_is_refused() {
    let error = Plan::build(&study().check().expect("valid"), inputs(&[8])).expect_err("absent");
    assert_eq!(error.to_string(), "layer 8 of a model with 8 layers: expected 0 to 7");
}

#[test]
fn controls_do_not_depend_on_the_layer_list_and_base_not_on_the_llm() {
    let controls = |plan: &Plan| ids(plan, |cell| matches!(cell.condition, Condition::Control(_)));
    assert_eq!(controls(&plan(study(), &[0])), controls(&plan(study(), &[1, 2, 3])));
    let mut other = inputs(&[0]);
    other.llm.revision = "1".repeat(40);
    other.llm.hidden_size = 128;
    let other = Plan::build(&study().check().expect("valid"), other).expect("plans");
    let base = |cell: &Cell| cell.condition == Condition::Control(Control::Base);
    assert_eq!(ids(&other, base), ids(&plan(study(), &[0]), base));
    let all = ids(&plan(study(), &[0]), |_| true);
    assert_eq!(other.cells.iter().filter(|cell| all.contains(&cell.id)).count(), 2);
}

#[test]
fn ids_are_all_different_and_change_with_what_decides_and_only_with_that() {
    let all = |study: Study| ids(&plan(study, &[0, 1]), |_| true);
    let reference = all(study());
    let mut unique = reference.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), reference.len());
    let changes: [fn(&mut Study); 7] = [
        |s| s.hyper_parameters.learning_rate = 1e-4,
        |s| s.seeds = Seeds::List(vec![5, 6]),
        |s| s.limits.max_eval_examples = Some(7),
        |s| s.as_published = "drop-last".parse().expect("a switch"),
        |s| s.stack = Stack::Members(2),
        |s| s.split_seed = 1,
        |s| s.train = TrainMode::Plug,
    ];
    for (at, change) in changes.iter().enumerate() {
        let mut changed = study();
        change(&mut changed);
        assert!(all(changed).iter().all(|id| !reference.contains(id)), "change {at}");
    }
    // a precision decides, the number of a GPU does not
    let on = |device: &str| {
        let inputs = Inputs { device: device.into(), ..inputs(&[0, 1]) };
        ids(&Plan::build(&study().check().expect("valid"), inputs).expect("plans"), |_| true)
    };
    assert_eq!(on("cpu"), reference);
    assert!(on("cpu/bf16").iter().all(|id| !reference.contains(id)));
    assert_eq!(on("cuda:0/bf16"), on("cuda:1/bf16"));
    assert!(on("cuda:0/bf16").iter().all(|id| !on("cuda:0").contains(id)));
    let mut same = study();
    same.save = Save::All;
    same.controls.reverse();
    assert_eq!(all(same), reference);
    let mut sequence = study();
    sequence.plug = PlugMode::Sequence;
    let mut causal = sequence.clone();
    causal.mask = Mask::Causal;
    let shared = |a: &[String], b: &[String]| a.iter().filter(|id| b.contains(id)).count();
    // base and mappers, which attend to nothing, under two seeds
    assert_eq!(shared(&all(sequence), &all(causal)), 4);
}

/// The configuration written out by hand from the plan above, and hashed by Python's
/// `hashlib.sha256(text.encode()).hexdigest()[:32]`. A change here makes every run on every user's
/// disk unknown: it needs a reason.
#[test]
fn ids_stay_what_they_are_from_version_to_version() {
    let cell = &plan(study(), &[0]).cells[3];
    let expected = concat!(
        r#"{"as_published":[],"#,
        r#""condition":{"layer":7},"#,
        r#""device":"cpu","#,
        r#""eval":[{"data":"DATA","definition":"d1fe0459dcabb161aa46acc9bafd2211","name":"a"},{"data":"DATA","definition":"d1fe0459dcabb161aa46acc9bafd2211","name":"b"}],"#,
        r#""hyper_parameters":{"batch_size":32,"clip":5e0,"epochs":3,"head_dropout":2e-1,"label_smoothing":5e-2,"learning_rate":5e-5,"max_length":100,"optimizer":"adam","schedule":"constant","warmup":0e0,"weight_decay":0e0},"#,
        r#""limits":{"max_eval_examples":null,"max_train_examples":null},"#,
        r#""llm":{"layer":7,"model":{"repository":"org/llm","revision":"ZEROS"}},"#,
        r#""mask":null,"#,
        r#""numerics":3,"#,
        r#""plug":"pooled","#,
        r#""pooling":"cls","#,
        r#""seed":0,"#,
        r#""slm":{"repository":"org/slm","revision":"ZEROS"},"#,
        r#""split_seed":0,"#,
        r#""stack":1,"#,
        r#""task":{"data":"DATA","definition":"d1fe0459dcabb161aa46acc9bafd2211","name":"home"},"#,
        r#""threads":2,"#,
        r#""train":"full","#,
        r#""width":64,"#,
        r#""window":null}"#,
    );
    let expected = expected.replace("DATA", &"d".repeat(64)).replace("ZEROS", &"0".repeat(40));
    assert_eq!(canonical::text(&cell.config), expected);
    assert_eq!(cell.id, "cc1d5416c40e58782106fd89b05d0870");
}

#[test]
fn a_plan_reads_back_the_same_and_a_changed_one_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("study").join("plan.json");
    let plan = plan(study(), &[0, 3]);
    plan.write(&path).expect("writes");
    assert_eq!(Plan::read(&path).expect("reads"), plan);
    let text = std::fs::read_to_string(&path).expect("reads");
    std::fs::write(&path, text.replace("\"batch_size\": 32", "\"batch_size\": 64")).expect("writes");
    let error = Plan::read(&path).expect_err("changed").to_string();
    assert!(error.contains("was changed: its id is another"), "{error}");
    std::fs::write(&path, &text[..text.len() / 2]).expect("writes");
    assert!(matches!(Plan::read(&path), Err(Error::PlanFile { .. })));
}

#[test]
fn batches_stack_layers_of_one_seed_and_leave_controls_alone() {
    let plan = plan(study(), &[0, 1, 2]);
    let stacked = plan.batches(3, Order::SeedsOutside);
    assert_eq!(stacked[..5], [vec![0], vec![1], vec![2], vec![3, 4, 5], vec![6]]);
    let layers_outside = plan.batches(1, Order::LayersOutside);
    let conditions: Vec<String> =
        layers_outside.iter().take(4).map(|batch| plan.cells[batch[0]].condition.to_string()).collect();
    assert_eq!(conditions, ["base", "base", "mappers", "mappers"]);
    assert_eq!(layers_outside.len(), plan.cells.len());
}
