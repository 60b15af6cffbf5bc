//! The loop: K members through the same batches, validated after each epoch, evaluated at the end
//! with the values of their best epochs.

use std::time::Instant;

use sha2::{Digest, Sha256};

use super::metrics::Scores;
use super::schedule::Schedule;
use super::state::Best;
use super::{
    Cause, Config, Divergence, EpochRecord, Error, Event, Flow, Gold, Learner, Objective, Optimization, Pass,
    Predictions, Selection, Source, State, Step, evaluate,
};
use crate::data::batch::epoch_order;
use crate::error::Failure;
use crate::nn::{Arena, DropoutKey};

/// What the members learn and what they are evaluated on.
pub struct Task<'a> {
    /// What the caller calls this training (its cells' ids): a checkpoint of another one is refused.
    pub identity: String,
    /// The loss.
    pub objective: Objective,
    /// What is learnt from.
    pub train: &'a dyn Source,
    /// What chooses the best epoch.
    pub validation: &'a dyn Source,
    /// Further splits that are evaluated once at the end, by name.
    pub evaluation: Vec<(String, &'a dyn Source)>,
}

/// One split evaluated with a member's chosen values.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// `validation`, or a name given in [`Task::evaluation`].
    pub split: String,
    /// Answer by answer.
    pub predictions: Predictions,
    /// Every metric.
    pub scores: Scores,
}

/// What came of one member.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberResult {
    /// It was trained to the end.
    Trained {
        /// The epoch whose values were evaluated, from 1.
        epoch: u32,
        /// The validation split first, then those of [`Task::evaluation`] in their order.
        evaluations: Vec<Evaluation>,
    },
    /// It fell out.
    Diverged(Divergence),
}

/// A training that reached its end.
#[derive(Clone, Debug)]
pub struct Finished {
    /// History and values; [`State::chosen`] are those that were evaluated.
    pub state: State,
    /// One for each member.
    pub members: Vec<MemberResult>,
}

/// How a training ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// All is trained and evaluated.
    Finished(Box<Finished>),
    /// It was told to stop; [`Trainer::run`] goes on from this state.
    Stopped(Box<State>),
}

/// Hears events and says how to go on. An error of its own, such as a checkpoint that cannot be
/// stored, ends the training.
pub type Observer<'a> = dyn FnMut(Event<'_>) -> Result<Flow, Failure> + 'a;

/// Trains one stack of members on one task.
pub struct Trainer<'a> {
    config: &'a Config,
    task: &'a Task<'a>,
    learner: &'a mut dyn Learner,
    fingerprint: String,
    batches: usize,
    total_steps: u64,
    schedule: Schedule,
    optimization: Optimization,
    order: Option<(u32, Vec<usize>)>,
}

impl<'a> Trainer<'a> {
    /// Checks that every split can be learnt or evaluated.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::Gold`], [`Error::NoBatch`].
    pub fn new(config: &'a Config, task: &'a Task<'a>, learner: &'a mut dyn Learner) -> Result<Self, Error> {
        let objective = &task.objective;
        objective.check_gold("train", task.train.gold())?;
        objective.check_gold("validation", task.validation.gold())?;
        for (name, source) in &task.evaluation {
            objective.check_gold(name, source.gold())?;
        }
        let examples = task.train.len();
        let batches = config.batches(examples);
        if batches == 0 {
            return Err(Error::NoBatch { examples, batch_size: config.batch_size });
        }
        let total_steps = config.total_steps(examples);
        Ok(Self {
            fingerprint: fingerprint(config, task, learner),
            batches,
            total_steps,
            schedule: Schedule::new(config.schedule, config.warmup, total_steps),
            optimization: Optimization::new(learner, config.rule()),
            order: None,
            config,
            task,
            learner,
        })
    }

    /// A hash of all that decides this training except the initial values and the frozen weights,
    /// for which [`Task::identity`] speaks.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The state to begin with.
    pub fn start(&self, values: Arena) -> State {
        State::new(self.learner.device(), self.fingerprint.clone(), values)
    }

    /// Goes on from `state` to the end, or until `observe` answers [`Flow::Stop`]. However often a
    /// run is stopped and resumed, its results are the same bits.
    ///
    /// # Errors
    /// [`Error::OtherRun`] for a state of another training; those of the learner and of `observe`.
    pub fn run(&mut self, mut state: State, observe: &mut Observer<'_>) -> Result<Outcome, Failure> {
        self.check(&state)?;
        let mut line = Line { observe, wanted: Flow::Continue };
        let members = self.learner.members();
        line.tell(Event::Started { members, step: state.step, total_steps: self.total_steps })?;
        loop {
            if line.obey(&state)? {
                return Ok(Outcome::Stopped(Box::new(state)));
            }
            let over = state.epoch == self.config.epochs || !state.alive().contains(&true);
            if over {
                if let Some(members) = self.conclude(&mut state, &mut line)? {
                    line.tell(Event::Finished { step: state.step })?;
                    return Ok(Outcome::Finished(Box::new(Finished { state, members })));
                }
            } else if state.batch == self.batches {
                self.end_epoch(&mut state, &mut line)?;
            } else {
                self.step(&mut state, &mut line)?;
            }
        }
    }

    fn check(&self, state: &State) -> Result<(), Error> {
        if state.fingerprint != self.fingerprint {
            return Err(Error::OtherRun {
                found: state.fingerprint.clone(),
                expected: self.fingerprint.clone(),
            });
        }
        let steps = u64::from(state.epoch) * self.batches as u64 + state.batch as u64;
        if state.step != steps || state.batch > self.batches || state.epoch > self.config.epochs {
            return Err(Error::Damaged {
                what: format!(
                    "step {} is not batch {} of epoch {}",
                    state.step,
                    state.batch,
                    u64::from(state.epoch) + 1
                ),
            });
        }
        Ok(())
    }

    /// Places of the next batch's examples.
    fn next_batch(&mut self, state: &State) -> Vec<usize> {
        let (seed, examples) = (self.config.seeds().order, self.task.train.len());
        let order = match &mut self.order {
            Some((epoch, order)) if *epoch == state.epoch => order,
            order => &mut order.insert((state.epoch, epoch_order(seed, u64::from(state.epoch), examples))).1,
        };
        let start = state.batch * self.config.batch_size;
        order[start..(start + self.config.batch_size).min(examples)].to_vec()
    }

    fn step(&mut self, state: &mut State, line: &mut Line<'_, '_>) -> Result<(), Failure> {
        let begun = Instant::now();
        let batch = self.next_batch(state);
        let input = self.task.train.input(&batch);
        let gold = self.task.train.gold().pick(&batch);
        let number = state.step + 1;
        let pass = Pass::Train(DropoutKey { seed: self.config.seeds().dropout, step: number, site: 0 });
        let objective = &self.task.objective;
        self.optimization.gradient(
            self.learner,
            &state.values,
            &input,
            pass,
            |rows, logits, losses, dlogits| objective.loss(rows, logits, &gold, losses, dlogits),
        )?;
        let mut fallen = Vec::new();
        for (member, of_member) in state.members.iter_mut().enumerate() {
            if let (None, Some(cause)) = (of_member.diverged, self.optimization.cause(member)) {
                let divergence = Divergence { step: number, cause };
                of_member.diverged = Some(divergence);
                fallen.push((member, divergence));
            }
        }
        let alive = state.alive();
        let learning_rate = self.config.learning_rate * self.schedule.factor(state.step);
        self.optimization.apply(number, learning_rate, &alive, &mut state.values, &mut state.moments);
        state.step = number;
        state.batch += 1;
        let of_alive = |numbers: &[f64]| -> Vec<f64> {
            let pairs = numbers.iter().zip(&alive);
            pairs.map(|(&number, &alive)| if alive { number } else { f64::NAN }).collect()
        };
        let step = Step {
            step: number,
            total_steps: self.total_steps,
            epoch: state.epoch + 1,
            losses: of_alive(self.optimization.losses()),
            gradient_norms: of_alive(self.optimization.norms()),
            learning_rate,
            tokens: input.real_rows(),
            elapsed: begun.elapsed(),
        };
        remember(state, &step);
        for (member, divergence) in fallen {
            line.tell(Event::Diverged { member, divergence })?;
        }
        line.tell(Event::Step(&step))
    }

    /// Validates and chooses; leaves the state as it was when told to stop meanwhile.
    fn end_epoch(&mut self, state: &mut State, line: &mut Line<'_, '_>) -> Result<(), Failure> {
        let task = self.task;
        let Some(predictions) = self.evaluate(&state.values, "validation", task.validation, line)? else {
            return Ok(());
        };
        let epoch = state.epoch + 1;
        let metric = task.objective.selecting_metric(self.config);
        let mut record = EpochRecord { epoch, step: state.step, train_loss: vec![], validation: vec![] };
        for (member, predictions) in predictions.iter().enumerate() {
            fall_out(state, member, predictions, line)?;
            if state.members[member].diverged.is_some() {
                record.train_loss.push(None);
                record.validation.push(None);
                continue;
            }
            let scores = predictions.scores(self.config);
            let value = scores[&metric];
            let better = state.members[member].best.is_none_or(|best| value > best.value);
            match self.config.selection {
                Selection::LastEpoch => state.members[member].best = Some(Best { epoch, value }),
                Selection::BestValidation if better => {
                    state.members[member].best = Some(Best { epoch, value });
                    let best = state.best.get_or_insert_with(|| state.values.clone());
                    best.copy_member(member, &state.values);
                }
                Selection::BestValidation => {}
            }
            record.train_loss.push(Some(state.loss_sums[member] / self.batches as f64));
            record.validation.push(Some(scores));
        }
        state.epoch = epoch;
        state.batch = 0;
        state.loss_sums.fill(0.0);
        state.history.epochs.push(record.clone());
        line.tell(Event::EpochEnd(&record))
    }

    /// Evaluates every split with the chosen values; none when told to stop meanwhile.
    fn conclude(
        &mut self,
        state: &mut State,
        line: &mut Line<'_, '_>,
    ) -> Result<Option<Vec<MemberResult>>, Failure> {
        let task = self.task;
        let mut evaluations: Vec<Vec<Evaluation>> = state.members.iter().map(|_| Vec::new()).collect();
        if state.alive().contains(&true) {
            let others = task.evaluation.iter().map(|(name, source)| (name.as_str(), *source));
            for (split, source) in std::iter::once(("validation", task.validation)).chain(others) {
                let Some(predictions) = self.evaluate(state.chosen(), split, source, line)? else {
                    return Ok(None);
                };
                for (member, predictions) in predictions.into_iter().enumerate() {
                    fall_out(state, member, &predictions, line)?;
                    let scores = predictions.scores(self.config);
                    evaluations[member].push(Evaluation { split: split.into(), predictions, scores });
                }
            }
        }
        let results = state.members.iter().zip(evaluations);
        let result = |(member, evaluations): (&super::state::MemberState, Vec<Evaluation>)| match member
            .diverged
        {
            Some(divergence) => MemberResult::Diverged(divergence),
            None => MemberResult::Trained { epoch: member.best.map_or(0, |best| best.epoch), evaluations },
        };
        Ok(Some(results.map(result).collect()))
    }

    fn evaluate(
        &mut self,
        values: &Arena,
        split: &str,
        source: &dyn Source,
        line: &mut Line<'_, '_>,
    ) -> Result<Option<Vec<Predictions>>, Failure> {
        let total = source.len();
        evaluate(self.learner, values, source, &self.task.objective, self.config.batch_size, &mut |done| {
            line.tell(Event::Evaluating { split, done, total })?;
            Ok(line.wanted != Flow::Stop)
        })
    }
}

/// Adds a step to the history and its losses to the epoch's.
fn remember(state: &mut State, step: &Step) {
    state.history.learning_rates.push(step.learning_rate);
    state.history.tokens.push(step.tokens as u64);
    state.history.losses.extend(&step.losses);
    state.history.gradient_norms.extend(&step.gradient_norms);
    for (sum, loss) in state.loss_sums.iter_mut().zip(&step.losses) {
        if loss.is_finite() {
            *sum += loss;
        }
    }
}

/// Marks a member whose predictions are not finite.
fn fall_out(
    state: &mut State,
    member: usize,
    predictions: &Predictions,
    line: &mut Line<'_, '_>,
) -> Result<(), Failure> {
    let cause = match (predictions.finite, predictions.loss.is_finite()) {
        (true, true) => return Ok(()),
        (false, _) => Cause::Logits,
        (true, false) => Cause::Loss,
    };
    if state.members[member].diverged.is_some() {
        return Ok(());
    }
    let divergence = Divergence { step: state.step, cause };
    state.members[member].diverged = Some(divergence);
    line.tell(Event::Diverged { member, divergence })
}

/// Tells the observer, and remembers what it wants until the state is whole.
struct Line<'l, 'o> {
    observe: &'l mut Observer<'o>,
    wanted: Flow,
}

impl Line<'_, '_> {
    fn tell(&mut self, event: Event<'_>) -> Result<(), Failure> {
        self.wanted = self.wanted.max((self.observe)(event)?);
        Ok(())
    }

    /// Hands out a checkpoint if one is wanted; says whether to stop.
    fn obey(&mut self, state: &State) -> Result<bool, Failure> {
        let wanted = std::mem::take(&mut self.wanted);
        if wanted != Flow::Continue {
            (self.observe)(Event::Checkpoint(state))?;
        }
        Ok(wanted == Flow::Stop)
    }
}

fn fingerprint(config: &Config, task: &Task<'_>, learner: &dyn Learner) -> String {
    let mut hash = Sha256::new();
    let settings = serde_json::json!({
        "identity": task.identity,
        "config": config,
        "objective": task.objective,
        "members": learner.members(),
        "layout": learner.layout().entries().iter().map(|e| (&e.name, &e.shape)).collect::<Vec<_>>(),
    });
    hash.update(settings.to_string());
    for source in [task.train, task.validation] {
        hash.update((source.len() as u64).to_le_bytes());
        source.example_ids().iter().for_each(|id| hash.update(id.to_le_bytes()));
        match source.gold() {
            Gold::Classes(classes) => classes.iter().for_each(|class| hash.update(class.to_le_bytes())),
            Gold::Spans(spans) => spans.iter().for_each(|span| {
                hash.update(span.start.to_le_bytes());
                hash.update(span.end.to_le_bytes());
            }),
        }
    }
    format!("{:x}", hash.finalize())
}
