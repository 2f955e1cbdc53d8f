//! The catalog and the cart as the order service sees them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use contracts::ProductId;
use contracts::proto::catalog::catalog_server::{Catalog, CatalogServer};
use contracts::proto::catalog::{
    GetProductRequest, GetProductsRequest, GetProductsResponse, Money, Product, Variant,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A catalog whose products, and absence, a test decides.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<Option<HashMap<String, Product>>>>);

impl Shelf {
    /// Serves it; returns its URL.
    pub(crate) async fn serve(&self) -> String {
        *self.0.lock().unwrap() = Some(HashMap::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder()
            .add_service(CatalogServer::new(self.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        url
    }

    /// Offers a product at this price in cents.
    pub(crate) fn offer(&self, id: ProductId, amount: i64, on_sale: bool) {
        let product = Product {
            id: id.to_string(),
            sku: format!("SKU-{}", id.uuid().simple()).to_uppercase(),
            name: format!("Thing at {amount}"),
            price: Some(Money { amount, currency: "EUR".to_owned() }),
            on_sale,
            ..Product::default()
        };
        let mut products = self.0.lock().unwrap();
        products.as_mut().unwrap().insert(product.id.clone(), product);
    }

    /// Offers a variant of a product at this price in cents.
    pub(crate) fn vary(&self, id: ProductId, sku: &str, name: &str, amount: i64) {
        let price = Some(Money { amount, currency: "EUR".to_owned() });
        let variant = Variant { sku: sku.to_owned(), name: name.to_owned(), price };
        let mut products = self.0.lock().unwrap();
        let product = products.as_mut().unwrap().get_mut(&id.to_string()).unwrap();
        product.variants.push(variant);
    }

    /// Answers nothing any more.
    pub(crate) fn close(&self) {
        *self.0.lock().unwrap() = None;
    }
}

#[tonic::async_trait]
impl Catalog for Shelf {
    async fn get_product(
        &self,
        _request: Request<GetProductRequest>,
    ) -> Result<Response<Product>, Status> {
        Err(Status::unimplemented("orders ask for many at once"))
    }

    async fn get_products(
        &self,
        request: Request<GetProductsRequest>,
    ) -> Result<Response<GetProductsResponse>, Status> {
        let offered = self.0.lock().unwrap();
        let offered = offered.as_ref().ok_or_else(|| Status::unavailable("closed"))?;
        let ids = request.into_inner().ids;
        let products = ids.iter().filter_map(|id| offered.get(id).cloned()).collect();
        Ok(Response::new(GetProductsResponse { products }))
    }
}

/// Carts by the `Authorization` that they are asked for with.
#[derive(Clone, Default)]
pub(crate) struct Trolleys(Arc<Mutex<HashMap<String, Value>>>);

impl Trolleys {
    /// Serves them; returns the URL.
    pub(crate) async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let carts = Arc::clone(&self.0);
        let answer = async move |headers: HeaderMap| {
            let authorization = headers["authorization"].to_str().unwrap();
            let cart = carts.lock().unwrap().get(authorization).cloned();
            cart.map(Json).ok_or(StatusCode::UNAUTHORIZED)
        };
        let routes = axum::Router::new().route("/api/v1/cart", get(answer));
        tokio::spawn(axum::serve(listener, routes).into_future());
        url
    }

    /// Fills the cart of the user with this token, as releases did that knew of no versions.
    pub(crate) fn fill(&self, token: &str, items: &Value) {
        // More fields than an order needs: a cart may grow.
        self.put(token, json!({ "items": items, "total": null }));
    }

    /// Same, and the cart has this version then.
    pub(crate) fn fill_version(&self, token: &str, items: &Value, version: i64) {
        self.put(token, json!({ "items": items, "total": null, "version": version }));
    }

    fn put(&self, token: &str, cart: Value) {
        self.0.lock().unwrap().insert(format!("Bearer {token}"), cart);
    }
}
