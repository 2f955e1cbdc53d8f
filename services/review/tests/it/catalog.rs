//! Stands in for the catalog: a real gRPC server with the real protocol, which knows one product.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use contracts::proto::catalog::catalog_server::{self, CatalogServer};
use contracts::proto::catalog::{
    GetProductRequest, GetProductsRequest, GetProductsResponse, Product,
};
use contracts::{ProductId, UserId};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// A running stand-in.
pub(crate) struct Catalog {
    pub(crate) url: String,
    away: Arc<AtomicBool>,
}

struct Only {
    product: ProductId,
    seller: UserId,
    away: Arc<AtomicBool>,
}

impl Catalog {
    /// This product is sold by this seller; it is not on sale at the moment.
    pub(crate) async fn of(product: ProductId, seller: UserId) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let away = Arc::default();
        let only = Only { product, seller, away: Arc::clone(&away) };
        let server = Server::builder().add_service(CatalogServer::new(only));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { url, away }
    }

    /// It is unavailable from now on.
    pub(crate) fn leave(&self) {
        self.away.store(true, Ordering::SeqCst);
    }

    /// Nobody answers.
    pub(crate) async fn away() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { url: format!("http://{}", listener.local_addr().unwrap()), away: Arc::default() }
    }
}

#[tonic::async_trait]
impl catalog_server::Catalog for Only {
    async fn get_product(
        &self,
        _request: Request<GetProductRequest>,
    ) -> Result<Response<Product>, Status> {
        Err(Status::not_found("it is not on sale"))
    }

    async fn get_products(
        &self,
        request: Request<GetProductsRequest>,
    ) -> Result<Response<GetProductsResponse>, Status> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Status::unavailable("the catalog is away"));
        }
        let Self { product, seller, .. } = self;
        let known = |id: &&String| **id == product.to_string();
        let product = |id: &String| Product {
            id: id.clone(),
            seller_id: seller.to_string(),
            ..Product::default()
        };
        let products = request.get_ref().ids.iter().filter(known).map(product).collect();
        Ok(Response::new(GetProductsResponse { products }))
    }
}
