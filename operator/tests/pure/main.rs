//! Tests of everything that needs no cluster.

mod backup;
mod build;
mod canary;
mod cel;
mod crd;
mod manifests;
mod names;
mod rollout;
mod probes;
mod support;
mod validate;
mod variables;
