//! What waits for the workers of the partitions. A worker that does not keep up, because its event is tried again and
//! again, holds back its own partition and no other.

use std::collections::{HashMap, VecDeque};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use rdkafka::message::{Message, OwnedMessage};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::Group;

/// Records of one partition that wait inside this process.
const QUEUE: usize = 64;

struct Queue {
    sender: mpsc::Sender<OwnedMessage>,
    /// What has come after the queue was full. While there is any, no more is fetched.
    held: VecDeque<OwnedMessage>,
}

/// The queues by topic and partition.
#[derive(Default)]
pub(super) struct Queues(HashMap<(String, i32), Queue>);

impl Queues {
    /// Passes a record on to its worker, which `start` starts before the first one.
    pub(super) fn push(
        &mut self,
        consumer: &Group,
        message: OwnedMessage,
        start: impl FnOnce(mpsc::Receiver<OwnedMessage>),
    ) {
        let place = (message.topic().to_owned(), message.partition());
        let queue = self.0.entry(place.clone()).or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(QUEUE);
            start(receiver);
            Queue { sender, held: VecDeque::new() }
        });
        let was_full = !queue.held.is_empty();
        queue.held.push_back(message);
        if !queue.advance() && !was_full {
            report(&place, "pause", consumer.pause(&list(&place)));
        }
    }

    /// Some worker has taken records: fetches more of the partitions that have room again.
    pub(super) fn advance(&mut self, consumer: &Group) {
        for (place, queue) in self.0.iter_mut().filter(|(_, queue)| !queue.held.is_empty()) {
            if queue.advance() {
                report(place, "resume", consumer.resume(&list(place)));
            }
        }
    }
}

impl Queue {
    /// Passes on what there is room for; whether that was all.
    fn advance(&mut self) -> bool {
        while let Some(message) = self.held.pop_front() {
            match self.sender.try_send(message) {
                Ok(()) => {}
                Err(TrySendError::Full(message)) => {
                    self.held.push_front(message);
                    return false;
                }
                // A worker ends before its queue when the service does.
                Err(TrySendError::Closed(_)) => self.held.clear(),
            }
        }
        true
    }
}

fn list((topic, partition): &(String, i32)) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, *partition);
    list
}

/// Fails for a partition that another member has now, which is no harm.
fn report((topic, partition): &(String, i32), act: &str, outcome: KafkaResult<()>) {
    match outcome {
        Ok(()) => tracing::debug!(topic, partition, act, "a partition is held back"),
        Err(error) => tracing::debug!(topic, partition, act, %error, "a partition is not ours"),
    }
}
