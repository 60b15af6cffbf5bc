//! A whole training of a stack as wide as the layers of an 8B model: clipping, the best epoch and every
//! number of a member are what they are in a run of its own.

use pifi_probe::models::families::Scope;
use pifi_probe::models::probe::Probe;
use pifi_probe::nn::Arena;
use pifi_probe::seed::Seed;
use pifi_probe::train::config::Arguments;
use pifi_probe::train::trainer::{Finished, MemberResult, Outcome, Task, Trainer};
use pifi_probe::train::{Flow, Gold, Objective, TokenSet};

use crate::{POOLED, close, probe};

const MEMBERS: usize = 32;
const LAYERS: usize = 3;

/// Texts of one to nine tokens whose class stands in their first one.
fn texts(count: usize, start: u32) -> TokenSet {
    let (mut ids, mut offsets, mut labels) = (Vec::new(), vec![0], Vec::new());
    for text in 0..count as u32 {
        let label = (text * 7 + start) % 3;
        ids.push(10 + label);
        ids.extend((0..text % 9).map(|at| 5 + (start + text * 31 + at * 37) % 200));
        offsets.push(ids.len());
        labels.push(label);
    }
    let types = vec![0; ids.len()];
    TokenSet::new(ids, types, offsets, (0..count as u64).collect(), Gold::Classes(labels), None)
        .expect("a split")
}

fn train(probe: &mut Probe, values: Arena) -> Finished {
    let [training, validation, test] = [(24, 1), (12, 2), (12, 3)].map(|(count, start)| texts(count, start));
    let task = Task {
        identity: "stack".into(),
        objective: Objective::Classification { classes: 3, smoothing: 0.05 },
        train: &training,
        validation: &validation,
        evaluation: vec![("test".into(), &test)],
    };
    let arguments = Arguments {
        epochs: 3,
        batch_size: 8,
        learning_rate: 1e-3,
        clip: 0.5,
        seed: Seed(9),
        ..Arguments::default()
    };
    let config = arguments.check().expect("possible settings");
    let mut trainer = Trainer::new(&config, &task, probe).expect("a task that can be learnt");
    let state = trainer.start(values);
    match trainer.run(state, &mut |_| Ok(Flow::Continue)).expect("nothing fails") {
        Outcome::Finished(finished) => *finished,
        Outcome::Stopped(_) => panic!("nobody said stop"),
    }
}

#[test]
fn thirty_two_stacked_members_train_as_thirty_two_runs() {
    // each member starts from values of its own, so that none can stand in for another
    let start = |probe: &Probe, values: &mut Arena, at: usize, member: usize| {
        probe.parameters().initialise(values, at, Seed(100 + member as u64));
    };
    let layers: Vec<usize> = (0..MEMBERS).map(|member| member % LAYERS).collect();
    let (mut together, mut values) = probe(POOLED, &layers, Scope::OneToken);
    (0..MEMBERS).for_each(|member| start(&together, &mut values, member, member));
    let stacked = train(&mut together, values);
    let mut epochs = Vec::new();
    for (member, layer) in layers.iter().enumerate() {
        let (mut alone, mut values) = probe(POOLED, &[*layer], Scope::OneToken);
        start(&alone, &mut values, 0, member);
        let alone = train(&mut alone, values);
        close(stacked.state.values.member(member), alone.state.values.member(0), 1e-5);
        close(stacked.state.chosen().member(member), alone.state.chosen().member(0), 1e-5);
        let losses = stacked.state.history.losses.iter().skip(member).step_by(MEMBERS);
        assert!(
            losses.zip(&alone.state.history.losses).all(|(a, b)| (a - b).abs() < 1e-5 * b),
            "member {member}"
        );
        let [
            MemberResult::Trained { epoch, evaluations },
            MemberResult::Trained { epoch: own, evaluations: of_own },
        ] = [&stacked.members[member], &alone.members[0]]
        else {
            panic!("member {member} diverged");
        };
        assert_eq!((epoch, evaluations.len()), (own, of_own.len()));
        epochs.push(*epoch);
    }
    // what is chosen is chosen for each member
    assert!(epochs.iter().any(|epoch| *epoch != epochs[0]), "{epochs:?}");
}
