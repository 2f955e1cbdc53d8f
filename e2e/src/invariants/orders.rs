//! Orders, their deadlines and their histories: rules 4 and 6.

use std::collections::HashMap;

use anyhow::Result;
use serde::Deserialize;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Databases, Findings};

/// How long after its deadline an order may still be open, in seconds: the sweeper comes by now and then.
const GRACE_SECONDS: f64 = 60.0;

/// How long money and goods of an order that is given up or has come back may be under way, in seconds: they are
/// asked for again every five minutes.
const BACK_SECONDS: f64 = 900.0;

/// An order as the read model shows it, and what has happened to it.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Order {
    pub(super) id: Uuid,
    pub(super) state: String,
    pub(super) total: i64,
    pub(super) currency: String,
    pub(super) lines: Json<Vec<Line>>,
    pub(super) payment_id: Option<Uuid>,
    pub(super) refunded: i64,
    pub(super) fulfilment: String,
    version: i64,
    overdue: bool,
    /// Types of its events, in their order; null where a number is left out.
    history: Vec<String>,
    last: i64,
}

/// What was ordered of a product.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    pub(super) sku: String,
    pub(super) quantity: i64,
}

impl Order {
    pub(super) fn culprit(&self) -> String {
        format!("order {}", self.id)
    }

    /// Whether money was taken for goods that the shopper gets, or has and may send back.
    pub(super) fn is_paid(&self) -> bool {
        match self.state.as_str() {
            "paid" | "shipped" | "delivered" => true,
            "returning" => self.fulfilment == "returning",
            _ => false,
        }
    }

    /// Whether its total was taken, whatever became of it.
    pub(super) fn was_charged(&self) -> bool {
        self.is_paid() || matches!(self.state.as_str(), "cancelling" | "returning" | "returned")
    }

    /// Whether the shopper has neither goods nor a bill.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state.as_str(), "cancelled" | "expired" | "rejected" | "returned")
    }

    /// How many of each SKU were ordered.
    pub(super) fn units(&self) -> HashMap<&str, i64> {
        let mut units = HashMap::new();
        for line in &self.lines.0 {
            *units.entry(line.sku.as_str()).or_default() += line.quantity;
        }
        units
    }
}

pub(super) async fn read(databases: &Databases) -> Result<HashMap<Uuid, Order>> {
    let mut snapshot = databases.snapshot("order").await?;
    let orders: Vec<Order> = sqlx::query_as(
        "SELECT coalesce(o.id, e.order_id) AS id, coalesce(o.state, 'missing') AS state,
                coalesce(o.total, 0) AS total, coalesce(o.currency, '') AS currency,
                coalesce(o.lines, '[]') AS lines, o.payment_id, coalesce(o.version, 0) AS version,
                coalesce(o.refunded, 0) AS refunded, coalesce(o.fulfilment, '') AS fulfilment,
                coalesce(o.state IN ('pending', 'reserved')
                        AND o.expires_at < now() - make_interval(secs => $1)
                    -- Only the shopper's own parcel may take its time.
                    OR o.state IN ('cancelling', 'returning') AND o.fulfilment <> 'returning'
                        AND o.updated_at < now() - make_interval(secs => $2), false) AS overdue,
                coalesce(e.history, '{}') AS history, coalesce(e.last, 0) AS last
         FROM orders o FULL JOIN (
             SELECT order_id, array_agg(type ORDER BY seq) AS history, max(seq) AS last
             FROM order_events GROUP BY order_id) e ON e.order_id = o.id",
    )
    .bind(GRACE_SECONDS)
    .bind(BACK_SECONDS)
    .fetch_all(&mut *snapshot)
    .await?;
    Ok(orders.into_iter().map(|order| (order.id, order)).collect())
}

pub(super) fn check(orders: &HashMap<Uuid, Order>, findings: &mut Findings) {
    findings.counts.orders = orders.len();
    for order in orders.values() {
        let culprit = order.culprit();
        if order.overdue {
            findings.violation(4, &culprit, format!("{} past its deadline", order.state));
        }
        let length = i64::try_from(order.history.len()).unwrap_or(i64::MAX);
        if (order.version, order.last) != (length, length) {
            let text = format!(
                "version {}, but {length} events up to number {}",
                order.version, order.last
            );
            findings.violation(6, &culprit, text);
        }
        match walk(&order.history) {
            Ok(step) if shown(step, order.refunded == order.total) == order.state => {}
            Ok(step) => {
                let state = shown(step, order.refunded == order.total);
                let text = format!("{}, but its history says {state}", order.state);
                findings.violation(6, &culprit, text);
            }
            Err(text) => findings.violation(6, &culprit, text),
        }
    }
}

/// Every transition that the rules of the shop allow.
const LEGAL: [(&str, &str, &str); 21] = [
    ("", "placed", "pending"),
    ("pending", "reserved", "reserved"),
    ("reserved", "paid", "paid"),
    ("paid", "shipped", "shipped"),
    ("shipped", "delivered", "delivered"),
    ("pending", "rejected", "rejected"),
    ("reserved", "rejected", "rejected"),
    // The reservation had run out when the money came, and the units were sold.
    ("paid", "rejected", "rejected"),
    ("pending", "cancelled", "cancelled"),
    ("reserved", "cancelled", "cancelled"),
    ("pending", "expired", "expired"),
    ("reserved", "expired", "expired"),
    ("cancelled", "refund_requested", "cancelled"),
    ("expired", "refund_requested", "expired"),
    ("rejected", "refund_requested", "rejected"),
    ("paid", "cancel_requested", "cancelling"),
    ("cancelling", "restocked", "cancelling, restocked"),
    ("delivered", "return_requested", "returning"),
    ("returning", "return_refused", "delivered"),
    ("returning", "return_received", "returning, received"),
    ("returning, received", "restocked", "returning, restocked"),
];

/// The state that an order shows when its history has led to a step. That both money and goods are back is no event
/// of its own.
fn shown(step: &str, all_refunded: bool) -> &str {
    match step {
        "cancelling, restocked" if all_refunded => "cancelled",
        "returning, restocked" if all_refunded => "returned",
        _ => step.split(',').next().unwrap_or(step),
    }
}

/// Where a history leads to, or what in it cannot be.
fn walk(history: &[String]) -> Result<&'static str, String> {
    let mut state = "";
    for event in history {
        // Money goes back whenever there may be some: a part of it, or what came after the end.
        if event == "refunded" && !matches!(state, "" | "pending" | "reserved") {
            continue;
        }
        let step = LEGAL.iter().find(|(from, by, _)| *from == state && by == event);
        let (_, _, to) = step.ok_or_else(|| format!("{event} when it was {state:?}"))?;
        state = to;
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(history: &[&str]) -> Result<&'static str, String> {
        walk(&history.iter().map(|event| (*event).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn histories_are_walked() {
        assert_eq!(
            walked(&["placed", "reserved", "paid", "shipped", "delivered"]),
            Ok("delivered")
        );
        let refunded = ["placed", "expired", "refund_requested", "refunded"];
        assert_eq!(walked(&refunded), Ok("expired"));
        let way = ["placed", "reserved", "paid"];
        let given_up = [&way[..], &["refunded", "cancel_requested", "restocked"]].concat();
        assert_eq!(walked(&given_up).map(|step| shown(step, false)), Ok("cancelling"));
        assert_eq!(walked(&given_up).map(|step| shown(step, true)), Ok("cancelled"));
        assert_eq!(walked(&given_up[..5]).map(|step| shown(step, true)), Ok("cancelling"));
        let sent_back = [
            &way[..],
            &["shipped", "delivered", "return_requested", "return_refused", "return_requested"],
            &["return_received", "refunded", "restocked"],
        ]
        .concat();
        assert_eq!(walked(&sent_back).map(|step| shown(step, true)), Ok("returned"));
        assert_eq!(walked(&sent_back[..9]).map(|step| shown(step, true)), Ok("returning"));
        for bad in [
            &["placed", "paid"][..],
            &["reserved"],
            &["placed", "placed"],
            &["placed", "reserved", "paid", "cancelled"],
            &["placed", "refunded"],
            &["placed", "reserved", "paid", "delivered"],
            &["placed", "reserved", "cancel_requested"],
            &["placed", "reserved", "paid", "shipped", "cancel_requested"],
            &["placed", "reserved", "paid", "restocked"],
            &["placed", "reserved", "paid", "shipped", "return_requested"],
            &[
                "placed",
                "reserved",
                "paid",
                "shipped",
                "delivered",
                "return_requested",
                "restocked",
            ],
        ] {
            assert!(walked(bad).is_err(), "{bad:?}");
        }
    }
}
