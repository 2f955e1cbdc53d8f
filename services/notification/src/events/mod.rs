//! What is told of which event.

mod accounts;
mod money;
mod products;

use chrono::{DateTime, Utc};
use contracts::events::{
    EmailVerificationRequested, EmailVerified, FavouriteAvailable, OrderCancelled, OrderDelivered,
    OrderExpired, OrderPaid, OrderPlaced, OrderRejected, OrderReturned, OrderShipped,
    PasswordChanged, PasswordResetRequested, PaymentActionRequired, PaymentDisputed,
    PaymentRefunded, ProductCreated, ProductDeleted, ProductUpdated, RegistrationAttempted,
    StockLow, UserRegistered,
};
use contracts::{EventId, Money, OrderId, UserId};
use kit::inbox::{Delivery, Handle, Inbox};
use kit::subscription::HandlerError;
use kit::worker::Wake;
use sqlx::{PgConnection, PgPool};

use crate::db::{self, orders, phones};
use crate::letter::Letter;
use crate::live::Step;

/// Whom to wake when there is something to send.
#[derive(Clone, Debug, Default)]
pub struct Wakes {
    /// The sender of mails.
    pub mail: Wake,
    /// The sender of short messages; none: the shop sends none.
    pub sms: Option<Wake>,
    /// Whether staff have an address.
    pub staff: bool,
}

/// Everything that the service listens to.
pub fn inbox(consumer: &'static str, pool: PgPool, wakes: &Wakes) -> Inbox {
    let teller = Teller(wakes.clone());
    Inbox::new(consumer, pool)
        .on::<UserRegistered>(teller.clone())
        .on::<EmailVerificationRequested>(teller.clone())
        .on::<PasswordResetRequested>(teller.clone())
        .on::<PasswordChanged>(teller.clone())
        .on::<RegistrationAttempted>(teller.clone())
        .on::<EmailVerified>(teller.clone())
        .on::<FavouriteAvailable>(teller.clone())
        .on::<ProductCreated>(teller.clone())
        .on::<ProductUpdated>(teller.clone())
        .on::<ProductDeleted>(teller.clone())
        .on::<StockLow>(teller.clone())
        .on::<OrderPlaced>(teller.clone())
        .on::<OrderPaid>(teller.clone())
        .on::<OrderRejected>(teller.clone())
        .on::<OrderCancelled>(teller.clone())
        .on::<OrderExpired>(teller.clone())
        .on::<OrderShipped>(teller.clone())
        .on::<OrderDelivered>(teller.clone())
        .on::<OrderReturned>(teller.clone())
        .on::<PaymentActionRequired>(teller.clone())
        .on::<PaymentRefunded>(teller.clone())
        .on::<PaymentDisputed>(teller)
}

/// Writes down what is to be told; sending comes later.
#[derive(Clone)]
struct Teller(Wakes);

/// A step that an order has taken.
struct News<'a> {
    user: UserId,
    order: OrderId,
    step: Step,
    /// Where the shopper does what is asked of them.
    url: Option<&'a str>,
    /// What was paid with this step.
    paid: Option<Money>,
    event: (EventId, DateTime<Utc>),
}

impl News<'_> {
    fn of<E>(delivery: &Delivery<E>, user: UserId, order: OrderId, step: Step) -> Self {
        Self { user, order, step, url: None, paid: None, event: (delivery.id, delivery.time) }
    }
}

impl Teller {
    /// Tells those who watch the order, and remembers where it has got to.
    async fn step(&self, tx: &mut PgConnection, news: News<'_>) -> Result<(), HandlerError> {
        let News { user, order, step, url, paid, event } = news;
        orders::note(tx, order, user, step.status(), paid).await?;
        db::push(tx, user, order, (step, url), event).await?;
        // A letter may have waited for the owner of the order.
        self.0.mail.wake();
        Ok(())
    }

    async fn write(
        &self,
        tx: &mut PgConnection,
        event: EventId,
        user: UserId,
        letter: &Letter,
    ) -> Result<(), HandlerError> {
        db::enqueue(tx, db::EMAIL, (event, user), letter).await?;
        self.0.mail.wake();
        if let Some(sms) = self.0.sms.as_ref().filter(|_| letter.goes_by_sms()) {
            phones::enqueue(tx, event, user, letter).await?;
            sms.wake();
        }
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

/// Events that need nothing else: the step of the order that each is, if it is one, and the letter about it.
macro_rules! tells {
    ($($event:ident $(is $step:ident)? => $letter:expr;)+) => {$(
        impl Handle<$event> for Teller {
            async fn handle(
                &self,
                tx: &mut PgConnection,
                delivery: &Delivery<$event>,
            ) -> Result<(), HandlerError> {
                let event = &delivery.event;
                $(self.step(tx, News::of(delivery, event.user_id, event.order_id, Step::$step)).await?;)?
                let letter: fn($event) -> Letter = $letter;
                self.write(tx, delivery.id, event.user_id, &letter(event.clone())).await
            }
        }
    )+};
}

tells! {
    EmailVerificationRequested => |EmailVerificationRequested { token, expires_at, .. }| {
        Letter::VerifyEmail { token, expires_at }
    };
    PasswordResetRequested => |PasswordResetRequested { token, expires_at, .. }| {
        Letter::ResetPassword { token, expires_at }
    };
    PasswordChanged => |_| Letter::PasswordChanged;
    RegistrationAttempted => |_| Letter::RegistrationAttempted;
    OrderPlaced is Placed => |OrderPlaced { order_id, lines, total, .. }| {
        Letter::Placed { order_id, lines, total }
    };
    OrderRejected is Rejected => |OrderRejected { order_id, shortages, .. }| {
        Letter::Rejected { order_id, shortages }
    };
    OrderExpired is Expired => |OrderExpired { order_id, .. }| Letter::Expired { order_id };
    OrderShipped is Shipped => |OrderShipped { order_id, .. }| Letter::Shipped { order_id };
    OrderDelivered is Delivered => |OrderDelivered { order_id, lines, .. }| {
        Letter::Delivered { order_id, lines }
    };
}
