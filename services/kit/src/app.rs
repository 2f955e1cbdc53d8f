//! A service that runs: three listeners, background tasks, readiness, and an end without losses.

mod listen;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::{Extension, Router, middleware};
use futures_util::future::BoxFuture;
use listener::Limits;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;

pub use self::listen::Listen;
use crate::admin::{self, Readiness};
use crate::bodies::{self, Bodiless};
use crate::service::{Common, Service, StartError, verifier};
use crate::telemetry::chain;
use crate::{grpc, http as edge, postgres, unread};

/// How long a request may take.
const REQUEST_DEADLINE: Duration = Duration::from_secs(15);
/// How large a body may be, in bytes, unless a route says otherwise.
const BODY_LIMIT: usize = 1 << 20;
/// How long requests and tasks that are under way may still take after the listeners have closed.
const FINISH: Duration = Duration::from_secs(20);
/// Connections of the admin port: one kubelet, and few that scrape.
const ADMIN_CONNECTIONS: usize = 32;

/// The addresses that were really bound.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// HTTP API.
    pub http: SocketAddr,
    /// gRPC API.
    pub grpc: SocketAddr,
    /// Probes and metrics.
    pub admin: SocketAddr,
}

type Task = BoxFuture<'static, Result<(), StartError>>;

/// A service that is being put together.
pub struct App {
    /// What every service is configured by.
    pub common: Common,
    /// Cancelled when listeners close; background tasks must then finish.
    pub stop: CancellationToken,
    name: &'static str,
    openapi: Option<OpenApi>,
    public: bool,
    draining: Arc<AtomicBool>,
    http: Router,
    grpc: Option<Routes>,
    tasks: Vec<(&'static str, Task)>,
    readiness: Readiness,
    pools: Vec<PgPool>,
    verifier: Arc<crate::auth::Verifier>,
    listeners: [TcpListener; 3],
}

impl App {
    /// Binds the listeners and reads the keys.
    pub async fn new<S: Service>(common: Common) -> Result<Self, StartError> {
        let listen = &common.listen;
        let listeners =
            [bind(listen.http).await?, bind(listen.grpc).await?, bind(listen.admin).await?];
        let draining = Arc::default();
        Ok(Self {
            stop: CancellationToken::new(),
            name: S::NAME,
            openapi: Some(crate::openapi::of::<S>()),
            public: false,
            http: Router::new(),
            grpc: None,
            tasks: Vec::new(),
            readiness: Readiness::new(Arc::clone(&draining)),
            draining,
            pools: Vec::new(),
            verifier: verifier(&common)?,
            listeners,
            common,
        })
    }

    /// Verifies access tokens, for what is not a plain request (WebSocket).
    pub fn verifier(&self) -> Arc<crate::auth::Verifier> {
        Arc::clone(&self.verifier)
    }

    /// True from the moment when the service was told to end; it still serves for a while then.
    pub fn draining(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.draining)
    }

    /// Leaves `/openapi.json` and `/swagger-ui` to the service's own routes.
    #[must_use]
    pub fn without_docs(mut self) -> Self {
        self.openapi = None;
        self
    }

    /// Lets anyone connect to the HTTP API: one client has at most half of the connections, and requests of one HTTP/2
    /// connection count. Without this the gateway and siblings connect, as the network policies say.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.public = true;
        self
    }

    /// Serves these routes.
    #[must_use]
    pub fn http(mut self, routes: Router) -> Self {
        self.http = self.http.merge(routes);
        self
    }

    /// Serves these gRPC services.
    #[must_use]
    pub fn grpc(mut self, routes: Routes) -> Self {
        self.grpc = Some(routes);
        self
    }

    /// Runs beside the listeners. A task that ends before `stop` takes the service with it.
    #[must_use]
    pub fn task<F, E>(mut self, name: &'static str, task: F) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<StartError>,
    {
        self.tasks.push((name, Box::pin(async move { task.await.map_err(Into::into) })));
        self
    }

    /// The service is ready only while this succeeds.
    #[must_use]
    pub fn check<F, E>(
        mut self,
        name: &'static str,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<StartError>,
    {
        self.readiness.add(name, move || {
            let check = check();
            Box::pin(async move { check.await.map_err(Into::into) })
        });
        self
    }

    /// Needs this database: checked for readiness, measured.
    #[must_use]
    pub fn database(mut self, pool: &PgPool) -> Self {
        self.pools.push(pool.clone());
        let pool = pool.clone();
        self.check("database", move || {
            let pool = pool.clone();
            async move { postgres::ping(&pool).await }
        })
    }

    /// The addresses that were bound.
    pub fn bound(&self) -> Bound {
        let [http, grpc, admin] = self
            .listeners
            .each_ref()
            .map(|listener| listener.local_addr().expect("a bound listener has an address"));
        Bound { http, grpc, admin }
    }

    /// Runs until SIGTERM or SIGINT, then drains.
    pub async fn run_until_signal(self) -> Result<(), StartError> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        self.run(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await
    }

    /// Runs until `end`, then drains.
    pub async fn run(self, end: impl Future<Output = ()> + Send) -> Result<(), StartError> {
        let (name, drain) = (self.name, self.common.listen.drain);
        let stop = self.stop.clone();
        let draining = self.draining();
        let admin_stop = CancellationToken::new();
        let mut tasks = self.spawn(&admin_stop);
        tracing::info!(service = name, "listening");
        let failed = tokio::select! {
            failed = first_end(&mut tasks) => Some(failed),
            () = end => None,
        };
        draining.store(true, Ordering::Relaxed);
        if failed.is_none() {
            tracing::info!(service = name, "draining");
            tokio::time::sleep(drain).await;
        }
        stop.cancel();
        let rest = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(FINISH, rest).await.is_err() {
            tracing::warn!(service = name, "some work did not finish in time and is dropped");
        }
        admin_stop.cancel();
        failed.map_or(Ok(()), Err)
    }

    fn spawn(
        self,
        admin_stop: &CancellationToken,
    ) -> JoinSet<(&'static str, Result<(), StartError>)> {
        let Self { stop, http, grpc, tasks, readiness, pools, verifier, listeners, .. } = self;
        let [http_listener, grpc_listener, admin_listener] = listeners;
        let mut set = JoinSet::new();
        let routes =
            layered(http, self.openapi.as_ref(), &self.draining).layer(Extension(verifier));
        let (http_limits, grpc_limits) = self.common.listen.limits(grpc.is_some(), self.public);
        let stopped = stop.clone().cancelled_owned();
        set.spawn(async move {
            listener::serve("http", http_listener, routes, http_limits, stopped).await;
            ("http", Ok(()))
        });
        if let Some(routes) = grpc {
            let routes = routes.prepare().into_axum_router().layer(grpc::Observe);
            let stopped = stop.clone().cancelled_owned();
            set.spawn(async move {
                listener::serve("grpc", grpc_listener, routes, grpc_limits, stopped).await;
                ("grpc", Ok(()))
            });
        }
        for (name, task) in tasks {
            set.spawn(async move { (name, task.await) });
        }
        let admin = admin::routes(Arc::new(readiness), pools);
        let stopped = admin_stop.clone().cancelled_owned();
        // Answers to the very end, so it is no part of the set that is waited for.
        let limits = Limits { connections: ADMIN_CONNECTIONS, ..Limits::default() };
        tokio::spawn(listener::serve("admin", admin_listener, admin, limits, stopped));
        set
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}").into())
}

/// A task has ended though nobody has told it to.
async fn first_end(tasks: &mut JoinSet<(&'static str, Result<(), StartError>)>) -> StartError {
    match tasks.join_next().await {
        Some(Ok((name, Err(error)))) => format!("{name} has failed: {}", chain(&*error)).into(),
        Some(Ok((name, Ok(())))) => format!("{name} has ended by itself").into(),
        Some(Err(error)) => error.into(),
        None => "there is nothing to run".into(),
    }
}

/// The service's routes under what every request passes through.
fn layered(routes: Router, openapi: Option<&OpenApi>, draining: &Arc<AtomicBool>) -> Router {
    let bodiless = Arc::new(openapi.map(Bodiless::of).unwrap_or_default());
    openapi
        .map_or_else(Router::new, docs)
        .merge(routes)
        .layer(middleware::from_fn_with_state(bodiless, bodies::refuse_ignored))
        .fallback(edge::not_found)
        .method_not_allowed_fallback(edge::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(REQUEST_DEADLINE, edge::deadline))
        .layer(CatchPanicLayer::custom(edge::panicked))
        .layer(middleware::from_fn_with_state(Arc::clone(draining), edge::leave))
        .layer(middleware::from_fn(edge::observe))
        .layer(middleware::from_fn(unread::read))
}

/// The OpenAPI document and its Swagger UI.
fn docs(openapi: &OpenApi) -> Router {
    let document = serde_json::to_value(openapi).unwrap_or_default();
    let swagger = utoipa_swagger_ui::SwaggerUi::new("/swagger-ui")
        .external_url_unchecked("/openapi.json", document);
    Router::new().merge(swagger)
}
