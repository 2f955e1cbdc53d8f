//! What the service keeps in Postgres. Whoever needs both locks the review before the tally, so that
//! nobody waits in a circle.

use chrono::{DateTime, Utc};
use contracts::{ProductId, ReviewId, UserId};
use kit::page::Window;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::review::{Answer, Review, Tally};

// Before the module that uses it too.
/// A statement that ends with whole reviews: `SELECT`, or the `RETURNING` of another one.
macro_rules! rows {
    ($before:literal, $after:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            $before
                + r#" id, product_id, user_id, rating, title, text, answer, answered_by,
                      answered_at, answer_updated_at, hidden_at IS NOT NULL AS "hidden!",
                      version, created_at, updated_at "#
                + $after
            $(, $argument)*
        )
    };
}

mod deleted;
mod moderation;

pub use deleted::let_go;
pub use moderation::{Decided, insert_report, reported, reports, set_hidden};

/// A row of reviews. The columns of the answer are all there or all absent.
struct Row {
    id: ReviewId,
    product_id: ProductId,
    user_id: UserId,
    rating: i16,
    title: Option<String>,
    text: String,
    answer: Option<String>,
    answered_by: Option<Uuid>,
    answered_at: Option<DateTime<Utc>>,
    answer_updated_at: Option<DateTime<Utc>>,
    hidden: bool,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for Review {
    fn from(row: Row) -> Self {
        let answer =
            row.answer.zip(row.answered_by).zip(row.answered_at.zip(row.answer_updated_at));
        let answer = answer.map(|((text, user_id), (created_at, updated_at))| Answer {
            text,
            user_id: user_id.into(),
            created_at,
            updated_at,
        });
        Self {
            id: row.id,
            product_id: row.product_id,
            user_id: row.user_id,
            rating: row.rating,
            title: row.title,
            text: row.text,
            answer,
            hidden: row.hidden,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// The review.
pub async fn find(
    connection: &mut PgConnection,
    id: ReviewId,
) -> Result<Option<Review>, sqlx::Error> {
    let found = rows!("SELECT", "FROM reviews WHERE id = $1", id.uuid());
    Ok(found.fetch_optional(connection).await?.map(Review::from))
}

/// The review, kept from changing until the transaction ends.
pub async fn lock(
    connection: &mut PgConnection,
    id: ReviewId,
) -> Result<Option<Review>, sqlx::Error> {
    let found = rows!("SELECT", "FROM reviews WHERE id = $1 FOR UPDATE", id.uuid());
    Ok(found.fetch_optional(connection).await?.map(Review::from))
}

/// Whose hidden reviews a list shows beside those that everybody sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// Nobody's.
    None,
    /// This author's.
    Of(UserId),
    /// Everybody's.
    All,
}

/// A page of a product's reviews, the latest first.
pub async fn list(
    connection: &mut PgConnection,
    product: ProductId,
    hidden: Hidden,
    window: &Window<ReviewId>,
) -> Result<Vec<Review>, sqlx::Error> {
    let author = if let Hidden::Of(author) = hidden { Some(author.uuid()) } else { None };
    let found = rows!(
        "SELECT",
        "FROM reviews
         WHERE product_id = $1 AND ($2::uuid IS NULL OR id < $2)
           AND (hidden_at IS NULL OR $5 OR user_id = $6)
         ORDER BY id DESC LIMIT $3 OFFSET $4",
        product.uuid(),
        window.after.map(ReviewId::uuid),
        window.fetch(),
        window.offset,
        hidden == Hidden::All,
        author,
    );
    Ok(found.fetch_all(connection).await?.into_iter().map(Review::from).collect())
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

/// Stores a review that its author has changed and returns it as stored.
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

/// Stores the answer to a review, instead of the one before; none takes it away. Returns the review
/// as stored.
pub async fn set_answer(
    connection: &mut PgConnection,
    id: ReviewId,
    answer: Option<(UserId, &str)>,
) -> Result<Review, sqlx::Error> {
    let stored = rows!(
        "UPDATE reviews
         SET answer = $2, answered_by = $3,
             answered_at = CASE WHEN $2::text IS NOT NULL THEN coalesce(answered_at, now()) END,
             answer_updated_at = CASE WHEN $2::text IS NOT NULL THEN now() END,
             version = version + 1
         WHERE id = $1
         RETURNING",
        "",
        id.uuid(),
        answer.map(|(_, text)| text),
        answer.map(|(user, _)| user.uuid()),
    );
    Ok(stored.fetch_one(connection).await?.into())
}

/// Removes a review.
pub async fn delete(connection: &mut PgConnection, id: ReviewId) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM reviews WHERE id = $1", id.uuid())
        .execute(connection)
        .await
        .map(|_| ())
}

/// Adds so many reviews and so much to the sum of their ratings, and returns what it is then; none when
/// the product was deleted.
pub async fn tally(
    connection: &mut PgConnection,
    product: ProductId,
    count: i64,
    sum: i64,
) -> Result<Option<Tally>, sqlx::Error> {
    let row = sqlx::query_as!(
        TallyRow,
        "UPDATE product_ratings SET count = count + $2, sum = sum + $3, version = version + 1
         WHERE product_id = $1 AND NOT deleted
         RETURNING product_id, count, sum, version",
        product.uuid(),
        count,
        sum,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| row.tally()).transpose()
}

/// What the reviews of these products add up to; products without reviews are absent.
pub async fn tallies(
    connection: &mut PgConnection,
    products: &[Uuid],
) -> Result<Vec<(ProductId, Tally)>, sqlx::Error> {
    let rows = sqlx::query_as!(
        TallyRow,
        "SELECT product_id, count, sum, version FROM product_ratings
         WHERE product_id = ANY($1) AND count > 0",
        products,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Ok((row.product_id, row.tally()?))).collect()
}

struct TallyRow {
    product_id: ProductId,
    count: i64,
    sum: i64,
    version: i64,
}

impl TallyRow {
    fn tally(&self) -> Result<Tally, sqlx::Error> {
        let decode = |error| sqlx::Error::Decode(Box::new(error));
        Ok(Tally {
            count: self.count.try_into().map_err(decode)?,
            sum: self.sum.try_into().map_err(decode)?,
            version: self.version,
        })
    }
}
