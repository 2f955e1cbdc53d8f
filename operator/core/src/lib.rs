//! The decisions of the operator, without I/O: no Kubernetes client, no sockets, no clock, no environment.

pub mod build;
pub mod child;
pub mod components;
pub mod crashes;
pub mod crd;
pub mod credentials;
pub mod drift;
pub mod entropy;
pub mod installed;
pub mod names;
pub mod object;
pub mod role;
pub mod rollout;
pub mod status;
pub mod validate;
