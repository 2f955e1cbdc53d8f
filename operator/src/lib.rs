//! Reconciles `Shop` resources.

pub mod admin;
pub mod app;
pub mod cache;
pub mod check;
pub mod context;
pub mod controller;
pub mod crds;
pub mod error;
pub mod events;
pub mod execute;
pub mod kafka;
pub mod leader;
pub mod metrics;
pub mod observe;
pub mod passes;
pub mod postgres;
pub mod reconcile;
pub mod settings;
pub mod watches;
