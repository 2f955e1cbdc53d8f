//! Consuming topics: in order per partition, at least once, with retries and a dead letter topic.

mod error;
mod lag;
mod lane;
mod queues;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use contracts::topics::Aggregate;
use rdkafka::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Span;

pub use self::error::HandlerError;
use self::lag::Lag;
use self::lane::Lane;
use self::queues::Queues;
use crate::kafka::{Producer, Record, Settings, brokers};
use crate::telemetry::chain;

/// A member of a consumer group that measures how far behind it is.
type Group = StreamConsumer<Lag>;

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
    config: ClientConfig,
    consumer: Arc<Group>,
    lane: Lane<P>,
    topics: Vec<String>,
}

/// Why a client consumes no more.
enum End {
    /// The service stops.
    Stopped,
    /// The client knows no broker any more: another one is to go on.
    Forgotten,
}

/// Why a subscription has ended.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// The client refuses to go on.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// A partition has no worker any more: another process is to take it.
    #[error("the worker of a partition has died")]
    Worker(#[from] JoinError),
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
        let mut config = settings.client();
        config
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
            .set("statistics.interval.ms", brokers::INTERVAL.as_millis().to_string());
        let consumer = client(&config)?;
        let topics = process
            .aggregates()
            .into_iter()
            .map(|aggregate| aggregate.topic(&settings.topic_prefix))
            .collect();
        let lane = Lane {
            consumer: group.to_owned(),
            process: Arc::new(process),
            producer,
            stop,
            room: Arc::default(),
        };
        Ok(Self { config, consumer, lane, topics })
    }

    /// Consumes until stopped; then finishes what is in hand and commits. Ends before that when the worker of
    /// a partition dies.
    pub async fn run(mut self) -> Result<(), SubscriptionError> {
        while let End::Forgotten = self.consume().await? {
            tracing::warn!("the consumer knows no broker any more and is replaced");
            let old = std::mem::replace(&mut self.consumer, client(&self.config)?);
            lag::forget();
            // It waits for its threads.
            std::thread::spawn(move || drop(old));
        }
        match self.consumer.commit_consumer_state(CommitMode::Sync) {
            // Nothing was consumed since the last commit.
            Err(KafkaError::ConsumerCommit(rdkafka::types::RDKafkaErrorCode::NoOffset)) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Consumes with one client, and finishes what is in hand.
    async fn consume(&self) -> Result<End, SubscriptionError> {
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        self.consumer.subscribe(&topics)?;
        let stop = self.lane.stop.child_token();
        let lane = Lane { stop: stop.clone(), ..self.lane.clone() };
        let (mut lanes, mut workers) = (Queues::default(), JoinSet::new());
        let end = loop {
            let message = tokio::select! {
                () = stop.cancelled() => break End::Stopped,
                () = self.consumer.context().brokers.forgotten() => break End::Forgotten,
                Some(ended) = workers.join_next() => {
                    ended?;
                    continue;
                }
                () = lane.room.notified() => {
                    lanes.advance(&self.consumer);
                    continue;
                }
                message = self.consumer.recv() => message,
            };
            match message {
                Ok(message) => lanes.push(&self.consumer, message.detach(), |queue| {
                    workers.spawn(lane.clone().work(Arc::clone(&self.consumer), queue));
                }),
                // librdkafka reconnects by itself; this says only that it had to.
                Err(error) => {
                    tracing::warn!(error = chain(&error), "the consumer was disturbed");
                }
            }
        };
        // What would be tried again and again is left to the next client.
        stop.cancel();
        drop(lanes);
        while let Some(ended) = workers.join_next().await {
            ended?;
        }
        Ok(end)
    }
}

fn client(config: &ClientConfig) -> Result<Arc<Group>, KafkaError> {
    config.create_with_context(Lag::default()).map(Arc::new)
}
