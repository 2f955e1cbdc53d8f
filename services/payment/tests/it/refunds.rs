//! Money that goes back, and no more of it than came.

use contracts::events::{
    OrderRefundRequested, PaymentCaptured, PaymentRefundRequested, PaymentRefunded,
};
use contracts::topics::Aggregate;
use contracts::{EventId, Money, OrderId, UserId};
use kit::auth::Role;
use kit::subscription::HandlerError;
use kit::testing::{Running, eventually};
use payment::Payment;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::world::{
    charged, eur, given_back, handle, quiet, refund, reserved, send, status, told, totals, until,
    worker,
};

#[tokio::test]
async fn an_order_gets_its_money_back_once() {
    let running = Running::start::<Payment>(&[]).await;
    let pool = running.pool();
    let order = reserved("tok_visa", 1000);
    running.publish(&order).await;
    let captured: PaymentCaptured = running.published(order.order_id.uuid()).await;
    let id = EventId::new();
    running.publish_as(id, &refund(&order, 1000)).await;
    running.publish_as(id, &refund(&order, 1000)).await;
    let refunded: PaymentRefunded = running.published(order.order_id.uuid()).await;
    assert_eq!((refunded.payment_id, refunded.amount), (captured.payment_id, eur(1000)));
    // The next event on the partition is only reached when the repeated one is done with.
    let mut after = reserved("tok_visa", 1);
    after.order_id = order.order_id;
    running.publish(&after).await;
    eventually("all events are processed", async || {
        let noted: i64 =
            sqlx::query_scalar("SELECT count(*) FROM inbox").fetch_one(pool).await.ok()?;
        (noted == 3).then_some(())
    })
    .await;
    assert_eq!(given_back(pool).await, (1000, 1));
    assert_eq!(told(pool, order.order_id, "payment.refunded").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_takes_effect_when_it_is_replayed() {
    let running = Running::start::<Payment>(&[]).await;
    let (order, unknown) = (reserved("tok_visa", 1000), reserved("tok_visa", 1));
    let (early, hopeless) = (EventId::new(), EventId::new());
    // Money is to go back before any came.
    running.publish_as(early, &refund(&order, 1000)).await;
    running.publish_as(hopeless, &refund(&unknown, 1)).await;
    for id in [early, hopeless] {
        let reason = running.buried(Aggregate::Order, id).await;
        assert!(reason.contains("not so much left"), "{reason}");
    }
    running.publish(&order).await;
    running.published::<PaymentCaptured>(order.order_id.uuid()).await;
    let replay = async || running.command::<Payment>("replay").await;
    let said = replay().await.unwrap_err().to_string();
    assert!(said.starts_with("1 dead letters have taken effect, 1 have not"), "{said}");
    assert!(said.contains(&format!("{hopeless}: the order's payment has not so much")), "{said}");
    running.published::<PaymentRefunded>(order.order_id.uuid()).await;
    // What has failed again is there again, and alone.
    let said = replay().await.unwrap_err().to_string();
    assert!(said.starts_with("0 dead letters have taken effect, 1 have not"), "{said}");
    assert_eq!(given_back(running.pool()).await, (1000, 1));
    running.publish(&unknown).await;
    running.published::<PaymentCaptured>(unknown.order_id.uuid()).await;
    assert_eq!(replay().await.unwrap(), "1 dead letters have taken effect, 0 have not");
    assert_eq!(replay().await.unwrap(), "0 dead letters have taken effect, 0 have not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn refunds_at_the_same_time_never_exceed_the_capture() {
    let running = Running::start::<Payment>(&[]).await;
    let (pool, admin) = (running.pool(), UserId::new());
    let order = reserved("tok_visa", 100);
    running.publish(&order).await;
    until(pool, order.order_id, "captured").await;
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let request = staff(&running, admin, order.order_id, 30);
        tasks.spawn(async move { send(request).await.0 });
    }
    let answers = tasks.join_all().await;
    let count = |status| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!((count(202), count(422)), (3, 7));
    eventually("the refunds are done", async || (given_back(pool).await == (90, 3)).then_some(()))
        .await;
    let over = sqlx::query("UPDATE payments SET refunded = 101").execute(pool).await.unwrap_err();
    assert_eq!(kit::postgres::violated(&over), Some("payments_refunded"));
}

/// Staff gives an amount back.
fn staff(running: &Running, admin: UserId, order: OrderId, amount: i64) -> reqwest::RequestBuilder {
    let path = format!("/api/v1/payments/{order}/refunds");
    running
        .request_as(admin, &[Role::Admin], "POST", &path)
        .header("idempotency-key", EventId::new().to_string())
        .json(&json!({ "amount": eur(amount), "reason": "a cup was broken" }))
}

#[tokio::test]
async fn staff_gives_back_a_part_and_the_order_the_rest() {
    let running = Running::start::<Payment>(&[]).await;
    let (pool, admin) = (running.pool(), UserId::new());
    let order = reserved("tok_visa", 1000);
    running.publish(&order).await;
    until(pool, order.order_id, "captured").await;
    let path = format!("/api/v1/payments/{}/refunds", order.order_id);
    let ask = |amount: i64| {
        let body = json!({ "amount": eur(amount), "reason": " a cup was broken " });
        let request = running.request_as(admin, &[Role::Admin], "POST", &path);
        request.header("idempotency-key", "one").json(&body)
    };
    let (status, first) = send(ask(300)).await;
    assert_eq!((status, &first["status"]), (202, &json!("pending")), "{first}");
    assert_eq!(first["reason"], "a cup was broken");
    assert_eq!(send(ask(300)).await, (202, first), "the stored answer");
    assert_eq!(send(ask(301)).await.1["type"], "/problems/idempotency-key-reused");
    let refunded: PaymentRefunded = running.published(order.order_id.uuid()).await;
    assert_eq!((refunded.amount, refunded.refunded_total), (eur(300), Some(eur(300))));
    let requested: PaymentRefundRequested = running.published(order.order_id.uuid()).await;
    assert_eq!((requested.amount, requested.requested_total), (eur(300), eur(300)));
    assert_eq!(told(pool, order.order_id, "payment.refund_requested").await, 1);
    // The order, which does not know of it, wants everything back; and says so again.
    for _ in 0..2 {
        running.publish(&refund(&order, 1000)).await;
    }
    let totals = eventually("both requests are answered", async || {
        let totals: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT (payload #>> '{amount,amount}')::bigint,
                    (payload #>> '{refunded_total,amount}')::bigint
             FROM outbox WHERE type LIKE '%.payment.refunded.%' ORDER BY seq",
        )
        .fetch_all(pool)
        .await
        .unwrap();
        // The second request is of nothing, or finds the first under way, which answers both.
        let noted: i64 =
            sqlx::query_scalar("SELECT count(*) FROM inbox").fetch_one(pool).await.unwrap();
        (noted == 3 && totals.len() >= 2).then_some(totals)
    })
    .await;
    assert_eq!(totals[..2], [(300, 300), (700, 1000)]);
    assert_eq!(given_back(pool).await, (1000, 2));
    let (status, problem) = send(staff(&running, admin, order.order_id, 1)).await;
    assert_eq!((status, &problem["type"]), (422, &json!("/problems/refund-too-large")));
    assert_eq!(problem["detail"], "at most 0.00 EUR is left");
}

#[tokio::test]
async fn an_order_is_answered_though_staff_gave_everything_back() {
    let pool = quiet().await;
    let order = reserved("tok_visa", 100);
    handle(&pool, &order).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    handle(&pool, &refund(&order, 100)).await.unwrap();
    // Under way: what it will tell answers this one too.
    handle(&pool, &refund(&order, 100)).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    assert_eq!(worker(&pool).round().await.unwrap(), 0);
    handle(&pool, &refund(&order, 100)).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    assert_eq!(given_back(&pool).await, (100, 1), "the provider hears of no refund of nothing");
    assert_eq!(told(&pool, order.order_id, "payment.refunded").await, 2);
    assert_eq!(totals(&pool, "payment.refunded", "refunded_total").await, [100, 100]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_refunds_that_are_done_at_once_one_tells_of_both() {
    for _ in 0..5 {
        let pool = quiet().await;
        let order = reserved("tok_visa", 100);
        handle(&pool, &order).await.unwrap();
        assert_eq!(worker(&pool).round().await.unwrap(), 1);
        for amount in [30, 100] {
            handle(&pool, &refund(&order, amount)).await.unwrap();
        }
        let (one, other) = (worker(&pool), worker(&pool));
        let (one, other) = tokio::join!(
            tokio::spawn(async move { one.round().await }),
            tokio::spawn(async move { other.round().await })
        );
        assert_eq!(one.unwrap().unwrap() + other.unwrap().unwrap(), 2);
        let totals = totals(&pool, "payment.refunded", "refunded_total").await;
        assert_eq!(totals.last(), Some(&100));
    }
}

#[tokio::test]
async fn only_staff_gives_money_back_and_only_what_there_is() {
    let running = Running::start::<Payment>(&[]).await;
    let (pool, admin) = (running.pool(), UserId::new());
    let (paid, failed) = (reserved("tok_visa", 100), reserved("tok_declined", 100));
    for (order, end) in [(&paid, "captured"), (&failed, "failed")] {
        running.publish(order).await;
        until(pool, order.order_id, end).await;
    }
    let ask = async |order: OrderId, role, body: &Value| {
        let path = format!("/api/v1/payments/{order}/refunds");
        let request = running.request_as(admin, &[role], "POST", &path);
        let request = request.header("idempotency-key", EventId::new().to_string());
        send(request.json(body)).await
    };
    let good = json!({ "amount": eur(1), "reason": "x" });
    for role in [Role::Customer, Role::Seller] {
        assert_eq!(ask(paid.order_id, role, &good).await.0, 403);
    }
    assert_eq!(ask(OrderId::new(), Role::Admin, &good).await.0, 404);
    assert_eq!(ask(failed.order_id, Role::Admin, &good).await.1["type"], "/problems/conflict");
    for (body, pointer) in [
        (json!({ "amount": eur(0), "reason": "x" }), "/amount/amount"),
        (json!({ "amount": eur(-1), "reason": "x" }), "/amount/amount"),
        (json!({ "amount": eur(i64::MIN), "reason": "x" }), "/amount/amount"),
        (
            json!({ "amount": { "amount": 1, "currency": "USD" }, "reason": "x" }),
            "/amount/currency",
        ),
        (
            json!({ "amount": { "amount": 1, "currency": "XXX" }, "reason": "x" }),
            "/amount/currency",
        ),
        (json!({ "amount": eur(1), "reason": "  " }), "/reason"),
        (json!({ "amount": eur(1), "reason": "x".repeat(501) }), "/reason"),
    ] {
        let (status, problem) = ask(paid.order_id, Role::Admin, &body).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(pointer)), "{body}");
    }
    let (status, problem) =
        ask(paid.order_id, Role::Admin, &json!({ "amount": eur(101), "reason": "x" })).await;
    assert_eq!((status, &problem["type"]), (422, &json!("/problems/refund-too-large")));
    let path = format!("/api/v1/payments/{}/refunds", paid.order_id);
    let keyless = running.request_as(admin, &[Role::Admin], "POST", &path).json(&good);
    assert_eq!(send(keyless).await.1["type"], "/problems/idempotency-key-missing");
    assert_eq!(given_back(pool).await, (0, 0));
}

#[tokio::test]
async fn what_never_came_does_not_go_back() {
    let pool = quiet().await;
    let (pending, declined) = (reserved("tok_visa", 100), reserved("tok_declined", 100));
    handle(&pool, &declined).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    assert_eq!(status(&pool, declined.order_id).await.as_deref(), Some("failed"));
    handle(&pool, &pending).await.unwrap();
    let unknown = reserved("tok_visa", 100);
    for order in [&pending, &declined, &unknown] {
        let result = handle(&pool, &refund(order, 1)).await;
        assert!(matches!(result, Err(HandlerError::Permanent(_))), "{result:?}");
    }
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    assert_eq!(charged(&pool).await, (100, 1));
    let dollars = Money::new(1, "USD".parse().unwrap());
    for amount in [eur(101), eur(-1), eur(i64::MAX), eur(i64::MIN), dollars] {
        let request = OrderRefundRequested { amount, ..refund(&pending, 0) };
        let result = handle(&pool, &request).await;
        assert!(matches!(result, Err(HandlerError::Permanent(_))), "{amount}: {result:?}");
    }
    assert_eq!(given_back(&pool).await, (0, 0));
}

#[tokio::test]
async fn a_refund_that_the_provider_refuses_can_be_asked_for_again() {
    let pool = quiet().await;
    let order = reserved("tok_visa", 100);
    handle(&pool, &order).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    // The provider's books say that somebody has given it back there.
    sqlx::query("UPDATE test_provider.charges SET amount = 40").execute(&pool).await.unwrap();
    handle(&pool, &refund(&order, 60)).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    let (failed, refunded): (String, i64) = sqlx::query_as(
        "SELECT refunds.failure_reason, refunded FROM refunds JOIN payments ON true",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!((failed.as_str(), refunded), ("amount_too_large", 0));
    assert_eq!(told(&pool, order.order_id, "payment.refunded").await, 0);
    handle(&pool, &refund(&order, 40)).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    assert_eq!(given_back(&pool).await, (40, 1));
}

/// The order has to know of it before its goods leave.
#[tokio::test]
async fn a_refund_is_published_before_the_provider_has_made_it() {
    let running = Running::start::<Payment>(&[]).await;
    let (pool, admin) = (running.pool(), UserId::new());
    let order = reserved("tok_visa", 1000);
    running.publish(&order).await;
    until(pool, order.order_id, "captured").await;
    // The provider refuses whatever it is asked for: what has failed is owed, and counts.
    sqlx::query("UPDATE test_provider.charges SET amount = 0").execute(pool).await.unwrap();
    assert_eq!(send(staff(&running, admin, order.order_id, 300)).await.0, 202);
    eventually("the first one has failed", async || {
        let failed = sqlx::query("SELECT FROM refunds WHERE status = 'failed'");
        failed.fetch_optional(pool).await.unwrap()
    })
    .await;
    assert_eq!(send(staff(&running, admin, order.order_id, 700)).await.0, 202);
    let all = |event: &PaymentRefundRequested| event.requested_total == eur(1000);
    let requested = running.published_where(order.order_id.uuid(), all).await;
    assert_eq!(requested.amount, eur(700));
    assert_eq!(told(pool, order.order_id, "payment.refunded").await, 0);
    assert_eq!(send(staff(&running, admin, order.order_id, 1)).await.0, 422);
    assert_eq!(
        told(pool, order.order_id, "payment.refund_requested").await,
        2,
        "none of what was refused"
    );
}
