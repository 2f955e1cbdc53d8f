//! The catalog and inventory as the cart service sees them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use contracts::ProductId;
use contracts::proto::catalog::catalog_server::{Catalog, CatalogServer};
use contracts::proto::catalog::{
    GetProductRequest, GetProductsRequest, GetProductsResponse, Money, Product, Variant,
};
use contracts::proto::inventory::inventory_server::{Inventory, InventoryServer};
use contracts::proto::inventory::{GetStockRequest, GetStockResponse, Stock};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// Products and their stock as a test decides; both services at one address.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<Things>>);

#[derive(Default)]
struct Things {
    products: HashMap<String, Product>,
    stock: HashMap<String, i64>,
    inventory: Answers,
}

/// How inventory behaves.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) enum Answers {
    #[default]
    Well,
    WithAnError,
    Never,
}

impl Shelf {
    /// Serves both; returns their URL.
    pub(crate) async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder()
            .add_service(CatalogServer::new(self.clone()))
            .add_service(InventoryServer::new(self.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        url
    }

    pub(crate) fn offer(&self, id: ProductId, amount: i64, on_sale: bool) {
        let product = Product {
            id: id.to_string(),
            sku: sku(id),
            name: "Thing".to_owned(),
            price: Some(Money { amount, currency: "EUR".to_owned() }),
            on_sale,
            ..Product::default()
        };
        self.0.lock().unwrap().products.insert(product.id.clone(), product);
    }

    /// A product that is offered gets one more variant.
    pub(crate) fn variant(&self, id: ProductId, sku: &str, name: &str, amount: i64) {
        let price = Some(Money { amount, currency: "EUR".to_owned() });
        let variant = Variant { sku: sku.to_owned(), name: name.to_owned(), price };
        let mut things = self.0.lock().unwrap();
        things.products.get_mut(&id.to_string()).unwrap().variants.push(variant);
    }

    /// The catalog knows a product no more.
    pub(crate) fn forget(&self, id: ProductId) {
        self.0.lock().unwrap().products.remove(&id.to_string());
    }

    pub(crate) fn stock_of(&self, sku: &str, available: i64) {
        self.0.lock().unwrap().stock.insert(sku.to_owned(), available);
    }

    pub(crate) fn stock(&self, id: ProductId, available: i64) {
        self.0.lock().unwrap().stock.insert(sku(id), available);
    }

    pub(crate) fn inventory(&self, answers: Answers) {
        self.0.lock().unwrap().inventory = answers;
    }
}

pub(crate) fn sku(id: ProductId) -> String {
    format!("SKU-{}", id.uuid().simple()).to_uppercase()
}

#[tonic::async_trait]
impl Catalog for Shelf {
    async fn get_product(
        &self,
        _request: Request<GetProductRequest>,
    ) -> Result<Response<Product>, Status> {
        Err(Status::unimplemented("carts ask for many at once"))
    }

    async fn get_products(
        &self,
        request: Request<GetProductsRequest>,
    ) -> Result<Response<GetProductsResponse>, Status> {
        let things = self.0.lock().unwrap();
        let ids = request.into_inner().ids;
        let products = ids.iter().filter_map(|id| things.products.get(id).cloned()).collect();
        Ok(Response::new(GetProductsResponse { products }))
    }
}

#[tonic::async_trait]
impl Inventory for Shelf {
    async fn get_stock(
        &self,
        request: Request<GetStockRequest>,
    ) -> Result<Response<GetStockResponse>, Status> {
        let answers = self.0.lock().unwrap().inventory;
        match answers {
            Answers::Well => {}
            Answers::WithAnError => return Err(Status::unavailable("closed")),
            Answers::Never => std::future::pending().await,
        }
        let things = self.0.lock().unwrap();
        let skus = request.into_inner().skus.into_iter();
        let stock = skus.filter_map(|sku| {
            let available = *things.stock.get(&sku)?;
            Some(Stock { sku, available })
        });
        Ok(Response::new(GetStockResponse { stock: stock.collect() }))
    }
}
