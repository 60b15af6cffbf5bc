//! Runs and sweeps from outside: the store under kills, plans, and the engine with workers that
//! succeed, fail, die, hang and babble.

mod engine;
mod fixture;
mod plan;
mod store;
mod together;
