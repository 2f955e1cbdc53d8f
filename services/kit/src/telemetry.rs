//! Logs and traces. Logs are JSON lines on standard output. Traces carry W3C ids from the first
//! request on, and leave the process only when an OTLP endpoint is set.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;

use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Header by which a span is named to others (W3C Trace Context).
const TRACEPARENT: &str = "traceparent";

/// What to tell, and to whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `service.name` of the traces.
    pub service: &'static str,
    /// `service.version` of the traces.
    pub version: &'static str,
    /// `service.namespace` of the traces: the shop.
    pub shop: Option<String>,
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
        let log = tracing_subscriber::fmt::layer().json().flatten_event(true).with_filter(filter);
        // Traces have a filter of their own: a quiet log must not end them, and a verbose one must
        // not fill them with the inside of libraries. Events are the log's, which shows the ids.
        let spans = filter_fn(|metadata| metadata.is_span() && *metadata.level() <= Level::INFO)
            .with_max_level_hint(LevelFilter::INFO);
        let traces = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("kit"))
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
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint);
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
        // Writing to a string cannot fail.
        let _ = write!(text, ": {cause}");
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

/// Tells a remote callee of the current span (W3C Trace Context).
pub fn propagate_trace(carrier: &mut dyn Injector) {
    TraceContextPropagator::new().inject_context(&Span::current().context(), carrier);
}
