//! Tests of everything that needs no cluster.

mod backup;
mod build;
mod cel;
mod crd;
mod manifests;
mod names;
mod support;
mod validate;
mod variables;
