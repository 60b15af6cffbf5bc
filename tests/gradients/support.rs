//! An operation under test, and what is asked of each: right values, the same bits for a member in
//! a stack and alone, the same bits on one thread and on two.

use std::sync::Arc;

use candle_core::{Device as CandleDevice, Tensor, Var};
use pifi_probe::device::Device;
use pifi_probe::nn::{Arena, Buffer, Layout, Param, ParamMut, Slot};
use pifi_probe::seed::Seed;

/// Members of every operation under test.
pub(crate) const K: usize = 2;

/// Half the distance of a central difference: with f32 outputs near 1 its rounding error is about
/// 1e-5 and its truncation error 4e-5 third derivatives.
const STEP: f32 = 1.0 / 64.0;
/// Of differences, relative to the largest gradient of an input; see [`STEP`].
const DIFFERENCE_TOLERANCE: f64 = 1e-3;
/// Of f32 against f64 autograd, relative to the largest gradient: tens of roundings of 6e-8.
const AUTOGRAD_TOLERANCE: f64 = 5e-6;

/// `(members, inputs) -> outputs`; all are `[members, ...]` row-major.
pub(crate) type Forward<'a> = &'a (dyn Fn(usize, &[Vec<f32>]) -> Vec<f64> + Sync);
/// `(members, inputs, gradient of the outputs) -> gradient of each input`.
pub(crate) type Backward<'a> = &'a (dyn Fn(usize, &[Vec<f32>], &[f32]) -> Vec<Vec<f32>> + Sync);
/// One member's outputs from its inputs, which arrive flat and in f64.
pub(crate) type Reference<'a> = &'a dyn Fn(&[Tensor]) -> candle_core::Result<Tensor>;

/// A differentiable operation at one point, for [`K`] members.
pub(crate) struct Operation<'a> {
    pub(crate) inputs: Vec<Vec<f32>>,
    pub(crate) forward: Forward<'a>,
    pub(crate) backward: Backward<'a>,
}

impl Operation<'_> {
    fn outputs(&self) -> usize {
        (self.forward)(K, &self.inputs).len()
    }

    fn cotangent(&self) -> Vec<f32> {
        random(99, self.outputs())
    }
}

/// Gradients of all inputs against (f(x + h) - f(x - h)) / 2h, with f the cotangent's product
/// with the outputs.
pub(crate) fn matches_differences(operation: &Operation) {
    let cotangent = operation.cotangent();
    let loss = |inputs: &[Vec<f32>]| -> f64 {
        let outputs = (operation.forward)(K, inputs);
        outputs.iter().zip(&cotangent).map(|(y, &c)| y * f64::from(c)).sum()
    };
    let gradients = (operation.backward)(K, &operation.inputs, &cotangent);
    assert_eq!(gradients.len(), operation.inputs.len());
    let mut inputs = operation.inputs.clone();
    for (input, gradient) in gradients.iter().enumerate() {
        assert_eq!(gradient.len(), inputs[input].len());
        let scale = largest(gradient);
        for (place, &gradient) in gradient.iter().enumerate() {
            let middle = inputs[input][place];
            let (above, below) = (middle + STEP, middle - STEP);
            inputs[input][place] = above;
            let loss_above = loss(&inputs);
            inputs[input][place] = below;
            let loss_below = loss(&inputs);
            inputs[input][place] = middle;
            let difference = (loss_above - loss_below) / (f64::from(above) - f64::from(below));
            let error = (difference - f64::from(gradient)).abs() / scale;
            assert!(
                error < DIFFERENCE_TOLERANCE,
                "input {input}, place {place}: {gradient}, difference {difference}"
            );
        }
    }
}

/// Outputs and gradients against candle's autograd.
pub(crate) fn matches_autograd(operation: &Operation, reference: Reference) {
    let cotangent = operation.cotangent();
    let outputs = (operation.forward)(K, &operation.inputs);
    let gradients = (operation.backward)(K, &operation.inputs, &cotangent);
    for member in 0..K {
        let inputs: Vec<Var> = operation.inputs.iter().map(|input| var(part(input, member))).collect();
        let tensors: Vec<Tensor> = inputs.iter().map(|input| input.as_tensor().clone()).collect();
        let expected = reference(&tensors).expect("a reference forward").flatten_all().expect("flat");
        close("outputs", part(&outputs, member), &expected.to_vec1().expect("f64 outputs"));
        let cotangent = var(part(&cotangent, member));
        let loss = expected.mul(&cotangent).and_then(|product| product.sum_all()).expect("a loss");
        let store = loss.backward().expect("a reference backward");
        for (number, (input, gradient)) in inputs.iter().zip(&gradients).enumerate() {
            let expected = store.get(input).expect("a gradient").to_vec1().expect("f64 gradients");
            let gradient: Vec<f64> = part(gradient, member).iter().copied().map(f64::from).collect();
            close(&format!("gradient {number}"), &gradient, &expected);
        }
    }
}

/// A member computes in a stack what it computes alone, and on two threads what on one.
pub(crate) fn keeps_its_bits(operation: &Operation) {
    let cotangent = operation.cotangent();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| {
            (
                (operation.forward)(K, &operation.inputs),
                (operation.backward)(K, &operation.inputs, &cotangent),
            )
        })
    };
    let stacked = on(1);
    assert!(stacked == on(2), "two threads change bits");
    for member in 0..K {
        let inputs: Vec<Vec<f32>> = operation.inputs.iter().map(|x| part(x, member).to_vec()).collect();
        let outputs = (operation.forward)(1, &inputs);
        assert!(outputs == part(&stacked.0, member), "outputs of member {member} change in a stack");
        let gradients = (operation.backward)(1, &inputs, part(&cotangent, member));
        for (alone, stacked) in gradients.iter().zip(&stacked.1) {
            assert!(alone == part(stacked, member), "gradients of member {member} change in a stack");
        }
    }
}
/// Trainable parameters for an operation, each from its values `[members, len]`, and a gradient
/// arena of zeros. A parameter that nobody uses stands before each, so that offsets matter.
pub(crate) struct Params {
    values: Arena,
    grads: Arena,
    slots: Vec<Slot>,
}

impl Params {
    pub(crate) fn new(members: usize, values: &[&Vec<f32>]) -> Self {
        let mut layout = Layout::default();
        let slots: Vec<Slot> = values
            .iter()
            .enumerate()
            .map(|(number, value)| {
                layout.push(format!("unused.{number}"), &[3]);
                layout.push(format!("used.{number}"), &[value.len() / members])
            })
            .collect();
        let layout = Arc::new(layout);
        let mut arena = Arena::zeros(Device::CPU, layout.clone(), members);
        for (value, &slot) in values.iter().zip(&slots) {
            for member in 0..members {
                arena.param_mut(slot).cpu(member).copy_from_slice(&value[member * slot.len..][..slot.len]);
            }
        }
        Self { values: arena, grads: Arena::zeros(Device::CPU, layout, members), slots }
    }

    pub(crate) fn value(&self, number: usize) -> Param<'_> {
        self.values.param(self.slots[number])
    }

    pub(crate) fn grad(&mut self, number: usize) -> ParamMut<'_> {
        self.grads.param_mut(self.slots[number])
    }

    /// Gradients of all parameters, `[members, len]` each; those of the unused ones must be zero.
    pub(crate) fn gradients(&self) -> Vec<Vec<f32>> {
        let members = self.grads.members();
        for entry in self.grads.layout().entries().iter().filter(|entry| entry.name.starts_with("unused")) {
            assert!((0..members).all(|k| self.grads.param(entry.slot).cpu(k).iter().all(|x| *x == 0.0)));
        }
        self.slots
            .iter()
            .map(|&slot| (0..members).flat_map(|k| self.grads.param(slot).cpu(k).to_vec()).collect())
            .collect()
    }
}

/// Standard normal numbers.
pub(crate) fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut stream = Seed(seed).stream();
    (0..len).map(|_| stream.normal() as f32).collect()
}

pub(crate) fn buffer(numbers: &[f32]) -> Buffer {
    Buffer::from_vec(Device::CPU, numbers.to_vec())
}

/// Output of an earlier step, to be overwritten.
pub(crate) fn used() -> Buffer {
    buffer(&[f32::NAN; 5])
}

pub(crate) fn wide(buffer: &Buffer) -> Vec<f64> {
    buffer.cpu().iter().copied().map(f64::from).collect()
}

/// A member's part of `[K, ...]`.
fn part<T>(numbers: &[T], member: usize) -> &[T] {
    let len = numbers.len() / K;
    &numbers[member * len..(member + 1) * len]
}

fn var(numbers: &[f32]) -> Var {
    let numbers: Vec<f64> = numbers.iter().copied().map(f64::from).collect();
    let len = numbers.len();
    let tensor = Tensor::from_vec(numbers, len, &CandleDevice::Cpu);
    Var::from_tensor(&tensor.expect("a tensor")).expect("a variable")
}

fn largest(numbers: &[f32]) -> f64 {
    numbers.iter().fold(1e-3, |largest, x| f64::from(x.abs()).max(largest))
}

fn close(what: &str, numbers: &[f64], expected: &[f64]) {
    assert_eq!(numbers.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-3_f64, |largest, x| x.abs().max(largest));
    for (place, (x, expected)) in numbers.iter().zip(expected).enumerate() {
        let error = (x - expected).abs() / scale;
        assert!(error < AUTOGRAD_TOLERANCE, "{what}, place {place}: {x}, expected {expected}");
    }
}
