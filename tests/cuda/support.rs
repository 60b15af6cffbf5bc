//! One computation on two devices.

use std::sync::Arc;

use pifi_probe::device::{Choice, Device, Precision};
use pifi_probe::nn::{self, Arena, Buffer, Layout, Rows, Slot};
use pifi_probe::seed::Seed;

/// Members of every operation under test.
pub(crate) const K: usize = 3;

/// Of results that are sums in another order or by other elementary functions, relative to the
/// largest: a few roundings of 6e-8.
pub(crate) const CLOSE: f64 = 2e-6;
/// The same bits.
pub(crate) const EQUAL: f64 = 0.0;

/// The first CUDA device; says so where there is none.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn device() -> Option<Device> {
    let found = Choice::Cuda(0, Precision::F32).resolve();
    found.map_err(|error| eprintln!("skipped: {error}")).ok()
}

/// The same device, whose products round their factors to bfloat16.
pub(crate) fn rounding() -> Option<Device> {
    device().map(|device| match device {
        Device::Cuda(index, _) => Device::Cuda(index, Precision::Bf16),
        Device::Cpu(_) => panic!("{device} is no GPU"),
    })
}

pub(crate) fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut stream = Seed(seed).stream();
    (0..len).map(|_| stream.normal() as f32).collect()
}

/// Rows of these lengths padded to `width`.
pub(crate) fn padded(lengths: &[usize], width: usize) -> Rows {
    let real = lengths.iter().flat_map(|&length| (0..width).map(move |token| token < length));
    let mut rows = Rows { real: Some(real.collect()), ..Rows::packed(&vec![width; lengths.len()]) };
    name(&mut rows);
    rows
}

/// Packed rows whose examples have large ids.
pub(crate) fn packed(lengths: &[usize]) -> Rows {
    let mut rows = Rows::packed(lengths);
    name(&mut rows);
    rows
}

fn name(rows: &mut Rows) {
    for (example, id) in rows.example_ids.iter_mut().enumerate() {
        *id = 7 + (example as u64) * ((1 << 33) + 5);
    }
}

/// Computes on both devices and compares every result within its tolerance.
pub(crate) fn agree(what: &str, tolerance: f64, compute: impl Fn(Device) -> Vec<(&'static str, Vec<f32>)>) {
    if let Some(gpu) = device() {
        agree_on(gpu, what, tolerance, compute);
    }
}

/// The same with this GPU.
pub(crate) fn agree_on(
    gpu: Device,
    what: &str,
    tolerance: f64,
    compute: impl Fn(Device) -> Vec<(&'static str, Vec<f32>)>,
) {
    let expected = compute(Device::CPU);
    let found = compute(gpu);
    assert_eq!(nn::check(gpu), Ok(()), "{what}");
    assert_eq!(expected.len(), found.len());
    for ((name, expected), (_, found)) in expected.iter().zip(&found) {
        assert_eq!(expected.len(), found.len(), "{what}: {name}");
        let largest = expected.iter().fold(0.0_f64, |largest, x| {
            if x.is_finite() { largest.max(f64::from(x.abs())) } else { largest }
        });
        for (place, (a, b)) in expected.iter().zip(found).enumerate() {
            let equal = a == b || (a.is_nan() && b.is_nan());
            let near = (f64::from(*a) - f64::from(*b)).abs() <= tolerance * largest;
            assert!(equal || near, "{what}: {name}[{place}] is {b}, expected {a} (largest {largest})");
        }
    }
}

/// A buffer of random numbers.
pub(crate) fn buffer(device: Device, seed: u64, len: usize) -> Buffer {
    Buffer::from_vec(device, random(seed, len))
}

/// An arena with two parameters between others, of random numbers.
pub(crate) fn arena(device: Device, seed: u64, first: usize, second: usize) -> (Arena, [Slot; 2]) {
    let mut layout = Layout::default();
    layout.push("before", &[3]);
    let first = layout.push("first", &[first]);
    layout.push("between", &[2]);
    let second = layout.push("second", &[second]);
    layout.push("after", &[1]);
    let mut arena = Arena::zeros(device, Arc::new(layout), K);
    let len = arena.layout().len();
    for member in 0..K {
        arena.write_member(member, &random(seed + member as u64, len));
    }
    (arena, [first, second])
}
