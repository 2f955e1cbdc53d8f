//! The one way in which this project serves HTTP and gRPC: a connection costs a bounded amount of memory, none stays
//! that does nothing, and no client has them all.

mod activity;
mod capacity;
mod connection;
mod slots;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use contracts::TrustedProxies;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use crate::capacity::capacity;
use crate::connection::Connection;
use crate::slots::Slots;

/// How long nothing is accepted after the process has run out of file descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_secs(1);

/// What connections may do.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Whether one peer may have half of them at most. Not where that peer is the gateway, which speaks for all clients.
    pub half_per_peer: bool,
    /// Peers that speak for many clients, each of which may have more than half of the connections.
    pub trusted: TrustedProxies,
    /// Whether an HTTP/2 connection counts as many as it may have requests at a time, and may have few: where anyone may
    /// connect, and not read the answers.
    pub count_streams: bool,
    /// From the first byte of a request to the last one of its headers.
    pub header_timeout: Duration,
    /// Without a request. Longer than what clients keep unused connections for, so that it is they who close them.
    pub idle_timeout: Duration,
    /// For the peer to read any of what it has asked for; for all of it over HTTP/2, where an answer can wait
    /// without its connection waiting.
    pub write_timeout: Duration,
    /// After which clients are asked to connect again, so that they find new pods.
    pub max_age: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: capacity(),
            half_per_peer: true,
            count_streams: false,
            trusted: TrustedProxies::default(),
            header_timeout: Duration::from_secs(10),
            // Go's and Traefik's clients keep them for 90 s, nginx for 60 s, the gateway for 30 s.
            idle_timeout: Duration::from_secs(100),
            write_timeout: Duration::from_mins(1),
            max_age: None,
        }
    }
}

/// Serves until `stop`; then until every request that is under way has its answer. `name` labels the metrics.
pub async fn serve(
    name: &'static str,
    listener: TcpListener,
    routes: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let slots = Arc::new(Slots::new(name, &limits));
    let (limits, stopping) = (Arc::new(limits), CancellationToken::new());
    // Connections end as well when this future is dropped.
    let guard = stopping.clone().drop_guard();
    let connections = TaskTracker::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener) => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::error!(listener = name, %error, "connections cannot be accepted");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        if let Some(slot) = slots.take(peer.ip()) {
            let connection = Connection::new(stream, peer, slot, Arc::clone(&limits));
            connections.spawn(connection.serve(routes.clone(), stopping.clone()));
        }
    }
    drop(listener);
    drop(guard);
    connections.close();
    connections.wait().await;
}

/// The next connection, which sends what is written at once: with Nagle's algorithm the second of two small writes
/// waits for the peer's delayed acknowledgement, up to 40 ms.
async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    loop {
        match listener.accept().await {
            // Fails only for a peer that has gone, which its first read will show.
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                return Ok((stream, peer));
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ConnectionAborted | ConnectionRefused | ConnectionReset
                ) => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepted_sockets_send_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = accept(&listener).await.unwrap();
        assert!(stream.nodelay().unwrap());
    }
}
