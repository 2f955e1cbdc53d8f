//! The outbox: events are stored in the transaction that makes them true, and a relay sends them
//! to Kafka afterwards, in order per aggregate, at least once. (Transactional outbox; the consumer's
//! inbox turns at-least-once into exactly-once effect.)

use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::EventId;
use contracts::events::Event;
use contracts::topics::Aggregate;
use futures_util::future::join_all;
use prometheus::{Gauge, IntCounterVec};
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::kafka::{Producer, Record};
use crate::telemetry::{self, propagate_trace};
use crate::worker::{self, Wake};
use crate::{metric, purge};

/// How often the relay looks for events that nobody has told it of, such as those of a process
/// that died between its commit and its send.
const POLL: Duration = Duration::from_millis(500);
/// Events sent in one transaction.
const BATCH: i64 = 500;
/// How often old rows are removed: more often than a service is restarted, and seldom enough to find some.
const PURGE_INTERVAL: Duration = Duration::from_mins(10);

static PUBLISHED: LazyLock<IntCounterVec> =
    metric!(counter, "outbox_published_total", "Events sent to Kafka, by type.", &["type"]);
static LAG: LazyLock<Gauge> =
    metric!(gauge, "outbox_lag_seconds", "Age of the oldest event that has not been sent.");
static UNPUBLISHED: LazyLock<Gauge> =
    metric!(gauge, "outbox_unpublished", "Events that have not been sent.");

/// Appends events; clones share one relay.
#[derive(Clone, Debug, Default)]
pub struct Outbox(Wake);

impl Outbox {
    /// Stores an event, to be sent once the transaction of `connection` has committed.
    pub async fn append<E: Event>(
        &self,
        connection: &mut PgConnection,
        event: &E,
    ) -> Result<EventId, sqlx::Error> {
        let letter = Letter::new(event)?;
        let id = letter.id;
        self.append_all(connection, vec![letter]).await?;
        Ok(id)
    }

    /// Stores events in this order, in one statement.
    pub async fn append_all(
        &self,
        connection: &mut PgConnection,
        letters: Vec<Letter>,
    ) -> Result<(), sqlx::Error> {
        if letters.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = letters.iter().map(|letter| letter.id.uuid()).collect();
        let aggregates: Vec<_> = letters.iter().map(|l| l.aggregate.as_str().to_owned()).collect();
        let subjects: Vec<Uuid> = letters.iter().map(|letter| letter.subject).collect();
        let types: Vec<String> = letters.iter().map(|l| l.event_type.to_owned()).collect();
        let (payloads, headers): (Vec<_>, Vec<_>) =
            letters.into_iter().map(|letter| (letter.payload, letter.headers)).unzip();
        // WITH ORDINALITY, because seq is given in the order of the rows.
        sqlx::query!(
            "INSERT INTO outbox (id, aggregate_type, aggregate_id, type, payload, headers)
             SELECT id, aggregate_type, aggregate_id, type, payload, headers
             FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::jsonb[], $6::jsonb[])
                 WITH ORDINALITY
                 AS letter (id, aggregate_type, aggregate_id, type, payload, headers, place)
             ORDER BY place",
            &ids,
            &aggregates,
            &subjects,
            &types,
            &payloads,
            &headers,
        )
        .execute(connection)
        .await?;
        self.0.wake();
        Ok(())
    }

    /// Sends events until told to stop.
    pub async fn relay(self, pool: PgPool, producer: Producer, stop: CancellationToken) {
        let mut send = || send_batch(&pool, &producer);
        let (clock, purge) = (Wake::default(), || async { purge::run(&pool).await.map(|()| 0) });
        tokio::join!(
            self.0.run("outbox", POLL, &stop, &mut send),
            clock.run("purge", PURGE_INTERVAL, &stop, purge),
        );
        // The last round sends what the last requests have stored.
        if let Err(error) = worker::drain(&CancellationToken::new(), &mut send).await {
            tracing::warn!(error = telemetry::chain(&*error), "the outbox cannot be sent");
        }
    }
}

/// An event that is to be stored.
#[derive(Clone, Debug)]
pub struct Letter {
    id: EventId,
    aggregate: Aggregate,
    subject: Uuid,
    event_type: &'static str,
    payload: serde_json::Value,
    headers: serde_json::Value,
}

impl Letter {
    /// Of an event that belongs to the trace of the current span.
    pub fn new<E: Event>(event: &E) -> Result<Self, sqlx::Error> {
        let mut headers = std::collections::HashMap::new();
        propagate_trace(&mut headers);
        Ok(Self {
            id: EventId::new(),
            aggregate: E::AGGREGATE,
            subject: event.aggregate_id(),
            event_type: E::TYPE,
            payload: serde_json::to_value(event)
                .map_err(|error| sqlx::Error::Encode(error.into()))?,
            headers: serde_json::json!(headers),
        })
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

struct Row {
    seq: i64,
    id: Uuid,
    aggregate_type: String,
    aggregate_id: Uuid,
    r#type: String,
    payload: serde_json::Value,
    headers: serde_json::Value,
    created_at: DateTime<Utc>,
}

/// Sends the first unsent event of each aggregate. A second relay skips the rows that this one
/// holds and, because they still count as unsent, the later events of the same aggregates too:
/// that keeps their order.
async fn send_batch(pool: &PgPool, producer: &Producer) -> Result<usize, BoxError> {
    let mut tx = pool.begin().await?;
    let rows = sqlx::query_as!(
        Row,
        "SELECT seq, id, aggregate_type, aggregate_id, type, payload, headers, created_at
         FROM outbox o
         WHERE published_at IS NULL AND NOT EXISTS (
             SELECT FROM outbox earlier
             WHERE earlier.published_at IS NULL
               AND earlier.aggregate_type = o.aggregate_type
               AND earlier.aggregate_id = o.aggregate_id
               AND earlier.seq < o.seq)
         ORDER BY seq LIMIT $1 FOR UPDATE SKIP LOCKED",
        BATCH,
    )
    .fetch_all(&mut *tx)
    .await?;
    let Some(oldest) = rows.iter().map(|row| row.created_at).min() else {
        LAG.set(0.0);
        UNPUBLISHED.set(0.0);
        return Ok(0);
    };
    LAG.set((Utc::now() - oldest).as_seconds_f64().max(0.0));
    UNPUBLISHED.set(f64::from(u32::try_from(rows.len()).unwrap_or(u32::MAX)));
    let sent = join_all(rows.iter().map(|row| send(producer, row))).await;
    let mut published = Vec::with_capacity(rows.len());
    let mut failure = None;
    for (row, result) in rows.iter().zip(sent) {
        match result {
            Ok(()) => {
                PUBLISHED.with_label_values(&[&row.r#type]).inc();
                published.push(row.seq);
            }
            Err(error) => failure = Some(error),
        }
    }
    sqlx::query!("UPDATE outbox SET published_at = now() WHERE seq = ANY($1)", &published)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    failure.map_or(Ok(published.len()), Err)
}

async fn send(producer: &Producer, row: &Row) -> Result<(), BoxError> {
    let aggregate = Aggregate::parse(&row.aggregate_type)
        .ok_or_else(|| format!("no topic for aggregate {:?}", row.aggregate_type))?;
    let traceparent = row.headers.get("traceparent").and_then(|value| value.as_str());
    let record = Record {
        id: row.id.into(),
        r#type: row.r#type.clone(),
        subject: row.aggregate_id,
        time: row.created_at,
        traceparent: traceparent.map(str::to_owned),
        payload: serde_json::to_vec(&row.payload)?,
    };
    producer.send(aggregate, &record).await?;
    Ok(())
}
