//! The admin port: is the service alive, can it serve, what does it measure.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use futures_util::future::BoxFuture;
use http::{StatusCode, header};
use prometheus::Gauge;
use sqlx::PgPool;

use crate::service::StartError;
use crate::telemetry::chain;
use crate::{metric, metrics, postgres};

/// How long a readiness check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a service that starts asks itself whether it can serve yet.
const STARTING: Duration = Duration::from_millis(10);

static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
static STARTED: LazyLock<Gauge> = metric!(
    gauge,
    "service_start_duration_seconds",
    "Time from the start of the process until it could serve for the first time."
);

/// Starts the clock of `service_start_duration_seconds`.
pub(crate) fn begin() {
    LazyLock::force(&BEGUN);
}

type Check = Box<dyn Fn() -> BoxFuture<'static, Result<(), StartError>> + Send + Sync>;

/// What must hold for a service to be ready.
pub(crate) struct Readiness {
    checks: Vec<(&'static str, Check)>,
    draining: Arc<AtomicBool>,
}

impl Readiness {
    /// Ready unless draining.
    pub(crate) fn new(draining: Arc<AtomicBool>) -> Self {
        Self { checks: Vec::new(), draining }
    }

    /// Ready only while this succeeds, too.
    pub(crate) fn add(
        &mut self,
        name: &'static str,
        check: impl Fn() -> BoxFuture<'static, Result<(), StartError>> + Send + Sync + 'static,
    ) {
        self.checks.push((name, Box::new(check)));
    }

    /// Fails with the first reason not to send requests here.
    async fn check(&self) -> Result<(), String> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("draining".to_owned());
        }
        for (name, check) in &self.checks {
            let outcome = tokio::time::timeout(CHECK_TIMEOUT, check()).await;
            let reason = match outcome {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => chain(&*error),
                Err(_) => "no answer in time".to_owned(),
            };
            return Err(format!("{name}: {reason}"));
        }
        Ok(())
    }

    /// Waits until the service can serve for the first time, and says how long that took. The probes of the
    /// cluster come too seldom to measure it.
    async fn started(&self) {
        while self.check().await.is_err() {
            tokio::time::sleep(STARTING).await;
        }
        let took = BEGUN.elapsed().as_secs_f64();
        STARTED.set(took);
        tracing::info!(seconds = took, "ready to serve");
    }
}

/// `/live`, `/ready` and `/metrics`. Must be called inside a Tokio runtime.
pub(crate) fn routes(readiness: Arc<Readiness>, pools: Vec<PgPool>) -> Router {
    let starting = Arc::clone(&readiness);
    tokio::spawn(async move { starting.started().await });
    let ready = async move || match readiness.check().await {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => {
            tracing::warn!(reason, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n"))
        }
    };
    let metrics = async move || {
        pools.iter().for_each(postgres::observe);
        ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::text())
    };
    Router::new()
        .route("/live", get(async || "live\n"))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .fallback(async |_: Request| StatusCode::NOT_FOUND)
}
