//! What the operator decides, and nothing that it does: no client of a cluster, no sockets, no clock, no environment.
//! Whoever wants to know why a Shop looks as it does reads this crate alone.

pub mod build;
pub mod child;
pub mod components;
pub mod crashes;
pub mod crd;
pub mod drift;
pub mod names;
pub mod object;
pub mod role;
pub mod rollout;
pub mod status;
pub mod validate;
