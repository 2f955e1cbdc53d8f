//! Reconciles `Shop` resources.

pub mod admin;
pub mod apply;
pub mod build;
pub mod components;
pub mod crd;
pub mod databases;
pub mod leader;
pub mod metrics;
pub mod names;
pub mod object;
pub mod settings;
pub mod telemetry;
pub mod topics;
pub mod validate;
