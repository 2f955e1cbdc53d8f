//! What letters call the products, in Postgres.

use contracts::events::ProductVariant;
use contracts::{ProductId, Sku, StockId, UserId};
use sqlx::PgConnection;

use super::Result;

/// What a SKU is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The product.
    pub name: String,
    /// Which of its kinds, if there are several.
    pub variant: Option<String>,
    /// Whose it is, if that was told.
    pub seller: Option<UserId>,
}

impl Named {
    /// As shoppers know it: `Mug (red)`.
    pub fn full_name(self) -> String {
        match self.variant {
            Some(variant) => format!("{} ({variant})", self.name),
            None => self.name,
        }
    }
}

/// Notes how the product is now; a seller that is not told stays.
pub async fn put(
    tx: &mut PgConnection,
    product: ProductId,
    (name, seller): (&str, Option<UserId>),
    own: &Sku,
    variants: &[ProductVariant],
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO products (product_id, name, seller_id) VALUES ($1, $2, $3)
         ON CONFLICT (product_id) DO UPDATE SET name = $2,
             seller_id = coalesce($3, products.seller_id)",
        product.uuid(),
        name,
        seller.map(UserId::uuid),
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("DELETE FROM product_skus WHERE product_id = $1", product.uuid())
        .execute(&mut *tx)
        .await?;
    let own = (variants.iter().all(|variant| variant.sku != *own)).then(|| (own.to_string(), None));
    let kinds =
        variants.iter().map(|variant| (variant.sku.to_string(), Some(variant.name.clone())));
    let (skus, names): (Vec<String>, Vec<Option<String>>) = own.into_iter().chain(kinds).unzip();
    sqlx::query!(
        "INSERT INTO product_skus (sku, product_id, variant)
         SELECT sku, $1, variant FROM unnest($2::text[], $3::text[]) AS kinds (sku, variant)
         ON CONFLICT (sku) DO UPDATE SET product_id = $1, variant = excluded.variant",
        product.uuid(),
        &skus,
        names as Vec<Option<String>>,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets the product.
pub async fn remove(tx: &mut PgConnection, product: ProductId) -> Result<()> {
    sqlx::query!("DELETE FROM products WHERE product_id = $1", product.uuid()).execute(tx).await?;
    Ok(())
}

/// What this SKU is of, if it was told of.
pub async fn find(tx: &mut PgConnection, sku: &Sku) -> Result<Option<Named>> {
    let row = sqlx::query!(
        "SELECT p.name, p.seller_id, s.variant
         FROM product_skus s JOIN products p USING (product_id) WHERE s.sku = $1",
        sku.as_str(),
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| Named {
        name: row.name,
        variant: row.variant,
        seller: row.seller_id.map(Into::into),
    }))
}

/// What a recipient gets no more than one mail about in a day.
#[derive(Clone, Copy, Debug)]
pub enum Notice {
    /// It can be bought again.
    Available(ProductId),
    /// There is little left.
    Low(StockId),
}

/// Records that the recipient gets a mail; false when they got one within a day. Of two transactions that record the
/// same, the second waits for the first.
pub async fn notice(tx: &mut PgConnection, recipient: UserId, notice: Notice) -> Result<bool> {
    let (kind, subject) = match notice {
        Notice::Available(product) => ("available", product.uuid()),
        Notice::Low(stock) => ("low", stock.uuid()),
    };
    let noted = sqlx::query!(
        "INSERT INTO notices (recipient, kind, subject) VALUES ($1, $2, $3)
         ON CONFLICT (recipient, kind, subject) DO UPDATE SET sent_at = now()
         WHERE notices.sent_at <= now() - interval '1 day'",
        recipient.uuid(),
        kind,
        subject,
    );
    Ok(noted.execute(tx).await?.rows_affected() == 1)
}
