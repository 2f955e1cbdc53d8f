//! gRPC between services: clients with deadlines, servers that are measured, traces through both.

use std::str::FromStr;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use http::Uri;
use prometheus::HistogramVec;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::http::{HeaderCarrier, propagate_trace};
use crate::metric;
use crate::telemetry::{continue_trace, rename};

/// How long a call may take unless the caller says otherwise.
const DEADLINE: Duration = Duration::from_secs(2);

static SERVED: LazyLock<HistogramVec> = metric!(
    seconds,
    "rpc_server_duration_seconds",
    "Duration of gRPC calls served, by method and status code.",
    &["rpc_service", "rpc_method", "rpc_grpc_status_code"]
);

/// A lazy connection: made on first use and again after a failure.
#[derive(Clone, Debug)]
pub struct Peer(Endpoint);

impl FromStr for Peer {
    type Err = tonic::transport::Error;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let endpoint = Endpoint::from_shared(url.to_owned())?
            .connect_timeout(Duration::from_secs(1))
            .timeout(DEADLINE)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(3));
        Ok(Self(endpoint))
    }
}

impl Peer {
    /// For `FooClient::new(peer.client())`-like constructors of generated code.
    pub fn client(&self) -> Client {
        Client { channel: self.0.connect_lazy(), server: self.0.uri().clone() }
    }
}

/// A connection to another service. Each call is a span of the current trace, which the service
/// continues.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    server: Uri,
}

impl Service<http::Request<Body>> for Client {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = BoxFuture<'static, Result<http::Response<Body>, tonic::transport::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path().trim_start_matches('/');
        let (service, method) = path.split_once('/').unwrap_or((path, ""));
        // OpenTelemetry, semantic conventions for gRPC.
        let span = tracing::info_span!(
            "call",
            otel.kind = "client",
            otel.name = path,
            otel.status_code = Empty,
            rpc.system = "grpc",
            rpc.service = service,
            rpc.method = method,
            rpc.grpc.status_code = Empty,
            server.address = self.server.host(),
            server.port = self.server.port_u16(),
        );
        span.in_scope(|| propagate_trace(request.headers_mut()));
        let answer = self.channel.call(request);
        let called = span.clone();
        let call = async move {
            let answer = answer.await;
            let code = answer.as_ref().map_or(Code::Unavailable, code);
            tell(&called, code, code != Code::Ok);
            answer
        };
        Box::pin(call.instrument(span))
    }
}

/// How a call was answered. A failure has no body, so its status is in the headers; a success says
/// so only after the body.
fn code<B>(response: &http::Response<B>) -> Code {
    Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code())
}

/// Notes in a span how its call was answered.
fn tell(span: &Span, code: Code, is_error: bool) {
    span.record("rpc.grpc.status_code", i32::from(code));
    if is_error {
        span.record("otel.status_code", "error");
    }
}

/// Whether the server is to blame (OpenTelemetry, gRPC server spans).
fn is_server_error(code: Code) -> bool {
    use Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unimplemented, Unknown};
    matches!(code, Unknown | DeadlineExceeded | Unimplemented | Internal | Unavailable | DataLoss)
}

/// Measures and traces every call that a server answers.
#[derive(Clone, Copy, Debug)]
pub struct Observe;

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed(inner)
    }
}

/// A server under [`Observe`].
#[derive(Clone, Debug)]
pub struct Observed<S>(S);

impl<S, B, R> Service<http::Request<B>> for Observed<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    S::Future: Send + 'static,
    R: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let span = tracing::info_span!(
            "grpc",
            otel.kind = "server",
            otel.name = "unknown",
            otel.status_code = Empty,
            rpc.system = "grpc",
            rpc.service = Empty,
            rpc.method = Empty,
            rpc.grpc.status_code = Empty,
            trace_id = Empty,
        );
        continue_trace(&span, &HeaderCarrier(request.headers()));
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let begun = Instant::now();
        let answer = self.0.call(request);
        let called = span.clone();
        let served = async move {
            let response = answer.await?;
            let code = code(&response);
            // Paths that are not implemented are whatever a client invents.
            let (service, method) = match path.split_once('/') {
                Some(names) if code != Code::Unimplemented => names,
                _ => ("unknown", "unknown"),
            };
            if service != "unknown" {
                rename(&called, path.clone());
            }
            called.record("rpc.service", service).record("rpc.method", method);
            tell(&called, code, is_server_error(code));
            SERVED
                .with_label_values(&[service, method, &format!("{code:?}")])
                .observe(begun.elapsed().as_secs_f64());
            Ok(response)
        };
        Box::pin(served.instrument(span))
    }
}
