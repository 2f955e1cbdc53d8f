//! What every HTTP request passes through: trace, figures, deadline.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use opentelemetry::propagation::{Extractor, Injector};
use prometheus::{Gauge, HistogramVec};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::metric;
use crate::problem::{DEADLINE, METHOD, NOT_FOUND, Problem};
use crate::telemetry;

static SERVED: LazyLock<HistogramVec> = metric!(
    seconds,
    "http_server_request_duration_seconds",
    "Duration of HTTP requests served, by method, route and status code.",
    &["http_request_method", "http_route", "http_response_status_code"]
);
static ACTIVE: LazyLock<Gauge> =
    metric!(gauge, "http_server_active_requests", "HTTP requests that are being served.");

/// Reads the W3C trace context from headers.
#[derive(Debug)]
pub struct HeaderCarrier<'a>(pub &'a HeaderMap);

impl Extractor for HeaderCarrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct HeaderInjector<'a>(&'a mut HeaderMap);

impl Injector for HeaderInjector<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(key, value);
        }
    }
}

/// Puts the W3C trace context of the current span into the headers of a request to be sent.
pub fn propagate_trace(headers: &mut HeaderMap) {
    telemetry::propagate_trace(&mut HeaderInjector(headers));
}

/// The route that a response belongs to, for a service that finds its routes by itself: put it
/// into the response's extensions. It becomes a label, so there must be few of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route(pub &'static str);

/// The route of whatever has none.
pub const UNMATCHED: &str = "unmatched";

/// Counts a request among the active ones for as long as it lives, even if it is dropped.
struct Active;

impl Active {
    fn begin() -> Self {
        ACTIVE.inc();
        Self
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        ACTIVE.dec();
    }
}

/// Traces and measures a request. The span is as OpenTelemetry's conventions for HTTP servers want
/// it, but without the query and the headers: they hold tokens.
pub async fn observe(request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let method = known(request.method());
    let span = tracing::info_span!(
        "http",
        otel.kind = "server",
        otel.name = method,
        otel.status_code = Empty,
        error.type = Empty,
        http.request.method = method,
        http.response.status_code = Empty,
        http.route = Empty,
        url.path = request.uri().path(),
        url.scheme = "http",
        trace_id = Empty,
    );
    telemetry::continue_trace(&span, &HeaderCarrier(request.headers()));
    let active = Active::begin();
    let begun = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    drop(active);
    let route = match response.extensions().get() {
        Some(&Route(own)) => Some(own.to_owned()).filter(|own| own != UNMATCHED),
        None => matched,
    };
    if let Some(route) = &route {
        telemetry::rename(&span, format!("{method} {route}"));
        span.record("http.route", route);
    }
    let status = response.status();
    tell(&span, status, status.is_server_error());
    SERVED
        .with_label_values(&[method, route.as_deref().unwrap_or(UNMATCHED), status.as_str()])
        .observe(begun.elapsed().as_secs_f64());
    response
}

/// Sends a request to another server as a span of the current trace. The span is the current one
/// while `send` runs, which must tell it to the server by [`propagate_trace`].
pub async fn call<T, E>(
    method: &Method,
    url: &Uri,
    status: impl FnOnce(&T) -> StatusCode,
    send: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let method = known(method);
    let (scheme, authority) = (url.scheme_str(), url.authority().map(Authority::as_str));
    let origin = scheme.zip(authority).map(|(scheme, authority)| format!("{scheme}://{authority}"));
    let span = tracing::info_span!(
        "call",
        otel.kind = "client",
        otel.name = method,
        otel.status_code = Empty,
        error.type = Empty,
        http.request.method = method,
        http.response.status_code = Empty,
        server.address = url.host(),
        server.port = url.port_u16(),
        // The query may hold a token.
        url.full = origin.map(|origin| origin + url.path()),
    );
    let answer = send.instrument(span.clone()).await;
    if let Ok(answer) = &answer {
        let status = status(answer);
        tell(&span, status, status.is_client_error() || status.is_server_error());
    } else {
        span.record("otel.status_code", "error");
        span.record("error.type", "no_answer");
    }
    answer
}

/// Notes in a span how its request was answered.
fn tell(span: &Span, status: StatusCode, is_error: bool) {
    span.record("http.response.status_code", status.as_u16());
    if is_error {
        span.record("otel.status_code", "error");
        span.record("error.type", status.as_str());
    }
}

/// Methods are whatever a client invents; labels are not.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}

/// Asks clients to go elsewhere while the service drains: whoever pools connections then has none
/// left when the listener closes.
pub(crate) async fn leave(
    State(draining): State<Arc<AtomicBool>>,
    request: Request,
    next: Next,
) -> Response {
    // HTTP/2 has no such header; its connections end with GOAWAY.
    let pooled = request.version() <= Version::HTTP_11;
    let mut response = next.run(request).await;
    if pooled && draining.load(Ordering::Relaxed) && response.status() != 101 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Ends a request that takes too long; its work is dropped, its transaction rolled back.
pub async fn deadline(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(limit, next.run(request)).await;
    answer.unwrap_or_else(|_| Problem::new(DEADLINE, "please try again later").into_response())
}

/// For paths that do not exist.
pub async fn not_found(uri: Uri) -> Problem {
    Problem::new(NOT_FOUND, format!("there is nothing at {}", uri.path()))
}

/// For methods that a path does not have.
pub async fn method_not_allowed() -> Problem {
    Problem::new(METHOD, "see the Allow header")
}

/// A handler has panicked: the request fails, the service lives.
pub fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    Problem::internal("a handler has panicked").into_response()
}
