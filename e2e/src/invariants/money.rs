//! Payments, refunds and store credit: rule 3, and the payments of rule 4.

use std::collections::HashMap;

use anyhow::Result;
use uuid::Uuid;

use super::orders::Order;
use super::{Databases, Findings};

/// A payment, and what the books of the provider `test` say of it.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Payment {
    id: Uuid,
    order_id: Uuid,
    amount: i64,
    currency: String,
    status: String,
    /// What the row says is going back or has gone.
    refunded: i64,
    /// What has gone back.
    returned: i64,
    /// Whether somebody else keeps the provider's books.
    elsewhere: bool,
    charges: i64,
    charged: i64,
    credited: i64,
}

impl Payment {
    fn culprit(&self) -> String {
        format!("payment {}", self.id)
    }
}

pub(super) async fn read(databases: &Databases) -> Result<(Vec<Payment>, Ledger)> {
    let mut snapshot = databases.snapshot("payment").await?;
    let payments = sqlx::query_as(
        "SELECT p.id, p.order_id, p.amount, p.currency, p.status, p.refunded,
                (SELECT coalesce(sum(amount), 0)::bigint FROM refunds
                 WHERE payment_id = p.id AND status = 'done') AS returned,
                p.provider <> 'test' AS elsewhere,
                (SELECT count(*) FROM test_provider.charges
                 WHERE idempotency_key = p.id AND reference IS NOT NULL) AS charges,
                (SELECT coalesce(sum(amount), 0)::bigint FROM test_provider.charges
                 WHERE idempotency_key = p.id AND reference IS NOT NULL) AS charged,
                (SELECT coalesce(sum(r.amount), 0)::bigint FROM test_provider.refunds r
                 JOIN test_provider.charges c ON c.reference = r.charge_reference
                 WHERE c.idempotency_key = p.id)
                    + (SELECT coalesce(sum(amount), 0)::bigint FROM refunds
                       WHERE payment_id = p.id AND provider_reference = 'other_means'
                         AND status = 'done') AS credited
         FROM payments p",
    )
    .fetch_all(&mut *snapshot)
    .await?;
    // The provider `credit` keeps double-entry books, in the same database.
    let ledger = Ledger {
        sums: sqlx::query_as(
            "SELECT currency, sum(amount)::bigint FROM credit.entries
             JOIN credit.accounts ON accounts.id = account_id
             GROUP BY currency HAVING sum(amount) <> 0",
        )
        .fetch_all(&mut *snapshot)
        .await?,
        lopsided: sqlx::query_scalar(
            "SELECT t.id FROM credit.transactions t
             LEFT JOIN credit.entries e ON e.transaction_id = t.id
             GROUP BY t.id HAVING coalesce(sum(e.amount), 1) <> 0",
        )
        .fetch_all(&mut *snapshot)
        .await?,
        accounts: sqlx::query_as(
            "SELECT a.user_id, a.balance, coalesce(sum(e.amount), 0)::bigint AS entries
             FROM credit.accounts a LEFT JOIN credit.entries e ON e.account_id = a.id
             WHERE a.kind = 'customer' GROUP BY a.id",
        )
        .fetch_all(&mut *snapshot)
        .await?,
        payments: sqlx::query_as(
            "SELECT p.id, CASE p.status WHEN 'captured' THEN p.amount ELSE 0 END AS captured,
                    (SELECT coalesce(sum(amount), 0)::bigint FROM refunds
                     WHERE payment_id = p.id AND status = 'done') AS returned,
                    coalesce((SELECT -sum(e.amount)::bigint FROM credit.entries e
                     JOIN credit.accounts a ON a.id = e.account_id AND a.kind = 'customer'
                     WHERE e.transaction_id = p.id), 0) AS charged,
                    coalesce((SELECT sum(e.amount)::bigint FROM credit.entries e
                     JOIN credit.accounts a ON a.id = e.account_id AND a.kind = 'customer'
                     JOIN credit.transactions t ON t.id = e.transaction_id
                     WHERE t.charge_id = p.id), 0)
                        + (SELECT coalesce(sum(amount), 0)::bigint FROM refunds
                           WHERE payment_id = p.id AND provider_reference = 'other_means'
                             AND status = 'done') AS credited
             FROM payments p WHERE p.provider = 'credit'",
        )
        .fetch_all(&mut *snapshot)
        .await?,
    };
    Ok((payments, ledger))
}

/// The books of store credit.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Currencies whose entries do not add up to zero.
    sums: Vec<(String, i64)>,
    /// Transactions whose entries do not add up to zero, or that have none.
    lopsided: Vec<Uuid>,
    accounts: Vec<Account>,
    payments: Vec<CreditPayment>,
}

#[derive(Debug, sqlx::FromRow)]
struct Account {
    user_id: Uuid,
    balance: i64,
    entries: i64,
}

#[derive(Debug, sqlx::FromRow)]
struct CreditPayment {
    id: Uuid,
    captured: i64,
    returned: i64,
    charged: i64,
    credited: i64,
}

/// The books of store credit add up, and say what the payments say.
pub(super) fn check_ledger(ledger: &Ledger, findings: &mut Findings) {
    for (currency, sum) in &ledger.sums {
        findings.violation(3, format!("credit in {currency}"), format!("adds up to {sum}"));
    }
    for id in &ledger.lopsided {
        findings.violation(3, format!("credit transaction {id}"), "does not balance");
    }
    for account in &ledger.accounts {
        if account.balance != account.entries || account.balance < 0 {
            let text = format!("has {}, its entries {}", account.balance, account.entries);
            findings.violation(3, format!("credit of {}", account.user_id), text);
        }
    }
    for payment in &ledger.payments {
        let (said, kept) =
            ((payment.captured, payment.returned), (payment.charged, payment.credited));
        if said != kept {
            let text = format!("charged and given back {said:?}, by the books of credit {kept:?}");
            findings.violation(3, format!("payment {}", payment.id), text);
        }
    }
}

pub(super) fn check(orders: &HashMap<Uuid, Order>, payments: &[Payment], findings: &mut Findings) {
    findings.counts.payments = payments.len();
    let mut of_order: HashMap<Uuid, &Payment> = HashMap::new();
    for payment in payments {
        if of_order.insert(payment.order_id, payment).is_some() {
            findings.violation(3, format!("order {}", payment.order_id), "two payments");
        }
        if !orders.contains_key(&payment.order_id) {
            findings.violation(4, payment.culprit(), "of no order");
        }
        books(payment, findings);
    }
    for order in orders.values() {
        settled(order, of_order.get(&order.id).copied(), findings);
    }
}

/// What the payment says is what the provider says.
fn books(payment: &Payment, findings: &mut Findings) {
    let culprit = payment.culprit();
    if payment.refunded > payment.amount || payment.returned > payment.refunded {
        findings.violation(3, &culprit, "gives back more than it has taken");
    }
    if payment.elsewhere {
        return;
    }
    let captured = payment.status == "captured";
    let expected = if captured { (1, payment.amount) } else { (0, 0) };
    if (payment.charges, payment.charged) != expected {
        let text = format!(
            "{}, and the provider has {} charges of {}",
            payment.status, payment.charges, payment.charged
        );
        findings.violation(3, &culprit, text);
    }
    if payment.credited != payment.returned {
        let text =
            format!("has given back {}, the provider {}", payment.returned, payment.credited);
        findings.violation(3, &culprit, text);
    }
}

/// A paid order was charged in full, and of one that has ended nothing was kept.
fn settled(order: &Order, payment: Option<&Payment>, findings: &mut Findings) {
    let captured = payment.filter(|payment| payment.status == "captured");
    if order.was_charged() {
        let Some(payment) = captured else {
            findings.violation(3, order.culprit(), format!("{} for nothing", order.state));
            return;
        };
        let charged = (payment.amount, &payment.currency) == (order.total, &order.currency);
        if !charged || order.payment_id != Some(payment.id) {
            findings.violation(3, order.culprit(), "not charged its total");
        }
    }
    if let Some(payment) = captured
        && payment.returned != order.refunded
    {
        let text = format!("says that {} went back, and {} did", order.refunded, payment.returned);
        findings.violation(3, format!("refunds of order {}", order.id), text);
    }
    if order.has_ended()
        && let Some(payment) = captured
        && payment.returned != payment.amount
    {
        let text =
            format!("{}, and {} of {} went back", order.state, payment.returned, payment.amount);
        findings.violation(3, order.culprit(), text);
    }
}
