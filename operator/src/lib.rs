//! Reconciles `Shop` resources.

pub mod admin;
pub mod app;
pub mod apply;
pub mod backups;
pub mod cache;
pub mod check;
pub mod cleanup;
pub mod context;
pub mod controller;
pub mod crashes;
pub mod crds;
pub mod credentials;
pub mod databases;
pub mod engines;
pub mod error;
pub mod events;
pub mod leader;
pub mod metrics;
pub mod observe;
pub mod passes;
pub mod reconcile;
pub mod rollout;
pub mod services;
pub mod settings;
pub mod topics;
pub mod watches;
