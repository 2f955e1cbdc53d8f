//! Store credit, by double entry: what a customer has is what the entries of their account add up
//! to, and whatever comes to one account leaves another.

use chrono::{DateTime, Utc};
use contracts::{Currency, Money, OrderId, UserId};
use kit::page::Window;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Result;

/// Why money moves.
#[derive(Clone, Copy, Debug)]
pub enum Cause<'a> {
    /// Staff gives it.
    Grant {
        /// Why.
        reason: &'a str,
        /// Who.
        by: UserId,
    },
    /// An order is paid.
    Charge {
        /// Which.
        order: OrderId,
    },
    /// A charge is given back.
    Refund {
        /// Which.
        charge: Uuid,
    },
}

impl Cause<'_> {
    const fn word(&self) -> &'static str {
        match self {
            Self::Grant { .. } => "grant",
            Self::Charge { .. } => "charge",
            Self::Refund { .. } => "refund",
        }
    }

    /// The shop's account on the other side.
    const fn other_side(&self) -> &'static str {
        match self {
            Self::Grant { .. } => "issued",
            Self::Charge { .. } | Self::Refund { .. } => "sales",
        }
    }
}

/// Moves an amount to a customer's account or, below zero, away from it; the other side has the
/// opposite. False when the customer has not so much: whoever asks takes its transaction back then.
/// Fails by `transactions_pkey` when a transaction with this id was made before.
///
/// That is found out first. Somebody who makes the same one at this moment is waited for, and
/// what it has taken is not missing to this one. Then the update of the customer's row makes two
/// purchases at the same time queue, so that the second sees what the first has left.
pub async fn post(
    connection: &mut PgConnection,
    id: Uuid,
    user: UserId,
    amount: Money,
    cause: Cause<'_>,
) -> Result<bool> {
    let currency = amount.currency.as_str();
    let (reason, by) = match cause {
        Cause::Grant { reason, by } => (Some(reason), Some(by.uuid())),
        _ => (None, None),
    };
    let order = if let Cause::Charge { order } = cause { Some(order.uuid()) } else { None };
    let charge = if let Cause::Refund { charge } = cause { Some(charge) } else { None };
    sqlx::query!(
        "INSERT INTO credit.transactions (id, kind, order_id, charge_id, reason, granted_by)
         VALUES ($1, $2, $3, $4, $5, $6)",
        id,
        cause.word(),
        order,
        charge,
        reason,
        by,
    )
    .execute(&mut *connection)
    .await?;
    let other = account(connection, cause.other_side(), None, currency).await?;
    let own = account(connection, "customer", Some(user), currency).await?;
    let moved = sqlx::query!(
        "UPDATE credit.accounts SET balance = balance + $2::bigint
         WHERE id = $1 AND balance + $2::bigint >= 0",
        own,
        amount.amount,
    );
    if moved.execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!(
        "INSERT INTO credit.entries (transaction_id, account_id, amount)
         VALUES ($1, $2, $4::bigint), ($1, $3, -$4::bigint)",
        id,
        own,
        other,
        amount.amount,
    )
    .execute(connection)
    .await?;
    Ok(true)
}

/// An account, opened if need be.
async fn account(
    connection: &mut PgConnection,
    kind: &str,
    user: Option<UserId>,
    currency: &str,
) -> Result<Uuid> {
    let user = user.map(UserId::uuid);
    let find = "there is one after it was opened";
    sqlx::query!(
        "INSERT INTO credit.accounts (id, kind, user_id, currency, balance)
         SELECT $1, $2, $3, $4, CASE WHEN $2 = 'customer' THEN 0 END
         WHERE NOT EXISTS (
             SELECT FROM credit.accounts
             WHERE kind = $2 AND user_id IS NOT DISTINCT FROM $3 AND currency = $4)
         ON CONFLICT (kind, user_id, currency) DO NOTHING",
        Uuid::now_v7(),
        kind,
        user,
        currency,
    )
    .execute(&mut *connection)
    .await?;
    let id = sqlx::query_scalar!(
        "SELECT id FROM credit.accounts
         WHERE kind = $1 AND user_id IS NOT DISTINCT FROM $2 AND currency = $3",
        kind,
        user,
        currency,
    )
    .fetch_optional(connection)
    .await?;
    id.ok_or_else(|| sqlx::Error::Protocol(find.into()))
}

/// Whether a transaction with this id was made.
pub async fn posted(connection: &mut PgConnection, id: Uuid) -> Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM credit.transactions WHERE id = $1) AS "there!""#,
        id,
    )
    .fetch_one(connection)
    .await
}

/// A charge that money may go back of.
#[derive(Clone, Copy, Debug)]
pub struct Charged {
    /// Who has paid.
    pub user: UserId,
    /// Minor units that have not gone back.
    pub left: i64,
}

/// What is left of a charge. Its row is locked: two refunds cannot both take what is left.
pub async fn charged(
    connection: &mut PgConnection,
    charge: Uuid,
    currency: Currency,
) -> Result<Option<Charged>> {
    sqlx::query!(
        "SELECT FROM credit.transactions WHERE id = $1 AND kind = 'charge' FOR UPDATE",
        charge,
    )
    .execute(&mut *connection)
    .await?;
    let row = sqlx::query!(
        r#"SELECT user_id AS "user_id!", -sum(entries.amount)::bigint AS "left!"
           FROM credit.entries
           JOIN credit.accounts ON accounts.id = account_id AND kind = 'customer'
           JOIN credit.transactions ON transactions.id = transaction_id
           WHERE (transactions.id = $1 OR charge_id = $1) AND transactions.kind <> 'grant'
             AND currency = $2
           GROUP BY user_id"#,
        charge,
        currency.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Charged { user: row.user_id.into(), left: row.left }))
}

/// What a customer has.
pub async fn balance(
    connection: &mut PgConnection,
    user: UserId,
    currency: Currency,
) -> Result<i64> {
    let balance = sqlx::query_scalar!(
        r#"SELECT balance AS "balance!" FROM credit.accounts
           WHERE kind = 'customer' AND user_id = $1 AND currency = $2"#,
        user.uuid(),
        currency.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(balance.unwrap_or(0))
}

/// A change of a customer's balance.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Rises with time.
    pub id: i64,
    /// The transaction.
    pub transaction_id: Uuid,
    /// `grant`, `charge` or `refund`.
    pub kind: String,
    /// Minor units; below zero: spent.
    pub amount: i64,
    /// The order that was paid, or whose money came back.
    pub order_id: Option<Uuid>,
    /// Why it was granted.
    pub reason: Option<String>,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// A page of a customer's entries, the latest first.
pub async fn entries(
    connection: &mut PgConnection,
    user: UserId,
    currency: Currency,
    window: &Window<i64>,
) -> Result<Vec<Entry>> {
    sqlx::query_as!(
        Entry,
        r#"SELECT e.id, t.id AS transaction_id, t.kind, e.amount, t.reason, t.created_at,
               coalesce(t.order_id, charge.order_id) AS "order_id?"
           FROM credit.accounts a
           JOIN credit.entries e ON e.account_id = a.id
           JOIN credit.transactions t ON t.id = e.transaction_id
           LEFT JOIN credit.transactions charge ON charge.id = t.charge_id
           WHERE a.kind = 'customer' AND a.user_id = $1 AND a.currency = $2
             AND ($3::bigint IS NULL OR e.id < $3)
           ORDER BY e.id DESC LIMIT $4 OFFSET $5"#,
        user.uuid(),
        currency.as_str(),
        window.after,
        window.fetch(),
        window.offset,
    )
    .fetch_all(connection)
    .await
}
