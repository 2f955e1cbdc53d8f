//! The worker of one partition.
//!
//! Records that wait are processed together where the service says that they may be: many buyers of one thing
//! then share a lock and a commit instead of queueing for both. Whatever does not work that way is processed alone,
//! with retries, and put aside when it is to blame.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::FutureExt;
use prometheus::{GaugeVec, IntCounterVec};
use rdkafka::consumer::Consumer;
use rdkafka::message::{Message, OwnedMessage};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::{Group, HandlerError, Process, Taken};
use crate::dead_letters;
use crate::kafka::{Producer, Record};
use crate::metric;
use crate::telemetry::{chain, continue_traceparent};

/// Pause before the first retry; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Most records in one go. Postgres keeps up to 64 savepoints of a transaction where every backend sees them
/// (`PGPROC_MAX_CACHED_SUBXIDS`); with more of them all get slower.
const MOST: usize = 50;

static CONSUMED: LazyLock<IntCounterVec> = metric!(
    counter,
    "events_consumed_total",
    "Events taken from Kafka, by type and outcome (done, retried, dead).",
    &["type", "outcome"]
);

static BLOCKED: LazyLock<GaugeVec> = metric!(
    gauge,
    "events_blocked_seconds",
    "For how long the first event of a partition has failed that others wait for, by topic and partition.",
    &["topic", "partition"]
);

/// Sets for how long a partition has been blocked.
fn blocked(message: &OwnedMessage, since: Option<Instant>) {
    let seconds = since.map_or(0.0, |since| since.elapsed().as_secs_f64());
    BLOCKED.with_label_values(&[message.topic(), &message.partition().to_string()]).set(seconds);
}

fn count(event_type: &str, outcome: &str) {
    CONSUMED.with_label_values(&[event_type, outcome]).inc();
}

/// What the worker of one partition needs.
pub(super) struct Lane<P> {
    pub(super) consumer: String,
    pub(super) process: Arc<P>,
    pub(super) producer: Producer,
    pub(super) stop: CancellationToken,
    /// Notified when a worker has taken records from its queue.
    pub(super) room: Arc<Notify>,
}

impl<P> Clone for Lane<P> {
    fn clone(&self) -> Self {
        Self {
            consumer: self.consumer.clone(),
            process: Arc::clone(&self.process),
            producer: self.producer.clone(),
            stop: self.stop.clone(),
            room: Arc::clone(&self.room),
        }
    }
}

impl<P: Process> Lane<P> {
    pub(super) async fn work(self, consumer: Arc<Group>, mut queue: mpsc::Receiver<OwnedMessage>) {
        let mut waiting = Vec::with_capacity(MOST);
        while queue.recv_many(&mut waiting, MOST).await > 0 {
            self.room.notify_one();
            let mut rest = waiting.as_slice();
            while !rest.is_empty() {
                if self.stop.is_cancelled() {
                    return;
                }
                let Some((done, left)) = self.advance(rest).await else {
                    // Its offset is not stored: the next member begins with it.
                    return;
                };
                rest = left;
                let stored = consumer.store_offset(done.topic(), done.partition(), done.offset());
                if let Err(error) = stored {
                    // The partition has moved to another member, whose inbox knows this event.
                    tracing::debug!(%error, "an offset was not stored");
                }
            }
            waiting.clear();
        }
    }

    /// The last message that is done with now, and those that are not; none when stopped.
    async fn advance<'m>(
        &self,
        messages: &'m [OwnedMessage],
    ) -> Option<(&'m OwnedMessage, &'m [OwnedMessage])> {
        let together = self.handle_together(messages).await;
        let (done, left) = messages.split_at_checked(together)?;
        if let Some(last) = done.last() {
            return Some((last, left));
        }
        let (first, left) = messages.split_first()?;
        self.handle(first).await.then_some((first, left))
    }

    /// Processes as many messages in one go as can be; how many are done with. None when there is no more than
    /// one to process, or the first does not work this way.
    async fn handle_together(&self, messages: &[OwnedMessage]) -> usize {
        let (mut taken, mut places) = (Vec::new(), Vec::new());
        let mut run = 0;
        for message in messages {
            let Ok(record) = Record::from_message(message) else { break };
            if self.process.wants(&record.r#type) {
                if !self.process.together(&record.r#type) {
                    break;
                }
                places.push(run);
                taken.push(Taken { span: span(message, &record), record });
            }
            run += 1;
        }
        if taken.len() < 2 {
            return 0;
        }
        let done = match caught(self.process.process_together(&taken)).await {
            Ok(done) => done,
            Err(error) => {
                tracing::warn!(error = chain(&error), "events are processed one by one");
                0
            }
        };
        for taken in taken.iter().take(done) {
            count(&taken.record.r#type, "done");
        }
        // What lies between them means nothing here.
        places.get(done).copied().unwrap_or(run)
    }

    /// Whether the record is done with, one way or the other; false when stopped.
    async fn handle(&self, message: &OwnedMessage) -> bool {
        let record = match Record::from_message(message) {
            Ok(record) => record,
            Err(error) => {
                count("unreadable", "dead");
                return self.dead_letter(message, &error.to_string(), Instant::now()).await;
            }
        };
        if !self.process.wants(&record.r#type) {
            return true;
        }
        let span = span(message, &record);
        self.try_until_done(message, &record).instrument(span).await
    }

    async fn try_until_done(&self, message: &OwnedMessage, record: &Record) -> bool {
        let count = |outcome: &str| count(&record.r#type, outcome);
        let (mut pause, mut attempts, mut failing) = (FIRST_PAUSE, 0, None);
        let outcome = loop {
            let Err(error) = caught(self.process.process(record)).await else {
                count("done");
                break true;
            };
            let since = *failing.get_or_insert_with(Instant::now);
            let max = error.max_attempts();
            attempts += u32::from(max.is_some());
            if max.is_some_and(|max| attempts >= max) {
                count("dead");
                Span::current().record("otel.status_code", "error");
                let reason = error.source().map(chain).unwrap_or_default();
                tracing::error!(error = reason, "the event is now a dead letter");
                break self.dead_letter(message, &reason, since).await;
            }
            count("retried");
            tracing::warn!(error = chain(&error), "the event is tried again");
            blocked(message, Some(since));
            tokio::select! {
                () = self.stop.cancelled() => break false,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        };
        if failing.is_some() {
            blocked(message, None);
        }
        outcome
    }

    /// Sends a record that has failed since then to the dead letter topic; false when stopped.
    async fn dead_letter(&self, message: &OwnedMessage, reason: &str, since: Instant) -> bool {
        let topic = format!("{}.dlq", message.topic());
        let sent = loop {
            let why = (self.consumer.as_str(), reason);
            let Err(error) = dead_letters::bury(&self.producer, &topic, message, why).await else {
                break true;
            };
            tracing::error!(error = chain(&error), topic, "the dead letter cannot be sent");
            // Others wait for this one as for an event that is tried again.
            blocked(message, Some(since));
            tokio::select! {
                () = self.stop.cancelled() => break false,
                () = tokio::time::sleep(LONGEST_PAUSE) => {}
            }
        };
        blocked(message, None);
        sent
    }
}

/// A handler that panics has failed at its event. Its transaction is rolled back as it is dropped.
async fn caught<T>(
    processed: impl Future<Output = Result<T, HandlerError>>,
) -> Result<T, HandlerError> {
    AssertUnwindSafe(processed).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(HandlerError::permanent(format!("the handler has panicked: {text}")))
    })
}

/// OpenTelemetry, semantic conventions for Kafka and CloudEvents.
fn span(message: &OwnedMessage, record: &Record) -> Span {
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
    span
}
