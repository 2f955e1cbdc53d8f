//! Sending events.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::topics::Aggregate;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use tracing::Instrument;
use tracing::field::Empty;

use super::brokers::{self, Brokers};
use super::{Record, Settings};
use crate::telemetry::{continue_traceparent, traceparent};

/// How long a record may wait for its acknowledgement.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of librdkafka, and what it knows.
struct Client {
    producer: FutureProducer<Brokers>,
    brokers: Brokers,
}

impl Client {
    fn new(config: &ClientConfig) -> Result<Self, KafkaError> {
        let brokers = Brokers::default();
        let producer = config.create_with_context(brokers.clone())?;
        Ok(Self { producer, brokers })
    }
}

/// Sends events.
#[derive(Clone)]
pub struct Producer {
    config: ClientConfig,
    client: Arc<Mutex<Client>>,
    prefix: String,
    source: String,
}

impl Producer {
    /// A producer that waits for all in-sync replicas and never reorders or repeats by itself.
    pub fn new(settings: &Settings, service: &str) -> Result<Self, KafkaError> {
        let mut config = settings.client();
        config
            .set("client.id", service)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .set("message.timeout.ms", DELIVERY_TIMEOUT.as_millis().to_string())
            .set("statistics.interval.ms", brokers::INTERVAL.as_millis().to_string());
        let client = Arc::new(Mutex::new(Client::new(&config)?));
        let source = format!("/shops/{}/{service}", settings.topic_prefix);
        Ok(Self { config, client, prefix: settings.topic_prefix.clone(), source })
    }

    /// Sends an event and waits until it is stored. Whoever gets it continues a span of this
    /// sending, which belongs to the trace that has caused the event.
    pub async fn send(&self, aggregate: Aggregate, record: &Record) -> Result<(), KafkaError> {
        let topic = aggregate.topic(&self.prefix);
        // OpenTelemetry, semantic conventions for Kafka and CloudEvents.
        let span = tracing::info_span!(
            "send",
            otel.kind = "producer",
            otel.name = format!("send {topic}"),
            otel.status_code = Empty,
            messaging.system = "kafka",
            messaging.operation.type = "send",
            messaging.operation.name = "send",
            messaging.destination.name = topic,
            messaging.kafka.message.key = %record.subject,
            messaging.message.id = %record.id,
            cloudevents.event_type = record.r#type,
        );
        continue_traceparent(&span, record.traceparent.as_deref());
        let delivery = async {
            let traceparent = traceparent().or_else(|| record.traceparent.clone());
            let headers = record.headers(&self.source, traceparent.as_deref());
            let key = record.subject.to_string();
            self.deliver(&topic, key.as_bytes(), &record.payload, headers).await
        };
        let sent = delivery.instrument(span.clone()).await;
        if sent.is_err() {
            span.record("otel.status_code", "error");
        }
        sent
    }

    /// Passes a record on to another topic, as it is, with further headers in place of those of their names.
    pub(crate) async fn forward(
        &self,
        topic: &str,
        message: &OwnedMessage,
        further: &OwnedHeaders,
    ) -> Result<(), KafkaError> {
        let mut headers = further.clone();
        let there = message.headers().into_iter().flat_map(Headers::iter);
        for header in there.filter(|old| further.iter().all(|new| new.key != old.key)) {
            headers = headers.insert(header);
        }
        let key = message.key().unwrap_or_default();
        let payload = message.payload().unwrap_or_default();
        self.deliver(topic, key, payload, headers).await
    }

    async fn deliver(
        &self,
        topic: &str,
        key: &[u8],
        payload: &[u8],
        headers: OwnedHeaders,
    ) -> Result<(), KafkaError> {
        let record = FutureRecord::to(topic).key(key).payload(payload).headers(headers);
        match self.client()?.send(record, DELIVERY_TIMEOUT).await {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error),
        }
    }

    /// The client, another one where that has forgotten all brokers: what it has not sent it never will, and its callers
    /// send that again.
    fn client(&self) -> Result<FutureProducer<Brokers>, KafkaError> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if client.brokers.are_forgotten() {
            tracing::warn!("the producer knows no broker any more and is replaced");
            let old = std::mem::replace(&mut *client, Client::new(&self.config)?);
            // It waits for its threads.
            std::thread::spawn(move || drop(old));
        }
        Ok(client.producer.clone())
    }

    /// Waits until everything is sent.
    pub fn flush(&self) -> Result<(), KafkaError> {
        self.client()?.flush(DELIVERY_TIMEOUT)
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("source", &self.source).finish_non_exhaustive()
    }
}
