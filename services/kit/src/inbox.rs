//! The inbox: an event takes effect in the transaction that notes its id, so that a second delivery
//! finds the note and does nothing. Together with the outbox: effect exactly once.

use std::collections::{BTreeSet, HashMap};
use std::marker::PhantomData;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use contracts::EventId;
use contracts::events::Event;
use contracts::topics::Aggregate;
use sqlx::{PgConnection, PgPool};

use crate::kafka::Record;
use crate::subscription::{HandlerError, Process};

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
}

impl Inbox {
    /// Listens to nothing yet; `consumer` is the service's name.
    pub fn new(consumer: &'static str, pool: PgPool) -> Self {
        Self { consumer, pool, handlers: HashMap::new(), aggregates: BTreeSet::new() }
    }

    /// Listens to events of type `E`.
    #[must_use]
    pub fn on<E: Event + 'static>(mut self, handler: impl Handle<E>) -> Self {
        self.handlers.insert(E::TYPE, Box::new(Typed(handler, PhantomData)));
        self.aggregates.insert(E::AGGREGATE);
        self
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
        let Some(handler) = self.handlers.get(record.r#type.as_str()) else {
            return Ok(());
        };
        let mut tx = self.pool.begin().await?;
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
        handler.dispatch(&mut tx, record).await?;
        tx.commit().await?;
        Ok(())
    }
}
