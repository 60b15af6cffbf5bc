//! A learner learns, whatever its objective, and a stack learns what its members would alone.

use pifi_probe::device::Device;
use pifi_probe::seed::Seed;
use pifi_probe::train::source::Padding;
use pifi_probe::train::{
    Answers, Event, FeatureSet, Flow, Gold, MemberResult, Metric, Objective, Source, Span, Task, TokenSet,
    Trainer,
};

use crate::toy::{CLASSES, Linear, bits, clouds, config, member_bits, train};

fn task<'a>(train: &'a dyn Source, validation: &'a dyn Source, test: &'a dyn Source) -> Task<'a> {
    Task {
        identity: "toy".into(),
        objective: CLASSES,
        train,
        validation,
        evaluation: vec![("test".into(), test)],
    }
}

#[test]
fn the_loss_falls_and_the_clouds_are_told_apart() {
    let (training, validation, test) = (clouds(60, 1), clouds(40, 2), clouds(40, 3));
    let task = task(&training, &validation, &test);
    let mut learner = Linear::new(1, 4, 2, 0.1);
    let values = learner.values(&[1]);
    let finished = train(&config(|_| {}), &task, &mut learner, values);
    let losses = &finished.state.history.losses;
    assert_eq!(losses.len(), 3 * 8, "60 examples in batches of 8, the last one short, 3 epochs");
    assert!(losses[23] < 0.5 * losses[0], "{losses:?}");
    let epochs = &finished.state.history.epochs;
    assert_eq!(epochs.iter().map(|epoch| epoch.step).collect::<Vec<_>>(), [8, 16, 24]);
    let MemberResult::Trained { evaluations, .. } = &finished.members[0] else { panic!("trained") };
    assert_eq!(evaluations.iter().map(|e| e.split.as_str()).collect::<Vec<_>>(), ["validation", "test"]);
    let on_test = &evaluations[1];
    assert!(on_test.scores[&Metric::Accuracy] > 0.9, "{:?}", on_test.scores);
    assert_eq!(on_test.predictions.example_ids, (3000..3040).collect::<Vec<u64>>());
    assert_eq!(on_test.predictions.batches, [8; 5]);
    let Answers::Classes { gold, predicted, classes, logits } = &on_test.predictions.answers else {
        panic!("classes")
    };
    assert_eq!((gold.len(), predicted.len(), *classes, logits.len()), (40, 40, 2, 80));
    let larger = logits.chunks(2).map(|row| u32::from(row[1] > row[0]));
    assert!(larger.eq(predicted.iter().copied()));
    let hits = gold.iter().zip(predicted).filter(|(gold, predicted)| gold == predicted).count();
    assert_eq!(on_test.scores[&Metric::Accuracy], hits as f64 / 40.0);
}

#[test]
fn two_stacked_members_equal_two_separate_runs_bit_for_bit() {
    let (training, validation, test) = (clouds(30, 1), clouds(20, 2), clouds(20, 3));
    let task = task(&training, &validation, &test);
    let config = config(|arguments| arguments.clip = 0.1);
    let run = |members: &[u64]| {
        let mut learner = Linear::new(members.len(), 4, 2, 0.3);
        let values = learner.values(members);
        train(&config, &task, &mut learner, values)
    };
    let (both, alone) = (run(&[1, 2]), [run(&[1]), run(&[2])]);
    assert_ne!(member_bits(&both.state.values, 0), member_bits(&both.state.values, 1));
    for (member, alone) in alone.iter().enumerate() {
        assert_eq!(member_bits(&both.state.values, member), bits(&alone.state.values));
        assert_eq!(both.members[member], alone.members[0]);
        let of_member = both.state.history.losses.iter().skip(member).step_by(2);
        assert!(of_member.eq(&alone.state.history.losses));
        for (together, alone) in both.state.history.epochs.iter().zip(&alone.state.history.epochs) {
            assert_eq!(together.validation[member], alone.validation[0]);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_others() {
    let (training, validation, test) = (clouds(30, 1), clouds(20, 2), clouds(20, 3));
    let task = task(&training, &validation, &test);
    let run = |seed: u64| {
        let mut learner = Linear::new(1, 4, 2, 0.3);
        let values = learner.values(&[1]);
        bits(
            &train(&config(|arguments| arguments.seed = Seed(seed)), &task, &mut learner, values)
                .state
                .values,
        )
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn events_tell_every_step_in_order_with_its_learning_rate() {
    let (training, validation) = (clouds(16, 1), clouds(8, 2));
    let task = Task {
        identity: String::new(),
        objective: CLASSES,
        train: &training,
        validation: &validation,
        evaluation: vec![],
    };
    let config = config(|arguments| {
        arguments.epochs = 2;
        arguments.schedule = "linear".parse().expect("a schedule");
    });
    let mut learner = Linear::new(2, 4, 2, 0.0);
    let values = learner.values(&[1, 2]);
    let mut trainer = Trainer::new(&config, &task, &mut learner).expect("it can be learnt");
    let (state, mut told, mut rates) = (trainer.start(values), Vec::new(), Vec::new());
    trainer
        .run(state, &mut |event| {
            told.push(match event {
                Event::Started { total_steps, members, step } => {
                    format!("start {step}/{total_steps} x{members}")
                }
                Event::Step(step) => {
                    assert!(step.losses.len() == 2 && step.gradient_norms.iter().all(|norm| *norm > 0.0));
                    assert!(step.tokens == 8 && step.tokens_per_second().is_some());
                    rates.push(step.learning_rate);
                    format!("step {} of epoch {}", step.step, step.epoch)
                }
                Event::Evaluating { split, done, total } => format!("{split} {done}/{total}"),
                Event::EpochEnd(record) => format!("epoch {}", record.epoch),
                Event::Finished { step } => format!("finished {step}"),
                other => panic!("{other:?}"),
            });
            Ok(Flow::Continue)
        })
        .expect("nothing fails");
    assert_eq!(
        told,
        [
            "start 0/4 x2",
            "step 1 of epoch 1",
            "step 2 of epoch 1",
            "validation 8/8",
            "epoch 1",
            "step 3 of epoch 2",
            "step 4 of epoch 2",
            "validation 8/8",
            "epoch 2",
            "validation 8/8",
            "finished 4",
        ]
    );
    assert_eq!(rates, [0.05 * 1.0, 0.05 * 0.75, 0.05 * 0.5, 0.05 * 0.25]);
}

/// Token 7 stands before an answer's first token, so the learner must find 7 as start and 8 as end.
fn questions(examples: usize, padding: Option<Padding>) -> TokenSet {
    let mut stream = Seed(4).stream();
    let (mut ids, mut offsets, mut spans) = (Vec::new(), vec![0], Vec::new());
    for _ in 0..examples {
        let length = 4 + stream.below(5);
        let start = stream.below(length - 1);
        let end = start + 1 + stream.below(length - start - 1);
        for token in 0..length {
            let other = 1 + stream.below(6) as u32;
            ids.push(if token == start {
                7
            } else if token == end {
                8
            } else {
                other
            });
        }
        offsets.push(ids.len());
        spans.push(Span { start: start as u32, end: end as u32 });
    }
    let example_ids = (0..examples as u64).collect();
    TokenSet::new(ids, vec![], offsets, example_ids, Gold::Spans(spans), padding).expect("spans within texts")
}

#[test]
fn spans_are_learnt_packed_and_padded() {
    let settings = config(|arguments| {
        arguments.epochs = 10;
        arguments.learning_rate = 0.2;
    });
    let mut losses = Vec::new();
    for (padding, over_padding) in [
        (None, false),
        (Some(Padding { length: 9, id: 0 }), false),
        (Some(Padding { length: 9, id: 0 }), true),
    ] {
        let set = questions(40, padding);
        let objective = Objective::Span { over_padding };
        let task =
            Task { identity: String::new(), objective, train: &set, validation: &set, evaluation: vec![] };
        let mut learner = Linear::new(1, 9, 2, 0.0);
        let values = learner.values(&[1]);
        let finished = train(&settings, &task, &mut learner, values);
        let MemberResult::Trained { evaluations, .. } = &finished.members[0] else { panic!("trained") };
        let scores = &evaluations[0].scores;
        assert_eq!((scores[&Metric::ExactMatch], scores[&Metric::SpanF1]), (1.0, 1.0), "{scores:?}");
        losses.push(finished.state.history.losses.clone());
    }
    // masked padding is the same as no padding; padding in the softmax is not
    assert_eq!(losses[0], losses[1]);
    assert!(losses[2][0] > losses[1][0]);
}

#[test]
fn a_task_that_cannot_be_learnt_is_refused() {
    let good = clouds(8, 1);
    let three = FeatureSet::pooled(Device::CPU, vec![0.0; 8], 4, vec![0, 1], Gold::Classes(vec![0, 2]))
        .expect("rows, ids and classes are as many");
    let refused = |train: &dyn Source, validation: &dyn Source, drop_last: bool| {
        let settings = config(|arguments| {
            arguments.batch_size = 16;
            if drop_last {
                arguments.as_published = [pifi_probe::train::AsPublished::DropLast].into();
            }
        });
        let mut learner = Linear::new(1, 4, 2, 0.0);
        Trainer::new(&settings, &task(train, validation, &good), &mut learner).err().map(|e| e.to_string())
    };
    assert_eq!(refused(&good, &good, false), None);
    let third = refused(&good, &three, false).expect("class 2 of 2");
    assert!(third.contains("example 1 of split `validation`") && third.contains("`2`"), "{third}");
    assert!(
        refused(&good, &good, true).expect("8 of 16").contains("8 training examples make no whole batch")
    );
}
