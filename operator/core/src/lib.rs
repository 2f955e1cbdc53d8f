//! The decisions of the operator, without I/O: no Kubernetes client, no sockets, no clock, no environment.

pub mod apply;
pub mod build;
pub mod child;
pub mod components;
pub mod crd;
pub mod credentials;
pub mod drift;
pub mod entropy;
pub mod facts;
pub mod installed;
pub mod jobs;
pub mod kinds;
pub mod names;
pub mod object;
pub mod plan;
pub mod pods;
pub mod problem;
pub mod role;
pub mod rollout;
pub mod status;
pub mod topics;
pub mod validate;
