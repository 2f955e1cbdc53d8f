//! What the service keeps in Postgres. Whoever needs both locks the review before the tally, so that
//! nobody waits in a circle.

use contracts::{ProductId, ReviewId};
use kit::page::Window;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::review::{Review, Tally};

/// The review.
pub async fn find(
    connection: &mut PgConnection,
    id: ReviewId,
) -> Result<Option<Review>, sqlx::Error> {
    sqlx::query_as!(
        Review,
        "SELECT id, product_id, user_id, rating, title, text, version, created_at, updated_at
         FROM reviews WHERE id = $1",
        id.uuid(),
    )
    .fetch_optional(connection)
    .await
}

/// The review, kept from changing until the transaction ends.
pub async fn lock(
    connection: &mut PgConnection,
    id: ReviewId,
) -> Result<Option<Review>, sqlx::Error> {
    sqlx::query_as!(
        Review,
        "SELECT id, product_id, user_id, rating, title, text, version, created_at, updated_at
         FROM reviews WHERE id = $1 FOR UPDATE",
        id.uuid(),
    )
    .fetch_optional(connection)
    .await
}

/// A page of a product's reviews, the latest first.
pub async fn list(
    connection: &mut PgConnection,
    product: ProductId,
    window: &Window<ReviewId>,
) -> Result<Vec<Review>, sqlx::Error> {
    sqlx::query_as!(
        Review,
        "SELECT id, product_id, user_id, rating, title, text, version, created_at, updated_at
         FROM reviews
         WHERE product_id = $1 AND ($2::uuid IS NULL OR id < $2)
         ORDER BY id DESC LIMIT $3 OFFSET $4",
        product.uuid(),
        window.after.map(ReviewId::uuid),
        window.fetch(),
        window.offset,
    )
    .fetch_all(connection)
    .await
}

/// Makes sure that there is a tally for the product, to be locked and changed.
pub async fn open_tally(
    connection: &mut PgConnection,
    product: ProductId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO product_ratings (product_id, count, sum) VALUES ($1, 0, 0)
         ON CONFLICT DO NOTHING",
        product.uuid(),
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// Stores a new review and returns it as stored.
pub async fn insert(connection: &mut PgConnection, review: Review) -> Result<Review, sqlx::Error> {
    let stored = sqlx::query!(
        "INSERT INTO reviews (id, product_id, user_id, rating, title, text)
         VALUES ($1, $2, $3, $4, $5, $6)
         RETURNING version, created_at, updated_at",
        review.id.uuid(),
        review.product_id.uuid(),
        review.user_id.uuid(),
        review.rating,
        review.title,
        review.text,
    )
    .fetch_one(connection)
    .await?;
    Ok(Review {
        version: stored.version,
        created_at: stored.created_at,
        updated_at: stored.updated_at,
        ..review
    })
}

/// Stores a review that has changed and returns it as stored.
pub async fn update(connection: &mut PgConnection, review: Review) -> Result<Review, sqlx::Error> {
    let stored = sqlx::query!(
        "UPDATE reviews
         SET rating = $2, title = $3, text = $4, version = version + 1, updated_at = now()
         WHERE id = $1
         RETURNING version, updated_at",
        review.id.uuid(),
        review.rating,
        review.title,
        review.text,
    )
    .fetch_one(connection)
    .await?;
    Ok(Review { version: stored.version, updated_at: stored.updated_at, ..review })
}

/// Removes a review.
pub async fn delete(connection: &mut PgConnection, id: ReviewId) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM reviews WHERE id = $1", id.uuid())
        .execute(connection)
        .await
        .map(|_| ())
}

/// Adds so many reviews and so much to the sum of their ratings, and returns what it is then.
pub async fn tally(
    connection: &mut PgConnection,
    product: ProductId,
    count: i64,
    sum: i64,
) -> Result<Tally, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "UPDATE product_ratings SET count = count + $2, sum = sum + $3 WHERE product_id = $1
         RETURNING product_id, count, sum",
        product.uuid(),
        count,
        sum,
    )
    .fetch_one(connection)
    .await?;
    row.tally()
}

/// What the reviews of these products add up to; products without reviews are absent.
pub async fn tallies(
    connection: &mut PgConnection,
    products: &[Uuid],
) -> Result<Vec<(ProductId, Tally)>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT product_id, count, sum FROM product_ratings
         WHERE product_id = ANY($1) AND count > 0",
        products,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Ok((row.product_id, row.tally()?))).collect()
}

struct Row {
    product_id: ProductId,
    count: i64,
    sum: i64,
}

impl Row {
    fn tally(&self) -> Result<Tally, sqlx::Error> {
        let decode = |error| sqlx::Error::Decode(Box::new(error));
        Ok(Tally {
            count: self.count.try_into().map_err(decode)?,
            sum: self.sum.try_into().map_err(decode)?,
        })
    }
}
