//! Consuming topics: in order per partition, at least once, with retries and a dead letter topic.

mod lane;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use contracts::topics::Aggregate;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedMessage};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use self::lane::Lane;
use crate::kafka::{Producer, Record, Settings};
use crate::telemetry::chain;

/// Records of one partition that wait inside this process.
const QUEUE: usize = 64;

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

    /// Whether records of this type may be processed together with their neighbours.
    fn together(&self, _event_type: &str) -> bool {
        false
    }

    /// Processes records of one partition in their order and in one go, as many as it can; says how many. Those
    /// have taken effect, each once, and the others not at all: the next one is to be processed alone. After an
    /// error none has.
    async fn process_together(&self, _taken: &[Taken]) -> Result<usize, HandlerError> {
        Ok(0)
    }
}

/// A record that is being processed.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The record.
    pub record: Record,
    /// Of the trace that has caused it.
    pub span: Span,
}

/// A consumer group member.
pub struct Subscription<P> {
    consumer: Arc<StreamConsumer>,
    lane: Lane<P>,
    topics: Vec<String>,
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
