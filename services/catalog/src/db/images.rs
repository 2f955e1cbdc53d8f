//! How Postgres keeps images of products. Whoever changes one has locked its product.

use contracts::ProductId;
use serde::Deserialize;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::image::{Format, Name, Stored};

/// Objects that no image has.
#[derive(Debug, Deserialize)]
pub struct Discarded {
    /// What the image was, or was to be.
    pub id: Uuid,
    format: Format,
    widths: Vec<u32>,
}

impl Discarded {
    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = Name> {
        self.widths.iter().map(|width| Name { id: self.id, width: *width, format: self.format })
    }
}

/// Postgres has no unsigned integers; no image comes near the end of its own.
fn integer(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn integers(numbers: &[u32]) -> Vec<i32> {
    numbers.iter().copied().map(integer).collect()
}

/// The images of a product, in their order.
pub async fn images(
    connection: &mut PgConnection,
    product: ProductId,
) -> Result<Vec<Stored>, sqlx::Error> {
    let images = sqlx::query_scalar!(
        r#"SELECT images_of($1) AS "images!: Json<Vec<Stored>>""#,
        product.uuid()
    )
    .fetch_one(connection)
    .await?;
    Ok(images.0)
}

/// Puts an image behind those that the product has.
pub async fn insert_image(
    connection: &mut PgConnection,
    product: ProductId,
    image: &Stored,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO images (id, product_id, position, alt, format, width, height, widths)
         SELECT $1, $2, count(*), $3, $4, $5, $6, $7 FROM images WHERE product_id = $2",
        image.id,
        product.uuid(),
        image.alt,
        image.format.as_str(),
        integer(image.width),
        integer(image.height),
        &integers(&image.widths),
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// Stores what an image shows, in words.
pub async fn update_alt(
    connection: &mut PgConnection,
    id: Uuid,
    alt: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE images SET alt = $2 WHERE id = $1", id, alt)
        .execute(connection)
        .await
        .map(|_| ())
}

/// Puts the images of a product into this order.
pub async fn place_images(
    connection: &mut PgConnection,
    product: ProductId,
    ids: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE images SET position = place - 1
         FROM unnest($2::uuid[]) WITH ORDINALITY AS wanted (id, place)
         WHERE images.id = wanted.id AND product_id = $1 AND position <> place - 1",
        product.uuid(),
        ids,
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// Takes an image off its product. What it looked like is deleted later.
pub async fn delete_image(connection: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM images WHERE id = $1", id).execute(connection).await.map(|_| ())
}

/// Gives a product the next version, because its images have changed; returns that.
pub async fn next_version(
    connection: &mut PgConnection,
    product: ProductId,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "UPDATE products SET version = version + 1, updated_at = now() WHERE id = $1
         RETURNING version",
        product.uuid(),
    )
    .fetch_one(connection)
    .await
}

/// Notes what is about to be stored for an image that is none yet, for `seconds`: who stores it claims it
/// before.
pub async fn note_upload(
    connection: &mut PgConnection,
    image: &Stored,
    seconds: f64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO discarded_images (id, format, widths, due)
         VALUES ($1, $2, $3, now() + make_interval(secs => $4))
         ON CONFLICT (id) DO UPDATE SET due = excluded.due",
        image.id,
        image.format.as_str(),
        &integers(&image.widths),
        seconds,
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// What was noted becomes an image. False: it took too long, and what was stored is gone or going.
pub async fn claim_upload(connection: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    let claimed = sqlx::query!("DELETE FROM discarded_images WHERE id = $1", id);
    Ok(claimed.execute(connection).await?.rows_affected() == 1)
}

/// What is to be deleted now, kept from whoever claims it until the transaction ends. What somebody else
/// has locked is left to them.
pub async fn lock_discarded(
    connection: &mut PgConnection,
    most: i64,
) -> Result<Vec<Discarded>, sqlx::Error> {
    let rows = sqlx::query_scalar!(
        r#"SELECT jsonb_build_object('id', id, 'format', format, 'widths', widths)
               AS "discarded!: Json<Discarded>"
           FROM discarded_images WHERE due <= now()
           ORDER BY due LIMIT $1 FOR UPDATE SKIP LOCKED"#,
        most,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|discarded| discarded.0).collect())
}

/// Forgets what was deleted.
pub async fn forget_discarded(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM discarded_images WHERE id = ANY($1)", ids)
        .execute(connection)
        .await
        .map(|_| ())
}
