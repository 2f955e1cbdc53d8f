//! Clients of Kafka that were told that there are no brokers go on.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use contracts::EventId;
use contracts::events::{Event, ReviewPosted};
use contracts::topics::Aggregate;
use futures_util::future::join_all;
use kit::kafka::{self, Producer, Record};
use kit::subscription::{HandlerError, Process, Subscription};
use kit::testing::{Running, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::failing::Fragile;

/// Keys of requests in Kafka's protocol (<https://kafka.apache.org/protocol>).
const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;
const UNSUPPORTED_VERSION: i16 = 35;

/// More than librdkafka waits between two connections (`reconnect.backoff.max.ms`).
const SILENCE: Duration = Duration::from_secs(2);
/// So many answers take half a minute.
const ENOUGH: u32 = 60;

/// In front of the real Kafka: says to each client in turn that it is the only broker, and that there is none, as a Kafka
/// does that starts or stops. librdkafka mostly asks again, but soon, by chance, not any more. What comes after such a
/// silence, or after many answers, is passed on.
#[derive(Clone)]
struct Forgetful {
    port: u16,
    kafka: String,
    clients: Arc<Mutex<HashMap<String, Client>>>,
}

#[derive(Default)]
struct Client {
    /// Answers about brokers.
    answered: u32,
    /// Connections that are not passed on.
    open: u32,
    /// When the last one of them was closed.
    closed: Option<Instant>,
}

impl Client {
    fn has_enough(&self) -> bool {
        let silent = self.closed.is_some_and(|closed| closed.elapsed() > SILENCE);
        self.open == 0 && (silent || self.answered > ENOUGH)
    }
}

/// A request as it came, and what its header says.
struct Request {
    frame: Vec<u8>,
    key: i16,
    version: i16,
    correlation: [u8; 4],
    client: String,
}

impl Request {
    async fn read(stream: &mut TcpStream) -> Option<Self> {
        let size = stream.read_u32().await.ok()?;
        let mut frame = vec![0; usize::try_from(size).unwrap()];
        stream.read_exact(&mut frame).await.ok()?;
        let short = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
        let name = &frame[10..10 + usize::try_from(short(8)).unwrap()];
        Some(Self {
            key: short(0),
            version: short(2),
            correlation: frame[4..8].try_into().unwrap(),
            client: String::from_utf8(name.to_vec()).unwrap(),
            frame,
        })
    }
}

impl Forgetful {
    async fn start(kafka: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ours = Self { port, kafka: kafka.to_owned(), clients: Arc::default() };
        let serving = ours.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { serving.serve(stream).await });
            }
        });
        ours
    }

    fn with<T>(&self, client: &str, act: impl FnOnce(&mut Client) -> T) -> T {
        act(self.clients.lock().unwrap().entry(client.to_owned()).or_default())
    }

    async fn serve(&self, mut stream: TcpStream) {
        let Some(first) = Request::read(&mut stream).await else { return };
        let client = first.client.clone();
        let pass_on = self.with(&client, |client| {
            let pass_on = client.has_enough();
            client.open += u32::from(!pass_on);
            pass_on
        });
        if pass_on {
            let mut kafka = TcpStream::connect(&self.kafka).await.unwrap();
            kafka.write_all(&framed(&first.frame)).await.unwrap();
            // Whatever ends it, one of the two has closed.
            drop(copy_bidirectional(&mut stream, &mut kafka).await);
        } else {
            self.answer(&mut stream, first).await;
            self.with(&client, |client| {
                client.open -= 1;
                client.closed = Some(Instant::now());
            });
        }
    }

    /// Answers until the client closes.
    async fn answer(&self, stream: &mut TcpStream, first: Request) {
        let mut next = Some(first);
        while let Some(request) = next {
            let body = match request.key {
                API_VERSIONS => versions(request.version),
                METADATA => self.metadata(&request.client),
                _ => return,
            };
            let answer = framed(&[&request.correlation, body.as_slice()].concat());
            if stream.write_all(&answer).await.is_err() {
                return;
            }
            next = Request::read(stream).await;
        }
    }

    /// Version 1: one broker and no topic, or no broker and a topic.
    fn metadata(&self, client: &str) -> Vec<u8> {
        let answered = self.with(client, |client| {
            client.answered += 1;
            client.answered
        });
        let controller = 1_i32.to_be_bytes();
        let none = 0_i32.to_be_bytes();
        if answered % 2 == 1 {
            let no_rack = (-1_i16).to_be_bytes();
            let port = i32::from(self.port).to_be_bytes();
            let host = string("127.0.0.1");
            let one = 1_i32.to_be_bytes();
            [&one, &one, host.as_slice(), &port, &no_rack, &controller, &none].concat()
        } else {
            let topic = [&0_i16.to_be_bytes(), string("some").as_slice(), &[0], &none].concat();
            [&none, &controller, &1_i32.to_be_bytes(), topic.as_slice()].concat()
        }
    }
}

/// Which versions there are: 0 of this request itself, 1 of metadata.
fn versions(asked: i16) -> Vec<u8> {
    let error = if asked == 0 { 0 } else { UNSUPPORTED_VERSION };
    let keys = [(API_VERSIONS, 0_i16, 0_i16), (METADATA, 1, 1)];
    let entries = keys.map(|(key, from, to)| [key, from, to].map(i16::to_be_bytes).concat());
    [error.to_be_bytes().as_slice(), &2_i32.to_be_bytes(), &entries.concat()].concat()
}

fn string(text: &str) -> Vec<u8> {
    let length = i16::try_from(text.len()).unwrap();
    [length.to_be_bytes().as_slice(), text.as_bytes()].concat()
}

fn framed(frame: &[u8]) -> Vec<u8> {
    let size = u32::try_from(frame.len()).unwrap();
    [size.to_be_bytes().as_slice(), frame].concat()
}

/// Notes what it gets.
struct Noted(mpsc::UnboundedSender<EventId>);

#[async_trait]
impl Process for Noted {
    fn aggregates(&self) -> BTreeSet<Aggregate> {
        BTreeSet::from([ReviewPosted::AGGREGATE])
    }

    fn wants(&self, _: &str) -> bool {
        true
    }

    async fn process(&self, record: &Record) -> Result<(), HandlerError> {
        self.0.send(record.id).unwrap();
        Ok(())
    }
}

#[tokio::test]
async fn clients_that_know_no_broker_any_more_are_replaced() {
    let running = Running::start::<Fragile>(&[]).await;
    let forgetful = Forgetful::start(&running.kafka.brokers).await;
    let brokers = format!("127.0.0.1:{}", forgetful.port);
    let settings = kafka::Settings { brokers, ..running.kafka.clone() };
    let producers = ["sends-1", "sends-2", "sends-3", "sends-4"]
        .map(|name| Producer::new(&settings, name).unwrap());
    let (noted, mut got) = mpsc::unbounded_channel();
    let (unused, stop) = (producers[0].clone(), CancellationToken::new());
    let consumer =
        Subscription::new(&settings, "consumes", Noted(noted), unused, stop.clone()).unwrap();
    let consuming = tokio::spawn(consumer.run());
    let record = Record {
        id: EventId::new(),
        r#type: ReviewPosted::TYPE.to_owned(),
        subject: Uuid::now_v7(),
        time: chrono::Utc::now(),
        traceparent: None,
        payload: b"{}".to_vec(),
    };
    let sent = async |producer: &Producer| {
        let send = async || producer.send(ReviewPosted::AGGREGATE, &record).await.ok();
        eventually("the event is sent", send).await;
    };
    join_all(producers.iter().map(sent)).await;
    let got_id = tokio::time::timeout(Duration::from_mins(1), got.recv()).await;
    assert_eq!(got_id, Ok(Some(record.id)));
    stop.cancel();
    consuming.await.unwrap().unwrap();
}
