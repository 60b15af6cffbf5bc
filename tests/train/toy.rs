//! A linear learner over features or tokens, with dropout, and data that it can learn.

use std::sync::Arc;

use pifi_probe::device::Device;
use pifi_probe::error::Failure;
use pifi_probe::nn::dropout::{self, Dropout};
use pifi_probe::nn::linear::{self, Shape};
use pifi_probe::nn::{Arena, Buffer, Layout, Slot, embedding};
use pifi_probe::seed::Seed;
use pifi_probe::train::{
    Arguments, Config, Event, FeatureSet, Finished, Flow, Gold, Input, Learner, Objective, Outcome, Pass,
    Task, Trainer,
};

/// Features: `logits = dropout(x) W^T + b`. Tokens: `logits = table[token]`, one row a token.
pub(crate) struct Linear {
    layout: Arc<Layout>,
    weight: Slot,
    bias: Slot,
    members: usize,
    inputs: usize,
    outputs: usize,
    dropout: f32,
    x: Buffer,
    ids: Vec<u32>,
    logits: Buffer,
    /// Makes a member's logits NaN in the forward to train of this step.
    pub(crate) poison: Option<(usize, u64)>,
    /// Makes a member's logits NaN in every evaluation.
    pub(crate) poison_evaluation: Option<usize>,
    /// Makes a member's gradient infinite at every step.
    pub(crate) poison_gradient: Option<usize>,
}

impl Linear {
    pub(crate) fn new(members: usize, inputs: usize, outputs: usize, dropout: f32) -> Self {
        let mut layout = Layout::default();
        let weight = layout.push("weight", &[outputs, inputs]);
        let bias = layout.push("bias", &[outputs]);
        Self {
            layout: Arc::new(layout),
            weight,
            bias,
            members,
            inputs,
            outputs,
            dropout,
            x: Buffer::default(),
            ids: Vec::new(),
            logits: Buffer::default(),
            poison: None,
            poison_evaluation: None,
            poison_gradient: None,
        }
    }

    /// Small random values, other ones for every member number.
    pub(crate) fn values(&self, members: &[u64]) -> Arena {
        let mut arena = Arena::zeros(Device::CPU, Arc::clone(&self.layout), members.len());
        for (place, member) in members.iter().enumerate() {
            let mut stream = Seed(*member).derive("toy").stream();
            arena.member_mut(place).fill_with(|| 0.1 * stream.normal() as f32);
        }
        arena
    }

    fn shape(&self, rows: usize) -> Shape {
        Shape { members: self.members, rows, inputs: self.inputs, outputs: self.outputs }
    }

    fn poisoned(&self, pass: Pass) -> Option<usize> {
        match pass {
            Pass::Train(key) => self.poison.filter(|(_, step)| *step == key.step).map(|(member, _)| member),
            Pass::Evaluate => self.poison_evaluation,
        }
    }
}

impl Learner for Linear {
    fn device(&self) -> Device {
        Device::CPU
    }

    fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    fn members(&self) -> usize {
        self.members
    }

    fn forward(&mut self, values: &Arena, input: &Input, pass: Pass) -> Result<(), Failure> {
        match input {
            Input::Features(features) => {
                let every_member = features.numbers.to_vec().repeat(self.members);
                self.x = Buffer::from_vec(Device::CPU, every_member);
                if let Pass::Train(key) = pass {
                    let dropout = Dropout { key, probability: self.dropout };
                    dropout::forward(self.members, &features.rows, self.inputs, dropout, &mut self.x);
                }
                linear::forward(
                    self.shape(features.rows.len()),
                    &self.x,
                    values.param(self.weight),
                    Some(values.param(self.bias)),
                    &mut self.logits,
                );
            }
            Input::Tokens(tokens) => {
                self.ids.clone_from(&tokens.ids);
                let table = values.param(self.weight);
                embedding::forward(
                    self.members,
                    &self.ids,
                    self.outputs,
                    table,
                    &mut self.logits,
                    false,
                    1.0,
                );
            }
        }
        if let Some(member) = self.poisoned(pass) {
            let part = self.logits.len() / self.members;
            self.logits.cpu_mut()[member * part..(member + 1) * part].fill(f32::NAN);
        }
        Ok(())
    }

    fn logits(&self) -> &Buffer {
        &self.logits
    }

    fn backward(&mut self, _: &Arena, dlogits: &Buffer, gradients: &mut Arena) -> Result<(), Failure> {
        if self.ids.is_empty() {
            let shape = self.shape(self.x.len() / self.members / self.inputs);
            linear::backward_weight(shape, &self.x, dlogits, gradients.param_mut(self.weight));
            linear::backward_bias(shape, dlogits, gradients.param_mut(self.bias));
        } else {
            let table = gradients.param_mut(self.weight);
            embedding::backward(self.members, &self.ids, self.outputs, dlogits, 1.0, None, table);
        }
        if let Some(member) = self.poison_gradient {
            gradients.member_mut(member).fill(f32::INFINITY);
        }
        Ok(())
    }
}

pub(crate) const CLASSES: Objective = Objective::Classification { classes: 2, smoothing: 0.05 };

/// Two clouds of points around (1, -1, 0, ..) and (-1, 1, 0, ..), classes in turn.
pub(crate) fn clouds(examples: usize, seed: u64) -> FeatureSet {
    let mut stream = Seed(seed).stream();
    let mut numbers = Vec::new();
    for example in 0..examples {
        let side = if example % 2 == 0 { 1.0 } else { -1.0 };
        for centre in [side, -side, 0.0, 0.0] {
            numbers.push((centre + 0.6 * stream.normal()) as f32);
        }
    }
    let gold = Gold::Classes((0..examples).map(|example| (example % 2) as u32).collect());
    let ids = (0..examples as u64).map(|id| id + 1000 * seed).collect();
    FeatureSet::pooled(Device::CPU, numbers, 4, ids, gold).expect("rows, ids and classes are as many")
}

/// Settings for small tasks.
pub(crate) fn config(change: impl FnOnce(&mut Arguments)) -> Config {
    let mut arguments =
        Arguments { epochs: 3, batch_size: 8, learning_rate: 0.05, seed: Seed(9), ..Arguments::default() };
    change(&mut arguments);
    arguments.check().expect("possible settings")
}

/// Trains to the end without stopping.
pub(crate) fn train(config: &Config, task: &Task<'_>, learner: &mut Linear, values: Arena) -> Finished {
    let mut trainer = Trainer::new(config, task, learner).expect("a task that can be learnt");
    let state = trainer.start(values);
    match trainer.run(state, &mut |_: Event<'_>| Ok(Flow::Continue)).expect("nothing fails") {
        Outcome::Finished(finished) => *finished,
        Outcome::Stopped(_) => panic!("nobody said stop"),
    }
}

/// The bits of all numbers, so that NaN equals NaN and 0 differs from -0.
pub(crate) fn bits(arena: &Arena) -> Vec<u32> {
    arena.buffer().to_vec().into_iter().map(f32::to_bits).collect()
}

/// The bits of one member's numbers.
pub(crate) fn member_bits(arena: &Arena, member: usize) -> Vec<u32> {
    arena.member(member).iter().map(|number| number.to_bits()).collect()
}
