//! A training that is stopped and resumed is the same training, bit for bit.

use pifi_probe::device::Device;
use pifi_probe::error::{Category, Diagnose};
use pifi_probe::train::{Config, Event, Finished, Flow, Learner, Outcome, State, Task, Trainer};

use crate::toy::{CLASSES, Linear, bits, clouds, config, train};

const MEMBERS: [u64; 2] = [1, 2];

fn learner() -> Linear {
    let mut learner = Linear::new(2, 4, 2, 0.3);
    learner.poison = Some((1, 5));
    learner
}

/// Runs to the end, stopping at every event that `stop` picks by its number and going on from the
/// checkpoint's bytes in a new trainer each time.
fn run_in_pieces(config: &Config, task: &Task<'_>, stop: impl Fn(usize) -> bool) -> (Finished, usize) {
    let (mut stored, mut heard, mut stops): (Option<Vec<u8>>, usize, usize) = (None, 0, 0);
    loop {
        let mut learner = learner();
        let (layout, values) = (learner.layout().clone(), learner.values(&MEMBERS));
        let mut trainer = Trainer::new(config, task, &mut learner).expect("it can be learnt");
        let state = match &stored {
            None => trainer.start(values),
            Some(bytes) => State::from_bytes(bytes, Device::CPU, &layout, 2).expect("what was written"),
        };
        let mut written = None;
        let outcome = trainer.run(state, &mut |event| {
            if let Event::Checkpoint(state) = event {
                written = Some(state.to_bytes());
                return Ok(Flow::Continue);
            }
            heard += 1;
            Ok(if stop(heard) { Flow::Stop } else { Flow::Continue })
        });
        match outcome.expect("nothing fails") {
            Outcome::Finished(finished) => return (*finished, stops),
            Outcome::Stopped(state) => {
                assert_eq!(written.as_deref(), Some(state.to_bytes().as_slice()));
                stored = written;
                stops += 1;
            }
        }
    }
}

fn assert_same(found: &Finished, expected: &Finished, when: &str) {
    assert_eq!(found.state.to_bytes(), expected.state.to_bytes(), "{when}");
    assert_eq!(bits(found.state.chosen()), bits(expected.state.chosen()), "{when}");
    assert_eq!(found.members, expected.members, "{when}");
}

/// One member diverges on the way, so that this is resumed too. Stops fall on starts, steps,
/// batches of evaluations, ends of epochs.
#[test]
fn a_run_stopped_at_any_event_ends_as_one_that_was_not() {
    let (training, validation, test) = (clouds(20, 1), clouds(12, 2), clouds(12, 3));
    let task = Task {
        identity: "pieces".into(),
        objective: CLASSES,
        train: &training,
        validation: &validation,
        evaluation: vec![("test".into(), &test)],
    };
    let config = config(|arguments| arguments.weight_decay = 0.01);
    let mut whole_learner = learner();
    let values = whole_learner.values(&MEMBERS);
    let whole = train(&config, &task, &mut whole_learner, values);
    let events = std::cell::Cell::new(0);
    let (again, stops) = run_in_pieces(&config, &task, |event| {
        events.set(event);
        false
    });
    assert_same(&again, &whole, "without a stop");
    assert_eq!(stops, 0);
    for at in 1..events.get() {
        let (resumed, stops) = run_in_pieces(&config, &task, |event| event == at);
        assert_eq!(stops, 1, "event {at}");
        assert_same(&resumed, &whole, &format!("stopped at event {at}"));
    }
    // pieces of seven events, the start of each among them; the last evaluation needs five
    let (resumed, stops) = run_in_pieces(&config, &task, |event| event % 7 == 0);
    assert!(stops > 3, "{stops}");
    assert_same(&resumed, &whole, "stopped again and again");
}

#[test]
fn a_checkpoint_does_not_disturb_the_run() {
    let (training, validation) = (clouds(20, 1), clouds(12, 2));
    let task = Task {
        identity: String::new(),
        objective: CLASSES,
        train: &training,
        validation: &validation,
        evaluation: vec![],
    };
    let config = config(|_| {});
    let mut first = learner();
    let values = first.values(&MEMBERS);
    let whole = train(&config, &task, &mut first, values.clone());
    let mut second = learner();
    let mut trainer = Trainer::new(&config, &task, &mut second).expect("it can be learnt");
    let (state, mut checkpoints) = (trainer.start(values), 0);
    let outcome = trainer.run(state, &mut |event| {
        checkpoints += usize::from(matches!(event, Event::Checkpoint(_)));
        Ok(Flow::Checkpoint)
    });
    let Outcome::Finished(finished) = outcome.expect("nothing fails") else { panic!("nobody said stop") };
    assert_same(&finished, &whole, "with checkpoints");
    // after the start, 9 steps and 3 epochs
    assert_eq!(checkpoints, 1 + 9 + 3);
}

fn small_state() -> (Linear, State) {
    let (training, validation) = (clouds(8, 1), clouds(8, 2));
    let task = Task {
        identity: String::new(),
        objective: CLASSES,
        train: &training,
        validation: &validation,
        evaluation: vec![],
    };
    let mut learner = Linear::new(1, 4, 2, 0.0);
    let values = learner.values(&[1]);
    let state = train(&config(|arguments| arguments.epochs = 2), &task, &mut learner, values).state;
    (learner, state)
}

#[test]
fn a_checkpoint_with_any_byte_changed_or_missing_is_refused() {
    let (learner, state) = small_state();
    let bytes = state.to_bytes();
    let read = |bytes: &[u8]| State::from_bytes(bytes, Device::CPU, learner.layout(), 1);
    assert_eq!(read(&bytes).expect("whole").to_bytes(), bytes);
    for at in 0..bytes.len() {
        assert!(read(&bytes[..at]).is_err(), "cut at {at}");
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        assert!(read(&changed).is_err(), "byte {at}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(read(&longer).expect_err("a byte too many").to_string().contains("bytes follow its end"));
    let mut newer = bytes.clone();
    newer[8] = 2;
    let message = read(&newer).expect_err("another version").to_string();
    assert_eq!(message, "checkpoint has format 2: expected 1");
}

#[test]
fn a_checkpoint_of_other_shapes_or_of_another_run_is_refused() {
    let (learner, state) = small_state();
    let bytes = state.to_bytes();
    let wider = Linear::new(1, 5, 2, 0.0);
    let refused = State::from_bytes(&bytes, Device::CPU, wider.layout(), 1).expect_err("other shapes");
    assert_eq!(
        refused.to_string(),
        "checkpoint is damaged: it holds 1 members of 10 parameters, not 1 of 12"
    );
    assert!(State::from_bytes(&bytes, Device::CPU, learner.layout(), 2).is_err());

    let (training, validation) = (clouds(8, 1), clouds(8, 2));
    let task = Task {
        identity: "other".into(),
        objective: CLASSES,
        train: &training,
        validation: &validation,
        evaluation: vec![],
    };
    let config = config(|arguments| arguments.epochs = 2);
    let mut learner = learner;
    let mut trainer = Trainer::new(&config, &task, &mut learner).expect("it can be learnt");
    let refused = trainer.run(state, &mut |_| Ok(Flow::Continue)).expect_err("another identity");
    assert!(refused.to_string().starts_with("checkpoint belongs to run `"), "{refused}");
    assert!(refused.hint().expect("a remedy").contains("remove the checkpoint"));
}

/// Stands for a full disk.
#[derive(Debug, thiserror::Error)]
#[error("no space left")]
struct Full;

impl Diagnose for Full {
    fn category(&self) -> Category {
        Category::Stopped
    }
}

#[test]
fn an_observer_that_fails_ends_the_training_with_its_own_error() {
    let (training, validation) = (clouds(8, 1), clouds(8, 2));
    let task = Task {
        identity: String::new(),
        objective: CLASSES,
        train: &training,
        validation: &validation,
        evaluation: vec![],
    };
    let config = config(|_| {});
    let mut learner = Linear::new(1, 4, 2, 0.0);
    let values = learner.values(&[1]);
    let mut trainer = Trainer::new(&config, &task, &mut learner).expect("it can be learnt");
    let state = trainer.start(values);
    let failure = trainer.run(state, &mut |event| match event {
        Event::Checkpoint(_) => Err(Full.into()),
        _ => Ok(Flow::Checkpoint),
    });
    let failure = failure.expect_err("the disk is full");
    assert_eq!((failure.to_string().as_str(), failure.category()), ("no space left", Category::Stopped));
}
