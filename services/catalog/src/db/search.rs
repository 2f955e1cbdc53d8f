//! How Postgres finds what shoppers look for.

use kit::page::Window;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::Row;
use crate::deletion::Deletion;
use crate::image::Stored;
use crate::product::{Attributes, Chosen, Filter, Found, Position, Sort, Words};
use crate::spelling::{self, Respelt};
use crate::variant::Variant;

/// Words that look like one that was typed; the index brings the most alike first. Of 1,500 single
/// slips in 9,000 words, what was meant was among the first 40 each time, among ten all but once.
const LIKE: i64 = 40;

/// What words that were typed may have meant instead. A word that finds something on sale is taken
/// at that, unless it is long.
pub async fn respell(connection: &mut PgConnection, search: &str) -> Result<Respelt, sqlx::Error> {
    let typed: Vec<String> = spelling::typed(search).into_iter().collect();
    if typed.is_empty() {
        return Ok(Respelt::new());
    }
    let long: Vec<bool> = typed.iter().map(|word| spelling::is_long(word)).collect();
    // Words like "with" are left out: they are no part of a search.
    let found = sqlx::query!(
        r#"SELECT typed.word AS "typed!", ARRAY(
               SELECT word FROM words ORDER BY word <-> typed.word LIMIT $3) AS "like!"
           FROM unnest($1::text[], $2::boolean[]) AS typed (word, long)
           WHERE numnode(plainto_tsquery(search_configuration(), typed.word)) > 0
             AND (typed.long OR NOT EXISTS (
                 SELECT FROM products
                 WHERE on_sale AND search @@ search_query(typed.word)))"#,
        &typed,
        &long,
        LIKE,
    )
    .fetch_all(connection)
    .await?;
    let respelt = found.into_iter().map(|row| {
        let chosen = spelling::choose(&row.typed, row.like);
        (row.typed, chosen)
    });
    Ok(respelt.filter(|(_, chosen)| !chosen.is_empty()).collect())
}

/// What to search for, as texts of type `tsquery`.
#[derive(Default)]
pub(super) struct Queries {
    /// The words as they were typed; `None` if there are none.
    pub(super) typed: Option<String>,
    /// Other spellings stand where the typed ones do; `None` if there are none.
    pub(super) wide: Option<String>,
}

pub(super) async fn queries(
    connection: &mut PgConnection,
    words: Option<&Words>,
) -> Result<Queries, sqlx::Error> {
    let Some(Words { typed, respelt }) = words else { return Ok(Queries::default()) };
    let typed = sqlx::query_scalar!(
        r#"SELECT search_query($1)::text AS "query!""#,
        spelling::in_pairs(typed),
    )
    .fetch_one(&mut *connection)
    .await?;
    let mut wide: Option<String> = None;
    for (word, spellings) in respelt {
        // Each way in which search_query writes a word is rewritten: with umlauts there are two.
        wide = sqlx::query_scalar!(
            r#"SELECT ts_rewrite(
                   ts_rewrite(coalesce($1::text::tsquery, $2::text::tsquery), plain, spellings),
                   CASE WHEN german = plain THEN ''::tsquery ELSE german END, spellings)::text
               FROM (SELECT
                   plainto_tsquery(search_configuration(), search_folded($3)) AS plain,
                   plainto_tsquery(search_configuration(), search_folded(search_digraphs($3))) AS german,
                   search_query($3 || ' or ' || array_to_string($4::text[], ' or ')) AS spellings
               ) AS forms"#,
            wide,
            typed,
            word,
            spellings,
        )
        .fetch_one(&mut *connection)
        .await?;
    }
    Ok(Queries { typed: Some(typed), wide })
}

/// A JSON path that is true of attributes that fit: all names, each with one of its values. `None`
/// if any do. JSON's strings are also those of JSON paths (SQL/JSON, ISO 9075-2).
fn path_of(chosen: &Chosen) -> Option<String> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let each = chosen.iter().map(|(name, values)| {
        let name = quoted(name);
        let any: Vec<_> = values.iter().map(|v| format!("$.{name} == {}", quoted(v))).collect();
        format!("({})", any.join(" || "))
    });
    let all: Vec<_> = each.collect();
    (!all.is_empty()).then(|| all.join(" && "))
}

/// A page of what is on sale and fits the filter.
pub async fn search(
    connection: &mut PgConnection,
    filter: &Filter,
    sort: Sort,
    window: &Window<Position>,
) -> Result<Vec<Found>, sqlx::Error> {
    let Queries { typed, wide } = queries(&mut *connection, filter.words.as_ref()).await?;
    let after = window.after.as_ref();
    // A query for each order, so that each can walk along its own index. A rank by ts_rank is from
    // 0 to 1; two less puts what only another spelling finds behind everything else. Images are read
    // last, of the page alone: to skip a row is cheap, and to read its images was nine tenths of the cost.
    macro_rules! page {
        ($after:literal, $order:literal, $value:expr) => {
            sqlx::query_as!(
                Row,
                r#"SELECT id, sku, name, description, price, currency,
                          attributes AS "attributes: Json<Attributes>", category, seller_id,
                          on_sale, variants AS "variants: Json<Vec<Variant>>",
                          NULL::jsonb AS "deletion: Json<Deletion>",
                          images_of(id) AS "images!: Json<Vec<Stored>>", version, created_at,
                          updated_at, rating, rank AS "rank!"
                   FROM (SELECT * FROM (
                       SELECT products.*, CASE
                           WHEN $1::text IS NULL THEN 0
                           WHEN search @@ $1::text::tsquery
                           THEN ts_rank(search, $1::text::tsquery)
                           ELSE ts_rank(search, $9::text::tsquery) - 2
                       END::real AS rank
                       FROM products
                   ) ranked
                   WHERE on_sale
                     AND ($1::text IS NULL OR search @@ coalesce(
                         $1::text::tsquery || $9::text::tsquery, $1::text::tsquery))
                     AND ($2::text IS NULL OR category IN (
                         WITH RECURSIVE part AS (
                             SELECT slug FROM categories WHERE slug = $2
                             UNION
                             SELECT c.slug FROM categories c JOIN part ON c.parent = part.slug
                         ) SELECT slug FROM part))
                     AND ($3::bigint IS NULL OR price >= $3)
                     AND ($4::bigint IS NULL OR price <= $4)
                     AND ($10::text IS NULL OR attributes @@ $10::text::jsonpath)
                     AND ($11::real IS NULL OR rating >= $11)
                     AND (in_stock OR NOT $12)
                     AND ($5::uuid IS NULL OR "#
                    + $after
                    + ") ORDER BY "
                    + $order
                    + " LIMIT $7 OFFSET $8) page ORDER BY "
                    + $order,
                typed,
                filter.category,
                filter.price_min,
                filter.price_max,
                after.map(|after| after.id.uuid()),
                after.map($value) as _,
                window.fetch(),
                window.offset,
                wide,
                path_of(&filter.attributes),
                filter.rating_min,
                filter.in_stock,
            )
            .fetch_all(connection)
            .await?
        };
    }
    let rows = match sort {
        Sort::Newest => {
            page!("(created_at, id) < ($6, $5)", "created_at DESC, id DESC", |at| at.created_at)
        }
        Sort::Price => page!("(price, id) > ($6, $5)", "price, id", |at| at.price),
        Sort::PriceDown => {
            page!("(price, id) < ($6, $5)", "price DESC, id DESC", |at| at.price)
        }
        Sort::Name => page!("(name, id) > ($6, $5)", "name, id", |at| at.name.as_str()),
        Sort::Rating => page!("(rating, id) < ($6, $5)", "rating DESC, id DESC", |at| at.rating),
        Sort::Relevance => page!("(rank, id) < ($6, $5)", "rank DESC, id DESC", |at| at.rank),
    };
    rows.into_iter().map(Found::try_from).collect()
}

/// Makes this the language of searches. Fails where Postgres has no text search configuration of that name.
pub async fn set_search_language(
    connection: &mut PgConnection,
    language: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE search_settings SET language = $1
         WHERE language <> $1 AND ('pg_catalog.' || $1)::regconfig IS NOT NULL",
        language,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Indexes a few products that are indexed in another language than that of searches; returns how many.
pub async fn reindex(connection: &mut PgConnection, most: i64) -> Result<usize, sqlx::Error> {
    // In the order of the index, which finds at once that there are none.
    let indexed = sqlx::query!(
        "UPDATE products SET search_language = language FROM search_settings
         WHERE id = ANY (
             ARRAY(SELECT id FROM products
                   WHERE search_language < (SELECT language FROM search_settings)
                   ORDER BY search_language LIMIT $1 FOR UPDATE SKIP LOCKED)
             || ARRAY(SELECT id FROM products
                   WHERE search_language > (SELECT language FROM search_settings)
                   ORDER BY search_language LIMIT $1 FOR UPDATE SKIP LOCKED))",
        most,
    )
    .execute(connection)
    .await?;
    Ok(usize::try_from(indexed.rows_affected()).unwrap_or(usize::MAX))
}
