//! Removing what has ended, however much of it there is.

use kit::purge::{self, BATCH, Batch, in_batches};
use kit::purge_table;
use sqlx::PgPool;

use super::Result;
use crate::throttle::RETENTION;
use crate::token::SESSION_LIFETIME;

/// Removes what has ended from every table of the service.
pub async fn run(pool: &PgPool) -> Result<()> {
    purge::all([
        ("refresh_tokens", refresh_tokens(pool).await),
        purge_table!(
            pool,
            "sessions",
            "created_at",
            "created_at < now() - make_interval(secs => $3)
                AND NOT EXISTS (SELECT FROM refresh_tokens t WHERE t.session_id = sessions.id)",
            SESSION_LIFETIME.as_seconds_f64()
        ),
        purge_table!(pool, "email_tokens", "expires_at", "expires_at <= now()"),
        purge_table!(pool, "known_devices", "expires_at", "expires_at <= now()"),
        purge_table!(
            pool,
            "attempts",
            "last_at",
            "last_at < now() - make_interval(secs => $3)",
            RETENTION.as_secs_f64()
        ),
        // Pods of the release before have counted here.
        purge_table!(pool, "password_tries", "since", "since < now() - interval '1 day'"),
    ])
}

/// Spent tokens stay as long as their session may live, because only what is known can be seen to be reused. They go before
/// it: a session that was refreshed every five minutes has 25,000, which would go with it in one statement.
async fn refresh_tokens(pool: &PgPool) -> Result<i64> {
    in_batches(|from| {
        sqlx::query_as!(
            Batch,
            r#"WITH gone AS (
                 DELETE FROM refresh_tokens WHERE hash = ANY(ARRAY(
                     SELECT t.hash FROM sessions s JOIN refresh_tokens t ON t.session_id = s.id
                     WHERE s.created_at >= $1 AND s.created_at < now() - make_interval(secs => $3)
                     ORDER BY s.created_at LIMIT $2 FOR UPDATE OF t SKIP LOCKED))
                 RETURNING session_id)
             SELECT count(*) AS "removed!", max(s.created_at) AS newest
             FROM gone JOIN sessions s ON s.id = gone.session_id"#,
            from,
            BATCH,
            SESSION_LIFETIME.as_seconds_f64(),
        )
        .fetch_one(pool)
    })
    .await
}
