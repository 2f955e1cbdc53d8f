//! Consuming topics: in order per partition, at least once, with retries and a dead letter topic.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use contracts::topics::Aggregate;
use prometheus::IntCounterVec;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedMessage};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tracing::field::Empty;

use crate::dead_letters;
use crate::kafka::{Producer, Record, Settings};
use crate::metric;
use crate::telemetry::{chain, continue_traceparent};

/// How often a record is tried that fails by its own fault, before it becomes a dead letter.
const TRIES: u32 = 5;
/// Pause before the first retry; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Records of one partition that wait inside this process.
const QUEUE: usize = 64;

static CONSUMED: LazyLock<IntCounterVec> = metric!(
    counter,
    "events_consumed_total",
    "Events taken from Kafka, by type and outcome (done, retried, dead).",
    &["type", "outcome"]
);

/// Why a record was not processed.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// The world is to blame: tried again until it works, because skipping would lose the event.
    #[error("not possible right now")]
    Transient(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The record is to blame: tried a few times, then moved to the dead letter topic.
    #[error("the event cannot be processed")]
    Permanent(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl HandlerError {
    /// The record is to blame.
    pub fn permanent(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Permanent(error.into())
    }

    /// The world is to blame.
    pub fn transient(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Transient(error.into())
    }
}

impl From<sqlx::Error> for HandlerError {
    fn from(error: sqlx::Error) -> Self {
        // SQLSTATE classes 22 and 23: the data themselves are not acceptable. All else (connection
        // lost, deadlock, shutdown, read-only, disk full) passes.
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .unwrap_or_default();
        let data = code.starts_with("22") || code.starts_with("23");
        if data || matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Encode(_)) {
            Self::permanent(error)
        } else {
            Self::transient(error)
        }
    }
}

/// Something that can process records. Must be idempotent by [`Record::id`].
#[async_trait]
pub trait Process: Send + Sync + 'static {
    /// The aggregates whose topics are consumed.
    fn aggregates(&self) -> BTreeSet<Aggregate>;
    /// Whether records of this type mean anything here; others are passed over.
    fn wants(&self, event_type: &str) -> bool;
    /// Processes one record.
    async fn process(&self, record: &Record) -> Result<(), HandlerError>;
}

/// A consumer group member.
pub struct Subscription<P> {
    consumer: Arc<StreamConsumer>,
    lane: Lane<P>,
    topics: Vec<String>,
}

/// What the worker of one partition needs.
struct Lane<P> {
    consumer: String,
    process: Arc<P>,
    producer: Producer,
    stop: CancellationToken,
}

impl<P> Clone for Lane<P> {
    fn clone(&self) -> Self {
        Self {
            consumer: self.consumer.clone(),
            process: Arc::clone(&self.process),
            producer: self.producer.clone(),
            stop: self.stop.clone(),
        }
    }
}

impl<P: Process> Subscription<P> {
    /// Joins the group `<prefix>.<group>`.
    pub fn new(
        settings: &Settings,
        group: &str,
        process: P,
        producer: Producer,
        stop: CancellationToken,
    ) -> Result<Self, KafkaError> {
        let consumer: StreamConsumer = settings
            .client()
            .set("client.id", group)
            .set("group.id", format!("{}.{group}", settings.topic_prefix))
            .set("auto.offset.reset", "earliest")
            // Offsets are stored by the workers, after the effect has been committed.
            .set("enable.auto.offset.store", "false")
            .set("auto.commit.interval.ms", "1000")
            // A killed member's partitions move on after this; the broker's lower bound is 6 s.
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "1500")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("fetch.wait.max.ms", "100")
            // Memory is for the shop, not for prefetching.
            .set("queued.max.messages.kbytes", "2048")
            .create()?;
        let topics = process
            .aggregates()
            .into_iter()
            .map(|aggregate| aggregate.topic(&settings.topic_prefix))
            .collect();
        let lane = Lane { consumer: group.to_owned(), process: Arc::new(process), producer, stop };
        Ok(Self { consumer: Arc::new(consumer), lane, topics })
    }

    /// Consumes until told to stop; then finishes what is in hand and commits.
    pub async fn run(self) -> Result<(), KafkaError> {
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        self.consumer.subscribe(&topics)?;
        let mut lanes: HashMap<(String, i32), mpsc::Sender<OwnedMessage>> = HashMap::new();
        let mut workers = JoinSet::new();
        loop {
            let message = tokio::select! {
                () = self.lane.stop.cancelled() => break,
                message = self.consumer.recv() => message,
            };
            let message = match message {
                Ok(message) => message.detach(),
                // librdkafka reconnects by itself; this says only that it had to.
                Err(error) => {
                    tracing::warn!(error = chain(&error), "the consumer was disturbed");
                    continue;
                }
            };
            let place = (message.topic().to_owned(), message.partition());
            let sender = lanes.entry(place).or_insert_with(|| {
                let (sender, receiver) = mpsc::channel(QUEUE);
                workers.spawn(self.lane.clone().work(Arc::clone(&self.consumer), receiver));
                sender
            });
            tokio::select! {
                () = self.lane.stop.cancelled() => break,
                // A worker ends only with its sender.
                sent = sender.send(message) => drop(sent),
            }
        }
        drop(lanes);
        while workers.join_next().await.is_some() {}
        match self.consumer.commit_consumer_state(CommitMode::Sync) {
            // Nothing was consumed since the last commit.
            Err(KafkaError::ConsumerCommit(rdkafka::types::RDKafkaErrorCode::NoOffset)) => Ok(()),
            other => other,
        }
    }
}

impl<P: Process> Lane<P> {
    async fn work(self, consumer: Arc<StreamConsumer>, mut queue: mpsc::Receiver<OwnedMessage>) {
        while let Some(message) = queue.recv().await {
            if self.stop.is_cancelled() || !self.handle(&message).await {
                // Its offset is not stored: the next member begins with it.
                return;
            }
            let stored =
                consumer.store_offset(message.topic(), message.partition(), message.offset());
            if let Err(error) = stored {
                // The partition has moved to another member, whose inbox knows this event.
                tracing::debug!(%error, "an offset was not stored");
            }
        }
    }

    /// Whether the record is done with, one way or the other; false when told to stop.
    async fn handle(&self, message: &OwnedMessage) -> bool {
        let record = match Record::from_message(message) {
            Ok(record) => record,
            Err(error) => {
                CONSUMED.with_label_values(&["unreadable", "dead"]).inc();
                return self.bury(message, &error.to_string()).await;
            }
        };
        if !self.process.wants(&record.r#type) {
            return true;
        }
        // OpenTelemetry, semantic conventions for Kafka and CloudEvents.
        let span = tracing::info_span!(
            "process",
            otel.kind = "consumer",
            otel.name = format!("process {}", message.topic()),
            otel.status_code = Empty,
            messaging.system = "kafka",
            messaging.operation.type = "process",
            messaging.operation.name = "process",
            messaging.destination.name = message.topic(),
            messaging.destination.partition.id = %message.partition(),
            messaging.kafka.offset = message.offset(),
            messaging.kafka.message.key = %record.subject,
            messaging.message.id = %record.id,
            cloudevents.event_type = record.r#type,
            trace_id = Empty,
        );
        continue_traceparent(&span, record.traceparent.as_deref());
        self.try_until_done(message, &record).instrument(span).await
    }

    async fn try_until_done(&self, message: &OwnedMessage, record: &Record) -> bool {
        let count = |outcome: &str| {
            CONSUMED.with_label_values(&[record.r#type.as_str(), outcome]).inc();
        };
        let (mut pause, mut tries) = (FIRST_PAUSE, 0);
        loop {
            match self.process.process(record).await {
                Ok(()) => {
                    count("done");
                    return true;
                }
                Err(HandlerError::Permanent(error)) if tries + 1 >= TRIES => {
                    count("dead");
                    tracing::Span::current().record("otel.status_code", "error");
                    let reason = chain(&*error);
                    tracing::error!(error = reason, "the event is now a dead letter");
                    return self.bury(message, &reason).await;
                }
                Err(error) => {
                    count("retried");
                    tries += u32::from(matches!(error, HandlerError::Permanent(_)));
                    tracing::warn!(error = chain(&error), "the event is tried again");
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return false,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
    }

    async fn bury(&self, message: &OwnedMessage, reason: &str) -> bool {
        let topic = format!("{}.dlq", message.topic());
        loop {
            let why = (self.consumer.as_str(), reason);
            let Err(error) = dead_letters::bury(&self.producer, &topic, message, why).await else {
                return true;
            };
            tracing::error!(error = chain(&error), topic, "the dead letter cannot be sent");
            tokio::select! {
                () = self.stop.cancelled() => return false,
                () = tokio::time::sleep(LONGEST_PAUSE) => {}
            }
        }
    }
}
