//! The HTTP API: what there is here, what moves by hand in [`moving`], when stock is low in
//! [`threshold`], what is to come in [`announcements`].

mod announcements;
mod moving;
mod threshold;

use axum::Router;
use axum::extract::State;
use chrono::{DateTime, Utc};
use contracts::{Availability, ProductId, Sku, text};
use kit::extract::{Path, Query};
use kit::outbox::Outbox;
use kit::page::{Page, PageQuery, Window};
use kit::problem::{CONFLICT, Fields, Problem, Result};
use kit::{openapi, postgres};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use utoipa::openapi::OpenApi;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::Manager;
use crate::db;

/// Most units that move at once by hand; more is a slip of the finger.
const MAX_UNITS: i64 = 1_000_000_000;
/// Longest note, in characters.
const MAX_NOTE: usize = 500;

/// What handlers need.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) pool: PgPool,
    pub(crate) outbox: Outbox,
}

impl Api {
    /// Tells others when stock has become low, when there is none left, and when there is some again.
    async fn tell(&self, tx: &mut PgConnection, change: &db::Change) -> Result<()> {
        if let Some(low) = change.low()? {
            self.outbox.append(tx, &low).await?;
        }
        if let Some(depleted) = change.depleted()? {
            self.outbox.append(tx, &depleted).await?;
        }
        if let Some(available) = change.available()? {
            self.outbox.append(tx, &available).await?;
        }
        Ok(())
    }
}

fn api() -> OpenApiRouter<Api> {
    let document = openapi::document("Inventory", "Stock, reservations and movements of a shop.");
    OpenApiRouter::with_openapi(openapi::with_schema::<Sku>(document))
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(moving::adjust))
        .routes(routes!(moving::supply))
        .routes(routes!(moving::movements))
        .routes(routes!(threshold::show_threshold, threshold::set_threshold))
        .routes(routes!(announcements::announce))
        .routes(routes!(announcements::announced))
        .routes(routes!(announcements::show_announcement))
        .routes(routes!(announcements::receive))
        .routes(routes!(announcements::cancel))
}

/// The document of the API.
pub(crate) fn document() -> OpenApi {
    api().into_openapi()
}

/// The routes of the API.
pub(crate) fn router(state: Api) -> Router {
    api().with_state(state).into()
}

/// What everyone may know of a SKU.
#[derive(Debug, Serialize, ToSchema)]
struct SkuAvailability {
    sku: String,
    /// Whether it can be bought now.
    availability: Availability,
    /// Units that can be bought now; for the seller of the product and for administrators, absent for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<i64>,
}

/// What staff may know of a SKU.
#[derive(Debug, Serialize, ToSchema)]
struct Stock {
    sku: String,
    /// Units that can be bought now, unless it is retired.
    available: i64,
    /// Units that are held for orders.
    reserved: i64,
    /// At or below this many available units the stock is low.
    low_threshold: Option<i64>,
    /// The product that it belongs to, once the catalog has told.
    product_id: Option<ProductId>,
    /// Whether nobody can see or buy it, because its product is to be deleted.
    retired: bool,
    /// Grows by one with every change.
    version: i64,
    updated_at: DateTime<Utc>,
}

impl From<db::Stock> for Stock {
    fn from(row: db::Stock) -> Self {
        Self {
            sku: row.sku,
            available: row.available,
            reserved: row.reserved,
            low_threshold: row.low_threshold,
            product_id: row.product_id.map(ProductId::from),
            retired: row.retired,
            version: row.version,
            updated_at: row.updated_at,
        }
    }
}

fn check_note(fields: &mut Fields, note: Option<&str>) {
    let short = note.is_none_or(|note| note.chars().count() <= MAX_NOTE);
    fields.check(short, "/note", format!("up to {MAX_NOTE} characters"));
    fields.take("/note", note.map_or(Ok(()), text::lines));
}

fn check_units(fields: &mut Fields, units: i64) {
    let sane = (1..=MAX_UNITS).contains(&units);
    fields.check(sane, "/quantity", format!("from 1 to {MAX_UNITS}"));
}

fn check_threshold(fields: &mut Fields, threshold: Option<i64>) {
    let sane = threshold.is_none_or(|units| (0..=MAX_UNITS).contains(&units));
    fields.check(sane, "/low_threshold", format!("from 0 to {MAX_UNITS}"));
}

/// Says whether a SKU can be bought; to those who manage its stock, how many units.
#[utoipa::path(
    get, path = "/api/v1/stock/{sku}", tag = "stock",
    params(("sku" = Sku, Path)),
    responses(
        (status = 200, body = SkuAvailability),
        (status = 404, body = kit::problem::Body, content_type = "application/problem+json"),
    ),
    security((), ("bearer" = [])),
)]
async fn show(
    State(api): State<Api>,
    manager: Option<Manager>,
    Path(sku): Path<Sku>,
) -> Result<axum::Json<SkuAvailability>> {
    let found = db::find(&mut *api.pool.acquire().await?, &sku).await?;
    let stock = found.ok_or_else(|| Problem::not_found("SKU"))?;
    let units = if stock.retired { 0 } else { stock.available };
    let own = manager.is_some_and(|manager| manager.check(Some(&stock)).is_ok());
    let (sku, availability) = (stock.sku, units.into());
    Ok(axum::Json(SkuAvailability { sku, availability, available: own.then_some(units) }))
}

/// Which stock to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StockQuery {
    /// Only what is low: at or below its threshold.
    #[serde(default)]
    low: bool,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many, 1 to 100; 20 by default.
    limit: Option<u32>,
    /// Number of the page, from 1, for people who type; `cursor` is faster and exact.
    page: Option<u32>,
}

/// Lists stock by SKU: that of their own products for sellers, all of it for administrators.
#[utoipa::path(
    get, path = "/api/v1/stock", tag = "stock", params(StockQuery),
    responses(
        (status = 200, body = Page<Stock>),
        (status = 403, body = kit::problem::Body, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
async fn list(
    State(api): State<Api>,
    manager: Manager,
    Query(query): Query<StockQuery>,
) -> Result<axum::Json<Page<Stock>>> {
    let StockQuery { low, cursor, limit, page } = query;
    // A SKU, and not any text: the caller can write into a cursor.
    let Window { after, offset, limit } = PageQuery { cursor, limit, page }.window::<Sku>()?;
    let window = Window { after: after.map(String::from), offset, limit };
    let mut connection = api.pool.acquire().await?;
    let rows = db::list(&mut connection, manager.seller(), low, &window).await?;
    let stock = rows.into_iter().map(Stock::from).collect();
    Ok(axum::Json(window.page(stock, |stock| stock.sku.clone())))
}

/// The stock of a SKU, if there is any and the caller manages it, kept from changing until the transaction ends.
async fn managed(tx: &mut PgConnection, manager: &Manager, sku: &Sku) -> Result<Option<db::Stock>> {
    let stock = db::lock_stock(tx, sku).await?;
    manager.check(stock.as_ref())?;
    Ok(stock)
}

fn out_of_range(error: sqlx::Error) -> Problem {
    match postgres::violated(&error) {
        Some("stock_available_not_negative") => {
            Problem::new(CONFLICT, "there are not so many available units")
        }
        Some("stock_ceiling") => Problem::new(CONFLICT, "there would be more units than fit"),
        _ => error.into(),
    }
}
