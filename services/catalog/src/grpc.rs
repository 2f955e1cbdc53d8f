//! Products as other services may see them.

use std::sync::Arc;

use contracts::ProductId;
use contracts::proto::catalog::catalog_server::{Catalog, CatalogServer};
use contracts::proto::catalog::{
    GetProductRequest, GetProductsRequest, GetProductsResponse, Money, Product, Variant,
};
use kit::auth::Verifier;
use kit::telemetry::chain;
use sqlx::PgPool;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::cache::Cache;
use crate::{db, product, variant};

/// Most products in one question.
const MAX_IDS: usize = 500;

/// The gRPC API.
pub(crate) fn routes(pool: PgPool, cache: Cache, verifier: Arc<Verifier>) -> Routes {
    Routes::new(CatalogServer::new(Server { pool, cache, verifier }))
}

struct Server {
    pool: PgPool,
    cache: Cache,
    verifier: Arc<Verifier>,
}

#[tonic::async_trait]
impl Catalog for Server {
    /// For the product page, hence from the cache, and shown as HTTP would show it.
    async fn get_product(
        &self,
        request: Request<GetProductRequest>,
    ) -> Result<Response<Product>, Status> {
        let caller = self.verifier.caller(request.metadata().as_ref());
        let caller =
            caller.map_err(|_| Status::unauthenticated("the access token is not valid"))?;
        let id = ProductId::from(parse(&request.into_inner().id)?);
        let found = self.cache.find(&self.pool, id).await.map_err(|error| unavailable(&error))?;
        let seen = found.and_then(|product| product.seen_by(caller.as_ref()));
        let product = seen.ok_or_else(|| Status::not_found("there is no such product"))?;
        Ok(Response::new(message(&product)))
    }

    /// For carts and orders: prices are taken from Postgres, never from the cache.
    async fn get_products(
        &self,
        request: Request<GetProductsRequest>,
    ) -> Result<Response<GetProductsResponse>, Status> {
        let ids = request.into_inner().ids;
        if ids.len() > MAX_IDS {
            return Err(Status::invalid_argument(format!("at most {MAX_IDS} ids")));
        }
        let ids = ids.iter().map(|id| parse(id)).collect::<Result<Vec<_>, _>>()?;
        let found = async { db::find_all(&mut *self.pool.acquire().await?, &ids).await };
        let found = found.await.map_err(|error| unavailable(&error))?;
        let products = found.iter().map(|product| message(&product.for_shoppers())).collect();
        Ok(Response::new(GetProductsResponse { products }))
    }
}

fn parse(id: &str) -> Result<Uuid, Status> {
    id.parse().map_err(|_| Status::invalid_argument("an id is a UUID"))
}

fn unavailable(error: &sqlx::Error) -> Status {
    tracing::error!(error = chain(error), "products cannot be read");
    Status::unavailable("products cannot be read")
}

fn message(product: &product::Product) -> Product {
    Product {
        id: product.id.to_string(),
        sku: product.sku.to_string(),
        name: product.name.clone(),
        description: product.description.clone(),
        price: Some(money(product.price)),
        seller_id: product.seller_id.to_string(),
        category: product.category.clone(),
        on_sale: product.on_sale,
        variants: product.variants.iter().map(variant).collect(),
        document: serde_json::to_string(product).expect("products are plain values"),
    }
}

fn variant(variant: &variant::Variant) -> Variant {
    Variant {
        sku: variant.sku.to_string(),
        name: variant.name.clone(),
        price: Some(money(variant.price)),
    }
}

fn money(price: contracts::Money) -> Money {
    Money { amount: price.amount, currency: price.currency.to_string() }
}
