//! What every service needs once.

mod admin;
pub mod app;
pub mod auth;
mod bodies;
pub mod cache;
pub mod config;
pub mod dead_letters;
pub mod extract;
pub mod grpc;
pub mod http;
pub mod idempotency;
pub mod inbox;
pub mod kafka;
pub mod metrics;
#[cfg(feature = "objects")]
pub mod objects;
pub mod openapi;
pub mod outbox;
pub mod page;
pub mod postgres;
pub mod problem;
pub mod purge;
pub mod query_time;
pub mod redis;
pub mod restorations;
pub mod secret;
pub mod service;
pub mod subscription;
#[cfg(feature = "testing")]
pub mod testing;
pub mod turns;
mod unread;
pub mod worker;

pub use ::telemetry;

pub use app::App;
pub use problem::{Problem, Result};
pub use service::{Common, OwnCommand, Service, StartError, run};
