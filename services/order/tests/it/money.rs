//! Orders and payments together: both services at one Kafka, and a provider that fails before it answers.

use std::time::Duration;

use contracts::events::{OrderRefundRequested, OrderReserved};
use contracts::{EventId, OrderId, UserId, env};
use kit::auth::Role;
use kit::testing::{Running, eventually};
use order::owed;
use payment::Payment;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::returning::released;
use crate::world::{World, json_of, saga, stock_reserved, total};

/// An order service, and a payment service with the provider `test`.
struct Both {
    world: World,
    payment: Running,
    prefix: String,
}

impl Both {
    /// They do not hear each other yet.
    async fn start() -> Self {
        let prefix = format!("t{}", Uuid::now_v7().simple());
        let world = World::start_with(&[(env::KAFKA_TOPIC_PREFIX, &prefix)]).await;
        Self { world, payment: Running::start::<Payment>(&[]).await, prefix }
    }

    /// With an order that is paid, and a provider that has gone away since.
    async fn with_paid_order() -> (Self, OrderId) {
        let mut both = Self::start().await;
        both.connect().await;
        let id = both.world.place().await;
        both.world.service.publish(&stock_reserved(id)).await;
        both.world.reaches(id, "paid").await;
        both.provider_goes_away().await;
        (both, id)
    }

    /// From now on both use the topics of the order service.
    async fn connect(&mut self) {
        self.payment.restart::<Payment>(&[(env::KAFKA_TOPIC_PREFIX, &self.prefix)]).await;
    }

    async fn payment(&self, sql: &'static str) {
        sqlx::query(sql).execute(self.payment.pool()).await.unwrap();
    }

    /// The provider does not answer when it is asked for a refund.
    async fn provider_goes_away(&self) {
        self.payment("ALTER TABLE test_provider.refunds RENAME TO unreachable").await;
    }

    /// It answers again, and does what it is asked for.
    async fn provider_comes_back(&self) {
        self.payment("ALTER TABLE test_provider.unreachable RENAME TO refunds").await;
        self.payment("UPDATE refunds SET next_attempt_at = now()").await;
    }

    /// It answers, and refuses: its books say that less was charged.
    async fn provider_refuses(&self) {
        self.payment("UPDATE test_provider.charges SET amount = 40").await;
        self.payment("ALTER TABLE test_provider.unreachable RENAME TO refunds").await;
        self.payment("UPDATE refunds SET next_attempt_at = now()").await;
    }

    async fn order(&self, id: OrderId) -> Value {
        self.world.get(&format!("/api/v1/orders/{id}")).await
    }

    /// The order asks for what is owed, and payment has heard of it.
    async fn ask_again(&self, id: OrderId) {
        owed::reconcile(self.world.service.pool(), &saga(), Duration::ZERO).await.unwrap();
        let asked =
            "SELECT id FROM outbox WHERE aggregate_id = $1 AND type LIKE '%refund_requested%'";
        let asked: Vec<Uuid> = sqlx::query_scalar(asked)
            .bind(id.uuid())
            .fetch_all(self.world.service.pool())
            .await
            .unwrap();
        let all = i64::try_from(asked.len()).unwrap();
        let heard = "SELECT count(*) FROM inbox WHERE event_id = ANY($1)";
        eventually("payment has handled each request", async || {
            let heard = sqlx::query_scalar::<_, i64>(heard).bind(&asked);
            (heard.fetch_one(self.payment.pool()).await.unwrap() == all).then_some(())
        })
        .await;
    }

    async fn commands(&self) -> [String; 2] {
        let owed = self.world.service.command::<order::Order>("owed").await.unwrap();
        [owed, self.payment.command::<Payment>("refunds").await.unwrap()]
    }
}

/// Status, amount and attempts of each refund.
async fn refunds(pool: &PgPool) -> Vec<(String, i64, i32)> {
    let sql = "SELECT status, amount, attempts FROM refunds ORDER BY created_at, id";
    sqlx::query_as(sql).fetch_all(pool).await.unwrap()
}

/// What the provider has taken and given back, and how often.
async fn books(pool: &PgPool) -> [(i64, i64); 2] {
    let sums = [
        "SELECT coalesce(sum(amount), 0)::bigint, count(*) FROM test_provider.charges",
        "SELECT coalesce(sum(amount), 0)::bigint, count(*) FROM test_provider.refunds",
    ];
    let mut books = [(0, 0); 2];
    for (book, sum) in books.iter_mut().zip(sums) {
        *book = sqlx::query_as(sum).fetch_one(pool).await.unwrap();
    }
    books
}

/// The order has asked for its money while the provider was away. However often it asks, and whatever the provider
/// answers, the money goes back once, and both services say so.
async fn money_goes_back_once(both: &Both, id: OrderId) {
    let (pool, all) = (both.payment.pool(), total().amount);
    eventually("the provider was asked more than once", async || {
        refunds(pool).await.iter().any(|(.., attempts)| *attempts > 1).then_some(())
    })
    .await;
    both.ask_again(id).await;
    both.provider_refuses().await;
    eventually("the provider has refused", async || {
        refunds(pool).await.iter().any(|(status, ..)| status == "failed").then_some(())
    })
    .await;
    both.ask_again(id).await;
    let owed: Vec<_> =
        refunds(pool).await.into_iter().map(|(status, amount, _)| (status, amount)).collect();
    assert_eq!(
        owed,
        [("failed".to_owned(), all)],
        "it is owed once, however often it was asked for"
    );
    assert_eq!(books(pool).await[1], (0, 0));
    assert_eq!(both.order(id).await["payment"], "refund_requested");
    let [orders, payments] = both.commands().await;
    assert!(
        orders.starts_with(&id.to_string()) && payments.contains(&id.to_string()),
        "{orders} {payments}"
    );

    sqlx::query("UPDATE test_provider.charges SET amount = $1")
        .bind(all)
        .execute(pool)
        .await
        .unwrap();
    let hurried = both.payment.command::<Payment>("retry-refunds").await.unwrap();
    assert_eq!(hurried, "1 refunds are tried again");
    eventually("the order knows that its money is back", async || {
        let order = both.order(id).await;
        (order["payment"] == "refunded" && order["status"] == "cancelled").then_some(())
    })
    .await;
    let nothing = ["0 orders wait for money or goods", "0 refunds are owed"];
    assert_eq!(both.commands().await, nothing);

    // As after a restore: the order asks though its money went back.
    let (world, amount) = (&both.world, total());
    world
        .service
        .publish(&OrderRefundRequested { order_id: id, user_id: world.user, amount })
        .await;
    eventually("it hears again that nothing is left", async || {
        let last = refunds(pool).await.pop()?;
        (last.0 == "done" && last.1 == 0).then_some(())
    })
    .await;
    assert_eq!(books(pool).await, [(all, 1), (all, 1)], "taken once, given back once");
    let refunded =
        sqlx::query_scalar::<_, i64>("SELECT refunded FROM payments").fetch_one(pool).await;
    assert_eq!(refunded.unwrap(), all);
    assert_eq!(both.order(id).await["payment"], "refunded");
}

#[tokio::test]
async fn money_of_a_paid_order_that_is_cancelled_goes_back_once() {
    let (both, id) = Both::with_paid_order().await;
    let cancel = both.world.post(&format!("/api/v1/orders/{id}/cancel")).await;
    assert_eq!(json_of(cancel, 200).await["status"], "cancelling");
    both.world.tell_thrice(&released(id)).await;
    money_goes_back_once(&both, id).await;
}

/// It was charged, and its order had ended before it heard of that.
#[tokio::test]
async fn money_that_an_ended_order_was_charged_goes_back_once() {
    let mut both = Both::start().await;
    let id = both.world.reserved().await;
    let (user_id, payment_token) = (both.world.user, "tok_visa".to_owned());
    let charge = OrderReserved { order_id: id, user_id, total: total(), payment_token };
    both.payment.publish(&charge).await;
    eventually("it is charged, which the order does not hear", async || {
        let told = "SELECT count(*) FROM outbox WHERE type LIKE '%payment.captured%' AND published_at IS NOT NULL";
        let told = sqlx::query_scalar::<_, i64>(told).fetch_one(both.payment.pool()).await.unwrap();
        (told == 1).then_some(())
    })
    .await;
    let cancel = both.world.post(&format!("/api/v1/orders/{id}/cancel")).await;
    assert_eq!(json_of(cancel, 200).await["status"], "cancelled");
    both.provider_goes_away().await;
    both.connect().await;
    // The event arrives late.
    both.payment("UPDATE outbox SET published_at = NULL").await;
    money_goes_back_once(&both, id).await;
}

/// The provider does not answer for as long as that takes.
#[tokio::test]
async fn goods_do_not_leave_while_staff_gives_all_of_the_money_back() {
    let (both, id) = Both::with_paid_order().await;
    let path = format!("/api/v1/payments/{id}/refunds");
    let refund = both.payment.request_as(UserId::new(), &[Role::Admin], "POST", &path);
    let refund = refund.header("idempotency-key", EventId::new().to_string());
    let refund = refund.json(&json!({ "amount": total(), "reason": "the last one is broken" }));
    assert_eq!(json_of(refund.send().await.unwrap(), 202).await["status"], "pending");
    eventually("the order knows of the refund", async || {
        let known = sqlx::query("SELECT FROM requested_refunds WHERE order_id = $1");
        let known = known.bind(id.uuid()).fetch_optional(both.world.service.pool());
        known.await.unwrap()
    })
    .await;
    let ship = format!("/api/v1/orders/{id}/ship");
    json_of(both.world.post_as_staff(&ship).await, 409).await;
    let under_way = refunds(both.payment.pool()).await;
    assert!(matches!(&under_way[..], [(status, ..)] if status == "pending"), "{under_way:?}");

    both.provider_comes_back().await;
    eventually("the money is back", async || {
        (both.order(id).await["payment"] == "refunded").then_some(())
    })
    .await;
    json_of(both.world.post_as_staff(&ship).await, 409).await;
}
