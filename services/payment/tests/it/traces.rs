//! A trace does not end in the tables where payments wait for the worker.

use contracts::events::{Event, PaymentCaptured, PaymentRefunded};
use kit::telemetry::trace_id;
use kit::testing::Running;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use payment::Payment;
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

use crate::world::{refund, reserved};

/// Publishes an event inside a trace of its own, which is returned.
async fn publish_traced<E: Event>(running: &Running, event: &E) -> String {
    let span = tracing::info_span!("test");
    let trace = span.in_scope(trace_id).unwrap();
    running.publish(event).instrument(span).await;
    trace
}

#[tokio::test]
async fn what_is_paid_belongs_to_the_trace_of_whoever_wanted_it() {
    let tracer = SdkTracerProvider::builder().build().tracer("test");
    let layer = tracing_opentelemetry::layer().with_tracer(tracer);
    // For every thread: what a thread without a subscriber comes across first is off for all
    // while there is only one subscriber.
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let running = Running::start::<Payment>(&[]).await;
    let order = reserved("tok_visa", 1000);
    let charged = publish_traced(&running, &order).await;
    let _: PaymentCaptured = running.published(order.order_id.uuid()).await;
    let refunded = publish_traced(&running, &refund(&order, 1000)).await;
    let _: PaymentRefunded = running.published(order.order_id.uuid()).await;
    let continued: Vec<String> = sqlx::query_scalar(
        "SELECT split_part(headers ->> 'traceparent', '-', 2) FROM outbox ORDER BY seq",
    )
    .fetch_all(running.pool())
    .await
    .unwrap();
    assert_eq!(continued, [charged, refunded]);
}
