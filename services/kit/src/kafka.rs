//! Events on the wire: CloudEvents 1.0 in Kafka's binary mode, and how the brokers are reached.

pub(crate) mod brokers;
mod producer;

use chrono::{DateTime, Utc};
use contracts::{EventId, env};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use uuid::Uuid;

pub use self::producer::Producer;
use crate::config::{Env, FromEnv};
use crate::secret::Secret;

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
