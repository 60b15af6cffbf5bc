//! Statistics of paired comparisons: plain arrays in, estimates out. What cannot be estimated
//! comes back as an [`Undefined`] reason, never as NaN.

pub mod bootstrap;
pub mod distributions;
pub mod estimate;
pub mod mcnemar;
pub mod multiple;
pub mod power;
pub mod proportion;
pub mod ranks;
pub mod sign_flip;
pub mod tied;

pub use bootstrap::{Replicates, Resampling};
pub use estimate::{CONFIDENCE, Estimate, Undefined, mean};
