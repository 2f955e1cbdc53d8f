//! How Postgres keeps the trees of categories.

use sqlx::PgConnection;

use crate::category::Category;

/// Every category, by name.
pub async fn categories(connection: &mut PgConnection) -> Result<Vec<Category>, sqlx::Error> {
    sqlx::query_as!(
        Category,
        "SELECT slug, name, parent, version FROM categories ORDER BY name, slug"
    )
    .fetch_all(connection)
    .await
}

/// The category.
pub async fn category(
    connection: &mut PgConnection,
    slug: &str,
) -> Result<Option<Category>, sqlx::Error> {
    sqlx::query_as!(
        Category,
        "SELECT slug, name, parent, version FROM categories WHERE slug = $1",
        slug,
    )
    .fetch_optional(connection)
    .await
}

/// Keeps others from changing any category until the transaction ends. Two moves at once, each
/// harmless by itself, could close a circle. Whoever reads categories, or sells in them, goes on.
pub async fn lock_categories(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("LOCK TABLE categories IN SHARE ROW EXCLUSIVE MODE")
        .execute(connection)
        .await
        .map(|_| ())
}

/// Whether a category is another one or a part of it, however deep.
pub async fn is_within(
    connection: &mut PgConnection,
    slug: &str,
    other: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"WITH RECURSIVE holder AS (
               SELECT slug, parent FROM categories WHERE slug = $1
               UNION
               SELECT c.slug, c.parent FROM categories c JOIN holder ON c.slug = holder.parent
           ) SELECT EXISTS (SELECT FROM holder WHERE slug = $2) AS "within!""#,
        slug,
        other,
    )
    .fetch_one(connection)
    .await
}

/// Stores a category; says whether it did. Does nothing when its slug is there.
pub async fn insert_category(
    connection: &mut PgConnection,
    slug: &str,
    name: &str,
    parent: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "INSERT INTO categories (slug, name, parent) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        slug,
        name,
        parent,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Stores a category that has changed and returns it as stored.
pub async fn update_category(
    connection: &mut PgConnection,
    category: &Category,
) -> Result<Category, sqlx::Error> {
    sqlx::query_as!(
        Category,
        "UPDATE categories SET name = $2, parent = $3, version = version + 1 WHERE slug = $1
         RETURNING slug, name, parent, version",
        category.slug,
        category.name,
        category.parent,
    )
    .fetch_one(connection)
    .await
}

/// Deletes a category. Fails while it has products or parts.
pub async fn delete_category(connection: &mut PgConnection, slug: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM categories WHERE slug = $1", slug)
        .execute(connection)
        .await
        .map(|_| ())
}
