//! One attention with random numbers, ready to be computed by the library or by definition.

use std::sync::Arc;

use pifi_probe::device::Device;
use pifi_probe::nn::attention::{Attention, Bias, BiasGradient, Gradients, Options, Saved, Shape};
use pifi_probe::nn::relative::{Buckets, Distances};
use pifi_probe::nn::{Arena, Buffer, Layout, Rows};
use pifi_probe::seed::Seed;

/// Which bias; the owned counterpart of the library's.
#[derive(Clone)]
pub(crate) enum Position {
    None,
    Alibi { slopes: Vec<f32>, rounded_before_scaling: bool },
    Relative(Buckets),
    Disentangled { distances: Distances, keys: bool, queries: bool },
}

/// Places in [`Case::inputs`].
pub(crate) const Q: usize = 0;
pub(crate) const K: usize = 1;
pub(crate) const V: usize = 2;
pub(crate) const TABLE: usize = 3;
pub(crate) const POSITION_KEYS: usize = 4;
pub(crate) const POSITION_QUERIES: usize = 5;

#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) shape: Shape,
    pub(crate) options: Options,
    pub(crate) queries: Rows,
    pub(crate) keys: Rows,
    pub(crate) position: Position,
    /// Queries, keys, values, table of the learned bias, projected keys and queries of positions;
    /// empty where the bias has none.
    pub(crate) inputs: [Vec<f32>; 6],
    pub(crate) cotangent: Vec<f32>,
}

/// What the library computes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Results {
    pub(crate) out: Vec<f32>,
    /// Of every input, in the order of [`Case::inputs`].
    pub(crate) gradients: [Vec<f32>; 6],
}

pub(crate) fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut stream = Seed(seed).stream();
    (0..len).map(|_| stream.normal() as f32).collect()
}

/// Rows of these lengths padded to `width`.
pub(crate) fn padded(lengths: &[usize], width: usize) -> Rows {
    let real = lengths.iter().flat_map(|&length| (0..width).map(move |token| token < length));
    Rows { real: Some(real.collect()), ..Rows::packed(&vec![width; lengths.len()]) }
}

/// Two members, four heads of queries and keys of three channels.
pub(crate) fn case(rows: &Rows) -> Case {
    Case::new(Shape { members: 2, heads: 4, kv_heads: 4, head_dim: 3 }, rows, rows, Position::None)
}

pub(crate) fn small() -> Rows {
    Rows::packed(&[5, 1, 3])
}

impl Case {
    pub(crate) fn new(shape: Shape, queries: &Rows, keys: &Rows, position: Position) -> Self {
        let Shape { members, heads, kv_heads, head_dim } = shape;
        let width = heads * head_dim;
        let (table, positions) = match &position {
            Position::None | Position::Alibi { .. } => (0, [0, 0]),
            Position::Relative(buckets) => (members * buckets.num_buckets * heads, [0, 0]),
            Position::Disentangled { distances, keys, queries } => {
                let len = members * distances.rows() * width;
                (0, [len * usize::from(*keys), len * usize::from(*queries)])
            }
        };
        let of_queries = members * queries.len() * width;
        let of_keys = members * keys.len() * kv_heads * head_dim;
        let lengths = [of_queries, of_keys, of_keys, table, positions[0], positions[1]];
        let mut seed = 0;
        Self {
            shape,
            options: Options::scaled(0.6),
            queries: queries.clone(),
            keys: keys.clone(),
            position,
            inputs: lengths.map(|len| {
                seed += 1;
                random(seed, len)
            }),
            cotangent: random(99, of_queries),
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    pub(crate) fn grouped(self, kv_heads: usize) -> Self {
        let shape = Shape { kv_heads, ..self.shape };
        Self { options: self.options, ..Self::new(shape, &self.queries, &self.keys, self.position) }
    }

    pub(crate) fn at(self, position: Position) -> Self {
        Self { options: self.options, ..Self::new(self.shape, &self.queries, &self.keys, position) }
    }

    /// Forward and backward by the library on a device. Outputs that are to be overwritten start as
    /// NaN, and gradients that are to be added to start as 1, which is taken off again.
    pub(crate) fn run(&self, device: Device) -> Results {
        let buffer = |numbers: &[f32]| Buffer::from_vec(device, numbers.to_vec());
        let dirty = || Buffer::from_vec(device, vec![f32::NAN; 7]);
        let [q, k, v, _, position_keys, position_queries] =
            [0, 1, 2, 3, 4, 5].map(|i| buffer(&self.inputs[i]));
        let table_len = self.inputs[TABLE].len() / self.shape.members;
        let mut layout = Layout::default();
        layout.push("before", &[3]);
        let slot = layout.push("table", &[table_len]);
        let layout = Arc::new(layout);
        let mut values = Arena::zeros(device, layout.clone(), self.shape.members);
        let mut grads = Arena::zeros(device, layout, self.shape.members);
        grads.buffer_mut().fill(1.0);
        for member in 0..self.shape.members {
            let numbers = &self.inputs[TABLE][member * table_len..][..table_len];
            values.write(slot, member, numbers);
        }

        let (mut buckets, mut distances) = (None, None);
        let mut terms = (false, false);
        match &self.position {
            Position::Relative(of) => buckets = Some(*of),
            Position::Disentangled { distances: of, keys, queries } => {
                distances = Some(*of);
                terms = (*keys, *queries);
            }
            Position::None | Position::Alibi { .. } => {}
        }
        let bucket = move |distance| buckets.expect("a relative bias").bucket(distance);
        let row = move |distance| distances.expect("a disentangled bias").row(distance);
        let bias = match &self.position {
            Position::None => Bias::None,
            Position::Alibi { slopes, rounded_before_scaling } => {
                Bias::Alibi { slopes, rounded_before_scaling: *rounded_before_scaling }
            }
            Position::Relative(_) => Bias::Relative { table: values.param(slot), bucket: &bucket },
            Position::Disentangled { .. } => Bias::Disentangled {
                position_keys: terms.0.then_some(&position_keys),
                position_queries: terms.1.then_some(&position_queries),
                row: &row,
            },
        };
        let attention = Attention {
            shape: self.shape,
            options: self.options,
            queries: &self.queries,
            keys: &self.keys,
            bias,
        };
        let mut saved = Saved::default();
        let mut out = dirty();
        attention.forward(&q, &k, &v, &mut out, &mut saved);
        let [mut dq, mut dk, mut dv, mut dkeys, mut dqueries] = [0; 5].map(|_| dirty());
        let bias = match &self.position {
            Position::None | Position::Alibi { .. } => BiasGradient::None,
            Position::Relative(_) => BiasGradient::Relative(grads.param_mut(slot)),
            Position::Disentangled { .. } => BiasGradient::Disentangled {
                position_keys: terms.0.then_some(&mut dkeys),
                position_queries: terms.1.then_some(&mut dqueries),
            },
        };
        let gradients = Gradients { queries: &mut dq, keys: &mut dk, values: &mut dv, bias };
        attention.backward(&q, &k, &v, &buffer(&self.cotangent), &mut saved, gradients);

        let mut dtable = Vec::new();
        for member in 0..self.shape.members {
            dtable.extend(grads.read(slot, member).iter().map(|number| number - 1.0));
        }
        let positions = |wanted: bool, buffer: Buffer| if wanted { buffer.to_vec() } else { Vec::new() };
        Results {
            out: out.to_vec(),
            gradients: [
                dq.to_vec(),
                dk.to_vec(),
                dv.to_vec(),
                dtable,
                positions(terms.0, dkeys),
                positions(terms.1, dqueries),
            ],
        }
    }
}
