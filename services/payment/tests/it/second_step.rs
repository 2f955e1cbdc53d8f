//! Charges that wait for the shopper.

use contracts::UserId;
use contracts::events::{
    OrderExpired, OrderRejected, OrderReserved, PaymentActionRequired, PaymentCaptured,
    PaymentFailed,
};
use kit::auth::Role;
use kit::testing::Running;
use payment::Payment;
use payment::provider::{PaymentProvider, Wanted};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::world::{
    cancelled, charged, eur, handle, quiet, reserved, send, status, test_provider, told, until,
    worker,
};

async fn confirm(running: &Running, user: UserId, order: contracts::OrderId) -> (u16, Value) {
    let path = format!("/api/v1/payments/{order}/confirm");
    send(running.request_as(user, &[Role::Customer], "POST", &path)).await
}

#[tokio::test]
async fn a_charge_waits_until_its_shopper_confirms() {
    let running = Running::start::<Payment>(&[("PUBLIC_URL", "http://shop.test")]).await;
    let order = reserved("tok_action", 1999);
    running.publish(&order).await;
    let asked: PaymentActionRequired = running.published(order.order_id.uuid()).await;
    let url = format!("http://shop.test/api/v1/payments/{}/confirm", order.order_id);
    assert_eq!((&asked.url, asked.user_id), (&url, order.user_id));
    let path = format!("/api/v1/payments/{}", order.order_id);
    let (_, shown) = send(running.request_as(order.user_id, &[], "GET", &path)).await;
    assert_eq!(shown["status"], "requires_action");
    assert_eq!(shown["next_action"], json!({ "url": url }));
    assert_eq!(charged(running.pool()).await, (0, 0));
    // Neither somebody else nor staff confirms for the shopper.
    assert_eq!(confirm(&running, UserId::new(), order.order_id).await.0, 404);
    let admin =
        running.request_as(UserId::new(), &[Role::Admin], "POST", &format!("{path}/confirm"));
    assert_eq!(send(admin).await.0, 404);
    assert_eq!(status(running.pool(), order.order_id).await.as_deref(), Some("requires_action"));

    assert_eq!(confirm(&running, order.user_id, order.order_id).await.0, 202);
    let captured: PaymentCaptured = running.published(order.order_id.uuid()).await;
    assert_eq!(captured.amount, eur(1999));
    // Once more does no harm.
    let (status, shown) = confirm(&running, order.user_id, order.order_id).await;
    assert_eq!((status, &shown["status"]), (202, &json!("captured")));
    assert_eq!(shown["next_action"], Value::Null);
    assert_eq!(charged(running.pool()).await, (1999, 1));
    assert_eq!(told(running.pool(), order.order_id, "payment.captured").await, 1);
    assert_eq!(told(running.pool(), order.order_id, "payment.action_required").await, 1);
}

#[tokio::test]
async fn a_shopper_who_fails_the_second_step_is_not_charged() {
    let running = Running::start::<Payment>(&[]).await;
    let order = reserved("tok_action_declined", 1999);
    running.publish(&order).await;
    until(running.pool(), order.order_id, "requires_action").await;
    assert_eq!(confirm(&running, order.user_id, order.order_id).await.0, 202);
    let failed: PaymentFailed = running.published(order.order_id.uuid()).await;
    assert_eq!(failed.reason, "authentication_failed");
    let (status, problem) = confirm(&running, order.user_id, order.order_id).await;
    assert_eq!((status, &problem["type"]), (409, &json!("/problems/conflict")));
    assert_eq!(charged(running.pool()).await, (0, 0));
}

#[tokio::test]
async fn a_charge_that_waits_is_given_up_when_its_order_ends() {
    let running = Running::start::<Payment>(&[]).await;
    let pool = running.pool();
    let orders =
        [reserved("tok_action", 10), reserved("tok_action", 10), reserved("tok_action", 10)];
    for order in &orders {
        running.publish(order).await;
        until(pool, order.order_id, "requires_action").await;
    }
    let [one, two, three] = &orders;
    running.publish(&cancelled(one)).await;
    running.publish(&OrderExpired { order_id: two.order_id, user_id: two.user_id }).await;
    let (order_id, user_id) = (three.order_id, three.user_id);
    running.publish(&OrderRejected { order_id, user_id, shortages: Vec::new() }).await;
    for order in &orders {
        let failed: PaymentFailed = running.published(order.order_id.uuid()).await;
        assert_eq!(failed.reason, "order_ended");
        assert_eq!(confirm(&running, order.user_id, order.order_id).await.0, 409);
    }
    let open = "SELECT count(*) FROM test_provider.charges WHERE decline_reason IS NULL";
    let open: i64 = sqlx::query_scalar(open).fetch_one(pool).await.unwrap();
    assert_eq!(open, 0, "the provider waits no longer");
    assert_eq!(charged(pool).await, (0, 0));
}

#[tokio::test]
async fn an_order_that_ends_before_the_provider_is_asked_is_not_charged() {
    let pool = quiet().await;
    let order = reserved("tok_visa", 10);
    handle(&pool, &order).await.unwrap();
    handle(&pool, &cancelled(&order)).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    assert_eq!(status(&pool, order.order_id).await.as_deref(), Some("failed"));
    assert_eq!(charged(&pool).await, (0, 0));
    // One that is captured is the order's to ask back; one that never was is nothing to give up.
    let paid = reserved("tok_visa", 10);
    handle(&pool, &paid).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    for order in [&paid, &reserved("tok_visa", 10)] {
        handle(&pool, &cancelled(order)).await.unwrap();
    }
    assert_eq!(worker(&pool).round().await.unwrap(), 0);
    assert_eq!(status(&pool, paid.order_id).await.as_deref(), Some("captured"));
}

/// The order ends while the provider is asked: the charge begins to wait afterwards.
#[tokio::test]
async fn a_charge_that_comes_to_wait_too_late_is_given_up_at_once() {
    let pool = quiet().await;
    let order = reserved("tok_action", 10);
    handle(&pool, &order).await.unwrap();
    // The provider was asked by a worker that has died, and the order ends.
    died_asking(&pool, &order).await;
    handle(&pool, &cancelled(&order)).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    assert_eq!(status(&pool, order.order_id).await.as_deref(), Some("requires_action"));
    assert_eq!(worker(&pool).round().await.unwrap(), 1, "it is due at once");
    assert_eq!(status(&pool, order.order_id).await.as_deref(), Some("failed"));
    assert_eq!(told(&pool, order.order_id, "payment.failed").await, 1);
}

/// A worker has died after the provider had heard of the charge.
pub(crate) async fn died_asking(pool: &PgPool, order: &OrderReserved) {
    sqlx::query("UPDATE payments SET attempts = 1").execute(pool).await.unwrap();
    let key: uuid::Uuid =
        sqlx::query_scalar("SELECT id FROM payments").fetch_one(pool).await.unwrap();
    let token = order.payment_token.clone().try_into().unwrap();
    let (amount, user, order) = (order.total, order.user_id, order.order_id);
    let wanted = Wanted { key, order, user, amount, token, customer: None };
    test_provider(pool).charge(&wanted).await.unwrap();
}

/// The order ends while the provider is away: once it is back, nothing is taken any more.
#[tokio::test]
async fn a_charge_that_never_arrived_is_not_sent_for_an_order_that_has_ended() {
    let pool = quiet().await;
    let order = reserved("tok_visa", 10);
    handle(&pool, &order).await.unwrap();
    sqlx::query("UPDATE payments SET attempts = 3").execute(&pool).await.unwrap();
    handle(&pool, &cancelled(&order)).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    assert_eq!(status(&pool, order.order_id).await.as_deref(), Some("failed"));
    assert_eq!(charged(&pool).await, (0, 0));
    // One that did arrive is noted, and the order asks for the money back.
    let order = reserved("tok_visa", 10);
    handle(&pool, &order).await.unwrap();
    sqlx::query("DELETE FROM payments WHERE status = 'failed'").execute(&pool).await.unwrap();
    died_asking(&pool, &order).await;
    handle(&pool, &cancelled(&order)).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    assert_eq!(status(&pool, order.order_id).await.as_deref(), Some("captured"));
}
