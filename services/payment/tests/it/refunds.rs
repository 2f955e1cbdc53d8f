//! Money that goes back, and no more of it than came.

use contracts::events::{OrderRefundRequested, PaymentCaptured, PaymentRefunded};
use contracts::topics::Aggregate;
use contracts::{EventId, Money};
use kit::subscription::HandlerError;
use kit::testing::{Running, eventually};
use payment::Payment;
use tokio::task::JoinSet;

use crate::world::{
    charged, eur, given_back, handle, quiet, refund, reserved, status, told, worker,
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
    let pool = quiet().await;
    let order = reserved("tok_visa", 100);
    handle(&pool, &order).await.unwrap();
    assert_eq!(worker(&pool).round().await.unwrap(), 1);
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let (pool, request) = (pool.clone(), refund(&order, 30));
        tasks.spawn(async move { handle(&pool, &request).await });
    }
    let results = tasks.join_all().await;
    let accepted = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(accepted, 3);
    let refused = results.iter().filter(|r| matches!(r, Err(HandlerError::Permanent(_)))).count();
    assert_eq!(refused, 7);
    while worker(&pool).round().await.unwrap() > 0 {}
    assert_eq!(given_back(&pool).await, (90, 3));
    assert_eq!(told(&pool, order.order_id, "payment.refunded").await, 3);
    let over = sqlx::query("UPDATE payments SET refunded = 101").execute(&pool).await.unwrap_err();
    assert_eq!(kit::postgres::violated(&over), Some("payments_refunded"));
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
