//! Events and their effects: rule 5.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use uuid::Uuid;

use super::{Databases, Findings};

/// Events that are compared: so old that they have been told, so young that nobody has forgotten them.
const SETTLED: &str = "created_at < now() - interval '5 seconds'
                       AND created_at > now() - interval '6 days'";

/// Who hears of which events, without `io.shop-operator.` and `.v1`.
const CONSUMERS: [(&str, &[&str]); 7] = [
    (
        "catalog",
        &["stock.retired", "stock.in_use", "stock.available", "stock.depleted", "review.posted"],
    ),
    ("review", &["product.deleted"]),
    (
        "inventory",
        &[
            "order.placed",
            "order.paid",
            "order.cancelled",
            "order.expired",
            "order.rejected",
            "order.restock_requested",
            "product.created",
            "product.updated",
            "product.deletion_requested",
            "product.deletion_withdrawn",
        ],
    ),
    ("user", &["stock.available", "product.deleted"]),
    (
        "payment",
        &[
            "order.reserved",
            "order.refund_requested",
            "order.cancelled",
            "order.expired",
            "order.rejected",
            "user.email_verified",
        ],
    ),
    (
        "order",
        &[
            "stock.reserved",
            "stock.rejected",
            "stock.released",
            "payment.captured",
            "payment.failed",
            "payment.action_required",
            "payment.refund_requested",
            "payment.refunded",
        ],
    ),
    (
        "notification",
        &[
            "user.registered",
            "user.email_verification_requested",
            "user.password_reset_requested",
            "user.password_changed",
            "user.registration_attempted",
            "user.email_verified",
            "user.favourite_available",
            "product.created",
            "product.updated",
            "product.deleted",
            "stock.low",
            "order.placed",
            "order.paid",
            "order.rejected",
            "order.cancelled",
            "order.expired",
            "order.shipped",
            "order.delivered",
            "order.returned",
            "payment.action_required",
            "payment.refunded",
            "payment.disputed",
        ],
    ),
];

fn consumers(event_type: &str) -> impl Iterator<Item = &'static str> {
    let name = event_type.trim_start_matches("io.shop-operator.").trim_end_matches(".v1");
    CONSUMERS.iter().filter(move |(_, types)| types.contains(&name)).map(|(consumer, _)| *consumer)
}

pub(super) async fn check(databases: &Databases, findings: &mut Findings) -> Result<()> {
    let mut events: Vec<(Uuid, String)> = Vec::new();
    for service in databases.services() {
        let mut snapshot = databases.snapshot(service).await?;
        let outbox = format!("SELECT id, type FROM outbox WHERE {SETTLED}");
        events.extend(
            sqlx::query_as::<_, (Uuid, String)>(sqlx::AssertSqlSafe(outbox))
                .fetch_all(&mut *snapshot)
                .await?,
        );
        let late = format!("SELECT count(*) FROM outbox WHERE published_at IS NULL AND {SETTLED}");
        let late: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(late)).fetch_one(&mut *snapshot).await?;
        if late > 0 {
            findings.violation(5, service, format!("{late} events have not been told"));
        }
    }
    let known: HashMap<Uuid, &str> = events.iter().map(|(id, name)| (*id, name.as_str())).collect();
    for service in databases.services() {
        let mut snapshot = databases.snapshot(service).await?;
        let inbox: Vec<Uuid> = sqlx::query_scalar("SELECT event_id FROM inbox WHERE consumer = $1")
            .bind(service)
            .fetch_all(&mut *snapshot)
            .await?;
        let inbox: HashSet<Uuid> = inbox.into_iter().collect();
        let heard = inbox.iter().filter_map(|id| known.get(id));
        for event in heard.filter(|event| !consumers(event).any(|consumer| consumer == service)) {
            findings.violation(5, service, format!("hears of {event}, which is not in our list"));
        }
        for (id, event) in &events {
            if consumers(event).any(|consumer| consumer == service) {
                findings.counts.effects += 1;
                if !inbox.contains(id) {
                    findings.violation(
                        5,
                        format!("{event} {id}"),
                        format!("no effect at {service}"),
                    );
                }
            }
        }
    }
    Ok(())
}
