//! `failing-service`: a new version of a service that starts, is ready and answers every request with an error, as a
//! release with a bug does. For tests only: it measures what a service measures, and no more.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Ports of a service.
const HTTP: u16 = 8080;
const ADMIN: u16 = 9091;
/// Between the signal and the end, so that the gateway hears of it; what services do.
const DRAIN: Duration = Duration::from_secs(5);

type Answered = Arc<AtomicU64>;

async fn fail(State(answered): State<Answered>) -> (StatusCode, &'static str) {
    answered.fetch_add(1, Ordering::Relaxed);
    (StatusCode::INTERNAL_SERVER_ERROR, "this version has a bug\n")
}

/// The histogram that every service has, with all requests in one bucket.
async fn metrics(State(answered): State<Answered>) -> String {
    let count = answered.load(Ordering::Relaxed);
    let name = "http_server_request_duration_seconds";
    let labels =
        r#"http_request_method="GET",http_response_status_code="500",http_route="unmatched""#;
    format!(
        "# TYPE {name} histogram\n\
         {name}_bucket{{{labels},le=\"0.001\"}} {count}\n\
         {name}_bucket{{{labels},le=\"+Inf\"}} {count}\n\
         {name}_sum{{{labels}}} 0\n\
         {name}_count{{{labels}}} {count}\n"
    )
}

#[tokio::main]
async fn main() -> Result<()> {
    // Its schema is that of the version before it.
    if std::env::args().nth(1).as_deref() != Some("serve") {
        return Ok(());
    }
    let answered = Answered::default();
    let public = Router::new().fallback(fail).with_state(answered.clone());
    let admin = Router::new()
        .route("/live", get(async || "live\n"))
        .route("/ready", get(async || "ready\n"))
        .route("/metrics", get(metrics))
        .with_state(answered);
    let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let (public_port, admin_port) =
        (TcpListener::bind(any(HTTP)).await?, TcpListener::bind(any(ADMIN)).await?);
    let mut terminated = signal(SignalKind::terminate())?;
    let ended = async {
        terminated.recv().await;
        // It serves for a while yet.
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = axum::serve(public_port, public) => served?,
        served = axum::serve(admin_port, admin) => served?,
        () = ended => {}
    }
    Ok(())
}
