//! The inbox: an event takes effect in the transaction that notes its id, so that a second delivery
//! finds the note and does nothing. Together with the outbox: effect exactly once.
//!
//! Where a service says so ([`Inbox::together`]), events that wait share a transaction, and those of one type may
//! share their statements ([`Handle::handle_all`]). Should one fail, all is taken back and each gets a savepoint of
//! its own: those before the one that fails are committed, and it is processed alone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use contracts::EventId;
use contracts::events::Event;
use contracts::topics::Aggregate;
use sqlx::{PgConnection, PgPool};
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::kafka::Record;
use crate::subscription::{HandlerError, Process, Taken};
use crate::telemetry::chain;

/// How long events that are taken one by one may share a transaction: others wait for what it has locked.
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

/// One of several events that share a transaction.
#[derive(Clone, Debug)]
pub struct Shared<E> {
    /// The event on arrival.
    pub delivery: Delivery<E>,
    /// Of the trace that its effect belongs to.
    pub span: Span,
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

    /// The effects of events that share a transaction, no two of them of one key. In few statements, where that is
    /// worth it; the effect is to be that of one after the other.
    fn handle_all(
        &self,
        tx: &mut PgConnection,
        events: &[Shared<E>],
    ) -> impl Future<Output = Result<(), HandlerError>> + Send {
        async move {
            for Shared { delivery, span } in events {
                self.handle(tx, delivery).instrument(span.clone()).await?;
            }
            Ok(())
        }
    }
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
    async fn dispatch_all(
        &self,
        tx: &mut PgConnection,
        taken: &[&Taken],
    ) -> Result<(), HandlerError>;
}

struct Typed<H, E>(H, PhantomData<fn(E)>);

#[async_trait]
impl<H: Handle<E>, E: Event + 'static> Dispatch for Typed<H, E> {
    async fn dispatch(&self, tx: &mut PgConnection, record: &Record) -> Result<(), HandlerError> {
        self.0.handle(tx, &Delivery::from_record(record)?).await
    }

    async fn dispatch_all(
        &self,
        tx: &mut PgConnection,
        taken: &[&Taken],
    ) -> Result<(), HandlerError> {
        let read = |taken: &&Taken| {
            let delivery = Delivery::from_record(&taken.record)?;
            Ok(Shared { delivery, span: taken.span.clone() })
        };
        let events = taken.iter().map(read).collect::<Result<Vec<_>, HandlerError>>()?;
        self.0.handle_all(tx, &events).await
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

    /// Notes the event and lets it take effect, unless it has before. No event is to blame where it cannot be noted: the
    /// database is not there, or was made again and has no tables yet.
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
        .await
        .map_err(HandlerError::transient)?;
        if noted.rows_affected() == 0 {
            tracing::debug!("the event has taken effect before");
            return Ok(());
        }
        handler.dispatch(tx, record).await
    }

    /// Notes events and lets those that have not before take effect, in few statements.
    async fn take_all(&self, tx: &mut PgConnection, taken: &[Taken]) -> Result<(), HandlerError> {
        let ids: Vec<Uuid> = taken.iter().map(|taken| taken.record.id.uuid()).collect();
        let noted = sqlx::query_scalar!(
            "INSERT INTO inbox (consumer, event_id) SELECT $1, unnest($2::uuid[])
             ON CONFLICT DO NOTHING RETURNING event_id",
            self.consumer,
            &ids,
        )
        .fetch_all(&mut *tx)
        .await
        .map_err(HandlerError::transient)?;
        let mut noted: HashSet<Uuid> = noted.into_iter().collect();
        // One that is here twice takes effect once.
        let new = taken.iter().filter(|taken| noted.remove(&taken.record.id.uuid()));
        for (event_type, taken) in in_parts(new) {
            if let Some(handler) = self.handlers.get(event_type) {
                handler.dispatch_all(tx, &taken).await?;
            }
        }
        sqlx::raw_sql("RELEASE SAVEPOINT event").execute(tx).await?;
        Ok(())
    }

    /// Lets events take effect one after the other, up to the first that fails; says how many have.
    async fn take_each(
        &self,
        tx: &mut PgConnection,
        taken: &[Taken],
    ) -> Result<usize, HandlerError> {
        let (begun, mut done) = (Instant::now(), 0);
        for Taken { record, span } in taken {
            if let Err(error) = self.take(tx, record).instrument(span.clone()).await {
                span.in_scope(|| {
                    tracing::warn!(error = chain(&error), "the event is tried again, alone");
                });
                sqlx::raw_sql("ROLLBACK TO SAVEPOINT event").execute(tx).await?;
                break;
            }
            done += 1;
            // Fails if a handler has hidden that a statement of its own has: a commit would say nothing.
            sqlx::raw_sql("RELEASE SAVEPOINT event; SAVEPOINT event").execute(&mut *tx).await?;
            if begun.elapsed() >= SHARED {
                break;
            }
        }
        Ok(done)
    }
}

/// Events by type, in parts: what is in one part has no key twice, and of one key the earlier part has the
/// earlier event. The order of events of different keys means nothing.
fn in_parts<'t>(taken: impl Iterator<Item = &'t Taken>) -> Vec<(&'t str, Vec<&'t Taken>)> {
    let mut rounds: HashMap<Uuid, usize> = HashMap::new();
    let mut parts: Vec<(usize, &str, Vec<&Taken>)> = Vec::new();
    for taken in taken {
        let (round, event_type) =
            (rounds.entry(taken.record.subject).or_default(), taken.record.r#type.as_str());
        let part = parts.iter_mut().find(|part| (part.0, part.1) == (*round, event_type));
        match part {
            Some((_, _, part)) => part.push(taken),
            None => parts.push((*round, event_type, vec![taken])),
        }
        *round += 1;
    }
    parts.sort_by_key(|(round, _, _)| *round);
    parts.into_iter().map(|(_, event_type, taken)| (event_type, taken)).collect()
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
        let mut tx = self.pool.begin().await.map_err(HandlerError::transient)?;
        self.take(&mut tx, record).await?;
        tx.commit().await?;
        Ok(())
    }

    fn together(&self, _event_type: &str) -> bool {
        self.lock.is_some()
    }

    async fn process_together(&self, taken: &[Taken]) -> Result<usize, HandlerError> {
        let mut tx = self.pool.begin().await?;
        if let Some(lock) = &self.lock {
            lock.lock(&mut tx, taken).await?;
        }
        sqlx::raw_sql("SAVEPOINT event").execute(&mut *tx).await?;
        let done = match self.take_all(&mut tx, taken).await {
            Ok(()) => taken.len(),
            Err(error) => {
                tracing::warn!(error = chain(&error), "events are taken one by one");
                sqlx::raw_sql("ROLLBACK TO SAVEPOINT event").execute(&mut *tx).await?;
                self.take_each(&mut tx, taken).await?
            }
        };
        tx.commit().await?;
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_key_keep_their_order_and_those_of_others_are_put_together() {
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        let come =
            [(one, "placed"), (one, "paid"), (other, "placed"), (one, "paid"), (other, "lost")];
        let taken: Vec<Taken> = come
            .into_iter()
            .map(|(subject, event_type)| Taken {
                record: Record {
                    id: EventId::new(),
                    r#type: event_type.to_owned(),
                    subject,
                    time: Utc::now(),
                    traceparent: None,
                    payload: Vec::new(),
                },
                span: Span::none(),
            })
            .collect();
        let parts: Vec<(&str, Vec<Uuid>)> = in_parts(taken.iter())
            .into_iter()
            .map(|(event_type, part)| {
                (event_type, part.into_iter().map(|taken| taken.record.subject).collect())
            })
            .collect();
        let expected = [
            ("placed", vec![one, other]),
            ("paid", vec![one]),
            ("lost", vec![other]),
            ("paid", vec![one]),
        ];
        assert_eq!(parts, expected);
    }
}
