//! What shoppers look for.

use axum::extract::{FromRequestParts, State};
use http::request::Parts;
use kit::extract::{ClientNetwork, parse_query};
use kit::page::{Page, PageQuery};
use kit::problem::{Body, MALFORMED, Problem, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::PgConnection;
use utoipa::IntoParams;

use super::Api;
use crate::db;
use crate::facets::Facets;
use crate::product::{Chosen, Filter, Position, Product, Sort, Words};
use crate::spelling::Respelt;

/// Most products that a page by number may skip.
const MAX_OFFSET: i64 = 10_000;
/// Longest search, in characters.
const MAX_WORDS: usize = 200;
/// Most attributes to filter by.
const MAX_CHOSEN: usize = 10;
/// Most values of one attribute to choose from.
const MAX_VALUES: usize = 20;
/// How a filter by attribute begins in a query string.
const ATTRIBUTE: &str = "attribute=";

/// Which products to list, how, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Words to search for, up to 200 characters; `"an exact phrase"`, `or` and `-without` work.
    /// What only another spelling of a word finds comes after what the word itself finds.
    q: Option<String>,
    /// Slug of a category; what is in its parts counts.
    category: Option<String>,
    /// Lowest price, in minor units; the product's own counts, not those of its variants.
    price_min: Option<i64>,
    /// Highest price, in minor units.
    price_max: Option<i64>,
    /// Lowest average of its ratings, from 1 to 5; what nobody has rated fits none.
    rating_min: Option<f32>,
    /// `true`: only what there are units of, of itself or of a variant.
    #[serde(default)]
    in_stock: bool,
    /// `relevance` by default where there is something to search for, otherwise `newest`.
    #[param(inline)]
    sort: Option<Sort>,
    /// `next_cursor` of the page before, with everything else unchanged.
    cursor: Option<String>,
    /// How many, 1 to 100; 20 by default.
    limit: Option<u32>,
    /// Number of the page, from 1, for people who type, among the first 10,000 products; `cursor` is faster and exact.
    page: Option<u32>,
}

/// Which products to count: the filters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FacetQuery {
    /// Words to search for, as in the list.
    q: Option<String>,
    /// Slug of a category; what is in its parts counts.
    category: Option<String>,
    /// Lowest price, in minor units.
    price_min: Option<i64>,
    /// Highest price, in minor units.
    price_max: Option<i64>,
    /// Lowest average of its ratings, from 1 to 5; what nobody has rated fits none.
    rating_min: Option<f32>,
    /// `true`: only what there are units of, of itself or of a variant.
    #[serde(default)]
    in_stock: bool,
}

/// The filters that may come several times; [`Asked`] reads them.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it only describes")]
pub(super) struct AttributeQuery {
    /// Name of an attribute, a colon, and a value: `colour:red`. Of several values of one attribute
    /// any will do; of several attributes all must fit. Up to 10 attributes, of 20 values each.
    #[param(example = json!(["colour:red", "colour:blue"]))]
    attribute: Option<Vec<String>>,
}

/// A query string, and the attributes in it.
pub(super) struct Asked<Q> {
    query: Q,
    attributes: Chosen,
}

impl<Q: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<Q> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let query = parts.uri.query().unwrap_or_default();
        let (several, once): (Vec<_>, Vec<_>) =
            query.split('&').partition(|pair| pair.starts_with(ATTRIBUTE));
        let attributes = chosen(parse_query(&several.join("&"))?)?;
        Ok(Self { query: parse_query(&once.join("&"))?, attributes })
    }
}

fn chosen(pairs: Vec<(String, String)>) -> Result<Chosen> {
    let mut chosen = Chosen::new();
    for (_, attribute) in pairs {
        let (name, value) = attribute
            .split_once(':')
            .filter(|(name, value)| !name.is_empty() && !value.is_empty())
            .ok_or_else(|| Problem::new(MALFORMED, "attribute is written name:value"))?;
        chosen.entry(name.to_owned()).or_default().insert(value.to_owned());
    }
    if chosen.len() > MAX_CHOSEN || chosen.values().any(|values| values.len() > MAX_VALUES) {
        let detail = format!("up to {MAX_CHOSEN} attributes, of {MAX_VALUES} values each");
        return Err(Problem::new(MALFORMED, detail));
    }
    Ok(chosen)
}

/// What to search for, unless there is nothing but spaces. What the words may have meant is found
/// out once and then kept in cursors.
async fn words(
    connection: &mut PgConnection,
    q: Option<String>,
    after: Option<&Position>,
) -> Result<Option<Words>> {
    let Some(typed) = q.filter(|words| !words.trim().is_empty()) else { return Ok(None) };
    if typed.chars().count() > MAX_WORDS {
        return Err(Problem::new(MALFORMED, format!("q has up to {MAX_WORDS} characters")));
    }
    let respelt = match after {
        Some(after) => after.respelt.clone(),
        None => db::respell(connection, &typed).await?,
    };
    Ok(Some(Words { typed, respelt }))
}

fn rating(least: Option<f32>) -> Result<Option<f32>> {
    if least.is_some_and(|least| !(1.0..=5.0).contains(&least)) {
        return Err(Problem::new(MALFORMED, "rating_min must be from 1 to 5"));
    }
    Ok(least)
}

fn sort(wanted: Option<Sort>, searched: bool) -> Sort {
    match (wanted, searched) {
        (Some(Sort::Relevance) | None, false) => Sort::Newest,
        (None, true) => Sort::Relevance,
        (Some(sort), _) => sort,
    }
}

/// Lists and searches what is on sale.
#[utoipa::path(
    get, path = "/api/v1/products", tag = "products", params(ListQuery, AttributeQuery),
    responses(
        (status = 200, body = Page<Product>),
        (status = 400, body = Body),
        (status = 429, description = "rate-limited", body = Body),
    ),
)]
pub(super) async fn list(
    State(api): State<Api>,
    ClientNetwork(client): ClientNetwork,
    Asked { query, attributes }: Asked<ListQuery>,
) -> Result<axum::Json<Page<Product>>> {
    let page = PageQuery { cursor: query.cursor, limit: query.limit, page: query.page };
    let window = page.window::<Position>()?;
    if window.offset > MAX_OFFSET {
        let detail = format!("pages reach {MAX_OFFSET} products; use cursor to go deeper");
        return Err(Problem::new(MALFORMED, detail));
    }
    let after = window.after.as_ref();
    if after.is_some_and(|after| !after.is_ours()) {
        return Err(Problem::new(MALFORMED, "the cursor is not one of ours"));
    }
    let mut connection = api.searches.begin(client).await?;
    let words = words(&mut connection, query.q, after).await?;
    let sort = sort(query.sort, words.is_some());
    if after.is_some_and(|after| after.sort != sort) {
        return Err(Problem::new(MALFORMED, "the cursor belongs to another sort"));
    }
    let filter = Filter {
        words,
        category: query.category,
        price_min: query.price_min,
        price_max: query.price_max,
        attributes,
        rating_min: rating(query.rating_min)?,
        in_stock: query.in_stock,
    };
    let found = db::search(&mut connection, &filter, sort, &window).await?;
    let respelt = filter.words.map_or_else(Respelt::new, |words| words.respelt);
    let Page { items, next_cursor } = window.page(found, |found| found.position(sort, &respelt));
    let items = items.into_iter().map(|found| found.product).collect();
    Ok(axum::Json(Page { items, next_cursor }))
}

/// Counts what is on sale by what the list can be narrowed to.
///
/// With the filters of the list. Each facet's counts leave out the filter on that facet itself:
/// they tell what another choice would give.
#[utoipa::path(
    get, path = "/api/v1/products/facets", tag = "products", params(FacetQuery, AttributeQuery),
    responses(
        (status = 200, body = Facets),
        (status = 400, body = Body),
        (status = 429, description = "rate-limited", body = Body),
    ),
)]
pub(super) async fn facets(
    State(api): State<Api>,
    ClientNetwork(client): ClientNetwork,
    Asked { query, attributes }: Asked<FacetQuery>,
) -> Result<axum::Json<Facets>> {
    let mut connection = api.searches.begin(client).await?;
    let filter = Filter {
        words: words(&mut connection, query.q, None).await?,
        category: query.category,
        price_min: query.price_min,
        price_max: query.price_max,
        attributes,
        rating_min: rating(query.rating_min)?,
        in_stock: query.in_stock,
    };
    Ok(axum::Json(db::facets(&mut connection, &filter).await?))
}
