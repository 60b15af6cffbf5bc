//! What a sweep will cost, from sizes alone: arithmetic, bytes, memory, time. Attention's quadratic
//! part is left out of the arithmetic (at 100 tokens it is below 2 % of BERT-base).
//!
//! Training costs 6 operations a parameter and token (2 forward, 4 backward: Kaplan et al., 2020);
//! a frozen layer costs 4 (no weight gradient); a forward pass alone 2.

use serde::Serialize;

use super::{Error, Oom, Plan, PlugMode, Study, TrainMode, features};
use crate::device::Device;
use crate::nn::frozen::keeps_halves;
use crate::runs::{Condition, Control};

/// Sizes of the models of a study, in numbers of parameters unless named otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// All of the small model.
    pub encoder: u64,
    /// Of these, in matrices that every token passes through (without embeddings).
    pub encoder_per_token: u64,
    /// Blocks of the small model.
    pub encoder_blocks: u64,
    /// D.
    pub encoder_width: u64,
    /// F of the small model.
    pub encoder_feed_forward: u64,
    /// H of the small model.
    pub encoder_heads: u64,
    /// One LLM layer.
    pub layer: u64,
    /// Of these, in what one token alone passes through (without q and k).
    pub layer_one_token: u64,
    /// F of the LLM.
    pub layer_feed_forward: u64,
    /// E.
    pub layer_width: u64,
    /// C.
    pub classes: u64,
    /// What a number takes.
    pub bytes: NumberBytes,
}

/// Bytes that a number takes in memory, by what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberBytes {
    /// Of a frozen layer's matrices.
    pub frozen: u64,
    /// The value of a parameter that may train.
    pub value: u64,
    /// Of activations.
    pub activation: u64,
}

impl NumberBytes {
    /// Frozen layers as they are stored, and f32.
    pub fn on(device: Device, stored_as_halves: bool) -> Self {
        // what products read is kept in bfloat16 too: values, and a fifth of a block's activations
        let rounded = keeps_halves(device, false);
        let [value, activation] = if rounded { [6, 5] } else { [4, 4] };
        Self { frozen: if keeps_halves(device, stored_as_halves) { 2 } else { 4 }, value, activation }
    }

    /// Value, gradient, two moments and the best value so far.
    fn trained(self) -> u64 {
        self.value + 16
    }
}

impl Sizes {
    /// L_in and L_out, without biases.
    pub fn mappers(&self) -> u64 {
        2 * self.encoder_width * self.layer_width
    }

    /// Two linear maps with biases.
    pub fn head(&self) -> u64 {
        (self.encoder_width + 1) * (self.encoder_width + self.classes)
    }
}

/// How much text a cell passes through its model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Workload {
    /// Examples of the training split.
    pub train_examples: u64,
    /// Examples of the validation split.
    pub validation_examples: u64,
    /// Examples of all evaluated test splits.
    pub test_examples: u64,
    /// Mean real tokens of an example.
    pub tokens: f64,
    /// Passes.
    pub epochs: u64,
    /// Examples a step.
    pub batch_size: u64,
}

/// How fast this machine is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Operations a second of one worker.
    pub flops_per_second: f64,
    /// Where that comes from.
    pub basis: Basis,
}

/// Where a rate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// So many steps were timed on this machine.
    Measured {
        /// Steps.
        steps: u64,
    },
    /// Assumed for a processor of its kind.
    Estimated,
}

impl Rate {
    /// A rate for so many threads of a processor with AVX2, at a third of its peak in f32: 3 GHz,
    /// 32 operations a cycle. To be replaced by a measurement wherever one can be had.
    pub fn assumed(threads: usize) -> Self {
        Self { flops_per_second: threads as f64 * 32e9, basis: Basis::Estimated }
    }

    /// The rate at which `flops` operations took `seconds` in `steps` steps.
    pub fn measured(flops: f64, seconds: f64, steps: u64) -> Self {
        Self { flops_per_second: flops / seconds, basis: Basis::Measured { steps } }
    }
}

/// Operations a training example costs in one epoch.
pub fn train_flops(
    sizes: &Sizes,
    condition: Condition,
    plug: PlugMode,
    train: TrainMode,
    tokens: f64,
) -> f64 {
    let encoder = match train {
        TrainMode::Full => 6.0 * sizes.encoder_per_token as f64 * tokens,
        // cached features: the encoder runs once, see `cell_flops`
        TrainMode::Plug => 0.0,
    };
    encoder + plug_flops(sizes, condition, plug, tokens, 6.0, 4.0) + 6.0 * sizes.head() as f64
}

/// Operations of a whole cell: training, a validation an epoch, the test splits once.
pub fn cell_flops(
    sizes: &Sizes,
    work: &Workload,
    condition: Condition,
    plug: PlugMode,
    train: TrainMode,
) -> f64 {
    let forward = 2.0 * sizes.encoder_per_token as f64 * work.tokens;
    let after = plug_flops(sizes, condition, plug, work.tokens, 2.0, 2.0) + 2.0 * sizes.head() as f64;
    let validations = (work.validation_examples * work.epochs) as f64;
    let tests = work.test_examples as f64;
    let trained =
        (work.train_examples * work.epochs) as f64 * train_flops(sizes, condition, plug, train, work.tokens);
    match train {
        TrainMode::Full => trained + (validations + tests) * (forward + after),
        TrainMode::Plug => trained + (validations + tests) * after,
    }
}

/// Operations of the features that all cells of a `plug` study share: the encoder over every text
/// once.
pub fn feature_flops(sizes: &Sizes, work: &Workload) -> f64 {
    let texts = work.train_examples + work.validation_examples + work.test_examples;
    2.0 * sizes.encoder_per_token as f64 * work.tokens * texts as f64
}

fn plug_flops(
    sizes: &Sizes,
    condition: Condition,
    plug: PlugMode,
    tokens: f64,
    trained: f64,
    frozen: f64,
) -> f64 {
    let (tokens, layer) = match plug {
        PlugMode::Pooled => (1.0, sizes.layer_one_token),
        PlugMode::Sequence => (tokens, sizes.layer),
    };
    let mappers = trained * sizes.mappers() as f64;
    let layer = frozen * layer as f64;
    tokens
        * match condition {
            Condition::Control(Control::Base) => 0.0,
            Condition::Control(Control::Mappers | Control::Mlp) => mappers,
            Condition::Control(Control::Random | Control::Shuffled) | Condition::Layer(_) => mappers + layer,
            // a gradient for its weights too
            Condition::Control(Control::Trained) => mappers + layer * trained / frozen,
        }
}

/// What a worker of a study holds in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// How the layer is plugged.
    pub plug: PlugMode,
    /// What trains.
    pub train: TrainMode,
    /// Whether some cell trains its layer; such a cell is never stacked.
    pub trained_layer: bool,
}

impl Held {
    /// That of a study.
    pub fn of(study: &Study) -> Self {
        let trained_layer = study.controls.contains(&Control::Trained);
        Self { plug: study.plug, train: study.train, trained_layer }
    }
}

/// Bytes of memory that a worker with a stack of `members` cells needs: values, gradients, two
/// moments and the best values so far of all that trains, the frozen layer as it is kept, and
/// activations. A block keeps about 9 rows of its width, 2 of its feed-forward width and one
/// probability a head and token; the block being worked on needs as much again. 256 MiB stand for
/// the program, texts and tokenizer.
pub fn memory_bytes(sizes: &Sizes, work: &Workload, held: Held, members: u64) -> u64 {
    const PROGRAM: u64 = 256 << 20;
    let (Held { plug, train, trained_layer }, bytes) = (held, sizes.bytes);
    let plug_parameters = sizes.mappers() + sizes.head();
    let rows = (work.batch_size as f64 * work.tokens).ceil() as u64;
    let per_row = 9 * sizes.encoder_width
        + 2 * sizes.encoder_feed_forward
        + sizes.encoder_heads * work.tokens.ceil() as u64;
    let block = rows * per_row * bytes.activation;
    let (encoder_memory, activations) = match train {
        TrainMode::Full => {
            (sizes.encoder * bytes.trained() * members, (sizes.encoder_blocks + 1) * block * members)
        }
        // the features of every text, and the pass that computes them
        TrainMode::Plug => {
            let texts = work.train_examples + work.validation_examples + work.test_examples;
            let pass = (sizes.encoder_blocks + 1) * block * features::BATCH as u64 / work.batch_size.max(1);
            (sizes.encoder * bytes.value + texts * sizes.encoder_width * 4, pass)
        }
    };
    let (layer, plug_rows) = match plug {
        PlugMode::Pooled => (sizes.layer_one_token, work.batch_size),
        PlugMode::Sequence => (sizes.layer, rows),
    };
    let per_row = 9 * sizes.layer_width + 3 * sizes.layer_feed_forward;
    let plug_activations = plug_rows * per_row * bytes.activation * 2;
    let layers =
        (members * layer * bytes.frozen).max(if trained_layer { layer * bytes.trained() } else { 0 });
    let plugs = members * (plug_parameters * bytes.trained() + plug_activations);
    PROGRAM + encoder_memory + activations + layers + plugs
}

/// What a plan will cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Cells that are not done yet.
    pub cells: usize,
    /// To be downloaded.
    pub download_bytes: u64,
    /// Most bytes of layers on disk at once.
    pub disk_peak_bytes: u64,
    /// Of one worker.
    pub memory_peak_bytes: u64,
    /// Of the whole sweep, downloads apart.
    pub seconds: f64,
    /// What `--train plug` would take instead.
    pub plug_seconds: f64,
    /// Where the times come from.
    pub basis: Basis,
}

/// Bytes of layers, as their headers tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerBytes {
    /// One layer as fetched.
    pub each: u64,
    /// Layers that are on disk already.
    pub cached_layers: u64,
    /// Whatever else must be downloaded (small model, data).
    pub other: u64,
    /// Whether layers are removed as soon as no cell needs them.
    pub evict: bool,
}

/// The cost of the cells of a plan for which `todo` holds, by `jobs` workers.
pub fn estimate(
    plan: &Plan,
    todo: &dyn Fn(&str) -> bool,
    sizes: &Sizes,
    work: &Workload,
    bytes: LayerBytes,
    rate: Rate,
    jobs: usize,
) -> Estimate {
    let study = &plan.study;
    let cells: Vec<_> = plan.cells.iter().filter(|cell| todo(&cell.id)).collect();
    let flops = |train: TrainMode| {
        let shared = if train == TrainMode::Plug { feature_flops(sizes, work) } else { 0.0 };
        let each = |cell: &&super::Cell| cell_flops(sizes, work, cell.condition, study.plug, train);
        shared + cells.iter().map(each).sum::<f64>()
    };
    let mut layers: Vec<usize> = cells.iter().filter_map(|cell| cell.needs_layer).collect();
    layers.sort_unstable();
    layers.dedup();
    let jobs = jobs.max(1);
    let on_disk = if bytes.evict { layers.len().min(jobs + 1) } else { layers.len() } as u64;
    let seconds = |train| flops(train) / (rate.flops_per_second * jobs as f64);
    Estimate {
        cells: cells.len(),
        download_bytes: bytes.other + bytes.each * (layers.len() as u64).saturating_sub(bytes.cached_layers),
        disk_peak_bytes: bytes.each * on_disk,
        memory_peak_bytes: memory_bytes(sizes, work, Held::of(study), study.stack.members() as u64),
        seconds: seconds(study.train),
        plug_seconds: seconds(TrainMode::Plug),
        basis: rate.basis,
    }
}

/// Workers and members that fit into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Fit {
    /// Workers at once.
    pub jobs: usize,
    /// Members trained together.
    pub stack: usize,
    /// Whether it is less than was asked for; then it belongs into the record.
    pub shrunk: bool,
}

/// Decides before anything starts whether `jobs` workers with stacks of `stack` cells fit into
/// `available` bytes, given what a worker of so many members needs. Under [`Oom::Shrink`] first the
/// workers and then the stack are halved until it fits.
///
/// # Errors
/// [`Error::DoesNotFit`].
pub fn fit(
    needed: &dyn Fn(usize) -> u64,
    available: u64,
    oom: Oom,
    jobs: usize,
    stack: usize,
) -> Result<Fit, Error> {
    let total = |jobs: usize, stack: usize| needed(stack).saturating_mul(jobs as u64);
    let mut fit = Fit { jobs: jobs.max(1), stack: stack.max(1), shrunk: false };
    while total(fit.jobs, fit.stack) > available {
        if oom == Oom::Fail || (fit.jobs, fit.stack) == (1, 1) {
            let needed = total(fit.jobs, fit.stack);
            return Err(Error::DoesNotFit { needed, available, smaller_fits: total(1, 1) <= available });
        }
        fit.shrunk = true;
        if fit.jobs > 1 {
            fit.jobs /= 2;
        } else {
            fit.stack /= 2;
        }
    }
    Ok(fit)
}

/// Most members, up to `most`, whose worker fits into nine tenths of a device's memory; one at least.
/// All of that memory is counted and not what is free, so that the same command means the same cells.
pub fn stack_within(needed: &dyn Fn(usize) -> u64, memory: u64, most: usize) -> usize {
    let room = memory / 10 * 9;
    (2..=most).take_while(|members| needed(*members) <= room).last().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BERT-base (110 M parameters, 85.05 M outside the embeddings) and a Llama-3-8B layer
    /// (218 103 808 matrix weights, 197 132 288 of them without q and k).
    fn published() -> Sizes {
        Sizes {
            encoder: 109_482_240,
            encoder_per_token: 85_050_000,
            encoder_blocks: 12,
            encoder_width: 768,
            encoder_feed_forward: 3072,
            encoder_heads: 12,
            layer: 218_103_808,
            layer_one_token: 197_132_288,
            layer_feed_forward: 14_336,
            layer_width: 4096,
            classes: 2,
            bytes: NumberBytes::on(Device::CPU, false),
        }
    }

    fn sst2() -> Workload {
        Workload {
            train_examples: 6920,
            validation_examples: 872,
            test_examples: 1821,
            tokens: 100.0,
            epochs: 3,
            batch_size: 32,
        }
    }

    fn near(value: f64, expected: f64, share: f64) {
        assert!((value / expected - 1.0).abs() < share, "{value:e} is not about {expected:e}");
    }

    /// Expected values: the study of costs that this project's reference gives (51.0 GFLOP an
    /// example, +0.83 pooled, +91 sequence, 1.08 PFLOP a cell, 17 TFLOP a screened layer).
    #[test]
    fn arithmetic_agrees_with_the_published_sizes() {
        let (sizes, layer, base) = (published(), Condition::Layer(0), Condition::Control(Control::Base));
        let train = |condition, plug, mode| train_flops(&sizes, condition, plug, mode, 100.0);
        let bert = train(base, PlugMode::Pooled, TrainMode::Full);
        near(bert, 51.0e9, 0.01);
        near(train(layer, PlugMode::Pooled, TrainMode::Full) - bert, 0.83e9, 0.01);
        near(train(layer, PlugMode::Sequence, TrainMode::Full) - bert, 91e9, 0.01);
        let only_training = Workload { validation_examples: 0, test_examples: 0, ..sst2() };
        near(cell_flops(&sizes, &only_training, layer, PlugMode::Pooled, TrainMode::Full), 1.08e15, 0.01);
        near(cell_flops(&sizes, &only_training, layer, PlugMode::Pooled, TrainMode::Plug), 17e12, 0.02);
        assert_eq!(sizes.mappers(), 6_291_456);
    }

    /// 109.5 M × 20 bytes = 2.19 GB, the layer 0.79 GB, 13 blocks of activations 2.8 GB at most.
    #[test]
    fn memory_counts_weights_moments_layer_and_activations() {
        let held = Held { plug: PlugMode::Pooled, train: TrainMode::Full, trained_layer: false };
        let full = memory_bytes(&published(), &sst2(), held, 1);
        assert!((5_000_000_000..7_500_000_000).contains(&full), "{full}");
        let screen = memory_bytes(&published(), &sst2(), Held { train: TrainMode::Plug, ..held }, 1);
        assert!((2_500_000_000..4_000_000_000).contains(&screen), "{screen}");
        let stacked = memory_bytes(&published(), &sst2(), held, 4);
        assert!(stacked > 3 * full, "{stacked}");
        let trained = memory_bytes(&published(), &sst2(), Held { trained_layer: true, ..held }, 1);
        assert_eq!(trained - full, published().layer_one_token * 16);
        // cells with a trained layer are not stacked: four frozen ones need nearly as much
        let both = memory_bytes(&published(), &sst2(), Held { trained_layer: true, ..held }, 4);
        assert_eq!(both - stacked, published().layer_one_token * 4);
        let halves = memory_bytes(
            &Sizes { bytes: NumberBytes::on(Device::CPU, true), ..published() },
            &sst2(),
            held,
            4,
        );
        assert_eq!(stacked - halves, published().layer_one_token * 2 * 4);
    }

    #[test]
    fn a_stack_takes_what_a_device_holds() {
        let needed = |members: usize| 100 * members as u64;
        assert_eq!([999, 2000, 80_000, 50].map(|memory| stack_within(&needed, memory, 32)), [8, 18, 32, 1]);
    }

    #[test]
    fn what_does_not_fit_is_shrunk_or_refused_with_the_remedy() {
        let needed = |members: usize| 100 * members as u64;
        let fits = fit(&needed, 1000, Oom::Fail, 2, 4).expect("fits");
        assert_eq!(fits, Fit { jobs: 2, stack: 4, shrunk: false });
        let shrunk = fit(&needed, 250, Oom::Shrink, 2, 4).expect("shrinks");
        assert_eq!(shrunk, Fit { jobs: 1, stack: 2, shrunk: true });
        let refused = fit(&needed, 250, Oom::Fail, 2, 4);
        assert!(matches!(refused, Err(Error::DoesNotFit { smaller_fits: true, needed: 800, .. })));
        let hopeless = fit(&needed, 50, Oom::Shrink, 2, 4);
        assert!(matches!(hopeless, Err(Error::DoesNotFit { smaller_fits: false, .. })));
    }
}
