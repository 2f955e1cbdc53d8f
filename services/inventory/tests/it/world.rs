//! What the tests share: orders, stock, and how to look at it.

use chrono::{TimeDelta, Utc};
use contracts::events::{
    CancelReason, Event, OrderCancelled, OrderExpired, OrderLine, OrderPaid, OrderPlaced,
    OrderRejected, OrderRestockRequested, ProductCreated, ProductDeletionRequested,
    ProductDeletionWithdrawn, ProductUpdated, ProductVariant,
};
use contracts::{Currency, Money, OrderId, ProductId, Sku, UserId};
use inventory::Inventory;
use inventory::db::{self, Reason};
use inventory::stock::Levels;
use kit::testing::{Running, eventually};
use sqlx::PgPool;

pub(crate) fn sku(text: &str) -> Sku {
    text.parse().unwrap()
}

/// An order of these lines.
pub(crate) struct Order {
    pub(crate) id: OrderId,
    user: UserId,
    lines: Vec<OrderLine>,
}

impl Order {
    pub(crate) fn of(lines: &[(&str, u32)]) -> Self {
        let line = |(code, quantity): &(&str, u32)| OrderLine {
            product_id: ProductId::new(),
            sku: sku(code),
            name: (*code).to_owned(),
            quantity: *quantity,
            unit_price: Money::new(100, Currency::EUR),
        };
        Self { id: OrderId::new(), user: UserId::new(), lines: lines.iter().map(line).collect() }
    }

    pub(crate) fn placed(&self) -> OrderPlaced {
        OrderPlaced {
            order_id: self.id,
            user_id: self.user,
            lines: self.lines.clone(),
            total: Money::new(100, Currency::EUR),
            expires_at: Utc::now() + TimeDelta::minutes(30),
            source: None,
        }
    }

    pub(crate) fn paid(&self) -> OrderPaid {
        let total = Money::new(100, Currency::EUR);
        let lines = self.lines.clone();
        OrderPaid { order_id: self.id, user_id: self.user, lines, total, source: None }
    }

    pub(crate) fn cancelled(&self) -> OrderCancelled {
        let reason = CancelReason::ByCustomer;
        OrderCancelled { order_id: self.id, user_id: self.user, reason }
    }

    pub(crate) fn expired(&self) -> OrderExpired {
        OrderExpired { order_id: self.id, user_id: self.user }
    }

    pub(crate) fn restock_requested(&self) -> OrderRestockRequested {
        OrderRestockRequested { order_id: self.id, user_id: self.user }
    }

    pub(crate) fn rejected(&self) -> OrderRejected {
        OrderRejected { order_id: self.id, user_id: self.user, shortages: Vec::new() }
    }
}

/// Starts the service where the catalog does not answer.
pub(crate) async fn start() -> Running {
    start_with(&[]).await
}

/// Starts the service configured further by these variables.
pub(crate) async fn start_with(further: &[(&str, &str)]) -> Running {
    let mut variables = vec![("CATALOG_GRPC_URL", "http://127.0.0.1:9")];
    variables.extend(further);
    Running::start::<Inventory>(&variables).await
}

/// A product of the catalog; its first SKU is its own, the others are variants.
pub(crate) struct Product {
    pub(crate) id: ProductId,
    pub(crate) seller: UserId,
    pub(crate) skus: Vec<Sku>,
}

impl Product {
    pub(crate) fn of(skus: &[&str]) -> Self {
        Self::sold_by(UserId::new(), skus)
    }

    pub(crate) fn sold_by(seller: UserId, skus: &[&str]) -> Self {
        Self { id: ProductId::new(), seller, skus: skus.iter().map(|code| sku(code)).collect() }
    }

    fn variants(&self) -> Vec<ProductVariant> {
        let variant = |sku: &Sku| ProductVariant {
            sku: sku.clone(),
            name: sku.to_string(),
            price: Money::new(100, Currency::EUR),
        };
        self.skus[1..].iter().map(variant).collect()
    }

    pub(crate) fn created(&self) -> ProductCreated {
        ProductCreated {
            product_id: self.id,
            sku: self.skus[0].clone(),
            name: "Mug".to_owned(),
            price: Money::new(100, Currency::EUR),
            seller_id: self.seller,
            variants: self.variants(),
        }
    }

    pub(crate) fn updated(&self) -> ProductUpdated {
        ProductUpdated {
            product_id: self.id,
            sku: self.skus[0].clone(),
            name: "Mug".to_owned(),
            price: Money::new(100, Currency::EUR),
            on_sale: true,
            seller_id: Some(self.seller),
            variants: self.variants(),
        }
    }

    pub(crate) fn deletion_requested(&self) -> ProductDeletionRequested {
        ProductDeletionRequested { product_id: self.id, skus: self.skus.clone() }
    }

    pub(crate) fn deletion_withdrawn(&self) -> ProductDeletionWithdrawn {
        ProductDeletionWithdrawn { product_id: self.id, skus: self.skus.clone() }
    }
}

/// Puts units into stock.
pub(crate) async fn supply(pool: &PgPool, code: &str, quantity: i64) {
    let mut tx = pool.begin().await.unwrap();
    db::supply(&mut tx, &sku(code), quantity, None, &Reason::default()).await.unwrap();
    tx.commit().await.unwrap();
}

/// The levels of a SKU as its row says.
pub(crate) async fn levels(pool: &PgPool, code: &str) -> Levels {
    let (available, reserved) =
        sqlx::query_as("SELECT available, reserved FROM stock WHERE sku = $1")
            .bind(code)
            .fetch_one(pool)
            .await
            .unwrap();
    Levels { available, reserved }
}

/// The state of an order's reservation.
pub(crate) async fn state(pool: &PgPool, order: &Order) -> Option<String> {
    sqlx::query_scalar("SELECT state FROM reservations WHERE order_id = $1")
        .bind(order.id.uuid())
        .fetch_optional(pool)
        .await
        .unwrap()
}

/// Waits until the reservation of an order is in a state.
pub(crate) async fn until(pool: &PgPool, order: &Order, wanted: &str) {
    eventually(&format!("the reservation is {wanted}"), async || {
        (state(pool, order).await.as_deref() == Some(wanted)).then_some(())
    })
    .await;
}

/// How many events of this type inventory has told about the order.
pub(crate) async fn told(pool: &PgPool, order: &Order, event: &str) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM outbox WHERE aggregate_id = $1 AND type = $2")
        .bind(order.id.uuid())
        .bind(format!("io.shop-operator.{event}.v1"))
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Waits until so many events have taken effect.
pub(crate) async fn processed(running: &Running, count: i64) {
    eventually(&format!("{count} events are processed"), async || {
        let noted: i64 = sqlx::query_scalar("SELECT count(*) FROM inbox")
            .fetch_one(running.pool())
            .await
            .ok()?;
        (noted >= count).then_some(())
    })
    .await;
}

/// All events of this type that were told, the first first.
pub(crate) async fn all_told<E: Event>(pool: &PgPool) -> Vec<E> {
    let told: Vec<serde_json::Value> =
        sqlx::query_scalar("SELECT payload FROM outbox WHERE type = $1 ORDER BY seq")
            .bind(E::TYPE)
            .fetch_all(pool)
            .await
            .unwrap();
    told.into_iter().map(|payload| serde_json::from_value(payload).unwrap()).collect()
}
