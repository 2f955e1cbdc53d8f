//! Removing what has ended, however much of it there is.

use kit::testing::{Running, refuse_large_statements};
use sqlx::PgPool;
use user::db::purge;

use crate::start;

/// Twelve thousand rows that have ended in every table, half of the tokens in one session, and one that has not.
const FILL: &str = "INSERT INTO accounts (id, email, name, roles)
    SELECT gen_random_uuid(), n || '@example.com', 'Ada', '{customer}' FROM generate_series(1, 6001) n;
    INSERT INTO sessions (id, user_id, created_at)
    SELECT gen_random_uuid(), id, now() - interval '91 days' - row_number() OVER () * interval '1 s'
    FROM accounts, generate_series(1, 2);
    INSERT INTO refresh_tokens (hash, session_id, expires_at)
    SELECT sha256(id::text::bytea), id, now() - interval '1 day' FROM sessions;
    INSERT INTO refresh_tokens (hash, session_id, expires_at)
    SELECT sha256(n::text::bytea), (SELECT id FROM sessions LIMIT 1), now() - interval '1 day'
    FROM generate_series(1, 12000) n;
    INSERT INTO email_tokens (hash, user_id, purpose, expires_at)
    SELECT sha256((id || purpose)::bytea), id, purpose, now() - interval '1 s'
    FROM accounts, (VALUES ('verify_email'), ('reset_password')) purposes (purpose);
    INSERT INTO known_devices (hash, user_id, expires_at)
    SELECT sha256((id || n::text)::bytea), id, now() - interval '1 s' FROM accounts, generate_series(1, 2) n;
    INSERT INTO attempts (subject, count, first_at, last_at)
    SELECT sha256(n::text::bytea), 1, now() - interval '2 days', now() - interval '25 hours'
    FROM generate_series(1, 12000) n;
    INSERT INTO password_tries (subject, tries, since)
    SELECT sha256(n::text::bytea), 1, now() - interval '25 hours' FROM generate_series(1, 12000) n;

    INSERT INTO sessions (id, user_id, created_at)
    SELECT '00000000-0000-0000-0000-000000000001', id, now() - interval '89 days' FROM accounts LIMIT 1;
    INSERT INTO refresh_tokens (hash, session_id, expires_at)
    SELECT sha256(('live' || n)::bytea), '00000000-0000-0000-0000-000000000001', now() + n * interval '1 day'
    FROM (VALUES (-31), (1)) days (n);
    INSERT INTO email_tokens (hash, user_id, purpose, expires_at)
    SELECT sha256('live'), id, 'verify_email', now() + interval '1 day' FROM accounts LIMIT 1
    ON CONFLICT ON CONSTRAINT email_tokens_latest DO UPDATE SET expires_at = excluded.expires_at;
    INSERT INTO known_devices (hash, user_id, expires_at)
    SELECT sha256('live'), id, now() + interval '1 day' FROM accounts LIMIT 1;
    INSERT INTO attempts (subject, count, first_at, last_at) VALUES (sha256('live'), 1, now(), now());
    INSERT INTO password_tries (subject, tries, since) VALUES (sha256('live'), 1, now())";

async fn filled() -> Running {
    let service = start().await;
    let tables = [
        "sessions",
        "refresh_tokens",
        "email_tokens",
        "known_devices",
        "attempts",
        "password_tries",
    ];
    refuse_large_statements(service.pool(), &tables).await;
    sqlx::raw_sql(FILL).execute(service.pool()).await.unwrap();
    service
}

async fn count(pool: &PgPool, table: &'static str) -> i64 {
    let rows = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(rows)).fetch_one(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_removes_more_than_a_batch() {
    let service = filled().await;
    purge::run(service.pool()).await.unwrap();
    for (table, left) in [
        ("sessions", 1),
        // The spent one of a session that lives: its reuse is to be seen.
        ("refresh_tokens", 2),
        ("email_tokens", 1),
        ("known_devices", 1),
        ("attempts", 1),
        ("password_tries", 1),
    ] {
        assert_eq!(count(service.pool(), table).await, left, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_purged_does_not_keep_the_others() {
    let service = start().await;
    let broken = "DROP TABLE refresh_tokens;
        INSERT INTO attempts (subject, count, first_at, last_at)
        VALUES (sha256('old'), 1, now() - interval '2 days', now() - interval '2 days')";
    sqlx::raw_sql(broken).execute(service.pool()).await.unwrap();
    purge::run(service.pool()).await.unwrap_err();
    assert_eq!(count(service.pool(), "attempts").await, 0);
}
