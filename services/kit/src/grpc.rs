//! gRPC between services: clients with deadlines, servers that are measured, traces through both.

use std::str::FromStr;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use prometheus::HistogramVec;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tower::{Layer, Service};
use tracing::Instrument;

use crate::http::HeaderCarrier;
use crate::metric;
use crate::telemetry::{continue_trace, propagate_trace};

/// How long a call may take unless the caller says otherwise.
const DEADLINE: Duration = Duration::from_secs(2);

static SERVED: LazyLock<HistogramVec> = metric!(
    seconds,
    "rpc_server_duration_seconds",
    "Duration of gRPC calls served, by method and status code.",
    &["rpc_service", "rpc_method", "rpc_grpc_status_code"]
);

/// A connection to another service that carries the trace with it.
pub type Client = InterceptedService<Channel, Propagate>;

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
        InterceptedService::new(self.0.connect_lazy(), Propagate)
    }
}

/// Adds the W3C trace context to calls.
#[derive(Clone, Copy, Debug)]
pub struct Propagate;

impl Interceptor for Propagate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        propagate_trace(&mut MetadataCarrier(request.metadata_mut()));
        Ok(request)
    }
}

struct MetadataCarrier<'a>(&'a mut MetadataMap);

impl opentelemetry::propagation::Injector for MetadataCarrier<'_> {
    fn set(&mut self, key: &str, value: String) {
        let key = MetadataKey::<Ascii>::from_str(key);
        if let (Ok(key), Ok(value)) = (key, value.parse()) {
            self.0.insert(key, value);
        }
    }
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
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let span = tracing::info_span!("grpc", otel.kind = "server", otel.name = path);
        continue_trace(&span, &HeaderCarrier(request.headers()));
        let begun = Instant::now();
        let answer = self.0.call(request);
        let served = async move {
            let response = answer.await?;
            let status = Status::from_header_map(response.headers());
            let code = status.map_or(tonic::Code::Ok, |status| status.code());
            // Paths that are not implemented are whatever a client invents.
            let (service, method) = match path.split_once('/') {
                Some(names) if code != tonic::Code::Unimplemented => names,
                _ => ("unknown", "unknown"),
            };
            SERVED
                .with_label_values(&[service, method, &format!("{code:?}")])
                .observe(begun.elapsed().as_secs_f64());
            Ok(response)
        };
        Box::pin(served.instrument(span))
    }
}
