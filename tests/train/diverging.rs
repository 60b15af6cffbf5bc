//! A member that diverges falls out alone.

use pifi_probe::train::{Cause, Divergence, Event, Finished, Flow, MemberResult, Outcome, Task, Trainer};

use crate::toy::{CLASSES, Linear, bits, clouds, config, member_bits};

fn run(members: &[u64], change: impl FnOnce(&mut Linear)) -> (Finished, Vec<(usize, Divergence)>) {
    let (training, validation) = (clouds(20, 1), clouds(12, 2));
    let task = Task {
        identity: String::new(),
        objective: CLASSES,
        train: &training,
        validation: &validation,
        evaluation: vec![],
    };
    // decay would move a member that only had no gradient
    let config = config(|arguments| {
        arguments.weight_decay = 0.1;
        arguments.optimizer = "adamw".parse().expect("an optimizer");
    });
    let mut learner = Linear::new(members.len(), 4, 2, 0.2);
    change(&mut learner);
    let values = learner.values(members);
    let mut trainer = Trainer::new(&config, &task, &mut learner).expect("it can be learnt");
    let (state, mut told) = (trainer.start(values), Vec::new());
    let outcome = trainer.run(state, &mut |event| {
        if let Event::Diverged { member, divergence } = event {
            told.push((member, divergence));
        }
        Ok(Flow::Continue)
    });
    let Outcome::Finished(finished) = outcome.expect("divergence is no error") else {
        panic!("nobody said stop")
    };
    (*finished, told)
}

#[test]
fn the_others_go_on_to_the_same_bits() {
    let (alone, _) = run(&[1], |_| {});
    let (both, told) = run(&[1, 2], |learner| learner.poison = Some((1, 5)));
    let divergence = Divergence { step: 5, cause: Cause::Loss };
    assert_eq!(told, [(1, divergence)]);
    assert_eq!(both.members[0], alone.members[0]);
    assert_eq!(member_bits(&both.state.values, 0), bits(&alone.state.values));
    assert_eq!(both.members[1], MemberResult::Diverged(divergence));
    assert_eq!(divergence.to_string(), "diverged at step 5: the loss is not finite");
    let losses: Vec<f64> = both.state.history.losses.iter().skip(1).step_by(2).copied().collect();
    assert!(losses[..4].iter().all(|loss| loss.is_finite()) && losses[4..].iter().all(|loss| loss.is_nan()));
    assert!(both.state.history.epochs[0].validation[1].is_some(), "epoch 1 ends with step 3");
    assert!(both.state.history.epochs[1].validation[1].is_none());
}

#[test]
fn its_values_stay_as_they_were_before_the_step() {
    let (training, validation) = (clouds(20, 1), clouds(12, 2));
    let task = Task {
        identity: String::new(),
        objective: CLASSES,
        train: &training,
        validation: &validation,
        evaluation: vec![],
    };
    let settings = config(|arguments| arguments.weight_decay = 0.1);
    let mut learner = Linear::new(2, 4, 2, 0.2);
    learner.poison = Some((1, 5));
    let values = learner.values(&[1, 2]);
    let mut trainer = Trainer::new(&settings, &task, &mut learner).expect("it can be learnt");
    let (state, mut before, mut after) = (trainer.start(values), None, None);
    trainer
        .run(state, &mut |event| {
            if let Event::Checkpoint(state) = event {
                let slot = if state.step == 4 { &mut before } else { &mut after };
                *slot = Some(member_bits(&state.values, 1));
            }
            Ok(Flow::Checkpoint)
        })
        .expect("divergence is no error");
    assert!(before.is_some() && before == after);
}

#[test]
fn logits_that_are_not_finite_on_validation_count_too() {
    let (finished, told) = run(&[1, 2], |learner| learner.poison_evaluation = Some(0));
    let divergence = Divergence { step: 3, cause: Cause::Logits };
    assert_eq!(told, [(0, divergence)]);
    assert_eq!(finished.members[0], MemberResult::Diverged(divergence));
    assert!(matches!(finished.members[1], MemberResult::Trained { .. }));
}

#[test]
fn a_gradient_that_is_not_finite_counts_too() {
    let (alone, _) = run(&[1], |_| {});
    let (both, _) = run(&[1, 2], |learner| learner.poison_gradient = Some(1));
    let divergence = Divergence { step: 1, cause: Cause::Gradient };
    assert_eq!(both.members, [alone.members[0].clone(), MemberResult::Diverged(divergence)]);
}

#[test]
fn when_all_have_fallen_out_the_training_ends() {
    let (finished, _) = run(&[1], |learner| learner.poison = Some((0, 2)));
    assert_eq!(finished.state.step, 2);
    assert_eq!(finished.members, [MemberResult::Diverged(Divergence { step: 2, cause: Cause::Loss })]);
}
