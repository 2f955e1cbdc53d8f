//! Passes requests on to services, streams both ways, and hides that pods come and go.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, StatusCode, Uri, Version, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kit::metric;
use kit::problem::{DEADLINE, Kind, Problem, Result, TOO_LARGE};
use prometheus::{HistogramVec, IntCounterVec};
use tokio_util::sync::CancellationToken;

use crate::canaries::Canaries;
use crate::client::Client;
use crate::headers;
use crate::replay::{Replay, is_too_large};
use crate::routes::{Upstream, body_limit};

/// How long a service may take to begin its answer: less than what `kit` allows the gateway
/// itself, so that the answer to a shopper is this one.
const PATIENCE: Duration = Duration::from_secs(14);
/// How long a connection to a pod may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait before each further try: a pod that goes away is out of the way after the
/// first pauses, a pod that starts is there after the last.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(10), Duration::from_millis(50), Duration::from_millis(200)];
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(30);
/// What is read of an answer in one go, in bytes, and the largest head of one. Up to three such chunks wait for a client
/// that does not read: one in the connection to the service, one on its way, one in the client's connection. hyper's
/// default is 400 KiB each.
const CHUNK: usize = 16 << 10;

/// The shop runs without this service.
pub const DISABLED: Kind = Kind::new(404, "service-disabled", "This shop does not offer that");

static ANSWERED: LazyLock<HistogramVec> = metric!(
    seconds,
    "gateway_upstream_request_duration_seconds",
    "Time until services began to answer, by service and status code; 0 for no answer.",
    &["upstream", "http_response_status_code"]
);
static RETRIED: LazyLock<IntCounterVec> = metric!(
    counter,
    "gateway_upstream_retries_total",
    "Requests that were sent again because a connection failed, by service.",
    &["upstream"]
);

static UNREACHABLE: LazyLock<IntCounterVec> = metric!(
    counter,
    "gateway_canary_unreachable_total",
    "Requests that went to the old version of a service because the new one failed to answer, by service.",
    &["upstream"]
);

/// Where a service listens, e.g. `http://demo-user:8080`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base(Authority);

/// The text is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be like http://host:port")]
pub struct NotABase;

impl FromStr for Base {
    type Err = NotABase;

    fn from_str(text: &str) -> Result<Self, NotABase> {
        let parts = text.parse::<Uri>().map_err(|_| NotABase)?.into_parts();
        let bare = parts.path_and_query.is_none_or(|path| path == "/");
        match (parts.scheme, parts.authority) {
            (Some(scheme), Some(authority)) if scheme == Scheme::HTTP && bare => {
                Ok(Self(authority))
            }
            _ => Err(NotABase),
        }
    }
}

impl Base {
    fn uri(&self, path: PathAndQuery) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.0.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).expect("scheme, authority and path are all there")
    }
}

/// The services, and the connections to them.
pub struct Proxy {
    client: legacy::Client<HttpConnector, Replay>,
    bases: HashMap<Upstream, Base>,
    canaries: Arc<Canaries>,
    stop: CancellationToken,
}

impl Proxy {
    /// Passes requests on to these services, or to their new versions; tunnels end with `stop`.
    pub fn new(
        bases: HashMap<Upstream, Base>,
        canaries: Arc<Canaries>,
        stop: CancellationToken,
    ) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http1_max_buf_size(CHUNK)
            .build(connector);
        Self { client, bases, canaries, stop }
    }

    /// Whether the shop has this service.
    pub fn has(&self, upstream: Upstream) -> bool {
        self.bases.contains_key(&upstream)
    }

    /// The answer of a service to a request of this client.
    pub async fn forward(
        &self,
        upstream: Upstream,
        request: Request,
        client: &Client,
    ) -> Result<Response> {
        let base = self.bases.get(&upstream).ok_or_else(|| {
            Problem::new(DISABLED, format!("there is no {} service", upstream.name()))
        })?;
        let limit = body_limit(request.uri().path());
        refuse_large(&request, limit)?;
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let canary = self.canaries.pick(upstream).map(|canary| canary.uri(path.clone()));
        parts.uri = base.uri(path);
        // Clients may speak HTTP/2 to us; services speak HTTP/1.1.
        parts.version = Version::HTTP_11;
        let protocol = headers::websocket(&parts.headers);
        let waiting = protocol.as_ref().and_then(|_| parts.extensions.remove::<OnUpgrade>());
        headers::to_upstream(&mut parts.headers, client);
        if let Some(protocol) = protocol.filter(|_| waiting.is_some()) {
            headers::set_upgrade(&mut parts.headers, protocol);
        }
        let answer = self.measured(upstream, &parts, canary, body, limit).await?;
        Ok(self.returned(answer, waiting))
    }

    async fn measured(
        &self,
        upstream: Upstream,
        parts: &Parts,
        canary: Option<Uri>,
        body: Body,
        limit: usize,
    ) -> Result<http::Response<Incoming>> {
        let begun = Instant::now();
        let body = Replay::new(body, limit);
        let sent = self.send(upstream, parts, canary, body);
        let answer = tokio::time::timeout(PATIENCE, sent).await;
        let status = answer.as_ref().ok().and_then(|answer| answer.as_ref().ok());
        let status = status.map_or("0".to_owned(), |answer| answer.status().as_str().to_owned());
        ANSWERED
            .with_label_values(&[upstream.name(), &status])
            .observe(begun.elapsed().as_secs_f64());
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if is_too_large(&error) => Err(too_large(limit)),
            Ok(Err(error)) => Err(Problem::unavailable(error)),
            Err(_) => Err(Problem::new(DEADLINE, "please try again later")),
        }
    }

    /// Sends a request, again if its connection failed and it can have had no effect.
    async fn send(
        &self,
        upstream: Upstream,
        parts: &Parts,
        mut canary: Option<Uri>,
        body: Replay,
    ) -> Result<http::Response<Incoming>, legacy::Error> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let trial = canary.take();
            let uri = trial.as_ref().unwrap_or(&parts.uri);
            let attempt = async { self.client.request(build(parts, uri, body.clone())).await };
            let status = http::Response::status;
            let error = match kit::http::call(&parts.method, uri, status, attempt).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // Without a connection nothing was sent. With one, the service may have acted before the connection
            // broke, and others since: an idempotent PUT or DELETE would undo what they have done.
            let harmless = error.is_connect() || parts.method.is_safe();
            let again = harmless && body.is_whole();
            if trial.is_some() && again {
                // The old version is there, so there is nothing to wait for.
                UNREACHABLE.with_label_values(&[upstream.name()]).inc();
                continue;
            }
            let pause = pauses.next().filter(|_| again);
            let Some(pause) = pause else { return Err(error) };
            RETRIED.with_label_values(&[upstream.name()]).inc();
            tracing::debug!(upstream = upstream.name(), %error, "sending again");
            tokio::time::sleep(pause).await;
        }
    }

    /// A service's answer as the client gets it; a change of protocol becomes a tunnel.
    fn returned(
        &self,
        mut answer: http::Response<Incoming>,
        waiting: Option<OnUpgrade>,
    ) -> Response {
        let upgraded = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = answer.headers().get(header::UPGRADE).cloned();
        headers::strip_hop_by_hop(answer.headers_mut());
        if !upgraded {
            return answer.map(Body::new).into_response();
        }
        let (Some(waiting), Some(protocol)) = (waiting, protocol) else {
            return Problem::internal("a service changed the protocol unasked").into_response();
        };
        let (near, far) = (waiting, hyper::upgrade::on(&mut answer));
        let stop = self.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                ended = tunnel(near, far) => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a tunnel broke");
                    }
                }
                // Clients come back by themselves, to a pod that stays.
                () = stop.cancelled() => {}
            }
        });
        headers::set_upgrade(answer.headers_mut(), protocol);
        answer.map(|_| Body::empty())
    }

    /// The answer of a service to a question of ours, as JSON of at most `limit` bytes.
    pub async fn get_json(
        &self,
        upstream: Upstream,
        path: &'static str,
        limit: usize,
    ) -> Result<serde_json::Value> {
        let base = self.bases.get(&upstream).ok_or_else(|| Problem::not_found("service"))?;
        let uri = base.uri(PathAndQuery::from_static(path));
        let request = http::Request::get(uri).body(()).map_err(Problem::internal)?;
        let (parts, ()) = request.into_parts();
        let answer = self.measured(upstream, &parts, None, Body::empty(), 0).await?;
        if !answer.status().is_success() {
            return Err(Problem::unavailable(format!("{path}: {}", answer.status())));
        }
        let body = axum::body::to_bytes(Body::new(answer.into_body()), limit).await;
        serde_json::from_slice(&body.map_err(Problem::unavailable)?).map_err(Problem::unavailable)
    }
}

/// A request of the current span.
fn build(parts: &Parts, uri: &Uri, body: Replay) -> http::Request<Replay> {
    let mut request = http::Request::new(body);
    request.method_mut().clone_from(&parts.method);
    request.uri_mut().clone_from(uri);
    request.headers_mut().clone_from(&parts.headers);
    kit::http::propagate_trace(request.headers_mut());
    request
}

async fn tunnel(
    near: OnUpgrade,
    far: OnUpgrade,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (mut near, mut far) = (TokioIo::new(near.await?), TokioIo::new(far.await?));
    tokio::io::copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}

fn too_large(limit: usize) -> Problem {
    Problem::new(TOO_LARGE, format!("send at most {limit} bytes"))
}

/// Refuses a body that is announced as too large before any of it is read.
fn refuse_large(request: &Request, limit: usize) -> Result<()> {
    let announced: Option<&HeaderValue> = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) { Err(too_large(limit)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_plain_addresses() {
        let base: Base = "http://demo-user:8080".parse().unwrap();
        let uri = base.uri(PathAndQuery::from_static("/a?b"));
        assert_eq!(uri.to_string(), "http://demo-user:8080/a?b");
        assert!("http://demo-user:8080/".parse::<Base>().is_ok());
        for bad in ["", "demo-user", "demo-user:8080", "https://a", "http://a/b", "http://a?b"] {
            assert_eq!(bad.parse::<Base>(), Err(NotABase), "{bad}");
        }
    }
}
