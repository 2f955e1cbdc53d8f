//! What inventory does about the events of orders: hold, commit, give back. An event that comes
//! twice, late, or in an order that nobody thought of leaves the stock as it should be. What it does about
//! products is in [`products`].

mod locks;
mod products;
mod together;

use std::sync::LazyLock;
use std::time::Duration;

use contracts::OrderId;
use contracts::events::{
    OrderCancelled, OrderExpired, OrderPaid, OrderPlaced, OrderRejected, OrderRestockRequested,
    ProductCreated, ProductDeletionRequested, ProductDeletionWithdrawn, ProductUpdated, Shortage,
    StockCommitted, StockRejected, StockReleased, StockReserved,
};
use kit::inbox::{Delivery, Handle, Inbox, Shared};
use kit::metric;
use kit::outbox::Outbox;
use kit::subscription::HandlerError;
use prometheus::IntCounterVec;
use sqlx::{PgConnection, PgPool};

use self::locks::Locks;
use self::products::Products;
use crate::db;
use crate::stock::{Demand, Kind, State, Step, when_ended, when_paid};

/// Counted before the commit, so that a retried event counts again.
static RESERVATIONS: LazyLock<IntCounterVec> =
    metric!(counter, "reservations_total", "Reservations by what became of them.", &["outcome"]);

/// Counts what became of reservations.
fn count(state: State, reservations: usize) {
    let outcome = match state {
        State::Pending => "reserved",
        State::Rejected => "rejected",
        State::Committed => "committed",
        State::Released => "released",
        State::Expired => "expired",
        State::Returned => "returned",
    };
    RESERVATIONS.with_label_values(&[outcome]).inc_by(u64::try_from(reservations).unwrap_or(0));
}

/// Handles the events of orders.
#[derive(Clone, Debug)]
pub struct Orders {
    /// Where events of stock go.
    pub outbox: Outbox,
    /// For how long stock is held for an order that is not paid.
    pub ttl: Duration,
}

impl Orders {
    /// Everything that inventory listens to.
    pub fn inbox(self, consumer: &'static str, pool: PgPool) -> Inbox {
        let products = Products { outbox: self.outbox.clone() };
        Inbox::new(consumer, pool)
            .together(Locks)
            .on::<ProductCreated>(products.clone())
            .on::<ProductUpdated>(products.clone())
            .on::<ProductDeletionRequested>(products.clone())
            .on::<ProductDeletionWithdrawn>(products)
            .on::<OrderPlaced>(self.clone())
            .on::<OrderPaid>(self.clone())
            .on::<OrderCancelled>(self.clone())
            .on::<OrderExpired>(self.clone())
            .on::<OrderRejected>(self.clone())
            .on::<OrderRestockRequested>(self)
    }

    /// The goods leave. `demand` is what was paid for, should it not be held any more.
    async fn paid(
        &self,
        tx: &mut PgConnection,
        order: OrderId,
        demand: &Demand,
    ) -> Result<(), HandlerError> {
        match when_paid(db::lock(tx, order).await?) {
            Step::Commit => self.commit(tx, order).await,
            Step::ReserveAndCommit => {
                // Lines refer to the reservation, which may not exist.
                db::set_state(tx, order, State::Rejected).await?;
                let shortages = self.reserve(tx, order, demand).await?;
                if shortages.is_empty() {
                    self.commit(tx, order).await
                } else {
                    tracing::warn!(order_id = %order, "an order was paid whose stock is gone");
                    self.reject(tx, order, shortages).await
                }
            }
            _ => Ok(()),
        }
    }

    /// Holds what the order needs, or says what there is too little of; tells what is low or gone by it.
    async fn reserve(
        &self,
        tx: &mut PgConnection,
        order: OrderId,
        demand: &Demand,
    ) -> Result<Vec<Shortage>, HandlerError> {
        let db::Reserved { shortages, taken } = db::reserve(tx, order, demand).await?;
        for event in &taken.low {
            self.outbox.append(tx, event).await?;
        }
        for event in &taken.depleted {
            self.outbox.append(tx, event).await?;
        }
        Ok(shortages)
    }

    async fn commit(&self, tx: &mut PgConnection, order: OrderId) -> Result<(), HandlerError> {
        db::settle(tx, order, Kind::Commit).await?;
        db::set_state(tx, order, State::Committed).await?;
        count(State::Committed, 1);
        self.outbox.append(tx, &StockCommitted { order_id: order }).await?;
        Ok(())
    }

    async fn reject(
        &self,
        tx: &mut PgConnection,
        order: OrderId,
        shortages: Vec<Shortage>,
    ) -> Result<(), HandlerError> {
        count(State::Rejected, 1);
        self.outbox.append(tx, &StockRejected { order_id: order, shortages }).await?;
        Ok(())
    }

    /// The order is over; what it held or had can be sold again. Whether anything was there to give back.
    async fn ended(&self, tx: &mut PgConnection, order: OrderId) -> Result<bool, HandlerError> {
        let step = when_ended(db::lock(tx, order).await?);
        if let Some((kind, state)) = step.back() {
            give_back(&self.outbox, tx, order, kind, state).await?;
            return Ok(true);
        }
        if step == Step::Close {
            db::close(tx, order).await?;
        }
        Ok(false)
    }
}

/// Makes the units of a reservation available again and says so.
pub(crate) async fn give_back(
    outbox: &Outbox,
    tx: &mut PgConnection,
    order: OrderId,
    kind: Kind,
    state: State,
) -> Result<(), sqlx::Error> {
    let again = db::settle(tx, order, kind).await?;
    db::set_state(tx, order, state).await?;
    count(state, 1);
    let expired = state == State::Expired;
    outbox.append(tx, &StockReleased { order_id: order, expired }).await?;
    for event in &again {
        outbox.append(tx, event).await?;
    }
    Ok(())
}

impl Handle<OrderPlaced> for Orders {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<OrderPlaced>,
    ) -> Result<(), HandlerError> {
        let order_id = delivery.event.order_id;
        let demand = Demand::of(&delivery.event.lines).map_err(HandlerError::permanent)?;
        let Some(expires_at) = db::open(tx, order_id, self.ttl).await? else {
            return Ok(());
        };
        let shortages = self.reserve(tx, order_id, &demand).await?;
        if !shortages.is_empty() {
            db::set_state(tx, order_id, State::Rejected).await?;
            return self.reject(tx, order_id, shortages).await;
        }
        count(State::Pending, 1);
        self.outbox.append(tx, &StockReserved { order_id, expires_at }).await?;
        Ok(())
    }

    async fn handle_all(
        &self,
        tx: &mut PgConnection,
        events: &[Shared<OrderPlaced>],
    ) -> Result<(), HandlerError> {
        self.place_all(tx, events).await
    }
}

impl Handle<OrderPaid> for Orders {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<OrderPaid>,
    ) -> Result<(), HandlerError> {
        let demand = Demand::of(&delivery.event.lines).map_err(HandlerError::permanent)?;
        self.paid(tx, delivery.event.order_id, &demand).await
    }

    async fn handle_all(
        &self,
        tx: &mut PgConnection,
        events: &[Shared<OrderPaid>],
    ) -> Result<(), HandlerError> {
        self.pay_all(tx, events).await
    }
}

impl Handle<OrderCancelled> for Orders {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<OrderCancelled>,
    ) -> Result<(), HandlerError> {
        self.ended(tx, delivery.event.order_id).await.map(drop)
    }
}

impl Handle<OrderExpired> for Orders {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<OrderExpired>,
    ) -> Result<(), HandlerError> {
        self.ended(tx, delivery.event.order_id).await.map(drop)
    }
}

impl Handle<OrderRejected> for Orders {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<OrderRejected>,
    ) -> Result<(), HandlerError> {
        self.ended(tx, delivery.event.order_id).await.map(drop)
    }
}

impl Handle<OrderRestockRequested> for Orders {
    /// The order waits for an answer before it goes on, so there is one to every request, the repeated ones
    /// and those for which nothing is there to give back included.
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<OrderRestockRequested>,
    ) -> Result<(), HandlerError> {
        let order_id = delivery.event.order_id;
        if !self.ended(tx, order_id).await? {
            self.outbox.append(tx, &StockReleased { order_id, expired: false }).await?;
        }
        Ok(())
    }
}
