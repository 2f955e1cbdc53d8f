//! Events that a consumer has given up on: where they go, and how they come back.
//!
//! A dead letter names its consumer, because the topic `<prefix>.<aggregate>.v1.dlq` is for all of them. When whatever
//! was wrong is mended, the service's command `replay` processes its letters again.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use contracts::EventId;
use futures_util::future::BoxFuture;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::Offset;

use crate::config::Env;
use crate::kafka::{Producer, Record, Settings};
use crate::service::{OwnCommand, StartError};
use crate::subscription::{HandlerError, Process};
use crate::telemetry::chain;

/// Header of a dead letter that says why it is one.
pub const REASON: &str = "dead_letter_reason";
/// Header of a dead letter that says who has given up.
pub const CONSUMER: &str = "dead_letter_consumer";

/// How long the brokers may take to answer, and the next letter to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Puts a record aside.
pub(crate) async fn bury(
    producer: &Producer,
    topic: &str,
    message: &OwnedMessage,
    (consumer, reason): (&str, &str),
) -> Result<(), KafkaError> {
    let headers = [(CONSUMER, consumer), (REASON, reason)]
        .into_iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
    producer.forward(topic, message, &headers).await
}

/// The command of a service that listens to events. `run` calls [`replay`].
pub const fn command(run: fn(Env) -> BoxFuture<'static, Result<String, StartError>>) -> OwnCommand {
    let about = "Processes the service's dead letters again, once; what fails stays one.";
    OwnCommand { name: "replay", about, run }
}

/// What has become of a service's dead letters.
#[derive(Debug, Default)]
struct Replayed {
    /// They have taken effect.
    done: usize,
    /// They are dead letters still: which, and why.
    failed: Vec<(Option<EventId>, String)>,
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dead letters have taken effect, {} have not", self.done, self.failed.len())?;
        self.failed.iter().try_for_each(|(id, reason)| match id {
            Some(id) => write!(f, "\n{id}: {reason}"),
            None => write!(f, "\nno event: {reason}"),
        })
    }
}

/// Processes the letters that this consumer has put aside since the last replay. One that fails again is put aside
/// again. Stops at an error that passes, and goes on from there the next time.
pub async fn replay(
    settings: &Settings,
    consumer: &str,
    process: &impl Process,
) -> Result<String, StartError> {
    let producer = Producer::new(settings, consumer)?;
    let mut letters = Letters::open(settings, consumer, process)?;
    let mut replayed = Replayed::default();
    while !letters.ends.is_empty() {
        let message = letters.next().await?;
        if header(&message, CONSUMER) == Some(consumer) {
            match attempt(process, &message).await? {
                Ok(()) => replayed.done += 1,
                Err((id, reason)) => {
                    bury(&producer, message.topic(), &message, (consumer, &reason)).await?;
                    replayed.failed.push((id, reason));
                }
            }
        }
        letters.settle(&message)?;
    }
    if replayed.failed.is_empty() {
        Ok(replayed.to_string())
    } else {
        Err(replayed.to_string().into())
    }
}

/// Processes one letter. The outer error is the world's fault, the inner one the letter's.
async fn attempt(
    process: &impl Process,
    message: &OwnedMessage,
) -> Result<Result<(), (Option<EventId>, String)>, StartError> {
    let record = match Record::from_message(message) {
        Ok(record) => record,
        Err(error) => return Ok(Err((None, error.to_string()))),
    };
    match process.process(&record).await {
        Ok(()) => Ok(Ok(())),
        Err(error @ HandlerError::Transient(_)) => Err(error.into()),
        Err(error) => {
            let reason = error.source().map(chain).unwrap_or_default();
            Ok(Err((Some(record.id), reason)))
        }
    }
}

fn header<'m>(message: &'m OwnedMessage, name: &str) -> Option<&'m str> {
    let found = message.headers()?.iter().find(|header| header.key == name)?;
    found.value.and_then(|value| std::str::from_utf8(value).ok())
}

/// The letters that there are now, behind those of the last replay.
struct Letters {
    consumer: StreamConsumer,
    /// Where each partition ends that has any left.
    ends: HashMap<(String, i32), i64>,
}

impl Letters {
    fn open(
        settings: &Settings,
        consumer: &str,
        process: &impl Process,
    ) -> Result<Self, StartError> {
        let stream: StreamConsumer = settings
            .client()
            .set("client.id", consumer)
            .set("group.id", format!("{}.{consumer}.replay", settings.topic_prefix))
            .set("enable.auto.commit", "false")
            .create()?;
        let mut all = TopicPartitionList::new();
        for aggregate in process.aggregates() {
            let topic = aggregate.dead_letter_topic(&settings.topic_prefix);
            let metadata = stream.fetch_metadata(Some(&topic), PATIENCE)?;
            for partition in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
                all.add_partition(&topic, partition.id());
            }
        }
        let (mut begin, mut ends) = (TopicPartitionList::new(), HashMap::new());
        for place in stream.committed_offsets(all, PATIENCE)?.elements() {
            let (topic, partition) = (place.topic(), place.partition());
            let (low, high) = stream.fetch_watermarks(topic, partition, PATIENCE)?;
            let from = place.offset().to_raw().map_or(low, |committed| committed.max(low));
            if from < high {
                begin.add_partition_offset(topic, partition, Offset::Offset(from))?;
                ends.insert((topic.to_owned(), partition), high);
            }
        }
        stream.assign(&begin)?;
        Ok(Self { consumer: stream, ends })
    }

    /// The letter that comes next.
    async fn next(&self) -> Result<OwnedMessage, StartError> {
        let next = async {
            loop {
                match self.consumer.recv().await {
                    Ok(message) => return message.detach(),
                    // librdkafka reconnects by itself; this says only that it had to.
                    Err(error) => {
                        tracing::warn!(error = chain(&error), "the consumer was disturbed");
                    }
                }
            }
        };
        let next = tokio::time::timeout(PATIENCE, next).await;
        next.map_err(|_| "Kafka sends no letters".into())
    }

    /// This letter is done with: the next replay begins behind it.
    fn settle(&mut self, message: &OwnedMessage) -> Result<(), KafkaError> {
        let (topic, partition, next) = (message.topic(), message.partition(), message.offset() + 1);
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(topic, partition, Offset::Offset(next))?;
        self.consumer.commit(&place, CommitMode::Sync)?;
        self.ends.retain(|(of, number), end| {
            (of.as_str(), *number) != (topic, partition) || next < *end
        });
        Ok(())
    }
}
