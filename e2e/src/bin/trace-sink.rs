//! `trace-sink`: takes traces as a collector would (OTLP/gRPC) and shows them as JSON. For tests
//! only: it keeps the newest spans in memory and lets everybody read them.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

/// Port of OTLP/gRPC (OpenTelemetry Protocol Specification).
const OTLP: u16 = 4317;
/// Port of the JSON.
const HTTP: u16 = 8080;
/// Spans that are kept; the oldest go first.
const LIMIT: usize = 20_000;

/// The spans, as they are shown.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<VecDeque<Value>>>);

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(request.into_inner().resource_spans.into_iter().flat_map(shown));
        let surplus = kept.len().saturating_sub(LIMIT);
        kept.drain(..surplus);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// The spans of one process.
fn shown(sent: ResourceSpans) -> impl Iterator<Item = Value> {
    let resource = map(sent.resource.map(|resource| resource.attributes).unwrap_or_default());
    let spans = sent.scope_spans.into_iter().flat_map(|scope| scope.spans);
    spans.map(move |span| one(span, &resource))
}

fn one(span: Span, resource: &Map<String, Value>) -> Value {
    let kind = span.kind().as_str_name().trim_start_matches("SPAN_KIND_").to_lowercase();
    let events = span.events.into_iter();
    let events =
        events.map(|event| json!({"name": event.name, "attributes": map(event.attributes)}));
    json!({
        "resource": resource,
        "trace": hex(&span.trace_id),
        "id": hex(&span.span_id),
        "parent": hex(&span.parent_span_id),
        "name": span.name,
        "kind": kind,
        "status": span.status.map_or(0, |status| status.code),
        "attributes": map(span.attributes),
        "events": events.collect::<Vec<_>>(),
    })
}

fn map(attributes: Vec<KeyValue>) -> Map<String, Value> {
    attributes.into_iter().map(|pair| (pair.key, value(pair.value))).collect()
}

fn value(any: Option<AnyValue>) -> Value {
    match any.and_then(|any| any.value) {
        Some(Any::StringValue(text)) => text.into(),
        Some(Any::BoolValue(truth)) => truth.into(),
        Some(Any::IntValue(number)) => number.into(),
        Some(Any::DoubleValue(number)) => number.into(),
        Some(Any::ArrayValue(list)) => {
            list.values.into_iter().map(|item| value(Some(item))).collect()
        }
        Some(Any::KvlistValue(list)) => map(list.values).into(),
        Some(Any::BytesValue(bytes)) => hex(&bytes).into(),
        // The index means something in profiles only.
        Some(Any::StringValueStrindex(_)) | None => Value::Null,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[derive(Deserialize)]
struct Wanted {
    /// Trace id; all spans without.
    trace: Option<String>,
}

async fn spans(State(sink): State<Sink>, Query(wanted): Query<Wanted>) -> Json<Vec<Value>> {
    let kept = sink.0.lock().unwrap_or_else(PoisonError::into_inner);
    let is_wanted = |span: &&Value| wanted.trace.as_ref().is_none_or(|id| span["trace"] == **id);
    Json(kept.iter().filter(is_wanted).cloned().collect())
}

#[tokio::main]
async fn main() -> Result<()> {
    let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let sink = Sink::default();
    let routes = Router::new()
        .route("/spans", get(spans))
        .route("/health", get(|| async { "ok" }))
        .with_state(sink.clone());
    let listener = TcpListener::bind(any(HTTP)).await?;
    let otlp = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(sink))
        .serve(any(OTLP));
    tokio::try_join!(async { otlp.await.map_err(anyhow::Error::from) }, async {
        axum::serve(listener, routes).await.map_err(anyhow::Error::from)
    },)?;
    Ok(())
}
