//! Stock, its movements and reservations: rules 1 and 2, and the reservations of rule 4.

use std::collections::HashMap;

use anyhow::Result;
use uuid::Uuid;

use super::orders::Order;
use super::{Databases, Findings};

#[derive(Debug)]
pub(super) struct Stock {
    skus: Vec<Sku>,
    reservations: Vec<Reservation>,
}

/// A row of the stock, and what its history adds up to.
#[derive(Debug, sqlx::FromRow)]
struct Sku {
    #[sqlx(rename = "sku")]
    code: String,
    available: i64,
    reserved: i64,
    /// Units that came in, by supply or by counting.
    inbound: i64,
    committed: i64,
    returned: i64,
    /// Units that open reservations hold.
    held: i64,
}

/// What an order holds or has taken.
#[derive(Debug, sqlx::FromRow)]
struct Reservation {
    order_id: Uuid,
    state: String,
    overdue: bool,
    sku: Option<String>,
    quantity: i64,
    /// Units that left the stock for it.
    committed: i64,
}

pub(super) async fn read(databases: &Databases) -> Result<Stock> {
    let mut snapshot = databases.snapshot("inventory").await?;
    let skus = sqlx::query_as(
        "SELECT s.sku, s.available, s.reserved,
                coalesce(sum(m.quantity) FILTER (WHERE m.kind IN ('supply', 'adjustment')), 0)::bigint AS inbound,
                coalesce(sum(m.quantity) FILTER (WHERE m.kind = 'commit'), 0)::bigint AS committed,
                coalesce(sum(m.quantity) FILTER (WHERE m.kind = 'return'), 0)::bigint AS returned,
                (SELECT coalesce(sum(l.quantity), 0)::bigint FROM reservation_lines l
                 JOIN reservations r USING (order_id) WHERE l.sku = s.sku AND r.state = 'pending') AS held
         FROM stock s LEFT JOIN movements m ON m.sku = s.sku GROUP BY s.sku",
    )
    .fetch_all(&mut *snapshot)
    .await?;
    let reservations = sqlx::query_as(
        "SELECT r.order_id, r.state, l.sku, coalesce(l.quantity, 0) AS quantity,
                coalesce(r.state = 'pending' AND r.expires_at < now() - interval '1 minute', false) AS overdue,
                (SELECT coalesce(sum(CASE kind WHEN 'commit' THEN quantity ELSE -quantity END), 0)::bigint
                 FROM movements m
                 WHERE m.order_id = r.order_id AND m.sku = l.sku AND m.kind IN ('commit', 'return')) AS committed
         FROM reservations r LEFT JOIN reservation_lines l USING (order_id)",
    )
    .fetch_all(&mut *snapshot)
    .await?;
    Ok(Stock { skus, reservations })
}

pub(super) fn check(orders: &HashMap<Uuid, Order>, stock: &Stock, findings: &mut Findings) {
    findings.counts.skus = stock.skus.len();
    for row in &stock.skus {
        let Sku { code, available, reserved, inbound, committed, returned, held } = row;
        if *available < 0 || *reserved < 0 {
            findings.violation(1, code, format!("{available} available, {reserved} reserved"));
        }
        if available + reserved != inbound - committed + returned {
            let text = format!(
                "{available} + {reserved} are there, but {inbound} came, {committed} left, {returned} \
                 came back"
            );
            findings.violation(1, code, text);
        }
        if reserved != held {
            findings.violation(1, code, format!("{reserved} are reserved, {held} by orders"));
        }
        if committed - returned > *inbound {
            findings.violation(2, code, format!("{committed} were sold of {inbound}"));
        }
    }
    let mut left: HashMap<(Uuid, &str), i64> = HashMap::new();
    for held in &stock.reservations {
        reservation(orders.get(&held.order_id), held, findings);
        if let Some(sku) = &held.sku {
            left.insert((held.order_id, sku), held.committed);
        }
    }
    for order in orders.values().filter(|order| order.is_paid()) {
        for (sku, units) in order.units() {
            let left = left.get(&(order.id, sku)).copied().unwrap_or_default();
            if left != units {
                let text = format!("{units} of {sku} are paid, {left} have left");
                findings.violation(2, order.culprit(), text);
            }
        }
    }
}

/// An open reservation is of an open order, and one that took units of an order that pays for them.
fn reservation(order: Option<&Order>, held: &Reservation, findings: &mut Findings) {
    let Reservation { order_id, state, overdue, committed, quantity, .. } = held;
    let culprit = format!("order {order_id}");
    let Some(order) = order else {
        findings.violation(4, culprit, format!("no order, and a reservation that is {state}"));
        return;
    };
    if *overdue || (state == "pending" && (order.has_ended() || order.was_charged())) {
        findings.violation(4, &culprit, format!("{}, and holds units", order.state));
    }
    let expected = if state == "committed" { *quantity } else { 0 };
    if *committed != expected || (state == "committed" && order.has_ended()) {
        let text = format!(
            "{}, its reservation {state} with {committed} of {quantity} taken",
            order.state
        );
        findings.violation(2, &culprit, text);
    }
}
