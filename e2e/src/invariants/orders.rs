//! Orders, their deadlines and their histories: rules 4 and 6.

use std::collections::HashMap;

use anyhow::Result;
use serde::Deserialize;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Databases, Findings};

/// How long after its deadline an order may still be open, in seconds: the sweeper comes by now and then.
const GRACE_SECONDS: f64 = 60.0;

/// An order as the read model shows it, and what has happened to it.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Order {
    pub(super) id: Uuid,
    pub(super) state: String,
    pub(super) total: i64,
    pub(super) currency: String,
    pub(super) lines: Json<Vec<Line>>,
    pub(super) payment_id: Option<Uuid>,
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

    /// Whether money was taken for goods that the shopper gets.
    pub(super) fn is_paid(&self) -> bool {
        matches!(self.state.as_str(), "paid" | "shipped" | "delivered")
    }

    /// Whether the shopper gets neither goods nor a bill.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state.as_str(), "cancelled" | "expired" | "rejected")
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
                coalesce(o.state IN ('pending', 'reserved')
                    AND o.expires_at < now() - make_interval(secs => $1), false) AS overdue,
                coalesce(e.history, '{}') AS history, coalesce(e.last, 0) AS last
         FROM orders o FULL JOIN (
             SELECT order_id, array_agg(type ORDER BY seq) AS history, max(seq) AS last
             FROM order_events GROUP BY order_id) e ON e.order_id = o.id",
    )
    .bind(GRACE_SECONDS)
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
            Ok(state) if state == order.state => {}
            Ok(state) => {
                let text = format!("{}, but its history says {state}", order.state);
                findings.violation(6, &culprit, text);
            }
            Err(text) => findings.violation(6, &culprit, text),
        }
    }
}

/// Every transition that the rules of the shop allow.
const LEGAL: [(&str, &str, &str); 15] = [
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
];

/// Where a history leads to, or what in it cannot be.
fn walk(history: &[String]) -> Result<&'static str, String> {
    let mut state = "";
    for event in history {
        let ended = matches!(state, "cancelled" | "expired" | "rejected");
        if ended && event == "refunded" {
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
        for bad in [
            &["placed", "paid"][..],
            &["reserved"],
            &["placed", "placed"],
            &["placed", "reserved", "paid", "cancelled"],
            &["placed", "refunded"],
            &["placed", "reserved", "paid", "delivered"],
        ] {
            assert!(walked(bad).is_err(), "{bad:?}");
        }
    }
}
