//! Removing what has served its time, however much of it there is.

use kit::purge::{self, BATCH, Batch, in_batches};
use kit::purge_table;
use sqlx::PgPool;

use super::Result;

/// Removes what has served its time, and gives up on recipients who never registered.
pub async fn run(pool: &PgPool) -> Result<()> {
    purge::all([
        purge_table!(pool, "live_events", "time", "time < now() - interval '30 days'"),
        purge_table!(
            pool,
            "messages",
            "settled_at",
            "state = 'sent' AND settled_at < now() - interval '30 days'"
        ),
        ("messages without a contact", messages_without_contact(pool).await),
        // Those that no longer keep a mail back.
        purge_table!(pool, "notices", "sent_at", "sent_at <= now() - interval '1 day'"),
        purge_table!(pool, "phone_codes", "sent_at", "sent_at < now() - interval '1 day'"),
    ])
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
