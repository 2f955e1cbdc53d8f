//! A cart service with its surroundings, and words for what tests do to it.

use std::sync::Arc;

use contracts::{ProductId, UserId};
use kit::testing::{Running, engine};
use redis::AsyncCommands;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use crate::peers::Shelf;

pub(crate) struct World {
    pub(crate) service: Arc<Running>,
    pub(crate) shelf: Shelf,
    /// Two things on sale: at 19.99 and at 5.00, ten of each in stock.
    pub(crate) things: [ProductId; 2],
    pub(crate) redis: redis::aio::MultiplexedConnection,
}

/// Who sends requests.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    User(UserId),
    Guest(String),
    Nobody,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With these variables on top.
    pub(crate) async fn start_with(further: &[(&str, &str)]) -> Self {
        let shelf = Shelf::default();
        let url = shelf.serve().await;
        let mut variables =
            vec![("CATALOG_GRPC_URL", url.as_str()), ("INVENTORY_GRPC_URL", url.as_str())];
        variables.extend(further);
        let service = Running::start::<cart::Cart>(&variables).await;
        let things = [ProductId::new(), ProductId::new()];
        shelf.offer(things[0], 1999, true);
        shelf.offer(things[1], 500, true);
        shelf.stock(things[0], 10);
        shelf.stock(things[1], 10);
        let client = redis::Client::open(engine("TEST_REDIS_URL")).unwrap();
        let redis = client.get_multiplexed_async_connection().await.unwrap();
        Self { service: Arc::new(service), shelf, things, redis }
    }

    pub(crate) fn request(&self, who: &Who, method: &str, path: &str) -> RequestBuilder {
        let path = format!("/api/v1/cart{path}");
        match who {
            Who::User(user) => self.service.request_as(*user, &[], method, &path),
            Who::Guest(token) => self.service.request(method, &path).header("X-Cart-Token", token),
            Who::Nobody => self.service.request(method, &path),
        }
    }

    pub(crate) async fn read(&self, who: &Who) -> Value {
        json_of(self.request(who, "GET", "").send().await.unwrap(), 200).await
    }

    pub(crate) async fn try_add(
        &self,
        who: &Who,
        product: ProductId,
        quantity: impl Into<Value>,
    ) -> Response {
        let body = json!({ "product_id": product, "quantity": quantity.into() });
        self.request(who, "POST", "/items").json(&body).send().await.unwrap()
    }

    pub(crate) async fn add(&self, who: &Who, product: ProductId, quantity: u32) -> Value {
        json_of(self.try_add(who, product, quantity).await, 200).await
    }

    pub(crate) async fn try_set(
        &self,
        who: &Who,
        product: ProductId,
        quantity: impl Into<Value>,
    ) -> Response {
        let body = json!({ "quantity": quantity.into() });
        self.request(who, "PUT", &format!("/items/{product}")).json(&body).send().await.unwrap()
    }

    pub(crate) async fn set(&self, who: &Who, product: ProductId, quantity: u32) -> Value {
        json_of(self.try_set(who, product, quantity).await, 200).await
    }

    /// A guest with a new cart.
    pub(crate) async fn guest(&self) -> Who {
        let answer = self.request(&Who::Nobody, "POST", "").send().await.unwrap();
        let header = answer.headers()["x-cart-token"].to_str().unwrap().to_owned();
        assert_eq!(json_of(answer, 201).await["token"], header.as_str());
        Who::Guest(header)
    }

    /// Seconds that a user's cart has still to live; -2 when there is none.
    pub(crate) async fn life(&self, user: UserId) -> i64 {
        self.redis.clone().ttl(format!("cart:{user}")).await.unwrap()
    }

    pub(crate) async fn set_life(&self, user: UserId, seconds: i64) {
        let () = self.redis.clone().expire(format!("cart:{user}"), seconds).await.unwrap();
    }
}

/// A user with nothing in the cart.
pub(crate) fn somebody() -> (UserId, Who) {
    let user = UserId::new();
    (user, Who::User(user))
}

/// Product and quantity of each line, in order.
pub(crate) fn contents(cart: &Value) -> Vec<(ProductId, u64)> {
    let items = cart["items"].as_array().unwrap().iter();
    items
        .map(|item| {
            let product = item["product_id"].as_str().unwrap().parse().unwrap();
            (product, item["quantity"].as_u64().unwrap())
        })
        .collect()
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
