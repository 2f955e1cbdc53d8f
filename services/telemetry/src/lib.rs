//! Logs and traces, of services and of the operator. Logs are JSON lines. Traces carry W3C ids from
//! the first request on, and leave the process only when an OTLP endpoint is set.

use std::collections::HashMap;
use std::error::Error;

use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{
    ExporterBuildError, RetryPolicy, SpanExporter, WithExportConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Header by which a span is named to others (W3C Trace Context).
const TRACEPARENT: &str = "traceparent";

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error, of a program whose output is something else.
    Stderr,
}

/// What to tell, and to whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `service.name` of the traces.
    pub service: &'static str,
    /// `service.version` of the traces.
    pub version: &'static str,
    /// `service.namespace` of the traces: the shop.
    pub shop: Option<String>,
    /// Where the log goes.
    pub output: Output,
    /// Filter in the syntax of [`EnvFilter`].
    pub log_level: String,
    /// OTLP/gRPC endpoint; none: no span leaves the process.
    pub otlp_endpoint: Option<String>,
}

/// Telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter is not one.
    #[error("the log level cannot be parsed")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The OTLP exporter could not be made.
    #[error("the trace exporter cannot be built")]
    Exporter(#[from] ExporterBuildError),
    /// Somebody else has installed a subscriber.
    #[error("telemetry is already set up")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
}

/// Keeps telemetry running; flushes it when told to.
#[derive(Debug)]
pub struct Telemetry(SdkTracerProvider);

impl Telemetry {
    /// Starts logging and tracing for this process. Must be called inside a Tokio runtime.
    pub fn start(settings: &Settings) -> Result<Self, TelemetryError> {
        let filter = EnvFilter::try_new(&settings.log_level)?;
        let mut resource = vec![KeyValue::new("service.version", settings.version)];
        resource.extend(settings.shop.clone().map(|shop| KeyValue::new("service.namespace", shop)));
        let resource = Resource::builder()
            .with_service_name(settings.service)
            .with_attributes(resource)
            .build();
        let provider = SdkTracerProvider::builder().with_resource(resource);
        let provider = match &settings.otlp_endpoint {
            Some(endpoint) => provider.with_batch_exporter(exporter(endpoint)?),
            // Ids are still made and passed on, so that logs and problems can show them.
            None => provider.with_sampler(Sampler::AlwaysOff),
        }
        .build();
        let writer = match settings.output {
            Output::Stdout => BoxMakeWriter::new(std::io::stdout),
            Output::Stderr => BoxMakeWriter::new(std::io::stderr),
        };
        let log = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(writer);
        let log = log.with_filter(filter);
        // Traces have a filter of their own: a quiet log must not end them, and a verbose one must
        // not fill them with the inside of libraries. Events are the log's, which shows the ids.
        let spans = filter_fn(|metadata| metadata.is_span() && *metadata.level() <= Level::INFO)
            .with_max_level_hint(LevelFilter::INFO);
        let traces = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("telemetry"))
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(spans);
        tracing_subscriber::registry().with(log).with(traces).try_init()?;
        Ok(Self(provider))
    }

    /// Sends what has not been sent.
    pub fn stop(self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(error = chain(&error), "spans were lost at the end");
        }
    }
}

fn exporter(endpoint: &str) -> Result<SpanExporter, ExporterBuildError> {
    // Until the exporter's own time limit, ten seconds. Its own policy gives a collector that restarts less than one.
    let policy = RetryPolicy::recommended().with_max_retries(usize::MAX);
    let exporter =
        SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_retry_policy(policy);
    if endpoint.starts_with("https:") {
        // The authorities that the image trusts; none is the default.
        exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots()).build()
    } else {
        exporter.build()
    }
}

/// An error and its causes in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        // Foreign errors often repeat their cause in their own text.
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = cause.source();
    }
    text
}

/// The trace id of the current span: 32 hexadecimal digits, or none outside a trace.
pub fn trace_id() -> Option<String> {
    let context = Span::current().context();
    let span = context.span().span_context().clone();
    span.is_valid().then(|| span.trace_id().to_string())
}

/// The current span as a `traceparent` header names it (W3C Trace Context), or none outside a trace.
pub fn traceparent() -> Option<String> {
    let mut headers = HashMap::new();
    propagate_trace(&mut headers);
    headers.remove(TRACEPARENT)
}

/// Makes a span the child of the one that a remote caller has named (W3C Trace Context). Must come
/// before the span is entered. Notes the id of the trace in the span's field `trace_id`, if it has
/// one, for the log.
pub fn continue_trace(span: &Span, carrier: &dyn Extractor) {
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), carrier);
    if parent.span().span_context().is_valid() {
        // Fails only when no subscriber is installed, as in some tests.
        let _ = span.set_parent(parent);
    }
    if let Some(id) = span.in_scope(trace_id) {
        span.record("trace_id", id);
    }
}

/// Same, for a caller that was named by a `traceparent` header alone.
pub fn continue_traceparent(span: &Span, traceparent: Option<&str>) {
    let headers = traceparent.map(|value| (TRACEPARENT.to_owned(), value.to_owned()));
    continue_trace(span, &headers.into_iter().collect::<HashMap<_, _>>());
}

/// Names a span anew. One that has begun, as it has when it continues a trace, takes no other
/// `otel.name` from [`Span::record`].
pub fn rename(span: &Span, name: String) {
    span.context().span().update_name(name);
}

/// Tells a remote callee of the current span (W3C Trace Context).
pub fn propagate_trace(carrier: &mut dyn Injector) {
    TraceContextPropagator::new().inject_context(&Span::current().context(), carrier);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry::trace::{Span as _, Tracer};
    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
        TraceService, TraceServiceServer,
    };
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
    };
    use tokio::net::TcpSocket;
    use tokio::sync::mpsc;
    use tonic::transport::Server;
    use tonic::transport::server::TcpIncoming;
    use tracing::field::Empty;
    use tracing::info_span;

    use super::*;

    /// Forwards requests to the test.
    struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

    #[tonic::async_trait]
    impl TraceService for Collector {
        async fn export(
            &self,
            request: tonic::Request<ExportTraceServiceRequest>,
        ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
            self.0.send(request.into_inner()).unwrap();
            Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Told {
        text: &'static str,
        source: Option<Box<Told>>,
    }

    fn told(texts: &[&'static str]) -> Told {
        let (text, causes) = texts.split_first().unwrap();
        let source = (!causes.is_empty()).then(|| Box::new(told(causes)));
        Told { text, source }
    }

    #[test]
    fn causes_follow_in_one_line_and_none_is_told_twice() {
        assert_eq!(chain(&told(&["a"])), "a");
        assert_eq!(
            chain(&told(&["no order", "no answer", "refused"])),
            "no order: no answer: refused"
        );
        assert_eq!(
            chain(&told(&["no answer: refused", "refused", "111"])),
            "no answer: refused: 111"
        );
    }

    #[test]
    fn a_trace_goes_on_where_its_header_says() {
        let provider = SdkTracerProvider::default();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let _subscriber =
            tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        let id = "0af7651916cd43dd8448eb211c80319c";
        let span = info_span!("work", trace_id = Empty);
        continue_traceparent(&span, Some(&format!("00-{id}-b7ad6b7169203331-01")));
        let (inside, header) = span.in_scope(|| (trace_id(), traceparent().unwrap()));
        assert_eq!(inside.as_deref(), Some(id));
        assert!(header.starts_with(&format!("00-{id}-")) && !header.contains("b7ad6b7169203331"));
        assert_eq!((trace_id(), traceparent()), (None, None), "outside there is none");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_collector_may_be_away_for_a_moment() {
        // Connections are refused until it listens.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let endpoint = format!("http://{}", socket.local_addr().unwrap());
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter(&endpoint).unwrap()).build();
        provider.tracer("test").start("work").end();
        let sending = {
            let provider = provider.clone();
            tokio::task::spawn_blocking(move || provider.force_flush())
        };
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!sending.is_finished(), "abandoned after less than two seconds");
        let (sender, mut received) = mpsc::unbounded_channel();
        let collector = Server::builder()
            .add_service(TraceServiceServer::new(Collector(sender)))
            .serve_with_incoming(TcpIncoming::from(socket.listen(16).unwrap()));
        let collector = tokio::spawn(collector);
        sending.await.unwrap().unwrap();
        let sent = received.recv().await.unwrap();
        assert_eq!(sent.resource_spans[0].scope_spans[0].spans[0].name, "work");
        collector.abort();
    }

    /// Fails without authorities to verify by, or without a TLS implementation.
    #[tokio::test]
    async fn a_collector_may_be_behind_tls() {
        exporter("https://collector.example.com:4317").unwrap();
        assert!(exporter("no address").is_err());
    }
}
