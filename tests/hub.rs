//! From names to bytes, against a Hub on loopback that behaves well and badly.

#![expect(clippy::unwrap_used, reason = "a test may")]

#[path = "hub/downloads.rs"]
mod downloads;
#[path = "hub/errors.rs"]
mod errors;
#[path = "hub/fetch.rs"]
mod fetch;
#[path = "hub/hostile.rs"]
mod hostile;
#[path = "common/hub_server.rs"]
mod hub_server;
#[path = "hub/local.rs"]
mod local;
#[path = "hub/model.rs"]
mod model;
#[path = "hub/resume.rs"]
mod resume;
