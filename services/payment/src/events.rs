//! What payment does about the events of orders: notes what is to be charged, given up or given
//! back. The worker does it; a provider that is slow never holds up the topic or a transaction. And about accounts that
//! are verified: a stranger's methods go.

use contracts::OrderId;
use contracts::events::{
    EmailVerified, OrderCancelled, OrderExpired, OrderRefundRequested, OrderRejected,
    OrderReserved, PaymentFailed,
};
use kit::inbox::{Delivery, Handle, Inbox};
use kit::outbox::Outbox;
use kit::subscription::HandlerError;
use kit::telemetry::traceparent;
use kit::worker::Wake;
use sqlx::{PgConnection, PgPool};

use crate::db::methods::{self, Chargeable};
use crate::db::{self, Asked, New};
use crate::payment::{Means, Token};
use crate::provider::{CreditProvider, Providers, StripeProvider, TestProvider};
use crate::worker::{self, Outcome};

/// Why a payment fails whose token is none, or is that of a provider that takes no new charges here.
pub(crate) const INVALID_TOKEN: &str = "invalid_token";
/// Why a payment fails whose shopper keeps no such method.
const UNKNOWN_METHOD: &str = "unknown_payment_method";

/// Who charges what nobody can.
const NOBODY: &str = "none";

/// Handles the events of orders.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    /// Where events of payments go.
    pub outbox: Outbox,
    /// Wakes the worker.
    pub wake: Wake,
    /// Who there is to charge.
    pub providers: Providers,
}

/// Money cannot go back that never came, or not so much.
#[derive(Debug, thiserror::Error)]
#[error("the order's payment has not so much left to give back")]
struct NotRefundable;

impl Orders {
    /// Everything that payment listens to.
    pub fn inbox(self, consumer: &'static str, pool: PgPool) -> Inbox {
        Inbox::new(consumer, pool)
            .on::<OrderReserved>(self.clone())
            .on::<OrderRefundRequested>(self.clone())
            .on::<OrderCancelled>(self.clone())
            .on::<OrderExpired>(self.clone())
            .on::<OrderRejected>(self.clone())
            .on::<EmailVerified>(self)
    }

    /// What the order is to be paid with, or why that cannot be.
    async fn means(
        &self,
        tx: &mut PgConnection,
        event: &OrderReserved,
    ) -> Result<Result<Chargeable, &'static str>, sqlx::Error> {
        // What may be a card number is not stored, not even to say that it was refused.
        let Ok(token) = Token::try_from(event.payment_token.clone()) else {
            return Ok(Err(INVALID_TOKEN));
        };
        let plain = |provider: &str, token| {
            Ok(Chargeable { provider: provider.to_owned(), token, customer: None })
        };
        let means = match Means::of(token.clone()) {
            Means::Credit => plain(CreditProvider::NAME, token),
            Means::Stripe(token) => plain(StripeProvider::NAME, token),
            Means::Test(token) => plain(TestProvider::NAME, token),
            Means::Saved(id) => {
                let found = methods::chargeable(tx, event.user_id, id).await?;
                found.ok_or(UNKNOWN_METHOD)
            }
        };
        Ok(means.and_then(|means| {
            self.providers.open(&means.provider).map(|_| means).ok_or(INVALID_TOKEN)
        }))
    }

    /// The order has ended: what waits for the shopper waits for nobody.
    async fn give_up(&self, tx: &mut PgConnection, order: OrderId) -> Result<(), HandlerError> {
        if db::give_up(tx, order).await? {
            self.wake.wake();
        }
        Ok(())
    }
}

impl Handle<OrderReserved> for Orders {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<OrderReserved>,
    ) -> Result<(), HandlerError> {
        let event = &delivery.event;
        let means = self.means(tx, event).await?;
        let new = New {
            order: event.order_id,
            user: event.user_id,
            amount: event.total,
            provider: means.as_ref().map_or(NOBODY, |means| &*means.provider),
            customer: means.as_ref().ok().and_then(|means| means.customer.as_deref()),
            traceparent: traceparent(),
        };
        let token = means.as_ref().map(|means| &means.token).map_err(|reason| *reason);
        let stored = db::insert(tx, &new, token).await?;
        match (stored, token) {
            (None, _) => {}
            (Some(_), Ok(_)) => self.wake.wake(),
            (Some(payment_id), Err(reason)) => {
                worker::count(new.provider, Outcome::Failed);
                let (order_id, reason) = (event.order_id, reason.to_owned());
                self.outbox.append(tx, &PaymentFailed { order_id, payment_id, reason }).await?;
            }
        }
        Ok(())
    }
}

impl Handle<OrderRefundRequested> for Orders {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<OrderRefundRequested>,
    ) -> Result<(), HandlerError> {
        let event = &delivery.event;
        let trace = traceparent();
        let asked = Asked { id: delivery.id, by_staff: None, traceparent: trace.as_deref() };
        if !db::insert_refund(tx, event.order_id, event.amount, asked).await? {
            return Err(HandlerError::permanent(NotRefundable));
        }
        self.wake.wake();
        Ok(())
    }
}

impl Handle<OrderCancelled> for Orders {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<OrderCancelled>,
    ) -> Result<(), HandlerError> {
        self.give_up(tx, delivery.event.order_id).await
    }
}

impl Handle<OrderExpired> for Orders {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<OrderExpired>,
    ) -> Result<(), HandlerError> {
        self.give_up(tx, delivery.event.order_id).await
    }
}

impl Handle<OrderRejected> for Orders {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<OrderRejected>,
    ) -> Result<(), HandlerError> {
        self.give_up(tx, delivery.event.order_id).await
    }
}

impl Handle<EmailVerified> for Orders {
    /// Providers are not called: that they still know what is removed here causes no charge.
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<EmailVerified>,
    ) -> Result<(), HandlerError> {
        let EmailVerified { user_id, owner_known, tokens_expire_by } = delivery.event;
        if owner_known {
            return Ok(());
        }
        let time = delivery.time;
        let removed = methods::remove_strangers(tx, user_id, time, tokens_expire_by).await?;
        if removed > 0 {
            tracing::info!(%user_id, removed, "payment methods of another person are removed");
        }
        Ok(())
    }
}
