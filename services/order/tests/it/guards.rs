//! What keeps an order from being placed: the cart or the total is another one, or it is ordered already.

use std::sync::Arc;

use contracts::OrderId;
use contracts::events::{OrderPaid, OrderPlaced, OrderSource};
use futures_util::future::join_all;
use kit::testing::eventually;
use reqwest::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{World, captured, json_of, pointers, stock_rejected, stock_reserved};

/// A shopper whose cart has one line.
struct Shopper {
    world: Arc<World>,
    token: String,
}

impl Shopper {
    fn new(world: &Arc<World>) -> Self {
        let token = world.service.signer.token(world.user, &[]);
        Self { world: Arc::clone(world), token }
    }

    /// The cart has three of the second product, 15.00 together, and this version.
    fn cart(&self, version: i64) {
        let line = json!({ "product_id": self.world.things[1], "quantity": 3 });
        self.world.trolleys.fill_version(&self.token, &json!([line]), version);
    }

    /// Sent again while the service is too busy: of many at once some find no connection in time.
    async fn check_out(&self, body: &Value) -> Response {
        let key = Uuid::now_v7().to_string();
        eventually("the service answers", async || {
            let request = self.world.service.request("POST", "/api/v1/orders");
            let request = request.bearer_auth(&self.token).header("Idempotency-Key", &key);
            let answer = request.json(body).send().await.unwrap();
            (answer.status() != 503).then_some(answer)
        })
        .await
    }

    /// Orders the cart.
    async fn placed(&self) -> OrderId {
        id(&json_of(self.check_out(&json!({})).await, 202).await)
    }

    /// The cart is not ordered, because this order has it.
    async fn held_by(&self, order: OrderId) {
        let problem = json_of(self.check_out(&json!({})).await, 409).await;
        assert_eq!(problem["type"], "/problems/order-open");
        assert_eq!(problem["order_id"], json!(order));
    }
}

fn id(order: &Value) -> OrderId {
    order["id"].as_str().unwrap().parse().unwrap()
}

async fn cancel(world: &World, order: OrderId) {
    json_of(world.post(&format!("/api/v1/orders/{order}/cancel")).await, 200).await;
}

#[tokio::test]
async fn a_cart_that_has_changed_is_not_ordered() {
    let world = Arc::new(World::start().await);
    let shopper = Shopper::new(&world);
    shopper.cart(8);
    let problem = json_of(shopper.check_out(&json!({ "cart_version": 7 })).await, 412).await;
    assert_eq!(problem["type"], "/problems/cart-changed");
    assert_eq!(problem["cart_version"], 8);
    // It is empty now, which is a change too.
    world.trolleys.fill_version(&shopper.token, &json!([]), 9);
    json_of(shopper.check_out(&json!({ "cart_version": 8 })).await, 412).await;
    let items = json!({ "items": world.wish()["items"], "cart_version": 9 });
    assert_eq!(pointers(shopper.check_out(&items).await).await, ["/cart_version"]);
    assert_eq!(world.get("/api/v1/orders").await["items"], json!([]), "nothing was placed");

    shopper.cart(10);
    let order = id(&json_of(shopper.check_out(&json!({ "cart_version": 10 })).await, 202).await);
    let placed = world.service.published::<OrderPlaced>(order.uuid()).await;
    let source = OrderSource::Cart { id: world.user.to_string(), version: Some(10) };
    assert_eq!(placed.source, Some(source));
}

#[tokio::test]
async fn a_total_that_has_changed_is_not_ordered() {
    let world = Arc::new(World::start().await);
    let shopper = Shopper::new(&world);
    shopper.cart(1);
    let euros = |amount: i64| json!({ "amount": amount, "currency": "EUR" });
    let expect = |total: Value| json!({ "expected_total": total });
    // The price rises, or falls, after the cart was shown.
    for price in [501, 499] {
        world.shelf.offer(world.things[1], price, true);
        let problem = json_of(shopper.check_out(&expect(euros(1500))).await, 409).await;
        assert_eq!(problem["type"], "/problems/total-changed");
        assert_eq!(problem["total"], euros(3 * price));
    }
    let dollars = json!({ "amount": 1497, "currency": "USD" });
    json_of(shopper.check_out(&expect(dollars)).await, 409).await;
    assert_eq!(world.get("/api/v1/orders").await["items"], json!([]), "nothing was placed");
    let order = json_of(shopper.check_out(&expect(euros(1497))).await, 202).await;
    assert_eq!(order["total"], euros(1497));
}

#[tokio::test]
async fn an_open_order_holds_its_cart_until_it_ends_and_a_paid_one_until_the_cart_changes() {
    let world = Arc::new(World::start().await);
    let shopper = Shopper::new(&world);
    shopper.cart(1);
    let first = shopper.placed().await;
    shopper.held_by(first).await;
    // Something was put into it meanwhile: its other lines are still ordered.
    shopper.cart(2);
    shopper.held_by(first).await;
    cancel(&world, first).await;
    let second = shopper.placed().await;
    shopper.held_by(second).await;
    world.service.publish(&stock_rejected(second)).await;
    world.reaches(second, "rejected").await;

    let third = shopper.placed().await;
    world.service.publish(&stock_reserved(third)).await;
    world.reaches(third, "reserved").await;
    world.let_time_pass(third).await;
    world.reaches(third, "expired").await;
    let rows = "SELECT count(*) FROM open_carts";
    let left: i64 = sqlx::query_scalar(rows).fetch_one(world.service.pool()).await.unwrap();
    assert_eq!(left, 0, "what has ended holds nothing");

    let fourth = shopper.placed().await;
    world.service.publish(&stock_reserved(fourth)).await;
    world.service.publish(&captured_total(fourth, 1500)).await;
    world.reaches(fourth, "paid").await;
    let paid = world.service.published::<OrderPaid>(fourth.uuid()).await;
    let source = OrderSource::Cart { id: world.user.to_string(), version: Some(2) };
    assert_eq!(paid.source, Some(source), "the cart hears of which one was bought");
    // The cart has not forgotten what was bought yet.
    shopper.held_by(fourth).await;
    shopper.cart(3);
    shopper.placed().await;
}

/// Versions are times of the cart's clock, which may have been ahead.
#[tokio::test]
async fn a_paid_order_holds_its_cart_for_an_hour_even_when_it_is_shipped() {
    let world = Arc::new(World::start().await);
    let shopper = Shopper::new(&world);
    let paid = async || {
        let order = shopper.placed().await;
        world.service.publish(&stock_reserved(order)).await;
        world.service.publish(&captured_total(order, 1500)).await;
        world.reaches(order, "paid").await;
        order
    };
    shopper.cart(86_400_000);
    let first = paid().await;
    shopper.cart(5);
    shopper.held_by(first).await;
    let hour = "UPDATE orders SET updated_at = updated_at - interval '1 hour' WHERE id = $1";
    sqlx::query(hour).bind(first.uuid()).execute(world.service.pool()).await.unwrap();
    let second = paid().await;
    shopper.held_by(second).await;
    json_of(world.post_as_staff(&format!("/api/v1/orders/{second}/ship")).await, 200).await;
    shopper.held_by(second).await;
}

fn captured_total(order: OrderId, amount: i64) -> contracts::events::PaymentCaptured {
    let amount = contracts::Money::new(amount, contracts::Currency::EUR);
    contracts::events::PaymentCaptured { amount, ..captured(order) }
}

#[tokio::test]
async fn items_are_ordered_beside_a_cart_that_is_held() {
    let world = Arc::new(World::start().await);
    let shopper = Shopper::new(&world);
    shopper.cart(1);
    let order = shopper.placed().await;
    let items = world.place().await;
    let placed = world.service.published::<OrderPlaced>(items.uuid()).await;
    assert_eq!(placed.source, Some(OrderSource::Items));
    shopper.held_by(order).await;
}

/// Each with a key of its own, as two tabs send them.
#[tokio::test(flavor = "multi_thread")]
async fn many_checkouts_of_one_cart_at_once_are_one_order() {
    const ROUNDS: i64 = 12;
    let world = Arc::new(World::start().await);
    let shopper = Shopper::new(&world);
    for round in 1..=ROUNDS {
        shopper.cart(round);
        let body = json!({});
        let answers = join_all((0..6).map(|_| shopper.check_out(&body))).await;
        let (mut orders, mut holders) = (Vec::new(), Vec::new());
        for answer in answers {
            if answer.status() == 202 {
                orders.push(json_of(answer, 202).await["id"].clone());
            } else {
                holders.push(json_of(answer, 409).await["order_id"].clone());
            }
        }
        assert_eq!(orders.len(), 1, "round {round}: {orders:?}");
        assert_eq!(holders, vec![orders[0].clone(); 5], "round {round}");
        cancel(&world, orders[0].as_str().unwrap().parse().unwrap()).await;
    }
    let placed: i64 = sqlx::query_scalar("SELECT count(*) FROM orders")
        .fetch_one(world.service.pool())
        .await
        .unwrap();
    assert_eq!(placed, ROUNDS);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_three_open_orders_at_most_also_at_once() {
    let open = contracts::limits::OPEN_ORDERS;
    let world = World::start_with(&[("OPEN_ORDERS", &open.to_string())]).await;
    let answers = join_all(
        (0..4 * open).map(async |n| world.try_place_when_busy(&n.to_string(), &world.wish()).await),
    );
    let (mut orders, mut refused) = (Vec::new(), Vec::new());
    for answer in answers.await {
        if answer.status() == 202 {
            orders.push(id(&json_of(answer, 202).await));
        } else {
            refused.push(json_of(answer, 409).await);
        }
    }
    assert_eq!((orders.len(), refused.len()), (open, 3 * open));
    orders.sort_unstable();
    for problem in refused {
        assert_eq!(problem["type"], "/problems/too-many-open-orders");
        assert_eq!(problem["order_ids"], json!(orders));
    }
    // One that is paid, and one that has ended, make room.
    world.service.publish(&stock_reserved(orders[0])).await;
    world.service.publish(&captured(orders[0])).await;
    world.reaches(orders[0], "paid").await;
    cancel(&world, orders[1]).await;
    for key in ["a", "b"] {
        json_of(world.try_place(key, &world.wish()).await, 202).await;
    }
    json_of(world.try_place("c", &world.wish()).await, 409).await;

    // Others have room of their own.
    let other = world.service.request_as(contracts::UserId::new(), &[], "POST", "/api/v1/orders");
    let other = other.header("Idempotency-Key", "k").json(&world.wish()).send().await.unwrap();
    json_of(other, 202).await;
}

#[tokio::test]
async fn an_accounts_open_orders_hold_so_many_units_at_most() {
    let world = World::start_with(&[("OPEN_UNITS", "5")]).await;
    let items = |quantity: u32| json!({ "items": [{ "product_id": world.things[0], "quantity": quantity }] });
    let problem = json_of(world.try_place("a", &items(6)).await, 409).await;
    assert_eq!(problem["type"], "/problems/too-many-open-orders");
    let order = id(&json_of(world.try_place("b", &items(4)).await, 202).await);
    json_of(world.try_place("c", &items(2)).await, 409).await;
    json_of(world.try_place("d", &items(1)).await, 202).await;
    cancel(&world, order).await;
    json_of(world.try_place("e", &items(4)).await, 202).await;
}
