//! The product page: one answer put together from four services.

use std::collections::HashMap;
use std::future::Future;
use std::sync::LazyLock;
use std::time::Duration;

use contracts::Availability;
use contracts::proto::{catalog, inventory, review, user};
use http::{HeaderValue, header};
use kit::auth::{Caller, Role, refused};
use kit::grpc::{Client, Peer};
use kit::metric;
use kit::problem::{Problem, Result};
use prometheus::IntCounterVec;
use serde::Serialize;
use serde_json::{Map, Value};
use tonic::{Code, Request, Response, Status};

use catalog::catalog_client::CatalogClient;
use inventory::inventory_client::InventoryClient;
use review::reviews_client::ReviewsClient;
use user::users_client::UsersClient;

/// How long each service may take to give its part.
const PATIENCE: Duration = Duration::from_millis(300);

static MISSING: LazyLock<IntCounterVec> = metric!(
    counter,
    "gateway_page_parts_missing_total",
    "Product pages that lack a part because its service did not give it, by part.",
    &["part"]
);

/// A product with everything that a shopper wants to see at once: the catalog's product and these
/// fields. A part whose service does not answer in time is null.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ProductPage {
    /// The product as the catalog shows it.
    #[serde(flatten)]
    #[schema(inline, value_type = Object)]
    pub product: Map<String, Value>,
    /// Who sells it.
    pub seller: Option<Seller>,
    /// What there is of it.
    pub stock: Option<Stock>,
    /// What others think of it.
    pub rating: Option<Rating>,
}

/// Who sells a product.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Seller {
    /// The account.
    #[schema(format = Uuid)]
    id: String,
    /// What the seller wants to be called.
    name: String,
}

/// What there is of a product.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Stock {
    /// Whether it can be bought now; null where that is known of its variants only.
    availability: Option<Availability>,
    /// Units that can be bought now; for its seller and for administrators, absent for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<i64>,
    /// The same for each variant of which it is known, in the product's order; absent where there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    variants: Vec<VariantStock>,
}

/// What there is of a variant.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct VariantStock {
    /// Its stock keeping unit.
    sku: String,
    /// Whether it can be bought now.
    availability: Availability,
    /// Units that can be bought now; for its seller and for administrators, absent for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<i64>,
}

/// What others think of a product.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Rating {
    /// Average of the ratings from 1 to 5, to two decimal places; null while there is none.
    average: Option<f64>,
    /// Number of ratings.
    count: u32,
}

/// The services that know about products.
pub struct Sources {
    catalog: CatalogClient<Client>,
    users: UsersClient<Client>,
    inventory: InventoryClient<Client>,
    reviews: Option<ReviewsClient<Client>>,
}

impl Sources {
    /// Asks these services; a shop may have no reviews.
    pub fn new(catalog: &Peer, users: &Peer, inventory: &Peer, reviews: Option<&Peer>) -> Self {
        Self {
            catalog: CatalogClient::new(catalog.client()),
            users: UsersClient::new(users.client()),
            inventory: InventoryClient::new(inventory.client()),
            reviews: reviews.map(|reviews| ReviewsClient::new(reviews.client())),
        }
    }

    /// The page of a product; `None` if there is none that may be seen by the caller, who has sent this `Authorization`.
    pub async fn page(
        &self,
        id: &str,
        caller: Option<&Caller>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Option<ProductPage>> {
        let asked = call(PATIENCE, || {
            let mut client = self.catalog.clone();
            let mut request = Request::new(catalog::GetProductRequest { id: id.to_owned() });
            // The catalog sees for itself who that is: its seller sees more of a product than others.
            let value = authorization.cloned().map(|value| (header::AUTHORIZATION, value));
            request.metadata_mut().as_mut().extend(value);
            async move { client.get_product(request).await }
        });
        let product = match asked.await {
            Ok(product) => product,
            Err(status) if status.code() == Code::NotFound => return Ok(None),
            Err(status) if status.code() == Code::Unauthenticated => return Err(refused()),
            Err(status) => return Err(Problem::unavailable(status)),
        };
        let (seller, stock, rating) = tokio::join!(
            self.seller(&product.seller_id),
            self.stock(&product, manages(caller, &product)),
            self.rating(&product.id),
        );
        let document = serde_json::from_str(&product.document).map_err(Problem::internal)?;
        Ok(Some(ProductPage { product: document, seller, stock, rating }))
    }

    async fn seller(&self, id: &str) -> Option<Seller> {
        let asked = call(PATIENCE, || {
            let mut client = self.users.clone();
            let request = user::GetUserRequest { id: id.to_owned() };
            async move { client.get_user(request).await }
        });
        let user = part("seller", asked.await)?;
        Some(Seller { id: user.id, name: user.name })
    }

    /// `exact`: in units, too.
    async fn stock(&self, product: &catalog::Product, exact: bool) -> Option<Stock> {
        let variants = || product.variants.iter().map(|variant| &variant.sku);
        let asked = call(PATIENCE, || {
            let mut client = self.inventory.clone();
            let skus = std::iter::once(&product.sku).chain(variants()).cloned().collect();
            async move { client.get_stock(inventory::GetStockRequest { skus }).await }
        });
        let answer = part("stock", asked.await)?;
        let stock: HashMap<_, _> = answer.stock.into_iter().map(|s| (s.sku, s.available)).collect();
        if stock.is_empty() {
            return None;
        }
        let variants = variants().filter_map(|sku| {
            let units = *stock.get(sku)?;
            let available = exact.then_some(units);
            Some(VariantStock { sku: sku.clone(), availability: units.into(), available })
        });
        let units = stock.get(&product.sku).copied();
        Some(Stock {
            availability: units.map(Availability::from),
            available: units.filter(|_| exact),
            variants: variants.collect(),
        })
    }

    async fn rating(&self, id: &str) -> Option<Rating> {
        let reviews = self.reviews.as_ref()?;
        let asked = call(PATIENCE, || {
            let mut client = reviews.clone();
            let request = review::GetRatingsRequest { product_ids: vec![id.to_owned()] };
            async move { client.get_ratings(request).await }
        });
        let answer = part("rating", asked.await)?;
        let rating = answer.ratings.into_iter().find(|rating| rating.product_id == id);
        let (count, sum) = rating.map_or((0, 0), |rating| (rating.count, rating.sum));
        Some(Rating { average: average(count, sum), count })
    }
}

/// Whether the stock of a product is the caller's to manage.
fn manages(caller: Option<&Caller>, product: &catalog::Product) -> bool {
    let Some(caller) = caller else { return false };
    caller.has(Role::Admin) || product.seller_id.parse().is_ok_and(|id| caller.manages(id))
}

/// Asks within the deadline, and once more if the connection was the problem: a pod that goes away
/// ends its connections, and the next one leads to another pod.
pub(crate) async fn call<T, F>(limit: Duration, ask: impl Fn() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let asked = async {
        match ask().await {
            Err(status) if status.code() == Code::Unavailable => ask().await,
            answer => answer,
        }
    };
    let answer = tokio::time::timeout(limit, asked).await;
    let answer = answer.map_err(|_| Status::deadline_exceeded("no answer in time"))?;
    answer.map(Response::into_inner)
}

/// A page without a part is better than no page; that it is missing is counted and logged.
fn part<T>(name: &'static str, answer: Result<T, Status>) -> Option<T> {
    answer
        .map_err(|status| {
            MISSING.with_label_values(&[name]).inc();
            tracing::warn!(part = name, code = ?status.code(), error = status.message(), "a page lacks a part");
        })
        .ok()
}

fn average(count: u32, sum: u64) -> Option<f64> {
    // Hundredths are enough for stars, and small enough for a float to hold exactly.
    let hundredths = (sum * 100 + u64::from(count) / 2).checked_div(count.into())?;
    u32::try_from(hundredths).ok().map(|hundredths| f64::from(hundredths) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_rounded_and_absent_without_ratings() {
        assert_eq!(average(0, 0), None);
        assert_eq!(average(3, 13), Some(4.33));
        assert_eq!(average(3, 14), Some(4.67));
        assert_eq!(average(1, 5), Some(5.0));
    }
}
