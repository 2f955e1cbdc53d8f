//! Removing what has ended, however much of it there is.

use kit::purge::{self, BATCH, Batch, in_batches};
use sqlx::PgPool;

use super::Result;
use crate::throttle::RETENTION;
use crate::token::SESSION_LIFETIME;

/// Removes what has ended from every table of the service.
pub async fn run(pool: &PgPool) -> Result<()> {
    purge::all([
        ("refresh_tokens", refresh_tokens(pool).await),
        ("sessions", sessions(pool).await),
        ("email_tokens", email_tokens(pool).await),
        ("known_devices", known_devices(pool).await),
        ("attempts", attempts(pool).await),
        ("password_tries", password_tries(pool).await),
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

async fn sessions(pool: &PgPool) -> Result<i64> {
    in_batches(|from| {
        sqlx::query_as!(
            Batch,
            r#"WITH gone AS (
                 DELETE FROM sessions WHERE ctid = ANY(ARRAY(
                     SELECT ctid FROM sessions s
                     WHERE created_at >= $1 AND created_at < now() - make_interval(secs => $3)
                       AND NOT EXISTS (SELECT FROM refresh_tokens t WHERE t.session_id = s.id)
                     ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))
                 RETURNING created_at)
             SELECT count(*) AS "removed!", max(created_at) AS newest FROM gone"#,
            from,
            BATCH,
            SESSION_LIFETIME.as_seconds_f64(),
        )
        .fetch_one(pool)
    })
    .await
}

async fn email_tokens(pool: &PgPool) -> Result<i64> {
    in_batches(|from| {
        sqlx::query_as!(
            Batch,
            r#"WITH gone AS (
                 DELETE FROM email_tokens WHERE ctid = ANY(ARRAY(
                     SELECT ctid FROM email_tokens WHERE expires_at >= $1 AND expires_at <= now()
                     ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))
                 RETURNING expires_at)
             SELECT count(*) AS "removed!", max(expires_at) AS newest FROM gone"#,
            from,
            BATCH,
        )
        .fetch_one(pool)
    })
    .await
}

async fn known_devices(pool: &PgPool) -> Result<i64> {
    in_batches(|from| {
        sqlx::query_as!(
            Batch,
            r#"WITH gone AS (
                 DELETE FROM known_devices WHERE ctid = ANY(ARRAY(
                     SELECT ctid FROM known_devices WHERE expires_at >= $1 AND expires_at <= now()
                     ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))
                 RETURNING expires_at)
             SELECT count(*) AS "removed!", max(expires_at) AS newest FROM gone"#,
            from,
            BATCH,
        )
        .fetch_one(pool)
    })
    .await
}

async fn attempts(pool: &PgPool) -> Result<i64> {
    in_batches(|from| {
        sqlx::query_as!(
            Batch,
            r#"WITH gone AS (
                 DELETE FROM attempts WHERE ctid = ANY(ARRAY(
                     SELECT ctid FROM attempts
                     WHERE last_at >= $1 AND last_at < now() - make_interval(secs => $3)
                     ORDER BY last_at LIMIT $2 FOR UPDATE SKIP LOCKED))
                 RETURNING last_at)
             SELECT count(*) AS "removed!", max(last_at) AS newest FROM gone"#,
            from,
            BATCH,
            RETENTION.as_secs_f64(),
        )
        .fetch_one(pool)
    })
    .await
}

/// Pods of the release before have counted here.
async fn password_tries(pool: &PgPool) -> Result<i64> {
    in_batches(|from| {
        sqlx::query_as!(
            Batch,
            r#"WITH gone AS (
                 DELETE FROM password_tries WHERE ctid = ANY(ARRAY(
                     SELECT ctid FROM password_tries
                     WHERE since >= $1 AND since < now() - interval '1 day'
                     ORDER BY since LIMIT $2 FOR UPDATE SKIP LOCKED))
                 RETURNING since)
             SELECT count(*) AS "removed!", max(since) AS newest FROM gone"#,
            from,
            BATCH,
        )
        .fetch_one(pool)
    })
    .await
}
