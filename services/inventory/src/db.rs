//! What inventory keeps in Postgres. Who needs several rows locks the reservation first and stock
//! afterwards, sorted by SKU, so that nobody waits in a circle.

mod announcements;
mod movements;
mod products;
mod reservations;
mod sellers;
mod together;

use chrono::{DateTime, Utc};
use contracts::events::{StockAvailable, StockDepleted, StockLow};
use contracts::{ProductId, Sku, StockId, UserId};
use kit::page::Window;
use sqlx::PgConnection;
use uuid::Uuid;

use self::movements::note;
use crate::stock::{Kind, comes_back, falls_low};

pub use announcements::{
    announce, announcement, announcements, lock_announcement, set_announcement,
};
pub use movements::{Movement, Reason, has_moved, movements};
pub use products::{lock_product, own, set_retired};
pub use reservations::{
    Reserved, close, lock, lock_all, lock_overdue, open, reserve, set_state, settle,
};

pub use sellers::{products_without_seller, set_sellers};
pub use together::{commit_all, hold_all, lock_each, open_all, shelves};

type Result<T> = sqlx::Result<T>;

/// A row of stock.
#[derive(Clone, Debug)]
pub struct Stock {
    /// What events about it are keyed by.
    pub id: StockId,
    /// Stock keeping unit.
    pub sku: String,
    /// Units that can be reserved.
    pub available: i64,
    /// Units that are held for orders.
    pub reserved: i64,
    /// At or below this many available units the stock is low.
    pub low_threshold: Option<i64>,
    /// Whose it is, once the catalog has told.
    pub product_id: Option<Uuid>,
    /// Who sells that product, and so manages this stock.
    pub seller_id: Option<Uuid>,
    /// Whether nobody can buy it, because its product is to be deleted.
    pub retired: bool,
    /// Grows by one with every change.
    pub version: i64,
    /// Grows by one when the threshold changes.
    pub threshold_version: i64,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
}

/// What somebody has done to a row of stock.
#[derive(Clone, Debug)]
pub struct Change {
    /// The row as it was.
    pub before: Stock,
    /// The row as it is.
    pub after: Stock,
}

impl Change {
    /// What to tell others when the stock has become low. Nobody orders more of what is retired.
    pub fn low(&self) -> Result<Option<StockLow>> {
        let Self { before, after } = self;
        if after.retired {
            return Ok(None);
        }
        let was = (before.available, before.low_threshold);
        let is = (after.available, after.low_threshold);
        let tell = |threshold| low(after.id, &after.sku, after.available, threshold);
        falls_low(was, is).map(tell).transpose()
    }

    /// What to tell others when there are units again.
    pub fn available(&self) -> Result<Option<StockAvailable>> {
        let Self { before, after } = self;
        let back = comes_back(before.available, after.available) && !after.retired;
        let Some(product) = after.product_id.filter(|_| back) else {
            return Ok(None);
        };
        // What changes a row like this is a supply or an adjustment.
        available_again(after.id, &after.sku, product.into(), after.available, true).map(Some)
    }

    /// What to tell others when there are no units any more.
    pub fn depleted(&self) -> Result<Option<StockDepleted>> {
        let Self { before, after } = self;
        let gone = before.available > 0 && after.available == 0 && !after.retired;
        let product = after.product_id.filter(|_| gone);
        product.map(|product| depleted(after.id, &after.sku, product.into())).transpose()
    }
}

fn depleted(stock_id: StockId, sku: &str, product_id: ProductId) -> Result<StockDepleted> {
    Ok(StockDepleted { stock_id, sku: parsed(sku)?, product_id })
}

fn available_again(
    stock_id: StockId,
    sku: &str,
    product_id: ProductId,
    available: i64,
    restocked: bool,
) -> Result<StockAvailable> {
    let restocked = Some(restocked);
    Ok(StockAvailable { stock_id, sku: parsed(sku)?, product_id, available, restocked })
}

fn low(stock_id: StockId, sku: &str, available: i64, threshold: i64) -> Result<StockLow> {
    Ok(StockLow { stock_id, sku: parsed(sku)?, available, threshold })
}

fn parsed(sku: &str) -> Result<Sku> {
    sku.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// A statement that ends with whole rows of stock: `SELECT`, or the `RETURNING` of another one.
macro_rules! stock {
    ($before:literal, $after:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Stock,
            $before
                + " id, sku, available, reserved, low_threshold, product_id,
                    (SELECT seller_id FROM products WHERE products.id = product_id) AS seller_id,
                    retired, version, threshold_version, updated_at "
                + $after
            $(, $argument)*
        )
    };
}

/// A row of stock.
pub async fn find(connection: &mut PgConnection, sku: &Sku) -> Result<Option<Stock>> {
    stock!("SELECT", "FROM stock WHERE sku = $1", sku.as_str()).fetch_optional(connection).await
}

/// A row of stock, kept from changing until the transaction ends.
pub async fn lock_stock(connection: &mut PgConnection, sku: &Sku) -> Result<Option<Stock>> {
    stock!("SELECT", "FROM stock WHERE sku = $1 FOR UPDATE", sku.as_str())
        .fetch_optional(connection)
        .await
}

/// Takes in units; a SKU that is not known yet becomes so. Without a threshold the old one stays.
pub async fn supply(
    connection: &mut PgConnection,
    sku: &Sku,
    quantity: i64,
    low_threshold: Option<i64>,
    reason: &Reason,
) -> Result<Change> {
    // A row of nothing, so that there is one to lock; its first version is made below.
    sqlx::query!(
        "INSERT INTO stock (sku, available, version) VALUES ($1, 0, 0) ON CONFLICT DO NOTHING",
        sku.as_str(),
    )
    .execute(&mut *connection)
    .await?;
    let before = lock_stock(connection, sku).await?.ok_or(sqlx::Error::RowNotFound)?;
    let after = stock!(
        "UPDATE stock SET available = available + $2,
             threshold_version = threshold_version
                 + CASE WHEN $3 IS DISTINCT FROM low_threshold AND $3 IS NOT NULL THEN 1 ELSE 0 END,
             low_threshold = coalesce($3, low_threshold),
             version = version + 1, updated_at = now()
         WHERE sku = $1
         RETURNING",
        "",
        sku.as_str(),
        quantity,
        low_threshold,
    )
    .fetch_one(&mut *connection)
    .await?;
    note(connection, sku, Kind::Supply, quantity, reason).await?;
    Ok(Change { before, after })
}

/// Corrects the available units; none when the SKU is not known.
pub async fn adjust(
    connection: &mut PgConnection,
    sku: &Sku,
    delta: i64,
    reason: &Reason,
) -> Result<Option<Change>> {
    let Some(before) = lock_stock(connection, sku).await? else {
        return Ok(None);
    };
    let after = stock!(
        "UPDATE stock SET available = available + $2, version = version + 1, updated_at = now()
         WHERE sku = $1
         RETURNING",
        "",
        sku.as_str(),
        delta,
    )
    .fetch_one(&mut *connection)
    .await?;
    note(connection, sku, Kind::Adjustment, delta, reason).await?;
    Ok(Some(Change { before, after }))
}

/// Sets at how many available units a SKU is low, or that it never is; its row is to be locked.
pub async fn set_threshold(
    connection: &mut PgConnection,
    before: Stock,
    low_threshold: Option<i64>,
) -> Result<Change> {
    let after = stock!(
        "UPDATE stock SET low_threshold = $2, threshold_version = threshold_version + 1,
             version = version + 1, updated_at = now()
         WHERE sku = $1
         RETURNING",
        "",
        before.sku,
        low_threshold,
    )
    .fetch_one(connection)
    .await?;
    Ok(Change { before, after })
}

/// Whether there is a row of stock for the SKU.
pub async fn is_known(connection: &mut PgConnection, sku: &Sku) -> Result<bool> {
    Ok(find(connection, sku).await?.is_some())
}

/// The units of these SKUs that can be bought; unknown ones are absent.
pub async fn available(
    connection: &mut PgConnection,
    skus: &[String],
) -> Result<Vec<(String, i64)>> {
    let rows = sqlx::query!(
        r#"SELECT sku, CASE WHEN retired THEN 0 ELSE available END AS "available!"
           FROM stock WHERE sku = ANY($1)"#,
        skus,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.sku, row.available)).collect())
}

/// A page of stock, by SKU: of one seller's products, or all of it; where `low`, of what is low alone.
pub async fn list(
    connection: &mut PgConnection,
    seller: Option<UserId>,
    low: bool,
    window: &Window<String>,
) -> Result<Vec<Stock>> {
    stock!(
        "SELECT",
        "FROM stock
         WHERE ($1::text IS NULL OR sku > $1)
           AND (NOT $4 OR available <= low_threshold AND NOT retired)
           AND ($5::uuid IS NULL OR product_id IN (SELECT id FROM products WHERE seller_id = $5))
         ORDER BY sku LIMIT $2 OFFSET $3",
        window.after.as_deref(),
        window.fetch(),
        window.offset,
        low,
        seller.map(UserId::uuid),
    )
    .fetch_all(connection)
    .await
}

/// How many SKUs are low.
pub async fn count_low(connection: &mut PgConnection) -> Result<i64> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM stock WHERE available <= low_threshold AND NOT retired"#
    );
    count.fetch_one(connection).await
}
