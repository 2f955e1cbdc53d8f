//! Events on the wire: CloudEvents 1.0 in Kafka's binary mode, and how the brokers are reached.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::topics::Aggregate;
use contracts::{EventId, env};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use tracing::Instrument;
use tracing::field::Empty;
use uuid::Uuid;

use crate::config::{Env, FromEnv};
use crate::secret::Secret;
use crate::telemetry::{continue_traceparent, traceparent};

/// How long a record may wait for its acknowledgement.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach the brokers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Comma-separated `host:port` list.
    pub brokers: String,
    /// First part of every topic's name.
    pub topic_prefix: String,
    /// librdkafka's `security.protocol`.
    pub security_protocol: String,
    /// SASL mechanism, user name and password.
    pub sasl: Option<(String, String, Secret)>,
}

impl FromEnv for Settings {
    fn from_env(env: &mut Env) -> Option<Self> {
        let brokers = env.required(env::KAFKA_BROKERS);
        let topic_prefix = env.required(env::KAFKA_TOPIC_PREFIX);
        let security_protocol = env.or(env::KAFKA_SECURITY_PROTOCOL, "plaintext".to_owned());
        let mechanism = env.optional(env::KAFKA_SASL_MECHANISM)?;
        let sasl = match mechanism {
            None => None,
            Some(mechanism) => {
                let username = env.required(env::KAFKA_SASL_USERNAME);
                let password = env.required(env::KAFKA_SASL_PASSWORD);
                Some((mechanism, username?, password?))
            }
        };
        let security_protocol = security_protocol?;
        Some(Self { brokers: brokers?, topic_prefix: topic_prefix?, security_protocol, sasl })
    }
}

impl Settings {
    /// The part of librdkafka's configuration that producers and consumers share.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("security.protocol", &self.security_protocol)
            // A broker that restarts is back within a second or two; so are we.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000");
        if let Some((mechanism, username, password)) = &self.sasl {
            config
                .set("sasl.mechanism", mechanism)
                .set("sasl.username", username)
                .set("sasl.password", password.expose());
        }
        config
    }
}

/// An event as a Kafka record carries it.
#[derive(Clone, Debug)]
pub struct Record {
    /// `ce_id`.
    pub id: EventId,
    /// `ce_type`.
    pub r#type: String,
    /// `ce_subject` and the key.
    pub subject: Uuid,
    /// `ce_time`.
    pub time: DateTime<Utc>,
    /// W3C trace context of whoever caused the event.
    pub traceparent: Option<String>,
    /// JSON.
    pub payload: Vec<u8>,
}

/// Why a record is no event of ours.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the record has no valid {0}")]
pub struct NotAnEvent(&'static str);

impl Record {
    /// Reads a record.
    pub fn from_message(message: &OwnedMessage) -> Result<Self, NotAnEvent> {
        let header = |name: &str| {
            let headers = message.headers()?;
            let value = headers.iter().find(|header| header.key == name)?.value?;
            std::str::from_utf8(value).ok()
        };
        Ok(Self {
            id: header("ce_id").and_then(|id| id.parse().ok()).ok_or(NotAnEvent("ce_id"))?,
            r#type: header("ce_type").ok_or(NotAnEvent("ce_type"))?.to_owned(),
            subject: header("ce_subject")
                .and_then(|id| id.parse().ok())
                .ok_or(NotAnEvent("ce_subject"))?,
            time: header("ce_time")
                .and_then(|time| time.parse().ok())
                .ok_or(NotAnEvent("ce_time"))?,
            traceparent: header("traceparent").map(str::to_owned),
            payload: message.payload().unwrap_or_default().to_vec(),
        })
    }

    fn headers(&self, source: &str, traceparent: Option<&str>) -> OwnedHeaders {
        let (id, subject, time) =
            (self.id.to_string(), self.subject.to_string(), self.time.to_rfc3339());
        let fields = [
            ("ce_specversion", "1.0"),
            ("ce_id", &id),
            ("ce_type", &self.r#type),
            ("ce_source", source),
            ("ce_subject", &subject),
            ("ce_time", &time),
            ("content-type", "application/json"),
        ];
        fields
            .into_iter()
            .chain(traceparent.map(|value| ("traceparent", value)))
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(value) })
            })
    }
}

/// Sends events.
#[derive(Clone)]
pub struct Producer {
    inner: FutureProducer,
    prefix: String,
    source: String,
}

impl Producer {
    /// A producer that waits for all in-sync replicas and never reorders or repeats by itself.
    pub fn new(settings: &Settings, service: &str) -> Result<Self, KafkaError> {
        let inner = settings
            .client()
            .set("client.id", service)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .set("message.timeout.ms", DELIVERY_TIMEOUT.as_millis().to_string())
            .create()?;
        let source = format!("/shops/{}/{service}", settings.topic_prefix);
        Ok(Self { inner, prefix: settings.topic_prefix.clone(), source })
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
        match self.inner.send(record, DELIVERY_TIMEOUT).await {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error),
        }
    }

    /// Waits until everything is sent.
    pub fn flush(&self) -> Result<(), KafkaError> {
        self.inner.flush(DELIVERY_TIMEOUT)
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("source", &self.source).finish_non_exhaustive()
    }
}
