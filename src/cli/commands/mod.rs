//! One file a command: its flags in, calls of lower floors, its words out.

pub(super) mod analyze;
pub(super) mod cache;
pub(super) mod compare;
pub(super) mod completions;
pub(super) mod demo_models;
pub(super) mod doctor;
pub(super) mod export;
pub(super) mod fetch;
pub(super) mod inspect;
pub(super) mod layers;
pub(super) mod manual;
pub(super) mod power;
pub(super) mod predict;
pub(super) mod report;
pub(super) mod represent;
pub(super) mod runs;
pub(super) mod score;
pub(super) mod selftest;
pub(super) mod similarity;
pub(super) mod train;
pub(super) mod transfer;
pub(super) mod verify;
pub(super) mod worker;
