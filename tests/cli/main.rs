//! The program as a person meets it: lines that are typed, exit codes, the words on the error
//! stream, and what is left on the disk. No test needs a network.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod beside;
mod configurations;
mod data;
mod hub;
#[path = "../common/hub_server.rs"]
mod hub_server;
mod models;
mod representing;
mod room;
mod stopping;
mod table;
mod typed;
mod world;
