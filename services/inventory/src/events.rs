//! What inventory does about the events of orders: hold, commit, give back. An event that comes
//! twice, late, or in an order that nobody thought of leaves the stock as it should be.

use std::sync::LazyLock;
use std::time::Duration;

use contracts::OrderId;
use contracts::events::{
    OrderCancelled, OrderExpired, OrderPaid, OrderPlaced, OrderRejected, Shortage, StockCommitted,
    StockRejected, StockReleased, StockReserved,
};
use kit::inbox::{Delivery, Handle, Inbox};
use kit::metric;
use kit::outbox::Outbox;
use kit::subscription::HandlerError;
use prometheus::IntCounterVec;
use sqlx::{PgConnection, PgPool};

use crate::db;
use crate::stock::{Demand, Kind, State, Step, when_ended, when_paid};

/// Counted before the commit, so that a retried event counts again.
static RESERVATIONS: LazyLock<IntCounterVec> =
    metric!(counter, "reservations_total", "Reservations by what became of them.", &["outcome"]);

/// Counts what became of a reservation.
pub(crate) fn count(state: State) {
    let outcome = match state {
        State::Pending => "reserved",
        State::Rejected => "rejected",
        State::Committed => "committed",
        State::Released => "released",
        State::Expired => "expired",
        State::Returned => "returned",
    };
    RESERVATIONS.with_label_values(&[outcome]).inc();
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
        Inbox::new(consumer, pool)
            .on::<OrderPlaced>(self.clone())
            .on::<OrderPaid>(self.clone())
            .on::<OrderCancelled>(self.clone())
            .on::<OrderExpired>(self.clone())
            .on::<OrderRejected>(self)
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

    /// Holds what the order needs, or says what there is too little of; tells what is low by it.
    async fn reserve(
        &self,
        tx: &mut PgConnection,
        order: OrderId,
        demand: &Demand,
    ) -> Result<Vec<Shortage>, HandlerError> {
        let db::Reserved { shortages, low } = db::reserve(tx, order, demand).await?;
        for event in &low {
            self.outbox.append(tx, event).await?;
        }
        Ok(shortages)
    }

    async fn commit(&self, tx: &mut PgConnection, order: OrderId) -> Result<(), HandlerError> {
        db::settle(tx, order, Kind::Commit).await?;
        db::set_state(tx, order, State::Committed).await?;
        count(State::Committed);
        self.outbox.append(tx, &StockCommitted { order_id: order }).await?;
        Ok(())
    }

    async fn reject(
        &self,
        tx: &mut PgConnection,
        order: OrderId,
        shortages: Vec<Shortage>,
    ) -> Result<(), HandlerError> {
        count(State::Rejected);
        self.outbox.append(tx, &StockRejected { order_id: order, shortages }).await?;
        Ok(())
    }

    /// The order is over; what it held or had can be sold again.
    async fn ended(&self, tx: &mut PgConnection, order: OrderId) -> Result<(), HandlerError> {
        let (kind, state) = match when_ended(db::lock(tx, order).await?) {
            Step::Release => (Kind::Release, State::Released),
            Step::Return => (Kind::Return, State::Returned),
            Step::Close => return Ok(db::close(tx, order).await?),
            _ => return Ok(()),
        };
        give_back(&self.outbox, tx, order, kind, state).await?;
        Ok(())
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
    db::settle(tx, order, kind).await?;
    db::set_state(tx, order, state).await?;
    count(state);
    let expired = state == State::Expired;
    outbox.append(tx, &StockReleased { order_id: order, expired }).await?;
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
        count(State::Pending);
        self.outbox.append(tx, &StockReserved { order_id, expires_at }).await?;
        Ok(())
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
}

impl Handle<OrderCancelled> for Orders {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<OrderCancelled>,
    ) -> Result<(), HandlerError> {
        self.ended(tx, delivery.event.order_id).await
    }
}

impl Handle<OrderExpired> for Orders {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<OrderExpired>,
    ) -> Result<(), HandlerError> {
        self.ended(tx, delivery.event.order_id).await
    }
}

impl Handle<OrderRejected> for Orders {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<OrderRejected>,
    ) -> Result<(), HandlerError> {
        self.ended(tx, delivery.event.order_id).await
    }
}
