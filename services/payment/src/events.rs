//! What payment does about the events of orders: notes what is to be charged or given back. The
//! worker does it; a provider that is slow never holds up the topic or a transaction.

use contracts::events::{OrderRefundRequested, OrderReserved, PaymentFailed};
use kit::inbox::{Delivery, Handle, Inbox};
use kit::outbox::Outbox;
use kit::subscription::HandlerError;
use kit::telemetry::traceparent;
use kit::worker::Wake;
use sqlx::{PgConnection, PgPool};

use crate::db::{self, New};
use crate::payment::Token;
use crate::provider::TestProvider;
use crate::worker::{self, Outcome};

/// Why a payment fails whose token is none.
const INVALID_TOKEN: &str = "invalid_token";

/// Handles the events of orders.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    /// Where events of payments go.
    pub outbox: Outbox,
    /// Wakes the worker.
    pub wake: Wake,
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
            .on::<OrderRefundRequested>(self)
    }
}

impl Handle<OrderReserved> for Orders {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<OrderReserved>,
    ) -> Result<(), HandlerError> {
        let event = &delivery.event;
        let new = New {
            order: event.order_id,
            user: event.user_id,
            amount: event.total,
            provider: TestProvider::NAME,
            traceparent: traceparent(),
        };
        // What may be a card number is not stored, not even to say that it was refused.
        let token = Token::try_from(event.payment_token.clone());
        let stored = db::insert(tx, &new, token.as_ref().map_err(|_| INVALID_TOKEN)).await?;
        match (stored, token) {
            (None, _) => {}
            (Some(_), Ok(_)) => self.wake.wake(),
            (Some(payment_id), Err(_)) => {
                worker::count(new.provider, Outcome::Failed);
                let (order_id, reason) = (event.order_id, INVALID_TOKEN.to_owned());
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
        let (id, order, traceparent) = (delivery.id, event.order_id, traceparent());
        if !db::insert_refund(tx, id, order, event.amount, traceparent.as_deref()).await? {
            return Err(HandlerError::permanent(NotRefundable));
        }
        self.wake.wake();
        Ok(())
    }
}
