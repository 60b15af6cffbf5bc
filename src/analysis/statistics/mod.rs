//! Statistics of paired comparisons: plain arrays in, estimates out. What cannot be estimated
//! comes back as an [`Undefined`] reason, never as NaN.

pub mod aso;
pub mod bca;
pub mod bootstrap;
pub mod distributions;
pub mod effect;
pub mod estimate;
pub mod friedman;
pub mod mcnemar;
pub mod multiple;
pub mod power;
pub mod proportion;
pub mod rank_test;
pub mod ranks;
pub mod sign_flip;
pub mod studentised_range;
pub mod tied;
pub mod wilcoxon;
pub mod winner;

pub use bootstrap::{Replicates, Resampling};
pub use estimate::{CONFIDENCE, Estimate, Undefined, mean};
