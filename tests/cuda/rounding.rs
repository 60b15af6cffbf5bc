//! Linear maps of a GPU that rounds factors to bfloat16: what they read is rounded once and kept, so that
//! whatever is written meanwhile must be rounded anew.

use std::sync::Arc;

use pifi_probe::device::{Device, Precision};
use pifi_probe::nn::activation::{self, Activation};
use pifi_probe::nn::adam::{Adam, Moments};
use pifi_probe::nn::dropout::Dropout;
use pifi_probe::nn::join::Join;
use pifi_probe::nn::norm::{self, Kind, Saved};
use pifi_probe::nn::rotary::{self, Table};
use pifi_probe::nn::routing::{self, Routes};
use pifi_probe::nn::{self, Arena, Buffer, DropoutKey, Param, linear, pooling, residual};
use pifi_probe::seed::Seed;
use pifi_probe::sweep::cost::NumberBytes;

use super::support::{K, arena, buffer, packed, random, rounding};

/// Rows and their width, on and off the four numbers that kernels write at once.
const ROWS: usize = 6;
const WIDTHS: [usize; 3] = [8, 10, 33];

/// x `[K, ROWS, width]` through a map to three outputs.
fn through(x: &Buffer, weight: Param, width: usize) -> Vec<u32> {
    let mut y = Buffer::default();
    let shape = linear::Shape { members: K, rows: ROWS, inputs: width, outputs: 3 };
    linear::forward(shape, x, weight, None, &mut y);
    y.to_vec().into_iter().map(f32::to_bits).collect()
}

/// What each of these operations writes is rounded anew, whether it does so itself or not.
#[test]
fn what_operations_write_is_rounded_anew() {
    type Writes<'a> = (&'a str, Box<dyn Fn(&mut Buffer) + 'a>);
    let Some(device) = rounding() else { return };
    for width in WIDTHS {
        let n = K * ROWS * width;
        let (values, [vector, matrix]) = arena(device, 3, width, 3 * width);
        let [a, b] = [1, 2].map(|seed| buffer(device, seed, n));
        let shape = [K, ROWS, width];
        let rows = packed(&[4, 2]);
        let key = DropoutKey { seed: Seed(5), step: 2, site: 1 };
        let dropout = Some(Dropout { key, probability: 0.5 });
        let join = Join { members: K, rows: &rows, width, dropout };
        let mut table = Table::new(vec![1.0, 0.1], 1.0);
        table.cover(&rows);
        let turned = rotary::Shape { members: K, heads: 1, head_dim: width };
        let mut routes = Routes::default();
        routes.choose([1, K * ROWS, 2, 1], &buffer(device, 4, 2 * K * ROWS));
        let to = routes.of(0, 0).to_vec();
        let routed = buffer(device, 7, to.len() * width);
        let some = buffer(device, 6, K * 2 * width);
        let norm = norm::Shape { members: K, rows: ROWS, width };
        let gelu = Activation::Gelu;
        let bias = || Some(values.param(vector));
        let writes: Vec<Writes<'_>> = vec![
            ("fill", Box::new(|y| y.fill(0.3))),
            ("zeros", Box::new(|y| y.zero_beside(&a, n))),
            ("copy", Box::new(|y| y.copy_from(&a))),
            ("add", Box::new(|y| residual::add(&a, y))),
            ("sum", Box::new(|y| residual::sum(&a, &b, y))),
            ("scaled", Box::new(|y| residual::scaled(&a, 0.7, y))),
            ("add scaled", Box::new(|y| residual::add_scaled(&a, 0.7, y))),
            ("zero rows", Box::new(|y| residual::zero_rows(K, ROWS, width, |row| row % 2 == 0, y))),
            ("join", Box::new(|y| join.forward(&a, &b, bias(), y))),
            ("join alone", Box::new(|y| join.alone(bias(), y))),
            ("join backward", Box::new(|y| join.backward(&a, y))),
            ("activation", Box::new(|y| activation::forward(gelu, shape, &a, bias(), y))),
            ("its gradient", Box::new(|y| activation::backward(gelu, shape, &a, bias(), &b, y))),
            ("gated", Box::new(|y| activation::gated_forward(gelu, &a, &b, y))),
            ("gate", Box::new(|y| activation::gated_backward(gelu, &a, &b, &b, y, &mut Buffer::default()))),
            ("up", Box::new(|y| activation::gated_backward(gelu, &a, &b, &b, &mut Buffer::default(), y))),
            (
                "norm",
                Box::new(|y| {
                    let weight = values.param(vector);
                    norm::forward(Kind::LayerNorm, 1e-5, norm, &a, weight, bias(), y, &mut Saved::default());
                }),
            ),
            ("turn", Box::new(|y| rotary::forward(turned, &table, &rows, y))),
            ("distinct rows", Box::new(|y| pooling::scatter_add(K, width, &[1, 4], &some, y))),
            ("rows", Box::new(|y| pooling::scatter_add(K, width, &[4, 4], &some, y))),
            ("routes", Box::new(|y| routing::scatter_weighted(width, &to, &routed, y))),
            (
                "product",
                Box::new(|y| {
                    let shape = linear::Shape { members: K, rows: ROWS, inputs: 1, outputs: width };
                    linear::forward(shape, &buffer(device, 8, K * ROWS), values.param(vector), None, y);
                }),
            ),
        ];
        for (name, write) in writes {
            let mut y = buffer(device, 9, n);
            let before = through(&y, values.param(matrix), width);
            write(&mut y);
            let fresh = Buffer::from_vec(device, y.to_vec());
            let after = through(&y, values.param(matrix), width);
            assert_eq!(nn::check(device), Ok(()), "{name}");
            assert!(before != after, "{name} of width {width} changes nothing");
            assert_eq!(after, through(&fresh, values.param(matrix), width), "{name} of width {width}");
        }
    }
}

/// The same of parameters, Adam's steps among it.
#[test]
fn parameters_that_are_written_are_rounded_anew() {
    type Writes<'a> = (&'a str, Box<dyn Fn(&mut Arena) + 'a>);
    let Some(device) = rounding() else { return };
    for width in WIDTHS {
        let (other, [_, matrix]) = arena(device, 40, width, 3 * width);
        let x = buffer(device, 1, K * ROWS * width);
        let step = |number: u64, values: &mut Arena| {
            let (grads, _) = arena(device, 5, width, 3 * width);
            let mut moments = Moments {
                first: Arena::zeros(device, Arc::clone(grads.layout()), K),
                second: Arena::zeros(device, Arc::clone(grads.layout()), K),
            };
            let scale = [1.0, 0.5, 2.0];
            Adam::default().step(number, 1e-2, &scale, &[matrix], values, &grads, &mut moments);
        };
        let writes: Vec<Writes<'_>> = vec![
            ("all", Box::new(|values| values.buffer_mut().fill(0.3))),
            ("a member to one value", Box::new(|values| values.fill_member(1, 0.3))),
            ("a member", Box::new(|values| values.write_member(2, &other.read_member(0)))),
            ("a parameter", Box::new(|values| values.write(matrix, 0, &random(6, 3 * width)))),
            ("a copy", Box::new(|values| values.copy_member(1, &other))),
            (
                "a gradient",
                Box::new(|values| {
                    let shape = linear::Shape { members: K, rows: ROWS, inputs: width, outputs: 3 };
                    let dy = buffer(device, 2, K * ROWS * 3);
                    linear::backward_weight(shape, &x, &dy, values.param_mut(matrix));
                }),
            ),
            ("Adam", Box::new(|values| step(1, values))),
            (
                "Adam twice",
                Box::new(|values| {
                    step(1, values);
                    step(2, values);
                }),
            ),
        ];
        for (name, write) in writes {
            let (mut values, _) = arena(device, 3, width, 3 * width);
            let before = through(&x, values.param(matrix), width);
            write(&mut values);
            let numbers = values.read_all().into_owned();
            let fresh = Arena::from_numbers(device, Arc::clone(values.layout()), K, numbers);
            let after = through(&x, values.param(matrix), width);
            assert_eq!(nn::check(device), Ok(()), "{name}");
            assert!(before != after, "{name} of width {width} changes nothing");
            assert_eq!(after, through(&x, fresh.param(matrix), width), "{name} of width {width}");
        }
    }
}

#[test]
fn a_device_that_rounds_keeps_values_twice_and_frozen_layers_once() {
    let on = |precision| NumberBytes::on(Device::Cuda(0, precision), false);
    assert_eq!(on(Precision::Bf16), NumberBytes { frozen: 2, value: 6, activation: 5 });
    assert_eq!(on(Precision::Tf32), NumberBytes { frozen: 4, value: 4, activation: 4 });
}
