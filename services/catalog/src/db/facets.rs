//! How Postgres counts what shoppers could choose from.

use sqlx::PgConnection;
use sqlx::types::Json;

use super::search::{Queries, queries};
use crate::facets::{
    AttributeCounts, CategoryCount, Facets, MAX_ATTRIBUTES, MAX_CATEGORIES, MAX_VALUES, PriceCount,
    RatingCount, ValueCount, bounds,
};
use crate::product::Filter;

/// One count: of a category by slug and name, of a range of prices by its number, of ratings by the
/// lowest, of an attribute by name and value, of what is in stock, or of everything.
struct Row {
    facet: String,
    key: String,
    value: String,
    count: i64,
}

/// Counts what is on sale and fits the filter, from one look at the products: each is judged by
/// every part of the filter, and every facet counts those that fail by nothing else than itself.
pub async fn facets(connection: &mut PgConnection, filter: &Filter) -> Result<Facets, sqlx::Error> {
    let Queries { typed, wide } = queries(&mut *connection, filter.words.as_ref()).await?;
    let bounds = bounds();
    let rows = sqlx::query_as!(
        Row,
        r#"WITH RECURSIVE part AS (
               SELECT slug FROM categories WHERE slug = $2
               UNION
               SELECT c.slug FROM categories c JOIN part ON c.parent = part.slug
           ), whole AS (
               SELECT slug, slug AS holder FROM categories
               UNION
               SELECT whole.slug, c.parent
               FROM whole JOIN categories c ON c.slug = whole.holder
               WHERE c.parent IS NOT NULL
           ), judged AS MATERIALIZED (
               SELECT category, price, attributes, rating, in_stock,
                      $2::text IS NULL OR category IN (SELECT slug FROM part) AS in_category,
                      price >= coalesce($3::bigint, price)
                          AND price <= coalesce($4::bigint, price) AS in_price,
                      rating >= coalesce($11::real, rating) AS rated,
                      in_stock OR NOT $12 AS stocked,
                      ARRAY(
                          SELECT chosen.key FROM jsonb_each($5::jsonb) chosen
                          WHERE NOT coalesce(chosen.value ? (attributes ->> chosen.key), false)
                      ) AS missed
               FROM products
               WHERE on_sale
                 AND ($1::text IS NULL OR search @@ coalesce(
                     $1::text::tsquery || $6::text::tsquery, $1::text::tsquery))
           ), by_category AS MATERIALIZED (
               SELECT category, count(*) FROM judged WHERE in_price AND rated AND stocked AND missed = '{}'
               GROUP BY category
           ), by_value AS MATERIALIZED (
               -- What each is chosen for stands here and not in WHERE, where the planner would take
               -- it for rare and sort everything instead of hashing it.
               SELECT key, value, count(*) FILTER (WHERE missed <@ ARRAY[key])
               FROM judged, jsonb_each_text(attributes)
               WHERE in_category AND in_price AND rated AND stocked
               GROUP BY key, value
           ), placed AS (
               SELECT key, value, count, sum(count) OVER (PARTITION BY key) AS total,
                      row_number() OVER (PARTITION BY key ORDER BY count DESC, value) AS place
               -- The first colon of a filter ends the name.
               FROM by_value WHERE count > 0 AND strpos(key, ':') = 0
           ), ordered AS (
               SELECT key, value, count, place, dense_rank() OVER (
                   ORDER BY lower(key) = 'brand' DESC, $5::jsonb ? key DESC, total DESC, key
               ) AS key_place
               FROM placed
           ), fullest AS (
               SELECT holder, sum(count)::bigint AS count
               FROM by_category JOIN whole ON whole.slug = by_category.category
               GROUP BY holder ORDER BY count DESC, holder LIMIT $8
           )
           SELECT facet AS "facet!", key AS "key!", value AS "value!", count AS "count!" FROM (
               SELECT 'total' AS facet, '' AS key, '' AS value, count(*), 0 AS one, 0 AS two
               FROM judged WHERE in_category AND in_price AND rated AND stocked AND missed = '{}'
               UNION ALL
               SELECT 'in_stock', '', '', count(*), 0, 0
               FROM judged WHERE in_category AND in_price AND rated AND in_stock AND missed = '{}'
               UNION ALL
               SELECT 'rating', least::text, '', count(*), -least, 0
               FROM judged JOIN generate_series(1, 4) AS least ON rating >= least
               WHERE in_category AND in_price AND stocked AND missed = '{}'
               GROUP BY least
               UNION ALL
               SELECT 'category', slug, name, count, 0, 0
               FROM fullest JOIN categories ON slug = holder
               UNION ALL
               SELECT 'price', width_bucket(price, $7::bigint[])::text, '', count(*),
                      width_bucket(price, $7::bigint[]), 0
               FROM judged WHERE in_category AND rated AND stocked AND missed = '{}'
               GROUP BY width_bucket(price, $7::bigint[])
               UNION ALL
               SELECT 'attribute', key, value, count, key_place, place
               FROM ordered
               WHERE key_place <= $9 AND (place <= $10 OR $5::jsonb -> key ? value)
           ) counted
           ORDER BY facet, one, two, count DESC, key"#,
        typed,
        filter.category,
        filter.price_min,
        filter.price_max,
        Json(&filter.attributes) as _,
        wide,
        &bounds,
        MAX_CATEGORIES,
        MAX_ATTRIBUTES,
        MAX_VALUES,
        filter.rating_min,
        filter.in_stock,
    )
    .fetch_all(connection)
    .await?;
    Ok(put_together(&bounds, rows))
}

fn put_together(bounds: &[i64], rows: Vec<Row>) -> Facets {
    let mut facets = Facets::default();
    for Row { facet, key, value, count } in rows {
        match &*facet {
            "category" => facets.categories.push(CategoryCount { slug: key, name: value, count }),
            "price" => {
                let number = key.parse().unwrap_or_default();
                facets.prices.push(PriceCount::before(bounds, number, count));
            }
            "attribute" => {
                let value = ValueCount { value, count };
                match facets.attributes.last_mut().filter(|last| last.name == key) {
                    Some(last) => last.values.push(value),
                    None => {
                        facets.attributes.push(AttributeCounts { name: key, values: vec![value] });
                    }
                }
            }
            "rating" => {
                let min = key.parse().unwrap_or_default();
                facets.ratings.push(RatingCount { min, count });
            }
            "in_stock" => facets.in_stock = count,
            _ => facets.total = count,
        }
    }
    facets
}
