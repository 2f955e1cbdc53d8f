//! Something between the operator and the API server.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Method, Request};
use kube::Client;
use kube::client::{Body, ClientBuilder};
use tower::{BoxError, Layer, Service};

use crate::server;

/// The error of a request that is not sent, or nothing for one that is.
type Verdict = Option<BoxFuture<'static, BoxError>>;

/// A layer that decides by the method which requests are sent.
#[derive(Clone)]
struct Intercept(Arc<dyn Fn(&Method) -> Verdict + Send + Sync>);

struct Intercepted<S> {
    layer: Intercept,
    inner: S,
}

impl<S> Layer<S> for Intercept {
    type Service = Intercepted<S>;

    fn layer(&self, inner: S) -> Intercepted<S> {
        Intercepted { layer: self.clone(), inner }
    }
}

impl<S> Service<Request<Body>> for Intercepted<S>
where
    S: Service<Request<Body>, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match (self.layer.0)(request.method()) {
            Some(error) => Box::pin(async { Err(error.await) }),
            None => Box::pin(self.inner.call(request)),
        }
    }
}

/// A client of the operator whose requests are sent as `verdict` says.
pub(crate) async fn client(verdict: impl Fn(&Method) -> Verdict + Send + Sync + 'static) -> Client {
    let config = server::operator_config().await;
    let layer = Intercept(Arc::new(verdict));
    ClientBuilder::try_from(config).unwrap().with_layer(&layer).build()
}
