//! Probes: classifiers on frozen features, and what their accuracy is worth. A linear probe with its
//! penalty chosen on held-out training examples, the description length of the labels given the
//! features, a control task, and a classifier of domains.
//!
//! The logistic regression is this project's own: `linfa-logistic` 0.8.1 ends without a word where
//! it runs out of iterations, has no warm start for a grid of penalties, never leaves the intercept
//! free of choice, and reads the features twice a step. Its minimum is the same, which a test holds.

pub mod control;
mod curvature;
pub mod domain;
pub mod linear;
pub mod logistic;
pub mod online;
mod scaling;
mod solver;
