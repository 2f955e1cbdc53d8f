//! What many buyers ask for at once: served one after the other, in a few statements for all.

use contracts::OrderId;
use contracts::events::{
    Event, OrderPaid, OrderPlaced, StockCommitted, StockRejected, StockReserved,
};
use kit::inbox::Shared;
use kit::outbox::Letter;
use kit::subscription::HandlerError;
use sqlx::PgConnection;
use tracing::{Instrument, Span};

use super::{Orders, count};
use crate::db;
use crate::shelf::Taken;
use crate::stock::{Demand, State, Step, when_paid};

/// What is told about an order belongs to the trace of that order.
fn letter(span: &Span, event: &impl Event) -> Result<Letter, HandlerError> {
    Ok(span.in_scope(|| Letter::new(event))?)
}

impl Orders {
    /// Holds what each order needs, or says what there is too little of, in the order in which they came.
    pub(super) async fn place_all(
        &self,
        tx: &mut PgConnection,
        placed: &[Shared<OrderPlaced>],
    ) -> Result<(), HandlerError> {
        let ids: Vec<OrderId> = placed.iter().map(|one| one.delivery.event.order_id).collect();
        let opened = db::open_all(tx, &ids, self.ttl).await?;
        let mut demands = Vec::with_capacity(placed.len());
        for Shared { delivery, span } in placed {
            let event = &delivery.event;
            // Checked even if the order is known, as for one that comes alone.
            let demand = Demand::of(&event.lines).map_err(HandlerError::permanent)?;
            if let Some(expires_at) = opened.get(&event.order_id) {
                demands.push((event.order_id, demand, *expires_at, span));
            }
        }
        let lines = demands.iter().flat_map(|(_, demand, ..)| demand.lines());
        let mut skus: Vec<_> = lines.map(|(sku, _)| sku.clone()).collect();
        skus.sort_unstable();
        skus.dedup();
        let mut shelves = db::shelves(tx, &skus).await?;
        let (mut held, mut rejected, mut letters) = (Vec::new(), Vec::new(), Vec::new());
        for (order_id, demand, expires_at, span) in &demands {
            let (order_id, expires_at) = (*order_id, *expires_at);
            match shelves.serve(demand) {
                Ok(Taken { low, depleted }) => {
                    for low in &low {
                        letters.push(letter(span, low)?);
                    }
                    for depleted in &depleted {
                        letters.push(letter(span, depleted)?);
                    }
                    letters.push(letter(span, &StockReserved { order_id, expires_at })?);
                    held.push((order_id, demand));
                }
                Err(shortages) => {
                    letters.push(letter(span, &StockRejected { order_id, shortages })?);
                    rejected.push(order_id);
                }
            }
        }
        db::hold_all(tx, &held, &rejected).await?;
        self.outbox.append_all(tx, letters).await?;
        count(State::Pending, held.len());
        count(State::Rejected, rejected.len());
        Ok(())
    }

    /// Lets the goods of each order leave. Whatever is not simply held is looked at by itself.
    pub(super) async fn pay_all(
        &self,
        tx: &mut PgConnection,
        paid: &[Shared<OrderPaid>],
    ) -> Result<(), HandlerError> {
        let ids: Vec<OrderId> = paid.iter().map(|one| one.delivery.event.order_id).collect();
        let states = db::lock_each(tx, &ids).await?;
        let (mut committed, mut letters, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for Shared { delivery, span } in paid {
            let order_id = delivery.event.order_id;
            let demand = Demand::of(&delivery.event.lines).map_err(HandlerError::permanent)?;
            if when_paid(states.get(&order_id).copied()) == Step::Commit {
                letters.push(letter(span, &StockCommitted { order_id })?);
                committed.push(order_id);
            } else {
                others.push((order_id, demand, span));
            }
        }
        db::commit_all(tx, &committed).await?;
        self.outbox.append_all(tx, letters).await?;
        count(State::Committed, committed.len());
        for (order, demand, span) in others {
            self.paid(tx, order, &demand).instrument(span.clone()).await?;
        }
        Ok(())
    }
}
