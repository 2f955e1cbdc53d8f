//! The saga of an order: every step appends an event, writes the read model that follows from it,
//! and tells the other services, all in one transaction.

use std::sync::LazyLock;

use chrono::{SubsecRound, Utc};
use contracts::events::{
    CancelReason, OrderCancelled, OrderDelivered, OrderExpired, OrderPaid, OrderPlaced,
    OrderRefundRequested, OrderRejected, OrderReserved, OrderRestockRequested, OrderReturned,
    OrderShipped,
};
use contracts::{Money, UserId};
use kit::metric;
use kit::outbox::Outbox;
use kit::problem::{CONFLICT, Problem};
use kit::subscription::HandlerError;
use prometheus::{HistogramVec, IntCounterVec};
use sqlx::PgConnection;

use crate::cache::Cache;
use crate::db;
use crate::event::{Cause, Event, Payment, Reason, State};
use crate::order::{Illegal, Order};

static ORDERS: LazyLock<IntCounterVec> =
    metric!(counter, "orders_total", "Orders that have come into a state.", &["state"]);
static DURATION: LazyLock<HistogramVec> = metric!(
    seconds,
    "order_saga_duration_seconds",
    "Time from placing an order to its being paid, or to its end without that.",
    &["outcome"]
);

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The order is not in a state for it.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// It could not be written.
    #[error("the order cannot be written")]
    Sql(#[from] sqlx::Error),
}

impl From<StepError> for Problem {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Illegal(illegal) => Self::new(CONFLICT, illegal.to_string()),
            StepError::Sql(error) => error.into(),
        }
    }
}

impl From<StepError> for HandlerError {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Illegal(illegal) => Self::permanent(illegal),
            StepError::Sql(error) => error.into(),
        }
    }
}

/// Takes the steps.
#[derive(Clone)]
pub struct Saga {
    outbox: Outbox,
    cache: Cache,
}

impl Saga {
    /// Tells the others through this outbox, and this cache of what it has to forget.
    pub fn new(outbox: Outbox, cache: Cache) -> Self {
        Self { outbox, cache }
    }

    /// The steps are committed: what this user is shown from now on must show them.
    pub fn committed(&self, user: UserId) {
        self.cache.committed(user);
    }

    /// Lets an event happen to an order that is locked, or to none when it is placed. Returns the
    /// order afterwards; none: the event had happened before, and nothing was written.
    pub async fn advance(
        &self,
        tx: &mut PgConnection,
        order: Option<&Order>,
        event: &Event,
        cause: Cause,
    ) -> Result<Option<Order>, StepError> {
        // Postgres keeps microseconds; what is folded later must be what is stored now.
        let now = Utc::now().trunc_subsecs(6);
        let Some(after) = Order::after(order, event, now)? else {
            return Ok(None);
        };
        let transaction = db::append(tx, &after, event, cause).await?;
        db::store(tx, &after).await?;
        let moved = order.map(|order| order.state) != Some(after.state);
        if moved && after.state.has_ended() {
            db::leave_cart(tx, after.id).await?;
        }
        match order.map(|order| order.state) {
            Some(State::Pending | State::Reserved) if moved && after.state != State::Reserved => {
                db::end_waiting(tx, &after).await?;
            }
            Some(State::Paid) if moved => db::forget_requested_refund(tx, after.id).await?,
            _ => {}
        }
        let announced = self.announce(tx, &after, event, moved);
        // Both are on their way at the same time.
        tokio::join!(announced, self.cache.invalidate(after.user_id, transaction)).0?;
        measure(order.map(|order| order.state), &after);
        Ok(Some(after))
    }

    /// What the other services hear of an event; `moved`: the order has another state by it.
    async fn announce(
        &self,
        tx: &mut PgConnection,
        order: &Order,
        event: &Event,
        moved: bool,
    ) -> Result<(), sqlx::Error> {
        let (order_id, user_id, total) = (order.id, order.user_id, order.total);
        let outbox = &self.outbox;
        match event {
            Event::Placed(_) => {
                let (lines, expires_at) = (order.lines.clone(), order.expires_at);
                let source = order.source.clone();
                let placed = OrderPlaced { order_id, user_id, lines, total, expires_at, source };
                outbox.append(tx, &placed).await?;
            }
            Event::Reserved { .. } => {
                let payment_token = order.payment_token.expose().to_owned();
                let reserved = OrderReserved { order_id, user_id, total, payment_token };
                outbox.append(tx, &reserved).await?;
            }
            Event::Rejected { shortages } => {
                let shortages = shortages.clone();
                outbox.append(tx, &OrderRejected { order_id, user_id, shortages }).await?;
                self.ask_for_money(tx, order).await?;
            }
            Event::Paid { .. } => {
                let (lines, source) = (order.lines.clone(), order.source.clone());
                outbox.append(tx, &OrderPaid { order_id, user_id, lines, total, source }).await?;
            }
            Event::Cancelled { reason, .. } => self.cancelled(tx, order, *reason).await?,
            Event::Expired {} => {
                outbox.append(tx, &OrderExpired { order_id, user_id }).await?;
            }
            Event::RefundRequested { amount, .. } => {
                self.refund(tx, order, *amount).await?;
            }
            Event::Shipped {} => {
                outbox.append(tx, &OrderShipped { order_id, user_id }).await?;
            }
            Event::Delivered {} => {
                let lines = order.lines.clone();
                outbox.append(tx, &OrderDelivered { order_id, user_id, lines }).await?;
            }
            Event::CancelRequested { .. } | Event::ReturnReceived {} => {
                self.ask_back(tx, order).await?;
            }
            Event::Restocked {} | Event::Refunded { .. } if moved => {
                if order.state == State::Returned {
                    outbox.append(tx, &OrderReturned { order_id, user_id }).await?;
                } else {
                    let by_staff = order.reason == Some(Reason::ByStaff);
                    let (staff, customer) = (CancelReason::ByStaff, CancelReason::ByCustomer);
                    self.cancelled(tx, order, if by_staff { staff } else { customer }).await?;
                }
            }
            // Nobody else has a part in these.
            Event::Restocked {}
            | Event::Refunded { .. }
            | Event::ReturnRequested { .. }
            | Event::ReturnRefused { .. } => {}
        }
        Ok(())
    }

    async fn cancelled(
        &self,
        tx: &mut PgConnection,
        order: &Order,
        reason: CancelReason,
    ) -> Result<(), sqlx::Error> {
        let (order_id, user_id) = (order.id, order.user_id);
        self.outbox.append(tx, &OrderCancelled { order_id, user_id, reason }).await?;
        Ok(())
    }

    /// Asks the others for what has to go back before the order is over. It may be asked for again: whoever
    /// has done it does not do it again.
    pub async fn ask_back(&self, tx: &mut PgConnection, order: &Order) -> Result<(), sqlx::Error> {
        self.ask_for_money(tx, order).await?;
        if order.awaits_goods() {
            let (order_id, user_id) = (order.id, order.user_id);
            self.outbox.append(tx, &OrderRestockRequested { order_id, user_id }).await?;
        }
        Ok(())
    }

    /// Whatever is left of the money, if it is to go back. Payment gives back no more than it has: it
    /// may know of a refund that has not come here yet.
    async fn ask_for_money(&self, tx: &mut PgConnection, order: &Order) -> Result<(), sqlx::Error> {
        if order.payment == Payment::RefundRequested {
            self.refund(tx, order, order.left()).await?;
        }
        Ok(())
    }

    async fn refund(
        &self,
        tx: &mut PgConnection,
        order: &Order,
        amount: Money,
    ) -> Result<(), sqlx::Error> {
        let (order_id, user_id) = (order.id, order.user_id);
        self.outbox.append(tx, &OrderRefundRequested { order_id, user_id, amount }).await?;
        Ok(())
    }
}

/// Counts a step. A transaction that fails afterwards is tried again and counted again: these are
/// figures for graphs, the truth is in the database.
fn measure(before: Option<State>, after: &Order) {
    if before == Some(after.state) {
        return;
    }
    ORDERS.with_label_values(&[after.state.word()]).inc();
    let unpaid = !before.is_some_and(State::was_paid);
    if after.state == State::Paid || after.state.has_ended() && unpaid {
        let taken = (after.updated_at - after.created_at).as_seconds_f64();
        DURATION.with_label_values(&[after.state.word()]).observe(taken.max(0.0));
    }
}
