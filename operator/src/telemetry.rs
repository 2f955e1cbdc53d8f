//! Logs as JSON lines, and traces by OTLP where an endpoint is given.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt, registry};

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log filter does not parse.
    #[error("invalid log filter")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The exporter of traces cannot be built.
    #[error("invalid OTLP endpoint")]
    Exporter(#[from] ExporterBuildError),
    /// A subscriber was installed before.
    #[error("telemetry was started twice")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Flushes what is still to be exported when it is dropped.
#[must_use = "dropping the guard stops the export of traces"]
pub struct Guard(Option<SdkTracerProvider>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.as_ref().map(SdkTracerProvider::shutdown) {
            tracing::warn!(%error, "could not flush traces");
        }
    }
}

/// Starts logging with the filter `log_level`, and tracing to `otlp_endpoint` if there is one.
///
/// # Errors
///
/// Fails if the filter or the endpoint is malformed, or when called twice.
pub fn start(log_level: &str, otlp_endpoint: Option<&str>) -> Result<Guard, Error> {
    let provider = otlp_endpoint.map(provider).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer().with_tracer(provider.tracer("shop-operator"))
    });
    registry()
        .with(EnvFilter::try_new(log_level)?)
        .with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr))
        .with(traces)
        .try_init()?;
    Ok(Guard(provider))
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter =
        opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name("shop-operator").build())
        .build())
}
