//! Attention and its kin against slow definitions in f64, their gradients against central
//! differences, and what must not change a result: packing, stacking, threads.

mod case;
mod convolution;
mod definition;
mod gradients;
mod invariance;
