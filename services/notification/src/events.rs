//! What is told of which event.

use chrono::{DateTime, Utc};
use contracts::events::{
    EmailVerificationRequested, OrderCancelled, OrderExpired, OrderPaid, OrderPlaced,
    OrderRejected, PasswordChanged, PasswordResetRequested, UserRegistered,
};
use contracts::{EventId, OrderId, UserId};
use kit::inbox::{Delivery, Handle, Inbox};
use kit::subscription::HandlerError;
use kit::worker::Wake;
use sqlx::{PgConnection, PgPool};

use crate::db;
use crate::letter::Letter;
use crate::live::Step;

/// Everything that the service listens to; `wake` wakes the sender of mails.
pub fn inbox(consumer: &'static str, pool: PgPool, wake: &Wake) -> Inbox {
    let teller = Teller(wake.clone());
    Inbox::new(consumer, pool)
        .on::<UserRegistered>(teller.clone())
        .on::<EmailVerificationRequested>(teller.clone())
        .on::<PasswordResetRequested>(teller.clone())
        .on::<PasswordChanged>(teller.clone())
        .on::<OrderPlaced>(teller.clone())
        .on::<OrderPaid>(teller.clone())
        .on::<OrderRejected>(teller.clone())
        .on::<OrderCancelled>(teller.clone())
        .on::<OrderExpired>(teller)
}

/// Writes down what is to be told; sending comes later.
#[derive(Clone)]
struct Teller(Wake);

/// About whom, about what, and of which event.
struct News {
    user: UserId,
    order: OrderId,
    step: Step,
    event: (EventId, DateTime<Utc>),
}

impl Teller {
    async fn tell(
        &self,
        tx: &mut PgConnection,
        news: News,
        letter: &Letter,
    ) -> Result<(), HandlerError> {
        let News { user, order, step, event } = news;
        db::push(tx, user, order, step, event).await?;
        self.write(tx, event.0, user, letter).await
    }

    async fn write(
        &self,
        tx: &mut PgConnection,
        event: EventId,
        user: UserId,
        letter: &Letter,
    ) -> Result<(), HandlerError> {
        db::enqueue(tx, event, user, letter).await?;
        self.0.wake();
        Ok(())
    }
}

impl Handle<UserRegistered> for Teller {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        delivery: &Delivery<UserRegistered>,
    ) -> Result<(), HandlerError> {
        db::put_contact(tx, &delivery.event).await?;
        self.write(tx, delivery.id, delivery.event.user_id, &Letter::Welcome).await
    }
}

/// An event about an account: the letter about it.
macro_rules! writes {
    ($event:ident, $letter:expr) => {
        impl Handle<$event> for Teller {
            async fn handle(
                &self,
                tx: &mut PgConnection,
                delivery: &Delivery<$event>,
            ) -> Result<(), HandlerError> {
                let letter: fn($event) -> Letter = $letter;
                let event = delivery.event.clone();
                self.write(tx, delivery.id, event.user_id, &letter(event)).await
            }
        }
    };
}

writes!(EmailVerificationRequested, |EmailVerificationRequested { token, expires_at, .. }| {
    Letter::VerifyEmail { token, expires_at }
});
writes!(PasswordResetRequested, |PasswordResetRequested { token, expires_at, .. }| {
    Letter::ResetPassword { token, expires_at }
});
writes!(PasswordChanged, |_| Letter::PasswordChanged);

/// An event about an order: the step that it is, and the letter about it.
macro_rules! tells {
    ($event:ident, $step:ident, $letter:expr) => {
        impl Handle<$event> for Teller {
            async fn handle(
                &self,
                tx: &mut PgConnection,
                delivery: &Delivery<$event>,
            ) -> Result<(), HandlerError> {
                let letter: fn($event) -> Letter = $letter;
                let news = News {
                    user: delivery.event.user_id,
                    order: delivery.event.order_id,
                    step: Step::$step,
                    event: (delivery.id, delivery.time),
                };
                self.tell(tx, news, &letter(delivery.event.clone())).await
            }
        }
    };
}

tells!(OrderPlaced, Placed, |OrderPlaced { order_id, lines, total, .. }| {
    Letter::Placed { order_id, lines, total }
});
tells!(OrderPaid, Paid, |OrderPaid { order_id, lines, total, .. }| {
    Letter::Paid { order_id, lines, total }
});
tells!(OrderRejected, Rejected, |OrderRejected { order_id, shortages, .. }| {
    Letter::Rejected { order_id, shortages }
});
tells!(OrderCancelled, Cancelled, |OrderCancelled { order_id, reason, .. }| {
    Letter::Cancelled { order_id, reason }
});
tells!(OrderExpired, Expired, |OrderExpired { order_id, .. }| Letter::Expired { order_id });
