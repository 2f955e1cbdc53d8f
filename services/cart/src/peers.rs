//! The services that a cart shows things of: the catalog for names and prices, inventory for stock.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use contracts::proto::catalog::catalog_client::CatalogClient;
use contracts::proto::catalog::{self, GetProductsRequest, Product};
use contracts::proto::inventory::GetStockRequest;
use contracts::proto::inventory::inventory_client::InventoryClient;
use contracts::{Money, ProductId, Sku};
use kit::grpc::{Client, Peer};
use kit::problem::{Problem, Result};
use tonic::Request;

use crate::cart::{Offer, Offers};

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
    ) -> Result<HashMap<ProductId, Offers>> {
        let ids: HashSet<String> = products.map(|id| id.to_string()).collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let mut request = Request::new(GetProductsRequest { ids: ids.into_iter().collect() });
        request.set_timeout(CATALOG_DEADLINE);
        let answer = self.0.clone().get_products(request).await.map_err(Problem::unavailable)?;
        let products = answer.into_inner().products.into_iter();
        products.map(|product| offers(product).map_err(Problem::internal)).collect()
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn offers(product: Product) -> Result<(ProductId, Offers), BoxError> {
    let Product { id, sku, name, price, on_sale, variants, .. } = product;
    let variants = variants.into_iter().map(|variant| {
        let name = format!("{name} ({})", variant.name);
        offer(&variant.sku, name, variant.price, on_sale)
    });
    let variants = variants.collect::<Result<_, _>>()?;
    Ok((id.parse()?, Offers { own: offer(&sku, name, price, on_sale)?, variants }))
}

fn offer(
    sku: &str,
    name: String,
    price: Option<catalog::Money>,
    on_sale: bool,
) -> Result<Offer, BoxError> {
    let price = price.ok_or("a product has no price")?;
    let price = Money::new(price.amount, price.currency.parse()?);
    Ok(Offer { sku: sku.parse()?, name, price, on_sale })
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
