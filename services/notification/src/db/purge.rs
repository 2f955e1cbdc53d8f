//! Removing what has served its time, however much of it there is.

use kit::purge::{self, BATCH, Batch, in_batches};
use sqlx::PgPool;

use super::Result;

/// Removes what has served its time, and gives up on recipients who never registered.
pub async fn run(pool: &PgPool) -> Result<()> {
    purge::all([
        ("live_events", live_events(pool).await),
        ("messages", messages(pool).await),
        ("messages without a contact", messages_without_contact(pool).await),
        ("notices", notices(pool).await),
        ("phone_codes", phone_codes(pool).await),
    ])
}

async fn live_events(pool: &PgPool) -> Result<i64> {
    in_batches(|from| {
        sqlx::query_as!(
            Batch,
            r#"WITH gone AS (
                 DELETE FROM live_events WHERE ctid = ANY(ARRAY(
                     SELECT ctid FROM live_events
                     WHERE time >= $1 AND time < now() - interval '30 days'
                     ORDER BY time LIMIT $2 FOR UPDATE SKIP LOCKED))
                 RETURNING time)
             SELECT count(*) AS "removed!", max(time) AS newest FROM gone"#,
            from,
            BATCH,
        )
        .fetch_one(pool)
    })
    .await
}

async fn messages(pool: &PgPool) -> Result<i64> {
    in_batches(|from| {
        sqlx::query_as!(
            Batch,
            r#"WITH gone AS (
                 DELETE FROM messages WHERE ctid = ANY(ARRAY(
                     SELECT ctid FROM messages
                     WHERE state = 'sent' AND settled_at >= $1 AND settled_at < now() - interval '30 days'
                     ORDER BY settled_at LIMIT $2 FOR UPDATE SKIP LOCKED))
                 RETURNING settled_at)
             SELECT count(*) AS "removed!", max(settled_at) AS newest FROM gone"#,
            from,
            BATCH,
        )
        .fetch_one(pool)
    })
    .await
}

/// Those whose recipient has never registered; they stay as given up.
async fn messages_without_contact(pool: &PgPool) -> Result<i64> {
    in_batches(|from| {
        sqlx::query_as!(
            Batch,
            r#"WITH given_up AS (
                 UPDATE messages SET state = 'dead', settled_at = now(), last_error = 'no contact'
                 WHERE ctid = ANY(ARRAY(
                     SELECT ctid FROM messages m
                     WHERE state = 'queued' AND created_at >= $1
                       AND created_at < now() - interval '7 days'
                       AND NOT EXISTS (SELECT FROM contacts WHERE user_id = m.recipient)
                     ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))
                 RETURNING created_at)
             SELECT count(*) AS "removed!", max(created_at) AS newest FROM given_up"#,
            from,
            BATCH,
        )
        .fetch_one(pool)
    })
    .await
}

/// Records that no longer keep a mail back.
async fn notices(pool: &PgPool) -> Result<i64> {
    in_batches(|from| {
        sqlx::query_as!(
            Batch,
            r#"WITH gone AS (
                 DELETE FROM notices WHERE ctid = ANY(ARRAY(
                     SELECT ctid FROM notices
                     WHERE sent_at >= $1 AND sent_at <= now() - interval '1 day'
                     ORDER BY sent_at LIMIT $2 FOR UPDATE SKIP LOCKED))
                 RETURNING sent_at)
             SELECT count(*) AS "removed!", max(sent_at) AS newest FROM gone"#,
            from,
            BATCH,
        )
        .fetch_one(pool)
    })
    .await
}

async fn phone_codes(pool: &PgPool) -> Result<i64> {
    in_batches(|from| {
        sqlx::query_as!(
            Batch,
            r#"WITH gone AS (
                 DELETE FROM phone_codes WHERE ctid = ANY(ARRAY(
                     SELECT ctid FROM phone_codes
                     WHERE sent_at >= $1 AND sent_at < now() - interval '1 day'
                     ORDER BY sent_at LIMIT $2 FOR UPDATE SKIP LOCKED))
                 RETURNING sent_at)
             SELECT count(*) AS "removed!", max(sent_at) AS newest FROM gone"#,
            from,
            BATCH,
        )
        .fetch_one(pool)
    })
    .await
}
