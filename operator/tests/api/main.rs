//! Tests against a real API server with real engines, started by `cluster/engines up`. The
//! operator runs with the rules of `rbac.yaml` and no others.
//!
//! There are no nodes and no controllers: [`kubelet`] says of every Deployment that it is
//! available and of every Job that it has completed, or failed, and nothing collects garbage.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod accepted;
mod adoption;
mod apply;
mod argo_cd;
mod backups;
mod crash;
mod crds;
mod data_loss;
mod definitions;
mod deletion;
mod election;
mod engines;
mod intercept;
mod kubelet;
mod migrations;
mod monitoring;
mod objects;
mod operator;
mod pods;
mod rbac;
mod rollouts;
mod routes;
mod schema;
mod secrets;
mod server;
mod sharing;
mod signing_keys;
mod timeouts;
mod topics;
mod unreadable;
mod volumes;
mod world;
