//! Reconciles `Shop` resources.

pub mod admin;
pub mod apply;
pub mod databases;
pub mod leader;
pub mod metrics;
pub mod settings;
pub mod telemetry;
pub mod topics;
