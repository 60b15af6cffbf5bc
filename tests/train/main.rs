//! Training as a whole, with learners small enough to be checked by hand.

mod diverging;
mod learning;
mod pretraining;
mod resuming;
mod selecting;
mod toy;
