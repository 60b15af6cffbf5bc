//! Every operation on a CUDA device against the same operation on the CPU, on awkward shapes. With the
//! feature `cuda` alone, and skipped, saying so, where no device is: bench/cuda/emulate.sh runs it on a
//! stand-in that computes the kernels on the host, memory guarded and threads in changing orders.
#![cfg(feature = "cuda")]

mod attention;
#[path = "../attention/case.rs"]
#[expect(dead_code, reason = "its other use, against definitions, takes more of it")]
mod case;
mod elementwise;
mod oracle;
mod rounding;
mod rows;
mod support;
#[path = "../common/tape.rs"]
mod tape;
