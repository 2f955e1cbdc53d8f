//! What an account without a verified e-mail address may hold, with the limits of a shop that sets none.

use contracts::events::{PaymentActionRequired, PaymentCaptured};
use contracts::limits::{OPEN_ORDERS, OPEN_UNITS, UNVERIFIED_OPEN_UNITS};
use contracts::{Currency, Money, OrderId, PaymentId, UserId};
use kit::auth::Claims;
use kit::testing::Signer;
use order::guards::LEFT_UNPAID_ORDERS;
use reqwest::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{World, failed, json_of, stock_rejected, stock_reserved};

const UNVERIFIED: Option<bool> = Some(false);
const VERIFIED: Option<bool> = Some(true);

/// An account in a shop with the limits by default.
struct Shopper {
    world: World,
    user: UserId,
}

impl Shopper {
    async fn start() -> Self {
        let (orders, units) = (OPEN_ORDERS.to_string(), OPEN_UNITS.to_string());
        let limits = [("OPEN_ORDERS", &*orders), ("OPEN_UNITS", &units)];
        let world = World::start_with(&limits).await;
        Self { user: world.user, world }
    }

    /// Orders so many units at 5.00; the token says whether the address is verified.
    async fn order(&self, units: i64, email_verified: Option<bool>) -> Response {
        let claims = Claims { email_verified, ..Signer::claims(self.user, &[]) };
        let request = self.world.service.request("POST", "/api/v1/orders");
        let request = request.bearer_auth(self.world.service.signer.sign(&claims));
        let request = request.header("Idempotency-Key", Uuid::now_v7().to_string());
        let item = json!({ "product_id": self.world.things[1], "quantity": units });
        request.json(&json!({ "items": [item] })).send().await.unwrap()
    }

    async fn placed(&self, units: i64) -> OrderId {
        let order = json_of(self.order(units, UNVERIFIED).await, 202).await;
        order["id"].as_str().unwrap().parse().unwrap()
    }

    async fn refused(&self, units: i64) -> Value {
        let problem = json_of(self.order(units, UNVERIFIED).await, 409).await;
        assert_eq!(problem["type"], "/problems/too-many-open-orders");
        problem
    }

    /// The order's payment waits for a second step.
    async fn waits(&self, units: i64) -> OrderId {
        let order_id = self.placed(units).await;
        self.world.service.publish(&stock_reserved(order_id)).await;
        self.world.reaches(order_id, "reserved").await;
        let url = "https://bank.example/confirm".to_owned();
        let (payment_id, user_id) = (PaymentId::new(), self.user);
        let required = PaymentActionRequired { order_id, payment_id, user_id, url };
        let event = self.world.service.publish(&required).await;
        self.world.dealt_with(event).await;
        order_id
    }

    /// It expires unconfirmed.
    async fn expires(&self, order: OrderId) {
        let since =
            "UPDATE second_steps SET since = now() - interval '30 minutes' WHERE order_id = $1";
        sqlx::query(since).bind(order.uuid()).execute(self.world.service.pool()).await.unwrap();
        self.world.reaches(order, "expired").await;
    }

    async fn pass(&self, minutes: i32) {
        let sql = "UPDATE second_steps SET ended_at = ended_at - make_interval(mins => $1)";
        sqlx::query(sql).bind(minutes).execute(self.world.service.pool()).await.unwrap();
    }
}

#[tokio::test]
async fn an_unverified_account_does_not_hold_many_units_again_and_again() {
    let shopper = Shopper::start().await;
    shopper.refused(UNVERIFIED_OPEN_UNITS + 1).await;
    let order = shopper.waits(UNVERIFIED_OPEN_UNITS).await;
    shopper.refused(1).await;
    shopper.expires(order).await;
    // The second round, at once and within the hour.
    for minutes in [0, 59] {
        shopper.pass(minutes).await;
        let problem = shopper.refused(1).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("verify its e-mail address"), "{detail}");
    }
    // With its address verified, the account may order at once, and more.
    let more = shopper.order(UNVERIFIED_OPEN_UNITS + 1, VERIFIED).await;
    let more = json_of(more, 202).await["id"].as_str().unwrap().to_owned();
    json_of(shopper.world.post(&format!("/api/v1/orders/{more}/cancel")).await, 200).await;
    // Without that, after the hour.
    shopper.pass(2).await;
    shopper.placed(UNVERIFIED_OPEN_UNITS).await;
}

#[tokio::test]
async fn unconfirmed_orders_of_an_unverified_account_are_few_in_an_hour() {
    let shopper = Shopper::start().await;
    let [expired, cancelled, declined] =
        [shopper.waits(1).await, shopper.waits(1).await, shopper.waits(1).await];
    shopper.expires(expired).await;
    let cancel = format!("/api/v1/orders/{cancelled}/cancel");
    json_of(shopper.world.post(&cancel).await, 200).await;
    shopper.world.service.publish(&failed(declined)).await;
    shopper.world.reaches(declined, "cancelled").await;
    let problem = shopper.refused(1).await;
    assert_eq!(problem["order_ids"], json!([]), "nothing is open");
    shopper.pass(61).await;
    shopper.placed(1).await;
}

/// Each order holds its units for a moment alone; another one follows at once.
#[tokio::test]
async fn an_unverified_account_does_not_hold_units_by_cancelling_again_and_again() {
    let shopper = Shopper::start().await;
    for round in 0..LEFT_UNPAID_ORDERS {
        let order = shopper.placed(UNVERIFIED_OPEN_UNITS).await;
        // The order may not know yet that the units are held for it.
        if round % 2 == 0 {
            shopper.world.service.publish(&stock_reserved(order)).await;
            shopper.world.reaches(order, "reserved").await;
        }
        json_of(shopper.world.post(&format!("/api/v1/orders/{order}/cancel")).await, 200).await;
    }
    let problem = shopper.refused(1).await;
    assert_eq!(problem["order_ids"], json!([]), "nothing is open");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("unpaid") && detail.contains("verify its e-mail address"), "{detail}");
    json_of(shopper.order(1, VERIFIED).await, 202).await;
    shopper.pass(61).await;
    shopper.placed(1).await;
}

/// A household's cart, several times a day; now and then a bank declines, or something is sold out.
#[tokio::test]
async fn unverified_accounts_that_pay_notice_nothing() {
    let shopper = Shopper::start().await;
    let (service, cart) = (&shopper.world.service, 30);
    for _ in 0..2 * OPEN_ORDERS {
        let paid = shopper.waits(cart).await;
        let (payment_id, amount) = (PaymentId::new(), Money::new(500 * cart, Currency::EUR));
        service.publish(&PaymentCaptured { order_id: paid, payment_id, amount }).await;
        shopper.world.reaches(paid, "paid").await;
        let declined = shopper.placed(cart).await;
        service.publish(&stock_reserved(declined)).await;
        service.publish(&failed(declined)).await;
        shopper.world.reaches(declined, "cancelled").await;
        let sold_out = shopper.placed(cart).await;
        service.publish(&stock_rejected(sold_out)).await;
        shopper.world.reaches(sold_out, "rejected").await;
    }
}
