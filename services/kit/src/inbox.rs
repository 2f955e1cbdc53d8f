//! The inbox: an event takes effect in the transaction that notes its id, so that a second delivery
//! finds the note and does nothing. Together with the outbox: effect exactly once.
//!
//! Where a service says so ([`Inbox::together`]), events that wait share a transaction. Each has a savepoint of its
//! own: what fails is taken back, those before it are committed, and it is processed alone.

use std::collections::{BTreeSet, HashMap};
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use contracts::EventId;
use contracts::events::Event;
use contracts::topics::Aggregate;
use sqlx::{PgConnection, PgPool};
use tracing::Instrument;

use crate::kafka::Record;
use crate::subscription::{HandlerError, Process, Taken};
use crate::telemetry::chain;

/// How long events may share a transaction: so long others wait for what it has locked.
const SHARED: Duration = Duration::from_millis(100);

/// An event on arrival.
#[derive(Clone, Debug)]
pub struct Delivery<E> {
    /// Same at every delivery.
    pub id: EventId,
    /// When it happened.
    pub time: DateTime<Utc>,
    /// What happened.
    pub event: E,
}

impl<E: Event> Delivery<E> {
    /// Reads the payload.
    pub fn from_record(record: &Record) -> Result<Self, HandlerError> {
        let event = serde_json::from_slice(&record.payload).map_err(HandlerError::permanent)?;
        Ok(Self { id: record.id, time: record.time, event })
    }
}

/// What a service does about one type of event.
pub trait Handle<E: Event>: Send + Sync + 'static {
    /// The effect, all of it through `tx`, which is committed together with the note of the event.
    fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<E>,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send;
}

/// Locks what events need that share a transaction, before the first of them takes effect and in an order in which
/// everybody locks. Each of them would lock in that order by itself, but one after the other they do not, and two
/// transactions could wait for each other.
#[async_trait]
pub trait Lock: Send + Sync + 'static {
    /// Locks it. A record that cannot be read needs nothing: it fails when it is its turn.
    async fn lock(&self, tx: &mut PgConnection, taken: &[Taken]) -> Result<(), HandlerError>;
}

#[async_trait]
trait Dispatch: Send + Sync {
    async fn dispatch(&self, tx: &mut PgConnection, record: &Record) -> Result<(), HandlerError>;
}

struct Typed<H, E>(H, PhantomData<fn(E)>);

#[async_trait]
impl<H: Handle<E>, E: Event + 'static> Dispatch for Typed<H, E> {
    async fn dispatch(&self, tx: &mut PgConnection, record: &Record) -> Result<(), HandlerError> {
        self.0.handle(tx, &Delivery::from_record(record)?).await
    }
}

/// The events that a service listens to, and what it does about them.
pub struct Inbox {
    consumer: &'static str,
    pool: PgPool,
    handlers: HashMap<&'static str, Box<dyn Dispatch>>,
    aggregates: BTreeSet<Aggregate>,
    lock: Option<Box<dyn Lock>>,
}

impl Inbox {
    /// Listens to nothing yet; `consumer` is the service's name.
    pub fn new(consumer: &'static str, pool: PgPool) -> Self {
        Self { consumer, pool, handlers: HashMap::new(), aggregates: BTreeSet::new(), lock: None }
    }

    /// Listens to events of type `E`.
    #[must_use]
    pub fn on<E: Event + 'static>(mut self, handler: impl Handle<E>) -> Self {
        self.handlers.insert(E::TYPE, Box::new(Typed(handler, PhantomData)));
        self.aggregates.insert(E::AGGREGATE);
        self
    }

    /// Lets events that wait share a transaction.
    #[must_use]
    pub fn together(mut self, lock: impl Lock) -> Self {
        self.lock = Some(Box::new(lock));
        self
    }

    /// Notes the event and lets it take effect, unless it has before.
    async fn take(&self, tx: &mut PgConnection, record: &Record) -> Result<(), HandlerError> {
        let Some(handler) = self.handlers.get(record.r#type.as_str()) else {
            return Ok(());
        };
        let noted = sqlx::query!(
            "INSERT INTO inbox (consumer, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            self.consumer,
            record.id.uuid(),
        )
        .execute(&mut *tx)
        .await?;
        if noted.rows_affected() == 0 {
            tracing::debug!("the event has taken effect before");
            return Ok(());
        }
        handler.dispatch(tx, record).await
    }
}

#[async_trait]
impl Process for Inbox {
    fn aggregates(&self) -> BTreeSet<Aggregate> {
        self.aggregates.clone()
    }

    fn wants(&self, event_type: &str) -> bool {
        self.handlers.contains_key(event_type)
    }

    async fn process(&self, record: &Record) -> Result<(), HandlerError> {
        let mut tx = self.pool.begin().await?;
        self.take(&mut tx, record).await?;
        tx.commit().await?;
        Ok(())
    }

    fn together(&self, _event_type: &str) -> bool {
        self.lock.is_some()
    }

    async fn process_together(&self, taken: &[Taken]) -> Result<usize, HandlerError> {
        let begun = Instant::now();
        let mut tx = self.pool.begin().await?;
        if let Some(lock) = &self.lock {
            lock.lock(&mut tx, taken).await?;
        }
        sqlx::raw_sql("SAVEPOINT event").execute(&mut *tx).await?;
        let mut done = 0;
        for Taken { record, span } in taken {
            if let Err(error) = self.take(&mut tx, record).instrument(span.clone()).await {
                span.in_scope(|| {
                    tracing::warn!(error = chain(&error), "the event is tried again, alone");
                });
                sqlx::raw_sql("ROLLBACK TO SAVEPOINT event").execute(&mut *tx).await?;
                break;
            }
            done += 1;
            // Fails if a handler has hidden that a statement of its own has: a commit would say nothing.
            sqlx::raw_sql("RELEASE SAVEPOINT event; SAVEPOINT event").execute(&mut *tx).await?;
            if begun.elapsed() >= SHARED {
                break;
            }
        }
        tx.commit().await?;
        Ok(done)
    }
}
