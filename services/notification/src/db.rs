//! Contacts, messages and live events in Postgres.

pub mod orders;
pub mod phones;
pub mod preferences;
pub mod products;
pub mod purge;

use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::events::UserRegistered;
use contracts::{EventId, OrderId, UserId};
use kit::page::Window;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::letter::Letter;
use crate::live::{LiveEvent, Step};

/// Channel on which replicas hear whose live events there are.
pub const CHANNEL: &str = "live_events";
/// Channel of messages that go by mail.
pub const EMAIL: &str = "email";

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Notes whom to write to.
pub async fn put_contact(tx: &mut PgConnection, user: &UserRegistered) -> Result<()> {
    sqlx::query!(
        "INSERT INTO contacts (user_id, email, name) VALUES ($1, $2, $3)
         ON CONFLICT (user_id) DO UPDATE SET email = $2, name = $3, updated_at = now(),
             verified_at = CASE WHEN contacts.email = $2 THEN contacts.verified_at END",
        user.user_id.uuid(),
        user.email,
        user.name,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Records that the owner of the address reads its mails. The name is removed if another person may have chosen it.
pub async fn set_verified(tx: &mut PgConnection, user: UserId, owner_known: bool) -> Result<()> {
    sqlx::query!(
        "UPDATE contacts SET verified_at = coalesce(verified_at, now()), updated_at = now(),
             name = CASE WHEN $2 THEN name ELSE '' END
         WHERE user_id = $1 AND (verified_at IS NULL OR NOT $2)",
        user.uuid(),
        owner_known,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Queues a message for a channel, once for each event and recipient, unless it is one that the recipient need not
/// get and does not want.
pub async fn enqueue(
    tx: &mut PgConnection,
    channel: &str,
    (event, recipient): (EventId, UserId),
    letter: &Letter,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO messages (id, event_id, channel, recipient, letter)
         SELECT $1, $2, $3, $4, $5 WHERE $6 OR NOT EXISTS (
             SELECT FROM preferences WHERE user_id = $4 AND channel = $3 AND NOT wanted)
         ON CONFLICT ON CONSTRAINT messages_once DO NOTHING",
        Uuid::now_v7(),
        event.uuid(),
        channel,
        recipient.uuid(),
        serde_json::to_value(letter).map_err(|error| sqlx::Error::Encode(error.into()))?,
        letter.is_about_the_account(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The recipient of messages to staff, who are no account. Pods of older versions know no contact of it, and leave its
/// messages alone.
pub const STAFF: Uuid = Uuid::nil();

/// A mail that is to be sent now.
#[derive(Debug)]
pub struct Due {
    /// Its id.
    pub id: Uuid,
    /// How often it was tried.
    pub attempts: i32,
    /// What it says, as it was stored.
    pub letter: serde_json::Value,
    /// Where to.
    pub email: String,
    /// To whom; empty: a stranger may have chosen the name.
    pub name: String,
}

/// Mails that are to be sent now, locked for this transaction; those that others have locked are
/// theirs. A mail to an unknown recipient waits until the registration has arrived. One that is due later than after any
/// pause is due: the clock was set back.
pub async fn due(tx: &mut PgConnection, limit: i64, staff: Option<&str>) -> Result<Vec<Due>> {
    sqlx::query_as!(
        Due,
        r#"SELECT m.id, m.attempts, m.letter, c.email AS "email!", c.name AS "name!"
         FROM messages m JOIN LATERAL (
             SELECT email, CASE WHEN verified_at IS NULL THEN '' ELSE name END AS name
             FROM contacts WHERE user_id = m.recipient
             UNION ALL SELECT $4, '' WHERE m.recipient = $3 AND $4::text IS NOT NULL
         ) c ON true
         WHERE m.state = 'queued' AND m.channel = $1
           AND (m.due_at <= now() OR m.due_at > now() + interval '6 hours')
         ORDER BY m.due_at LIMIT $2 FOR UPDATE OF m SKIP LOCKED"#,
        EMAIL,
        limit,
        STAFF,
        staff,
    )
    .fetch_all(tx)
    .await
}

/// The mail was sent. Here and in every other place where a message leaves the queue, a trigger removes its token.
pub async fn sent(tx: &mut PgConnection, id: Uuid) -> Result<()> {
    sqlx::query!(
        "UPDATE messages SET state = 'sent', attempts = attempts + 1, settled_at = now(),
             last_error = NULL
         WHERE id = $1",
        id,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The mail was not sent; it is tried again after `pause`.
pub async fn postpone(tx: &mut PgConnection, id: Uuid, pause: Duration, error: &str) -> Result<()> {
    sqlx::query!(
        "UPDATE messages SET attempts = attempts + 1, last_error = $3,
             due_at = now() + make_interval(secs => $2)
         WHERE id = $1",
        id,
        pause.as_secs_f64(),
        error,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The mail was not sent and never will be.
pub async fn bury(tx: &mut PgConnection, id: Uuid, error: &str) -> Result<()> {
    sqlx::query!(
        "UPDATE messages SET state = 'dead', attempts = attempts + 1, settled_at = now(),
             last_error = $2
         WHERE id = $1",
        id,
        error,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Queues what was given up once more, as if it had never been tried, and tells how much that was and how much
/// stays given up: a letter whose token has gone with it says nothing any more.
pub async fn resend(pool: &PgPool) -> Result<(u64, i64)> {
    let queued = sqlx::query!(
        "UPDATE messages SET state = 'queued', attempts = 0, due_at = now(), settled_at = NULL
         WHERE state = 'dead' AND letter ->> 'kind' NOT IN ('verify_email', 'reset_password', 'phone_code')",
    )
    .execute(pool)
    .await?;
    let left =
        sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM messages WHERE state = 'dead'"#)
            .fetch_one(pool)
            .await?;
    Ok((queued.rows_affected(), left))
}

/// Stores a live event and tells every replica whose it is once it is committed.
pub async fn push(
    tx: &mut PgConnection,
    user: UserId,
    order: OrderId,
    (step, url): (Step, Option<&str>),
    (id, time): (EventId, DateTime<Utc>),
) -> Result<()> {
    // Sequence numbers are drawn before the commit. Without this lock a reader could see a later
    // event of the user first, and never come back for the earlier one.
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 1))", user.to_string())
        .execute(&mut *tx)
        .await?;
    sqlx::query!(
        "INSERT INTO live_events (event_id, user_id, type, order_id, status, time, url)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT ON CONSTRAINT live_events_once DO NOTHING",
        id.uuid(),
        user.uuid(),
        step.event_type(),
        order.uuid(),
        step.status(),
        time,
        url,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("SELECT pg_notify($1, $2)", CHANNEL, user.to_string()).execute(tx).await?;
    Ok(())
}

struct Row {
    seq: i64,
    event_id: Uuid,
    r#type: String,
    order_id: Uuid,
    status: String,
    time: DateTime<Utc>,
    url: Option<String>,
}

impl From<Row> for (i64, LiveEvent) {
    fn from(row: Row) -> Self {
        let event = LiveEvent {
            id: row.event_id.into(),
            r#type: row.r#type,
            order_id: row.order_id.into(),
            status: row.status,
            time: row.time,
            url: row.url,
        };
        (row.seq, event)
    }
}

/// Where to go on after this event: behind all that there is, if none is given; before all that
/// there is, if it is not known any more, because telling twice is better than not at all.
pub async fn position(tx: &mut PgConnection, user: UserId, last: Option<EventId>) -> Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT coalesce(max(seq), 0) AS "seq!" FROM live_events
           WHERE user_id = $1 AND ($2::uuid IS NULL OR event_id = $2)"#,
        user.uuid(),
        last.map(EventId::uuid),
    )
    .fetch_one(tx)
    .await
}

/// The user's live events after this position, the oldest first.
pub async fn after(
    tx: &mut PgConnection,
    user: UserId,
    position: i64,
    limit: i64,
) -> Result<Vec<(i64, LiveEvent)>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT seq, event_id, type, order_id, status, time, url FROM live_events
         WHERE user_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
        user.uuid(),
        position,
        limit,
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The user's live events, the newest first.
pub async fn list(
    tx: &mut PgConnection,
    user: UserId,
    window: &Window<i64>,
) -> Result<Vec<(i64, LiveEvent)>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT seq, event_id, type, order_id, status, time, url FROM live_events
         WHERE user_id = $1 AND ($2::bigint IS NULL OR seq < $2)
         ORDER BY seq DESC OFFSET $3 LIMIT $4",
        user.uuid(),
        window.after,
        window.offset,
        window.fetch(),
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}
