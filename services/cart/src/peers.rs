//! The services that a cart shows things of: the catalog for names and prices, inventory for stock.

use std::collections::HashMap;
use std::time::Duration;

use contracts::proto::catalog::catalog_client::CatalogClient;
use contracts::proto::catalog::{GetProductsRequest, Product};
use contracts::proto::inventory::GetStockRequest;
use contracts::proto::inventory::inventory_client::InventoryClient;
use contracts::{Money, ProductId, Sku};
use kit::grpc::{Client, Peer};
use kit::problem::{Problem, Result};
use tonic::Request;

use crate::cart::Offer;

/// How long prices may take; without them there is no cart to show.
const CATALOG_DEADLINE: Duration = Duration::from_secs(2);
/// How long stock may take; a cart without it is better than one that is late.
const INVENTORY_DEADLINE: Duration = Duration::from_millis(500);

/// The catalog, over gRPC.
#[derive(Clone, Debug)]
pub struct Catalog(CatalogClient<Client>);

impl Catalog {
    /// Connects on first use.
    pub fn new(peer: &Peer) -> Self {
        Self(CatalogClient::new(peer.client()))
    }

    /// What is offered of these products; unknown ones are absent.
    pub async fn offers(
        &self,
        products: impl Iterator<Item = ProductId>,
    ) -> Result<HashMap<ProductId, Offer>> {
        let ids: Vec<String> = products.map(|id| id.to_string()).collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let mut request = Request::new(GetProductsRequest { ids });
        request.set_timeout(CATALOG_DEADLINE);
        let answer = self.0.clone().get_products(request).await.map_err(Problem::unavailable)?;
        let products = answer.into_inner().products.into_iter();
        products.map(|product| offer(product).map_err(Problem::internal)).collect()
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn offer(product: Product) -> Result<(ProductId, Offer), BoxError> {
    let price = product.price.ok_or("a product has no price")?;
    let offer = Offer {
        sku: product.sku.parse()?,
        name: product.name,
        price: Money::new(price.amount, price.currency.parse()?),
        on_sale: product.on_sale,
    };
    Ok((product.id.parse()?, offer))
}

/// Inventory, over gRPC.
#[derive(Clone, Debug)]
pub struct Inventory(InventoryClient<Client>);

impl Inventory {
    /// Connects on first use.
    pub fn new(peer: &Peer) -> Self {
        Self(InventoryClient::new(peer.client()))
    }

    /// How many can be had of each; absent where that is not known, also when nobody answers.
    pub async fn stock(&self, skus: impl Iterator<Item = &Sku>) -> HashMap<Sku, i64> {
        let skus: Vec<String> = skus.map(ToString::to_string).collect();
        if skus.is_empty() {
            return HashMap::new();
        }
        let mut request = Request::new(GetStockRequest { skus });
        request.set_timeout(INVENTORY_DEADLINE);
        match self.0.clone().get_stock(request).await {
            Ok(answer) => {
                let stock = answer.into_inner().stock.into_iter();
                stock.filter_map(|s| Some((s.sku.parse().ok()?, s.available))).collect()
            }
            Err(status) => {
                tracing::warn!(code = ?status.code(), "the cart is shown without stock");
                HashMap::new()
            }
        }
    }
}
