//! The gateway against real Redis, between clients and services that live inside the test.
#![expect(clippy::unwrap_used, reason = "a test")]

mod admission;
mod documents;
mod keys;
mod log;
mod page;
mod proxying;
mod retrying;
mod standing;
mod support;
mod tunnels;
mod weights;
