//! The services that an order is made with: the catalog for prices, the cart for what is wanted.

use std::collections::HashMap;
use std::time::Duration;

use contracts::proto::catalog::catalog_client::CatalogClient;
use contracts::proto::catalog::{GetProductsRequest, Money as Amount, Product};
use contracts::{Money, ProductId, Sku};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode, Uri};
use kit::grpc::{Client, Peer};
use kit::http::{call, propagate_trace};
use kit::problem::{Problem, Result, UNAUTHENTICATED};
use reqwest::Url;
use serde::Deserialize;

use crate::checkout::{Item, Offer, Variant};

/// How long the cart may take to answer.
const CART_DEADLINE: Duration = Duration::from_secs(3);

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
        let request = GetProductsRequest { ids: products.map(|id| id.to_string()).collect() };
        let answer = self.0.clone().get_products(request).await.map_err(Problem::unavailable)?;
        let products = answer.into_inner().products.into_iter();
        products.map(|product| offer(product).map_err(Problem::internal)).collect()
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn offer(product: Product) -> Result<(ProductId, Offer), BoxError> {
    let variant = |variant: contracts::proto::catalog::Variant| {
        let (sku, price) = (variant.sku.parse()?, price(variant.price)?);
        Ok::<_, BoxError>(Variant { sku, name: variant.name, price })
    };
    let offer = Offer {
        sku: product.sku.parse()?,
        name: product.name,
        price: price(product.price)?,
        on_sale: product.on_sale,
        variants: product.variants.into_iter().map(variant).collect::<Result<_, _>>()?,
    };
    Ok((product.id.parse()?, offer))
}

fn price(amount: Option<Amount>) -> Result<Money, BoxError> {
    let amount = amount.ok_or("a product has no price")?;
    Ok(Money::new(amount.amount, amount.currency.parse()?))
}

/// The cart service, over HTTP.
#[derive(Clone, Debug)]
pub struct Carts {
    client: reqwest::Client,
    url: Uri,
}

/// What an order needs of a cart.
#[derive(Deserialize)]
struct Cart {
    items: Vec<CartItem>,
    /// Absent in answers of older releases.
    version: Option<i64>,
}

#[derive(Deserialize)]
struct CartItem {
    product_id: ProductId,
    sku: Option<Sku>,
    quantity: u32,
}

impl Carts {
    /// The cart service at this address.
    pub fn new(base: &Url) -> Result<Self, BoxError> {
        let client = reqwest::Client::builder().timeout(CART_DEADLINE).build()?;
        Ok(Self { client, url: base.join("/api/v1/cart")?.as_str().parse()? })
    }

    /// What is in the cart of the caller with these headers, and the cart's version.
    pub async fn contents(&self, headers: &HeaderMap) -> Result<(Vec<Item>, Option<i64>)> {
        let send = async {
            // The cart service verifies the caller itself.
            let tokens = headers.get_all(AUTHORIZATION).iter().cloned();
            let mut headers: HeaderMap = tokens.map(|token| (AUTHORIZATION, token)).collect();
            propagate_trace(&mut headers);
            self.client.get(self.url.to_string()).headers(headers).send().await
        };
        let answer = call(&Method::GET, &self.url, reqwest::Response::status, send).await;
        let answer = answer.map_err(Problem::unavailable)?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            // The token has ended between two looks at the clock.
            return Err(Problem::new(UNAUTHENTICATED, "the access token is not valid"));
        }
        let answer = answer.error_for_status().map_err(Problem::unavailable)?;
        let cart: Cart = answer.json().await.map_err(Problem::unavailable)?;
        let items = cart.items.into_iter();
        let item = |CartItem { product_id, sku, quantity }| Item { product_id, sku, quantity };
        Ok((items.map(item).collect(), cart.version))
    }
}
