//! What the services share, against real engines.
#![expect(clippy::unwrap_used, reason = "a test")]

mod cache;
mod failing;
mod forgetful;
mod listeners;
mod migrations;
mod purge;
mod together;
mod unstorable;
