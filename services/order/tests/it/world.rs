//! An order service with its surroundings, and words for what tests do to it.

use contracts::events::{
    Event, PaymentCaptured, PaymentFailed, Shortage, StockRejected, StockReserved,
};
use contracts::{Currency, EventId, Money, OrderId, PaymentId, ProductId, UserId};
use kit::auth::Role;
use kit::outbox::Outbox;
use kit::redis::Settings;
use kit::secret::Secret;
use kit::testing::{Running, engine, eventually};
use order::cache::Cache;
use order::order::Order;
use order::saga::Saga;
use reqwest::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::peers::{Shelf, Trolleys};

pub(crate) struct World {
    pub(crate) service: Running,
    pub(crate) shelf: Shelf,
    pub(crate) trolleys: Trolleys,
    pub(crate) user: UserId,
    /// Two things on sale: at 19.99 and at 5.00.
    pub(crate) things: [ProductId; 2],
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With these variables on top. Most tests are about many orders of one account: few of them have a limit.
    pub(crate) async fn start_with(further: &[(&str, &str)]) -> Self {
        let (shelf, trolleys) = (Shelf::default(), Trolleys::default());
        let (catalog, cart) = (shelf.serve().await, trolleys.serve().await);
        let mut variables =
            vec![("CATALOG_GRPC_URL", catalog.as_str()), ("CART_HTTP_URL", cart.as_str())];
        variables.extend([("OPEN_ORDERS", "1000"), ("OPEN_UNITS", "1000000")]);
        variables.extend_from_slice(further);
        let service = Running::start::<order::Order>(&variables).await;
        let things = [ProductId::new(), ProductId::new()];
        shelf.offer(things[0], 1999, true);
        shelf.offer(things[1], 500, true);
        Self { service, shelf, trolleys, user: UserId::new(), things }
    }

    pub(crate) async fn post(&self, path: &str) -> Response {
        self.service.request_as(self.user, &[], "POST", path).send().await.unwrap()
    }

    pub(crate) async fn post_as_staff(&self, path: &str) -> Response {
        let staff = UserId::new();
        self.service.request_as(staff, &[Role::Admin], "POST", path).send().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.service.request_as(self.user, &[], "GET", path).send().await.unwrap();
        json_of(answer, 200).await
    }

    pub(crate) async fn try_place(&self, key: &str, body: &Value) -> Response {
        let request = self.service.request_as(self.user, &[], "POST", "/api/v1/orders");
        request.header("Idempotency-Key", key).json(body).send().await.unwrap()
    }

    /// The same, sent again while the service is too busy: of many at once some find no connection in time.
    pub(crate) async fn try_place_when_busy(&self, key: &str, body: &Value) -> Response {
        eventually("the service answers", async || {
            let answer = self.try_place(key, body).await;
            (answer.status() != 503).then_some(answer)
        })
        .await
    }

    /// Two of the first thing and one of the second, 44.98 together.
    pub(crate) fn wish(&self) -> Value {
        json!({ "items": [
            { "product_id": self.things[0], "quantity": 2 },
            { "product_id": self.things[1], "quantity": 1 },
        ]})
    }

    pub(crate) async fn place(&self) -> OrderId {
        let answer = self.try_place(&Uuid::now_v7().to_string(), &self.wish()).await;
        let order = json_of(answer, 202).await;
        order["id"].as_str().unwrap().parse().unwrap()
    }

    /// An order that stock is held for.
    pub(crate) async fn reserved(&self) -> OrderId {
        let order = self.place().await;
        self.service.publish(&stock_reserved(order)).await;
        self.reaches(order, "reserved").await;
        order
    }

    pub(crate) async fn reaches(&self, order: OrderId, state: &str) -> Value {
        eventually(&format!("{order} is {state}"), async || {
            let order = self.get(&format!("/api/v1/orders/{order}")).await;
            (order["status"] == state).then_some(order)
        })
        .await
    }

    /// Tells an event, the same delivery once more, and the same thing under another id; returns
    /// when all three have been dealt with. (Events about one order keep their order.)
    pub(crate) async fn tell_thrice<E: Event>(&self, event: &E) {
        let id = self.service.publish(event).await;
        self.service.publish_as(id, event).await;
        let last = self.service.publish(event).await;
        self.dealt_with(last).await;
    }

    pub(crate) async fn dealt_with(&self, id: EventId) {
        eventually("the event is dealt with", async || {
            sqlx::query("SELECT FROM inbox WHERE event_id = $1")
                .bind(id.uuid())
                .fetch_optional(self.service.pool())
                .await
                .unwrap()
        })
        .await;
    }

    /// Lets the time of an order be over, as if it had been placed long ago.
    pub(crate) async fn let_time_pass(&self, id: OrderId) {
        self.move_end(id, chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(1)).await;
    }

    /// Lets the time of an order end then, as if the clock had another time when it was placed.
    pub(crate) async fn move_end(&self, id: OrderId, end: chrono::DateTime<chrono::Utc>) {
        let end = chrono::SubsecRound::trunc_subsecs(end, 6);
        let mut tx = self.service.pool().begin().await.unwrap();
        let event = "UPDATE order_events SET payload = jsonb_set(payload, '{expires_at}', $2)
             WHERE order_id = $1 AND type = 'placed'";
        let bound = sqlx::query(event).bind(id.uuid()).bind(json!(end));
        bound.execute(&mut *tx).await.unwrap();
        let order = sqlx::query("UPDATE orders SET expires_at = $2 WHERE id = $1");
        order.bind(id.uuid()).bind(end).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The names of an order's events, after checking that they add up to its read model.
    pub(crate) async fn history(&self, id: OrderId) -> Vec<&'static str> {
        let mut connection = self.service.pool().acquire().await.unwrap();
        let history = order::db::history(&mut connection, id).await.unwrap();
        let stored = order::db::find(&mut connection, id).await.unwrap();
        let folded = Order::fold(history.iter().map(|past| (&past.event, past.at))).unwrap();
        assert_eq!(folded, stored);
        history.iter().map(|past| past.event.name()).collect()
    }

    /// What others were told of an order, in order.
    pub(crate) async fn told(&self, id: OrderId) -> Vec<String> {
        let types: Vec<String> =
            sqlx::query_scalar("SELECT type FROM outbox WHERE aggregate_id = $1 ORDER BY seq")
                .bind(id.uuid())
                .fetch_all(self.service.pool())
                .await
                .unwrap();
        let short = |name: &String| {
            let name = name.strip_prefix("io.shop-operator.order.").unwrap();
            name.strip_suffix(".v1").unwrap().to_owned()
        };
        types.iter().map(short).collect()
    }
}

/// Takes steps as the service does.
pub(crate) fn saga() -> Saga {
    Saga::new(Outbox::default(), cache(&engine("TEST_REDIS_URL")))
}

/// The cache of lists at this Redis.
pub(crate) fn cache(url: &str) -> Cache {
    let settings = Settings { url: Secret::new(url), key_prefix: String::new() };
    Cache::new(settings.connect().unwrap())
}

/// The body of an answer that must have this status.
pub(crate) async fn json_of(answer: Response, status: u16) -> Value {
    let (found, body) = (answer.status().as_u16(), answer.text().await.unwrap());
    assert_eq!(found, status, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The pointers of a problem about fields.
pub(crate) async fn pointers(answer: Response) -> Vec<String> {
    let problem = json_of(answer, 422).await;
    assert_eq!(problem["type"], "/problems/invalid-fields");
    let errors = problem["errors"].as_array().unwrap();
    errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}

pub(crate) fn total() -> Money {
    Money::new(4498, Currency::EUR)
}

pub(crate) fn stock_reserved(order_id: OrderId) -> StockReserved {
    StockReserved { order_id, expires_at: chrono::Utc::now() + chrono::TimeDelta::minutes(30) }
}

pub(crate) fn stock_rejected(order_id: OrderId) -> StockRejected {
    let sku = "MUG-1".parse().unwrap();
    StockRejected { order_id, shortages: vec![Shortage { sku, requested: 2, available: 1 }] }
}

pub(crate) fn captured(order_id: OrderId) -> PaymentCaptured {
    PaymentCaptured { order_id, payment_id: PaymentId::new(), amount: total() }
}

pub(crate) fn failed(order_id: OrderId) -> PaymentFailed {
    let reason = "card_declined".to_owned();
    PaymentFailed { order_id, payment_id: PaymentId::new(), reason }
}
