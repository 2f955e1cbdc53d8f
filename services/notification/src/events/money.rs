//! Money that came, is asked for, or went back.

use contracts::events::{
    OrderCancelled, OrderPaid, OrderReturned, PaymentActionRequired, PaymentDisputed,
    PaymentRefunded,
};
use contracts::{OrderId, UserId};
use kit::inbox::{Delivery, Handle};
use kit::subscription::HandlerError;
use sqlx::PgConnection;

use super::{News, Teller};
use crate::db::{STAFF, orders};
use crate::letter::Letter;
use crate::live::Step;

impl Handle<OrderPaid> for Teller {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<OrderPaid>,
    ) -> Result<(), HandlerError> {
        let OrderPaid { order_id, user_id, lines, total, .. } = delivery.event.clone();
        let news = News::of(delivery, user_id, order_id, Step::Paid);
        self.step(tx, News { paid: Some(total), ..news }).await?;
        self.write(tx, delivery.id, user_id, &Letter::Paid { order_id, lines, total }).await
    }
}

impl Handle<OrderCancelled> for Teller {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<OrderCancelled>,
    ) -> Result<(), HandlerError> {
        let OrderCancelled { order_id, user_id, reason } = delivery.event;
        self.step(tx, News::of(delivery, user_id, order_id, Step::Cancelled)).await?;
        let refunded = orders::find(tx, order_id).await?.and_then(|order| order.paid);
        let letter = Letter::Cancelled { order_id, reason, refunded };
        self.write(tx, delivery.id, user_id, &letter).await
    }
}

impl Handle<OrderReturned> for Teller {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<OrderReturned>,
    ) -> Result<(), HandlerError> {
        let OrderReturned { order_id, user_id } = delivery.event;
        self.step(tx, News::of(delivery, user_id, order_id, Step::Returned)).await?;
        let refunded = orders::find(tx, order_id).await?.and_then(|order| order.paid);
        self.write(tx, delivery.id, user_id, &Letter::Returned { order_id, refunded }).await
    }
}

impl Handle<PaymentActionRequired> for Teller {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<PaymentActionRequired>,
    ) -> Result<(), HandlerError> {
        let PaymentActionRequired { order_id, user_id, url, .. } = &delivery.event;
        let known = orders::find(tx, *order_id).await?;
        // Payments and orders are told on topics of their own. What the order has left behind is asked of nobody.
        let waits = known.is_none_or(|order| ["pending", "reserved"].contains(&&*order.status));
        if !waits {
            return Ok(());
        }
        let news = News::of(delivery, *user_id, *order_id, Step::ActionRequired);
        self.step(tx, News { url: Some(url), ..news }).await?;
        let letter = Letter::ActionRequired { order_id: *order_id, url: url.clone() };
        self.write(tx, delivery.id, *user_id, &letter).await
    }
}

impl Handle<PaymentRefunded> for Teller {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<PaymentRefunded>,
    ) -> Result<(), HandlerError> {
        let PaymentRefunded { order_id, amount, refunded_total, .. } = delivery.event;
        // A refund of nothing: the order hears how much went back before.
        if amount.amount == 0 {
            return Ok(());
        }
        let total = refunded_total.unwrap_or(amount);
        let known = orders::find(tx, order_id).await?;
        let owner = known.map_or_else(|| unknown(order_id), |order| order.user);
        let letter =
            Letter::Refunded { order_id, amount, total: (total != amount).then_some(total) };
        self.write(tx, delivery.id, owner, &letter).await
    }
}

impl Handle<PaymentDisputed> for Teller {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<PaymentDisputed>,
    ) -> Result<(), HandlerError> {
        let event = delivery.event.clone();
        // While the bank decides there is nothing to do.
        let matters =
            ["won", "lost"].contains(&&*event.status) || event.status.ends_with("needs_response");
        if !self.0.staff || !matters {
            return Ok(());
        }
        let PaymentDisputed { order_id, provider, dispute, reason, status, due_at, .. } = event;
        let letter =
            Letter::PaymentDisputed { order_id, provider, dispute, reason, status, due_at };
        self.write(tx, delivery.id, STAFF.into(), &letter).await
    }
}

/// Whom a letter is addressed to until the owner of the order is known: [`orders::note`] mends it.
fn unknown(order: OrderId) -> UserId {
    order.uuid().into()
}
