//! Orders, their deadlines and their histories: rules 4 and 6.

use std::collections::HashMap;

use anyhow::Result;
use serde::Deserialize;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Databases, Findings};

/// How long after its deadline an order may still be open, in seconds: the sweeper comes by now and then.
const GRACE_SECONDS: f64 = 60.0;
/// How long money and goods may take to come back, in seconds: whoever has them is asked again after five minutes.
const BACK_SECONDS: f64 = 900.0;

/// An order as the read model shows it, and what has happened to it.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Order {
    pub(super) id: Uuid,
    pub(super) state: String,
    fulfilment: String,
    pub(super) total: i64,
    /// What it says went back.
    pub(super) refunded: i64,
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
            || self.state == "returning" && self.fulfilment == "returning"
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
                coalesce(o.fulfilment, '') AS fulfilment, coalesce(o.refunded, 0) AS refunded,
                coalesce(o.total, 0) AS total, coalesce(o.currency, '') AS currency,
                coalesce(o.lines, '[]') AS lines, o.payment_id, coalesce(o.version, 0) AS version,
                coalesce(o.state IN ('pending', 'reserved')
                    AND o.expires_at < now() - make_interval(secs => $1)
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
        match walk(&order.history, order.refunded == order.total) {
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
    // Over when the goods are in stock again and all the money is back: see `walk`.
    ("paid", "cancel_requested", "cancelling"),
    ("cancelling", "restocked", "cancelling"),
    ("delivered", "return_requested", "returning"),
    ("returning", "return_refused", "delivered"),
    ("returning", "return_received", "receiving"),
    ("receiving", "restocked", "receiving"),
];

/// Where a history leads to, or what in it cannot be; `refunded`: whether all the money is back.
fn walk(history: &[String], refunded: bool) -> Result<&'static str, String> {
    let (mut state, mut restocked, mut paid) = ("", false, false);
    for event in history {
        // Money goes back whenever there is some, of an order that has ended too.
        if event == "refunded" && (paid || history.iter().any(|event| event == "refund_requested"))
        {
            continue;
        }
        let step = LEGAL.iter().find(|(from, by, _)| *from == state && by == event);
        let (_, _, to) = step.ok_or_else(|| format!("{event} when it was {state:?}"))?;
        state = to;
        paid |= event == "paid";
        restocked |= event == "restocked";
    }
    Ok(match (state, restocked && refunded) {
        ("cancelling", true) => "cancelled",
        ("receiving", true) => "returned",
        ("receiving", false) => "returning",
        (state, _) => state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(history: &[&str], refunded: bool) -> Result<&'static str, String> {
        let history: Vec<_> = history.iter().map(|event| (*event).to_owned()).collect();
        walk(&history, refunded)
    }

    #[test]
    fn histories_are_walked() {
        let way = ["placed", "reserved", "paid", "shipped", "delivered"];
        assert_eq!(walked(&way, false), Ok("delivered"));
        let late = ["placed", "expired", "refund_requested", "refunded"];
        assert_eq!(walked(&late, true), Ok("expired"));
        let given_up =
            ["placed", "reserved", "paid", "refunded", "cancel_requested", "restocked", "refunded"];
        assert_eq!(walked(&given_up, true), Ok("cancelled"));
        assert_eq!(walked(&given_up, false), Ok("cancelling"), "some of the money is out");
        assert_eq!(walked(&given_up[..5], true), Ok("cancelling"), "the goods are out");
        let back = [&way[..], &["return_requested", "return_refused", "return_requested"]].concat();
        assert_eq!(walked(&back, false), Ok("returning"));
        let back = [&back[..], &["return_received", "refunded", "restocked"]].concat();
        assert_eq!(walked(&back, true), Ok("returned"));
        assert_eq!(walked(&back, false), Ok("returning"));
        for bad in [
            &["placed", "paid"][..],
            &["reserved"],
            &["placed", "placed"],
            &["placed", "reserved", "paid", "cancelled"],
            &["placed", "refunded"],
            &["placed", "reserved", "refunded", "paid"],
            &["placed", "reserved", "paid", "delivered"],
            &["placed", "reserved", "paid", "restocked"],
            &["placed", "reserved", "paid", "shipped", "cancel_requested"],
            &["placed", "reserved", "paid", "shipped", "delivered", "return_received"],
        ] {
            assert!(walked(bad, true).is_err(), "{bad:?}");
        }
    }
}
