//! Values of every backward: against central differences of its own forward, and against candle's
//! autograd in f64 on its differentiable operations. "A gradient exists" would prove nothing.

mod activation;
mod adam;
mod cross_entropy;
mod linear;
mod norm;
mod rows;
mod support;
