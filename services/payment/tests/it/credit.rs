//! Store credit.

use contracts::events::{PaymentCaptured, PaymentFailed, PaymentRefunded};
use contracts::{EventId, OrderId, UserId};
use kit::auth::Role;
use kit::testing::{Running, eventually, waiting};
use payment::Payment;
use payment::db::ledger::{self, Cause};
use payment::payment::Token;
use payment::provider::{Charge, CreditProvider, PaymentProvider, Wanted};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::task::JoinSet;

use crate::world::{eur, handle, quiet, refund, reserved, send, status, until, worker};

fn grant(running: &Running, user: UserId, amount: i64) -> reqwest::RequestBuilder {
    let path = format!("/api/v1/credit/{user}/grants");
    running
        .request_as(UserId::new(), &[Role::Admin], "POST", &path)
        .header("idempotency-key", EventId::new().to_string())
        .json(&json!({ "amount": eur(amount), "reason": "sorry" }))
}

async fn credit(running: &Running, user: UserId, query: &str) -> Value {
    let path = format!("/api/v1/credit{query}");
    let (status, body) = send(running.request_as(user, &[Role::Customer], "GET", &path)).await;
    assert_eq!(status, 200, "{body}");
    body
}

/// The books add up, whatever has happened.
async fn balanced(pool: &PgPool) {
    let sums = "SELECT coalesce(sum(amount), 0)::bigint FROM credit.entries";
    let sum: i64 = sqlx::query_scalar(sums).fetch_one(pool).await.unwrap();
    assert_eq!(sum, 0);
    let wrong = "SELECT count(*) FROM credit.accounts a WHERE kind = 'customer' AND balance <>
                 (SELECT coalesce(sum(amount), 0) FROM credit.entries WHERE account_id = a.id)";
    let wrong: i64 = sqlx::query_scalar(wrong).fetch_one(pool).await.unwrap();
    assert_eq!(wrong, 0);
}

#[tokio::test]
async fn credit_pays_an_order_and_comes_back() {
    let running = Running::start::<Payment>(&[]).await;
    let order = reserved("credit", 700);
    let user = order.user_id;
    let (status, granted) = send(grant(&running, user, 1000)).await;
    assert_eq!((status, &granted["balance"]["amount"]), (201, &json!(1000)), "{granted}");
    running.publish(&order).await;
    let captured: PaymentCaptured = running.published(order.order_id.uuid()).await;
    assert_eq!(captured.amount, eur(700));
    assert_eq!(credit(&running, user, "").await["balance"], json!(eur(300)));
    running.publish(&refund(&order, 700)).await;
    let refunded: PaymentRefunded = running.published(order.order_id.uuid()).await;
    assert_eq!(refunded.refunded_total, Some(eur(700)));
    let shown = credit(&running, user, "").await;
    assert_eq!(shown["balance"], json!(eur(1000)));
    let items: Vec<_> = shown["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["kind"].as_str().unwrap(), item["amount"]["amount"].as_i64().unwrap()))
        .collect();
    assert_eq!(items, [("refund", 700), ("charge", -700), ("grant", 1000)]);
    assert_eq!(shown["items"][0]["order_id"], json!(order.order_id));
    assert_eq!(shown["items"][2]["reason"], "sorry");
    // Page by page.
    let first = credit(&running, user, "?limit=2").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = credit(&running, user, &format!("?cursor={cursor}")).await;
    assert_eq!(rest["items"], json!([shown["items"][2]]));
    assert_eq!(credit(&running, UserId::new(), "").await["items"], json!([]));
    balanced(running.pool()).await;
}

#[tokio::test]
async fn whoever_has_too_little_credit_is_declined() {
    let running = Running::start::<Payment>(&[]).await;
    let order = reserved("credit", 700);
    assert_eq!(send(grant(&running, order.user_id, 699)).await.0, 201);
    for order in [order.clone(), reserved("credit", 1)] {
        running.publish(&order).await;
        let failed: PaymentFailed = running.published(order.order_id.uuid()).await;
        assert_eq!(failed.reason, "insufficient_funds");
    }
    assert_eq!(credit(&running, order.user_id, "").await["balance"], json!(eur(699)));
    let free = reserved("credit", 0);
    running.publish(&free).await;
    until(running.pool(), free.order_id, "captured").await;
    balanced(running.pool()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_purchases_at_once_spend_no_more_than_there_is() {
    let running = Running::start::<Payment>(&[]).await;
    let (pool, user) = (running.pool(), UserId::new());
    assert_eq!(send(grant(&running, user, 70)).await.0, 201);
    let mut orders = Vec::new();
    for _ in 0..20 {
        let mut order = reserved("credit", 10);
        order.user_id = user;
        running.publish(&order).await;
        orders.push(order);
    }
    let mut bought = Vec::new();
    for order in &orders {
        let end = eventually("the payment has ended", async || {
            status(pool, order.order_id).await.filter(|status| status != "pending")
        })
        .await;
        if end == "captured" {
            bought.push(order);
        }
    }
    assert_eq!(bought.len(), 7);
    assert_eq!(credit(&running, user, "").await["balance"], json!(eur(0)));
    balanced(pool).await;
    for order in bought {
        running.publish(&refund(order, 10)).await;
    }
    eventually("all is back", async || {
        (credit(&running, user, "").await["balance"] == json!(eur(70))).then_some(())
    })
    .await;
    balanced(pool).await;
}

/// Gives a customer credit behind the back of the API.
async fn give(pool: &PgPool, user: UserId, amount: i64) {
    let mut tx = pool.begin().await.unwrap();
    let cause = Cause::Grant { reason: "x", by: UserId::new() };
    let id = EventId::new().uuid();
    assert!(ledger::post(&mut tx, id, user, eur(amount), cause).await.unwrap());
    tx.commit().await.unwrap();
}

/// A round of a worker that takes payments for due, as if all others were dead.
async fn attempt(pool: PgPool) -> sqlx::Result<usize> {
    let due = "UPDATE payments SET next_attempt_at = now() WHERE status = 'pending'";
    sqlx::query(due).execute(&pool).await?;
    worker(&pool).round().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_workers_move_the_money_once() {
    for _ in 0..5 {
        let pool = quiet().await;
        let order = reserved("credit", 10);
        give(&pool, order.user_id, 15).await;
        handle(&pool, &order).await.unwrap();
        let mut tasks = JoinSet::new();
        for _ in 0..4 {
            tasks.spawn(attempt(pool.clone()));
        }
        tasks.join_all().await;
        eventually("the payment is captured", async || {
            // On a busy machine all of them may have run out of time, and leave it to the next.
            attempt(pool.clone()).await.ok()?;
            status(&pool, order.order_id).await.filter(|status| status == "captured")
        })
        .await;
        assert_eq!(left(&pool).await, 5);
        balanced(&pool).await;
    }
}

async fn left(pool: &PgPool) -> i64 {
    let left = "SELECT balance FROM credit.accounts WHERE balance IS NOT NULL";
    sqlx::query_scalar(left).fetch_one(pool).await.unwrap()
}

/// One of them takes the money, and what it leaves is too little for another such charge.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_the_same_charge_at_the_same_time_hears_the_same() {
    let pool = quiet().await;
    let user = UserId::new();
    give(&pool, user, 15).await;
    let (key, order) = (EventId::new().uuid(), OrderId::new());
    let token = Token::try_from("credit".to_owned()).unwrap();
    let wanted = Wanted { key, order, user, amount: eur(10), token, customer: None };
    let provider = CreditProvider::new(pool.clone());
    let mut gate = pool.begin().await.unwrap();
    let lock = "SELECT FROM credit.accounts WHERE kind = 'customer' FOR UPDATE";
    sqlx::query(lock).execute(&mut *gate).await.unwrap();
    let open = async {
        waiting(&pool, 2).await;
        gate.commit().await.unwrap();
    };
    let charge = async || provider.charge(&wanted).await.unwrap();
    let (one, other, ()) = tokio::join!(charge(), charge(), open);
    let captured = Charge::Captured { reference: key.to_string() };
    assert_eq!((&one, &other), (&captured, &captured));
    assert_eq!(left(&pool).await, 5);
    balanced(&pool).await;
}

#[tokio::test]
async fn only_staff_grants_credit_once_for_each_key() {
    let running = Running::start::<Payment>(&[]).await;
    let (user, admin) = (UserId::new(), UserId::new());
    let path = format!("/api/v1/credit/{user}/grants");
    let ask = |role: Role, body: Value| {
        let request = running.request_as(admin, &[role], "POST", &path);
        request.header("idempotency-key", "one").json(&body)
    };
    let good = json!({ "amount": eur(5), "reason": "x" });
    for role in [Role::Customer, Role::Seller] {
        assert_eq!(send(ask(role, good.clone())).await.0, 403);
    }
    for (body, pointer) in [
        (json!({ "amount": eur(0), "reason": "x" }), "/amount/amount"),
        (json!({ "amount": eur(-5), "reason": "x" }), "/amount/amount"),
        (json!({ "amount": eur(i64::MAX), "reason": "x" }), "/amount/amount"),
        (
            json!({ "amount": { "amount": 5, "currency": "USD" }, "reason": "x" }),
            "/amount/currency",
        ),
        (json!({ "amount": eur(5), "reason": "" }), "/reason"),
    ] {
        let (status, problem) = send(ask(Role::Admin, body.clone())).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(pointer)), "{body}");
    }
    let first = send(ask(Role::Admin, good.clone())).await;
    assert_eq!(first.0, 201);
    assert_eq!(send(ask(Role::Admin, good)).await, first, "the stored answer");
    assert_eq!(credit(&running, user, "").await["balance"], json!(eur(5)));
}

#[tokio::test]
async fn the_books_refuse_what_does_not_add_up() {
    let running = Running::start::<Payment>(&[]).await;
    let pool = running.pool();
    assert_eq!(send(grant(&running, UserId::new(), 10)).await.0, 201);
    let negative = "UPDATE credit.accounts SET balance = -1 WHERE kind = 'customer'";
    let refused = sqlx::query(negative).execute(pool).await.unwrap_err();
    assert_eq!(kit::postgres::violated(&refused), Some("accounts_balance"));
    for change in ["UPDATE credit.entries SET amount = amount + 1", "DELETE FROM credit.entries"] {
        sqlx::query(change).execute(pool).await.unwrap_err();
    }
    let lone = "WITH made AS (
                    INSERT INTO credit.transactions (id, kind, reason, granted_by)
                    VALUES (gen_random_uuid(), 'grant', 'x', gen_random_uuid()) RETURNING id)
                INSERT INTO credit.entries (transaction_id, account_id, amount)
                SELECT made.id, a.id, 5 FROM made, credit.accounts a";
    let refused = sqlx::query(lone).execute(pool).await.unwrap_err();
    assert_eq!(kit::postgres::violated(&refused), Some("entries_balance"));
    balanced(pool).await;
}
