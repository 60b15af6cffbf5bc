//! From stored arrays and tables to estimates: knows no model and no run, and reckons in f64 only.
//! Every number that leaves this module carries its interval and its n, or the reason why it has none.

pub mod agreement;
pub mod collect;
pub mod collect_transfer;
pub mod compare;
pub mod features;
pub mod layers;
pub mod price;
pub mod probing;
pub(crate) mod products;
pub mod scores;
pub mod screen;
pub mod selftest;
pub mod similarity;
pub mod statistics;
pub mod transfer;
