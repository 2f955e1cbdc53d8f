//! The admin port: `/live`, `/ready` and `/metrics`, apart from everything that can block.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use listener::Limits;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::context::PASS_TIMEOUT;
use crate::crds::Installed;
use crate::metrics::Metrics;

/// Connections at a time: one kubelet, and few that scrape.
const CONNECTIONS: usize = 32;

/// How far the process has come; it starts unready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Not yet connected to the API server.
    #[default]
    Starting,
    /// Another replica leads; this one stands by.
    Standby,
    /// Leads, and fills its caches.
    Syncing,
    /// Leads and reconciles.
    Leading,
}

impl Phase {
    /// Whether the process does what it is there for.
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Standby | Self::Leading)
    }
}

#[derive(Clone)]
struct Admin {
    phase: watch::Receiver<Phase>,
    crd: watch::Receiver<Installed>,
    metrics: Metrics,
}

/// Serves until `stop` is cancelled.
///
/// # Errors
///
/// Fails if the address cannot be bound.
pub async fn serve(
    address: SocketAddr,
    (phase, crd): (watch::Receiver<Phase>, watch::Receiver<Installed>),
    metrics: Metrics,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/live", get(async || StatusCode::OK))
        .route("/ready", get(ready))
        .route("/metrics", get(print_metrics))
        .with_state(Admin { phase, crd, metrics });
    let listener = TcpListener::bind(address).await?;
    let limits = Limits { connections: CONNECTIONS, ..Limits::default() };
    listener::serve("admin", listener, router, limits, stop.cancelled_owned()).await;
    Ok(())
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, String) {
    readiness(*admin.phase.borrow(), &admin.crd.borrow(), admin.metrics.passes.oldest())
}

/// A pass is cancelled after [`PASS_TIMEOUT`]. One that is still there a minute later blocks its thread.
///
/// A replica that the CRD is too old for is unready until the CRD changes, so that a rollout stops before it replaces replicas that fit.
fn readiness(phase: Phase, crd: &Installed, oldest_pass: Option<Duration>) -> (StatusCode, String) {
    if let Installed::Outdated(problem) = crd {
        return (StatusCode::SERVICE_UNAVAILABLE, problem.clone());
    }
    let stuck = oldest_pass.filter(|age| *age > PASS_TIMEOUT + Duration::from_mins(1));
    if let Some(age) = stuck {
        let text = format!("a reconciliation is stuck for {} s", age.as_secs());
        return (StatusCode::SERVICE_UNAVAILABLE, text);
    }
    let code = if phase.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{phase:?}").to_lowercase())
}

async fn print_metrics(State(admin): State<Admin>) -> impl IntoResponse {
    match admin.metrics.encode() {
        Ok(text) => Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text)),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stuck_reconciliation_makes_the_operator_unready() {
        let code = |phase, age| readiness(phase, &Installed::Current, age).0;
        assert_eq!(code(Phase::Leading, None), StatusCode::OK);
        assert_eq!(code(Phase::Leading, Some(PASS_TIMEOUT)), StatusCode::OK);
        let stuck = Some(PASS_TIMEOUT + Duration::from_secs(61));
        assert_eq!(code(Phase::Leading, stuck), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(code(Phase::Syncing, None), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn an_outdated_crd_makes_every_replica_unready() {
        let outdated = Installed::Outdated("upgrade it".to_owned());
        for phase in [Phase::Standby, Phase::Leading] {
            let (code, text) = readiness(phase, &outdated, None);
            assert_eq!((code, &*text), (StatusCode::SERVICE_UNAVAILABLE, "upgrade it"));
            // Whoever may not read CRDs runs as before.
            assert_eq!(readiness(phase, &Installed::Unknown, None).0, StatusCode::OK);
        }
    }
}
