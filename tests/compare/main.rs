//! Comparisons of stored runs: what is compared, what is refused by name, and what damage does.

mod across;
mod fixture;
mod program;
mod refusing;
mod statistics;
