//! Tests of everything that needs no cluster.

mod backup;
mod build;
mod canary;
mod cel;
mod conditions;
mod conditions_page;
mod crd;
mod extra;
mod installed;
mod manifests;
mod metadata;
mod names;
mod network;
mod probes;
mod rollout;
mod scheduling;
mod support;
mod validate;
mod variables;
