//! Where a service listens, and to how many.

use std::net::SocketAddr;
use std::time::Duration;

use contracts::{TrustedProxies, env, ports};
use listener::Limits;

use crate::config::{Env, FromEnv};

/// How long clients keep a gRPC connection: a new one finds new pods.
const GRPC_CONNECTION_AGE: Duration = Duration::from_mins(1);

/// Where a service listens.
#[derive(Clone, Debug)]
pub struct Listen {
    /// HTTP API.
    pub http: SocketAddr,
    /// gRPC API.
    pub grpc: SocketAddr,
    /// Probes and metrics.
    pub admin: SocketAddr,
    /// How long to keep serving after SIGTERM, while the cluster stops sending requests.
    pub drain: Duration,
    /// Connections that the HTTP and the gRPC API accept at a time.
    pub max_connections: usize,
    /// Peers that speak for many clients.
    pub trusted_proxies: TrustedProxies,
}

impl FromEnv for Listen {
    fn from_env(env: &mut Env) -> Option<Self> {
        let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
        let http = env.or(env::HTTP_ADDR, any(ports::HTTP));
        let grpc = env.or(env::GRPC_ADDR, any(ports::GRPC));
        let admin = env.or(env::ADMIN_ADDR, any(ports::ADMIN));
        let drain = env.or(env::DRAIN_SECONDS, 3);
        let max_connections = env.optional(env::MAX_CONNECTIONS);
        let trusted_proxies = env.or(env::TRUSTED_PROXIES, TrustedProxies::default());
        Some(Self {
            http: http?,
            grpc: grpc?,
            admin: admin?,
            drain: Duration::from_secs(drain?),
            max_connections: max_connections?.unwrap_or_else(listener::capacity),
            trusted_proxies: trusted_proxies?,
        })
    }
}

impl Listen {
    /// Connections to the HTTP API at a time.
    pub fn http_connections(&self, has_grpc: bool) -> usize {
        self.max_connections - self.grpc_connections(has_grpc)
    }

    /// A gRPC client needs one for all its calls.
    fn grpc_connections(&self, has_grpc: bool) -> usize {
        if has_grpc { (self.max_connections / 4).max(1) } else { 0 }
    }

    /// What connections to the HTTP and the gRPC API may do. `public`: anyone may connect to the HTTP API; that of other
    /// services is the gateway's, which speaks for all clients, and its siblings'.
    pub(super) fn limits(&self, has_grpc: bool, public: bool) -> (Limits, Limits) {
        let http = Limits {
            connections: self.http_connections(has_grpc),
            half_per_peer: public,
            count_streams: public,
            trusted: self.trusted_proxies.clone(),
            ..Limits::default()
        };
        let grpc = Limits {
            connections: self.grpc_connections(has_grpc),
            max_age: Some(GRPC_CONNECTION_AGE),
            ..Limits::default()
        };
        (http, grpc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Env;

    #[test]
    fn one_client_of_a_gateway_cannot_take_all_connections_of_a_service() {
        let variables = [(env::MAX_CONNECTIONS.to_owned(), "2048".to_owned())];
        let listen: Listen = Env::new(variables).parse().unwrap();
        let (gateway, _) = listen.limits(false, true);
        let (service, grpc) = listen.limits(true, false);
        assert!(gateway.half_per_peer && gateway.count_streams);
        assert!(!service.half_per_peer, "the gateway is one peer");
        assert!(gateway.connections.div_ceil(2) < service.connections);
        assert_eq!(service.connections + grpc.connections, gateway.connections);
    }
}
