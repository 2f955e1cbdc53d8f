//! What every service needs once. The operator uses [`telemetry`] and [`metrics`] alone, without
//! the feature `service`.

pub mod config;
pub mod metrics;
pub mod secret;
pub mod telemetry;

#[cfg(feature = "service")]
mod admin;
pub mod app;
#[cfg(feature = "service")]
pub mod auth;
#[cfg(feature = "service")]
pub mod extract;
#[cfg(feature = "service")]
pub mod grpc;
#[cfg(feature = "service")]
pub mod http;
#[cfg(feature = "service")]
pub mod idempotency;
#[cfg(feature = "service")]
pub mod inbox;
#[cfg(feature = "service")]
pub mod kafka;
#[cfg(feature = "service")]
pub mod openapi;
#[cfg(feature = "service")]
pub mod outbox;
#[cfg(feature = "service")]
pub mod page;
#[cfg(feature = "service")]
pub mod postgres;
#[cfg(feature = "service")]
pub mod problem;
#[cfg(feature = "service")]
pub mod redis;
#[cfg(feature = "service")]
pub mod service;
#[cfg(feature = "service")]
pub mod subscription;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "service")]
pub mod worker;

#[cfg(feature = "service")]
pub use app::App;
#[cfg(feature = "service")]
pub use problem::{Problem, Result};
#[cfg(feature = "service")]
pub use service::{Common, Service, StartError, run};
