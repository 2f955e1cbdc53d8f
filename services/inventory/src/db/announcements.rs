//! Supplies that are announced before they come. Who needs both locks the announcement before the
//! stock.

use chrono::NaiveDate;
use contracts::{Sku, UserId};
use kit::page::Window;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Result;
use crate::announcement::{Announcement, State};

/// A statement that ends with whole announcements: `SELECT`, or the `RETURNING` of another one.
macro_rules! announcements {
    ($before:literal, $after:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Announcement,
            $before
                + r#" id, sku, quantity, received, expected_on, reference, state AS "state: State",
                      user_id, version, created_at, updated_at "#
                + $after
            $(, $argument)*
        )
    };
}

/// Stores a new announcement and returns it as stored.
pub async fn announce(
    connection: &mut PgConnection,
    announcement: &Announcement,
) -> Result<Announcement> {
    announcements!(
        "INSERT INTO announcements (id, sku, quantity, expected_on, reference, user_id)
         VALUES ($1, $2, $3, $4, $5, $6)
         RETURNING",
        "",
        announcement.id,
        announcement.sku,
        announcement.quantity,
        announcement.expected_on,
        announcement.reference,
        announcement.user_id.uuid(),
    )
    .fetch_one(connection)
    .await
}

/// The announcement.
pub async fn announcement(connection: &mut PgConnection, id: Uuid) -> Result<Option<Announcement>> {
    announcements!("SELECT", "FROM announcements WHERE id = $1", id)
        .fetch_optional(connection)
        .await
}

/// The announcement, kept from changing until the transaction ends.
pub async fn lock_announcement(
    connection: &mut PgConnection,
    id: Uuid,
) -> Result<Option<Announcement>> {
    announcements!("SELECT", "FROM announcements WHERE id = $1 FOR UPDATE", id)
        .fetch_optional(connection)
        .await
}

/// Stores how far an announcement has come and returns it as stored.
pub async fn set_announcement(
    connection: &mut PgConnection,
    id: Uuid,
    received: i64,
    state: State,
) -> Result<Announcement> {
    announcements!(
        "UPDATE announcements
         SET received = $2, state = $3, version = version + 1, updated_at = now()
         WHERE id = $1
         RETURNING",
        "",
        id,
        received,
        state as State,
    )
    .fetch_one(connection)
    .await
}

/// A page of announcements in this state, of one seller's products or all of them, of this SKU if one is named, those
/// expected first first.
pub async fn announcements(
    connection: &mut PgConnection,
    seller: Option<UserId>,
    state: State,
    sku: Option<&Sku>,
    window: &Window<(NaiveDate, Uuid)>,
) -> Result<Vec<Announcement>> {
    announcements!(
        "SELECT",
        "FROM announcements
         WHERE state = $1 AND ($2::text IS NULL OR sku = $2)
           AND ($3::date IS NULL OR (expected_on, id) > ($3, $4))
           AND ($7::uuid IS NULL OR sku IN (
               SELECT stock.sku FROM stock JOIN products ON products.id = stock.product_id
               WHERE seller_id = $7))
         ORDER BY expected_on, id LIMIT $5 OFFSET $6",
        state as State,
        sku.map(Sku::as_str),
        window.after.map(|(day, _)| day),
        window.after.map(|(_, id)| id),
        window.fetch(),
        window.offset,
        seller.map(UserId::uuid),
    )
    .fetch_all(connection)
    .await
}
