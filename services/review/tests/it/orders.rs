//! Stands in for the order service: a real gRPC server with the real protocol, because the answers
//! of the service itself take a shop with paid and delivered orders, which is what the tests of the
//! whole shop are for.

use contracts::proto::order::orders_server::{self, OrdersServer};
use contracts::proto::order::{HasReceivedRequest, HasReceivedResponse};
use contracts::{ProductId, UserId};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// A running stand-in.
pub(crate) struct Orders {
    pub(crate) url: String,
}

enum Answer {
    /// Everybody has received everything.
    Always,
    /// Only this user has received only this product.
    Only(UserId, ProductId),
}

impl Orders {
    /// Everybody has received everything.
    pub(crate) async fn delivered() -> Self {
        Self::start(Answer::Always).await
    }

    /// Only this user has received only this product.
    pub(crate) async fn delivered_only(user: UserId, product: ProductId) -> Self {
        Self::start(Answer::Only(user, product)).await
    }

    async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::builder().add_service(OrdersServer::new(answer));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { url }
    }

    /// Nobody answers.
    pub(crate) async fn away() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { url: format!("http://{}", listener.local_addr().unwrap()) }
    }
}

#[tonic::async_trait]
impl orders_server::Orders for Answer {
    async fn has_received(
        &self,
        request: Request<HasReceivedRequest>,
    ) -> Result<Response<HasReceivedResponse>, Status> {
        let HasReceivedRequest { user_id, product_id } = request.into_inner();
        let received = match self {
            Self::Always => true,
            Self::Only(user, product) => {
                user_id == user.to_string() && product_id == product.to_string()
            }
        };
        Ok(Response::new(HasReceivedResponse { received }))
    }
}
