//! What orders do about stock and payments. An event that does not fit the state of its order is
//! decided here, each in its own way; one that contradicts the order becomes a dead letter, which
//! people look at.

use contracts::OrderId;
use contracts::events::{
    CancelReason, PaymentActionRequired, PaymentCaptured, PaymentFailed, PaymentRefundRequested,
    PaymentRefunded, StockRejected, StockReleased, StockReserved,
};
use kit::inbox::{Delivery, Handle, Inbox};
use kit::subscription::HandlerError;
use sqlx::{PgConnection, PgPool};

use crate::db;
use crate::event::{Cause, Event, State};
use crate::order::Order;
use crate::saga::Saga;

impl Saga {
    /// Everything that orders listen to.
    pub fn inbox(self, consumer: &'static str, pool: PgPool) -> Inbox {
        Inbox::new(consumer, pool)
            .on::<StockReserved>(self.clone())
            .on::<StockRejected>(self.clone())
            .on::<StockReleased>(self.clone())
            .on::<PaymentCaptured>(self.clone())
            .on::<PaymentFailed>(self.clone())
            .on::<PaymentActionRequired>(self.clone())
            .on::<PaymentRefundRequested>(self.clone())
            .on::<PaymentRefunded>(self)
    }
}

async fn locked(tx: &mut PgConnection, id: OrderId) -> Result<Order, HandlerError> {
    let order = db::lock(tx, id).await?;
    order.ok_or_else(|| HandlerError::permanent(format!("there is no order {id}")))
}

impl Handle<StockReserved> for Saga {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<StockReserved>,
    ) -> Result<(), HandlerError> {
        let order = locked(tx, delivery.event.order_id).await?;
        if order.state.has_ended() {
            // The order's end follows its placing on the same topic and under the same key, so
            // inventory hears of it after this reservation, and releases it.
            tracing::info!(state = order.state.word(), "stock was reserved for an ended order");
            return Ok(());
        }
        let event = Event::Reserved { until: delivery.event.expires_at };
        self.advance(tx, Some(&order), &event, Cause::event(delivery.id)).await?;
        Ok(())
    }
}

impl Handle<StockRejected> for Saga {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<StockRejected>,
    ) -> Result<(), HandlerError> {
        let order = locked(tx, delivery.event.order_id).await?;
        if order.state.has_ended() {
            // Nothing is held, and nothing more is to happen.
            return Ok(());
        }
        let event = if order.state == State::Cancelling {
            // The reservation had run out and the units were sold: there is nothing to put back.
            Event::Restocked {}
        } else {
            Event::Rejected { shortages: delivery.event.shortages.clone() }
        };
        self.advance(tx, Some(&order), &event, Cause::event(delivery.id)).await?;
        Ok(())
    }
}

impl Handle<StockReleased> for Saga {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<StockReleased>,
    ) -> Result<(), HandlerError> {
        let order = locked(tx, delivery.event.order_id).await?;
        // A hold that has run out says nothing of goods that an order gives back; and what an order gives
        // up before it is paid, nobody waits for.
        if !delivery.event.expired && order.awaits_goods() {
            self.advance(tx, Some(&order), &Event::Restocked {}, Cause::event(delivery.id)).await?;
        }
        Ok(())
    }
}

impl Handle<PaymentCaptured> for Saga {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<PaymentCaptured>,
    ) -> Result<(), HandlerError> {
        let PaymentCaptured { order_id, payment_id, amount } = delivery.event;
        let order = locked(tx, order_id).await?;
        let event = if order.state.has_ended() {
            // The order was given up while the provider was charging: the money goes back.
            Event::RefundRequested { payment_id, amount }
        } else if amount == order.total {
            Event::Paid { payment_id }
        } else {
            let told = format!("{amount} was taken for an order of {}", order.total);
            return Err(HandlerError::permanent(told));
        };
        self.advance(tx, Some(&order), &event, Cause::event(delivery.id)).await?;
        Ok(())
    }
}

impl Handle<PaymentFailed> for Saga {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<PaymentFailed>,
    ) -> Result<(), HandlerError> {
        let order = locked(tx, delivery.event.order_id).await?;
        if order.state.has_ended() {
            // No money was taken, and nothing more is to happen.
            return Ok(());
        }
        let event = Event::Cancelled {
            reason: CancelReason::PaymentDeclined,
            detail: Some(delivery.event.reason.clone()),
        };
        self.advance(tx, Some(&order), &event, Cause::event(delivery.id)).await?;
        Ok(())
    }
}

impl Handle<PaymentActionRequired> for Saga {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<PaymentActionRequired>,
    ) -> Result<(), HandlerError> {
        let order = locked(tx, delivery.event.order_id).await?;
        // Until then the units are held from others for a shopper who may never confirm.
        if order.state == State::Reserved {
            db::begin_second_step(tx, order.id).await?;
        }
        Ok(())
    }
}

impl Handle<PaymentRefundRequested> for Saga {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<PaymentRefundRequested>,
    ) -> Result<(), HandlerError> {
        let order = locked(tx, delivery.event.order_id).await?;
        // It takes effect on shipping alone.
        if order.state == State::Paid {
            db::record_requested_refund(tx, order.id, delivery.event.requested_total).await?;
        }
        Ok(())
    }
}

impl Handle<PaymentRefunded> for Saga {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<PaymentRefunded>,
    ) -> Result<(), HandlerError> {
        let PaymentRefunded { order_id, payment_id, amount, refunded_total: total } =
            delivery.event;
        let order = locked(tx, order_id).await?;
        let event = Event::Refunded { payment_id, amount, total };
        self.advance(tx, Some(&order), &event, Cause::event(delivery.id)).await?;
        Ok(())
    }
}
