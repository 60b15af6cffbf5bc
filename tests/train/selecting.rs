//! Which epoch's values become the result.

use std::sync::Arc;

use pifi_probe::device::Device;
use pifi_probe::error::Failure;
use pifi_probe::nn::{Arena, Buffer, Layout};
use pifi_probe::train::{
    AsPublished, Config, Event, FeatureSet, Finished, Flow, Gold, Input, Learner, MemberResult, Metric,
    Outcome, Pass, Selection, Task, Trainer,
};

use crate::toy::{CLASSES, config};

/// Predicts class 0 for as many of the validation examples as the script says for each epoch; its
/// one parameter moves by the same amount at every step, so that it tells the epoch.
struct Scripted {
    layout: Arc<Layout>,
    epoch: usize,
    script: Vec<Vec<bool>>,
    logits: Buffer,
}

impl Learner for Scripted {
    fn device(&self) -> Device {
        Device::CPU
    }

    fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    fn members(&self) -> usize {
        1
    }

    fn forward(&mut self, _: &Arena, input: &Input, pass: Pass) -> Result<(), Failure> {
        let ids = &input.rows().example_ids;
        let right = |id: &u64| pass != Pass::Evaluate || self.script[self.epoch - 1][*id as usize];
        let logits = ids.iter().flat_map(|id| if right(id) { [1.0, 0.0] } else { [0.0, 1.0] }).collect();
        self.logits = Buffer::from_vec(Device::CPU, logits);
        Ok(())
    }

    fn logits(&self) -> &Buffer {
        &self.logits
    }

    fn backward(&mut self, _: &Arena, _: &Buffer, gradients: &mut Arena) -> Result<(), Failure> {
        gradients.buffer_mut().fill(-1.0);
        self.epoch += 1;
        Ok(())
    }
}

/// Ten examples of class 0, one step an epoch; the values after every epoch, and the result.
fn run(
    script: &[[u8; 10]],
    change: impl FnOnce(&mut pifi_probe::train::Arguments),
) -> (Vec<f32>, Finished, Config) {
    let set =
        FeatureSet::pooled(Device::CPU, vec![0.0; 10], 1, (0..10).collect(), Gold::Classes(vec![0; 10]))
            .expect("ten rows");
    let task = Task {
        identity: String::new(),
        objective: CLASSES,
        train: &set,
        validation: &set,
        evaluation: vec![],
    };
    let config = config(|arguments| {
        arguments.epochs = script.len() as u32;
        arguments.batch_size = 10;
        change(arguments);
    });
    let mut layout = Layout::default();
    layout.push("epoch", &[1]);
    let layout = Arc::new(layout);
    let script = script.iter().map(|epoch| epoch.iter().map(|&right| right == 1).collect()).collect();
    let mut learner = Scripted { layout: layout.clone(), epoch: 0, script, logits: Buffer::default() };
    let mut trainer = Trainer::new(&config, &task, &mut learner).expect("it can be learnt");
    let (state, mut values) = (trainer.start(Arena::zeros(Device::CPU, layout, 1)), Vec::new());
    let mut epoch_ended = false;
    let outcome = trainer.run(state, &mut |event| {
        epoch_ended |= matches!(event, Event::EpochEnd(_));
        if let (Event::Checkpoint(state), true) = (event, epoch_ended) {
            values.push(state.values.member(0)[0]);
            epoch_ended = false;
        }
        Ok(Flow::Checkpoint)
    });
    let Outcome::Finished(finished) = outcome.expect("nothing fails") else { panic!("nobody said stop") };
    (values, *finished, config)
}

fn epoch(finished: &Finished) -> u32 {
    match finished.members[0] {
        MemberResult::Trained { epoch, .. } => epoch,
        MemberResult::Diverged(_) => panic!("nothing diverges here"),
    }
}

const HALF: [u8; 10] = [1, 1, 1, 1, 1, 0, 0, 0, 0, 0];
const MOST: [u8; 10] = [1, 1, 1, 1, 1, 1, 1, 1, 0, 0];

#[test]
fn the_first_of_equally_good_epochs_wins() {
    let (values, finished, _) = run(&[HALF, MOST, MOST, HALF], |_| {});
    assert!(values.len() == 4 && values.is_sorted() && values[0] > 0.0, "{values:?}");
    assert_eq!(epoch(&finished), 2);
    let best = finished.state.members[0].best.expect("it was validated");
    assert_eq!((best.epoch, best.value), (2, 0.8));
    assert_eq!(finished.state.chosen().member(0), [values[1]]);
    assert_eq!(finished.state.values.member(0), [values[3]]);
}

#[test]
fn a_first_epoch_that_is_all_wrong_is_still_a_result() {
    let (values, finished, _) = run(&[[0; 10], [0; 10]], |_| {});
    assert_eq!(epoch(&finished), 1);
    assert_eq!(finished.state.chosen().member(0), [values[0]]);
}

#[test]
fn the_last_epoch_can_be_asked_for() {
    let (values, finished, _) = run(&[MOST, HALF], |arguments| arguments.selection = Selection::LastEpoch);
    assert_eq!(epoch(&finished), 2);
    assert_eq!(finished.state.chosen().member(0), [values[1]]);
}

/// With batches of 8, the short last batch of two weighs as much as the first: epoch 1 has 8 of 10
/// right but means (6/8 + 2/2) / 2 = 0.875, epoch 2 also 8 but (8/8 + 0/2) / 2 = 0.5.
#[test]
fn the_published_metric_weighs_batches_and_chooses_by_them() {
    let first = [1, 1, 1, 1, 1, 1, 0, 0, 1, 1];
    let second = [1, 1, 1, 1, 1, 1, 1, 1, 0, 1];
    let published = |arguments: &mut pifi_probe::train::Arguments| {
        arguments.as_published = [AsPublished::Metrics].into();
    };
    let scores = |finished: &Finished, n: usize| {
        finished.state.history.epochs[n].validation[0].clone().expect("scores")
    };
    let (_, whole, _) = run_in_batches(&[first, second], |_| {});
    assert_eq!(epoch(&whole), 2);
    assert!(!scores(&whole, 0).contains_key(&Metric::BatchAccuracy));
    let (_, batches, _) = run_in_batches(&[first, second], published);
    assert_eq!(epoch(&batches), 1);
    assert_eq!(scores(&batches, 0)[&Metric::BatchAccuracy], 0.875);
    assert_eq!(scores(&batches, 1)[&Metric::BatchAccuracy], 0.75);
    assert_eq!(scores(&batches, 1)[&Metric::Accuracy], 0.9);
}

/// Training in one batch of 8 (the rest is dropped), validation in batches of 8 and 2.
fn run_in_batches(
    script: &[[u8; 10]],
    change: impl FnOnce(&mut pifi_probe::train::Arguments),
) -> (Vec<f32>, Finished, Config) {
    run(script, |arguments| {
        arguments.batch_size = 8;
        change(arguments);
        arguments.as_published.insert(AsPublished::DropLast);
    })
}
