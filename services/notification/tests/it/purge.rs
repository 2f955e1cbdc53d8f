//! Removing what has served its time, however much of it there is.

use contracts::events::PasswordResetRequested;
use contracts::{EmailToken, UserId};
use kit::testing::{Running, eventually, refuse_large_statements};
use notification::db::purge;
use sqlx::PgPool;

use crate::start;

/// Twelve thousand rows that have served their time in every table, and one that has not. What is queued is due a little
/// later: further ahead than any pause, it would be due at once.
const FILL: &str = "INSERT INTO contacts (user_id, email, name)
    VALUES ('00000000-0000-0000-0000-000000000001', 'ada@example.com', 'Ada');
    INSERT INTO messages (id, event_id, channel, recipient, letter, state, created_at, settled_at, due_at)
    SELECT gen_random_uuid(), gen_random_uuid(), 'email', gen_random_uuid(),
        '{\"kind\": \"verify_email\", \"token\": \"secret\"}', state,
        now() - interval '31 days', CASE state WHEN 'sent' THEN now() - interval '31 days' END, now() + interval '1 hour'
    FROM generate_series(1, 12000), (VALUES ('sent'), ('queued')) states (state);
    INSERT INTO live_events (event_id, user_id, type, order_id, status, time)
    SELECT gen_random_uuid(), gen_random_uuid(), 'order.paid', gen_random_uuid(), 'paid', now() - interval '31 days'
    FROM generate_series(1, 12000);
    INSERT INTO notices (recipient, kind, subject, sent_at)
    SELECT gen_random_uuid(), 'low', gen_random_uuid(), now() - interval '25 hours' FROM generate_series(1, 12000);
    INSERT INTO phone_codes (user_id, number, sent_at)
    SELECT gen_random_uuid(), '+49151' || n, now() - interval '25 hours' FROM generate_series(1000000, 1011999) n;

    INSERT INTO messages (id, event_id, channel, recipient, letter, created_at, due_at)
    VALUES (gen_random_uuid(), gen_random_uuid(), 'email', '00000000-0000-0000-0000-000000000001',
            '{\"kind\": \"welcome\"}', now() - interval '31 days', now() + interval '1 hour'),
           (gen_random_uuid(), gen_random_uuid(), 'email', gen_random_uuid(),
            '{\"kind\": \"welcome\"}', now() - interval '6 days', now() + interval '1 hour');
    INSERT INTO live_events (event_id, user_id, type, order_id, status, time)
    VALUES (gen_random_uuid(), gen_random_uuid(), 'order.paid', gen_random_uuid(), 'paid', now());
    INSERT INTO notices (recipient, kind, subject) VALUES (gen_random_uuid(), 'low', gen_random_uuid());
    INSERT INTO phone_codes (user_id, number) VALUES (gen_random_uuid(), '+4915112345678')";

async fn filled() -> Running {
    let service = start().await;
    let tables = ["live_events", "messages", "notices", "phone_codes"];
    refuse_large_statements(service.pool(), &tables).await;
    sqlx::raw_sql(FILL).execute(service.pool()).await.unwrap();
    service
}

async fn count(pool: &PgPool, rows: &'static str) -> i64 {
    let rows = format!("SELECT count(*) FROM {rows}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(rows)).fetch_one(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_is_about_more_than_a_batch() {
    let service = filled().await;
    purge::run(service.pool()).await.unwrap();
    for (rows, left) in [
        ("messages WHERE state = 'sent'", 0),
        // One has a contact, the other may get one.
        ("messages WHERE state = 'queued'", 2),
        ("messages WHERE state = 'dead' AND last_error = 'no contact'", 12_000),
        ("messages WHERE state = 'dead' AND letter ? 'token'", 0),
        ("live_events", 1),
        ("notices", 1),
        ("phone_codes", 1),
    ] {
        assert_eq!(count(service.pool(), rows).await, left, "{rows}");
    }
}

/// The recipient of a link never registered: the link is not kept for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_message_has_no_token() {
    let service = start().await;
    let token = EmailToken::new("s3cret".to_owned());
    let (user_id, expires_at) = (UserId::new(), chrono::Utc::now());
    service.publish(&PasswordResetRequested { user_id, token, expires_at }).await;
    eventually("the e-mail is queued", async || {
        (count(service.pool(), "messages WHERE letter ? 'token'").await == 1).then_some(())
    })
    .await;
    let age = "UPDATE messages SET created_at = now() - interval '8 days'";
    sqlx::query(age).execute(service.pool()).await.unwrap();
    purge::run(service.pool()).await.unwrap();
    assert_eq!(count(service.pool(), "messages WHERE state = 'dead'").await, 1);
    assert_eq!(count(service.pool(), "messages WHERE letter::text LIKE '%s3cret%'").await, 0);
}
