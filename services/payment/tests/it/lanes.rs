//! A provider that does not answer holds up no other.

use contracts::events::PaymentCaptured;
use kit::testing::{Running, eventually};
use payment::Payment;
use tokio::net::TcpListener;

use crate::world::reserved;

/// How many charges the provider that does not answer has to do.
const MANY: usize = 40;

#[tokio::test]
async fn a_provider_that_does_not_answer_holds_up_no_other() {
    // Connections are made by the kernel, and never read from.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let running = Running::start::<Payment>(&[
        ("STRIPE_API_KEY", "sk_test_123"),
        ("STRIPE_API_URL", &url),
        ("PAYMENT_TEST_PROVIDER", "true"),
    ])
    .await;
    for _ in 0..MANY {
        running.publish(&reserved("pm_card_visa", 10)).await;
    }
    let count = async |sql: &'static str| -> i64 {
        sqlx::query_scalar(sql).fetch_one(running.pool()).await.unwrap()
    };
    eventually("all charges are waiting or under way", async || {
        let all = count("SELECT count(*) FROM payments").await;
        (usize::try_from(all) == Ok(MANY)).then_some(())
    })
    .await;
    let order = reserved("tok_visa", 10);
    running.publish(&order).await;
    let _: PaymentCaptured = running.published(order.order_id.uuid()).await;
    let untried = count("SELECT count(*) FROM payments WHERE attempts = 0").await;
    assert!(untried > 0, "the other provider's charge waited until all of these were tried");
    assert_eq!(count("SELECT count(*) FROM payments WHERE status = 'captured'").await, 1);
}
