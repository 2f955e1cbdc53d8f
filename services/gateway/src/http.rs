//! The gateway's own endpoints, and everything else, which goes to a service.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get};
use axum::{Extension, Json, Router, middleware};
use contracts::ProductId;
use http::{HeaderMap, HeaderValue, header};
use kit::auth::Caller;
use kit::extract::{Path, etag};
use kit::problem::{Body, Problem, Result, UNAVAILABLE};
use serde::Serialize;
use serde_json::Value;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi, Url};

use crate::client::Client;
use crate::headers::websocket;
use crate::page::ProductPage;
use crate::proxy::Proxy;
use crate::routes::{Upstream, find};
use crate::{Edge, edge, pages};

/// Route of everything that the gateway does not answer itself.
pub const REST: &str = "/{*path}";

/// What `docs/problems/` says: `(slug, text)`.
static PROBLEMS: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/problems.rs"));

/// The gateway's own endpoints and their description.
pub fn api() -> (Router<Arc<Edge>>, OpenApi) {
    let document = kit::openapi::document(
        "Shop",
        "The shop's API. Errors are problem details (RFC 9457); their types are explained under \
         /problems. Lists are read page by page: pass next_cursor as cursor.",
    );
    OpenApiRouter::with_openapi(document)
        .routes(routes!(index))
        .routes(routes!(health))
        .routes(routes!(product_page))
        .routes(routes!(problem_page))
        .split_for_parts()
}

/// Everything that the gateway answers.
pub fn routes(edge: Arc<Edge>) -> Router {
    let (own, _) = api();
    own.route("/api/v1/products/{id}", MethodRouter::new().fallback(forward))
        .route("/openapi.json", get(openapi))
        .route("/openapi/{file}", get(service_openapi))
        .route("/postman.json", get(postman))
        .merge(swagger(&edge.proxy))
        .merge(pages::routes())
        .route(REST, any(forward))
        .layer(middleware::from_fn_with_state(Arc::clone(&edge), edge::admit))
        .layer(edge.origins.cors())
        .layer(SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(middleware::from_fn_with_state(Arc::clone(&edge), edge::log))
        .with_state(edge)
}

/// Where to find what.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Index {
    /// Name of the shop.
    shop: String,
    /// Version of the gateway.
    version: &'static str,
    /// Base path of the API.
    api: &'static str,
    /// Documentation for people.
    documentation: &'static str,
    /// Documentation for programs.
    openapi: &'static str,
    /// The API as a collection of Postman.
    postman: &'static str,
    /// Whether the shop is open.
    health: &'static str,
}

/// Where to find what.
#[utoipa::path(
    get,
    path = "/",
    tag = "gateway",
    responses((status = OK, body = Index), (status = TOO_MANY_REQUESTS, body = Body))
)]
async fn index(State(edge): State<Arc<Edge>>) -> Json<Index> {
    Json(Index {
        shop: edge.shop.clone(),
        version: env!("CARGO_PKG_VERSION"),
        api: "/api/v1",
        documentation: "/swagger-ui",
        openapi: "/openapi.json",
        postman: "/postman.json",
        health: "/health",
    })
}

/// That all is well.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Health {
    /// Always `ok`; anything else is a problem.
    status: &'static str,
}

/// Whether requests should be sent here.
#[utoipa::path(
    get,
    path = "/health",
    tag = "gateway",
    responses((status = OK, body = Health))
)]
async fn health(State(edge): State<Arc<Edge>>) -> Result<Json<Health>> {
    if edge.draining.load(Ordering::Relaxed) {
        let problem = Problem::new(UNAVAILABLE, "this part of the shop is being replaced");
        return Err(problem.header(header::RETRY_AFTER, HeaderValue::from_static("1")));
    }
    Ok(Json(Health { status: "ok" }))
}

/// A product with its seller, its stock and its rating.
///
/// What cannot be told right now is null. What is not on sale, `deletion`, and how many units there are, only its seller and
/// administrators see.
#[utoipa::path(
    get,
    path = "/api/v1/products/{id}",
    tag = "catalog",
    params(("id" = String, Path, format = Uuid, description = "Id of the product")),
    responses(
        (status = OK, body = ProductPage, headers(("ETag", description = "Version of the product, for If-Match"))),
        (status = UNAUTHORIZED, body = Body),
        (status = TOO_MANY_REQUESTS, body = Body)
    ),
    security((), ("bearer" = []))
)]
async fn product_page(
    State(edge): State<Arc<Edge>>,
    Path(id): Path<String>,
    Extension(client): Extension<Client>,
    caller: Option<Caller>,
    request: Request,
) -> Result<Response> {
    let Ok(id) = id.parse::<ProductId>() else {
        // The catalog has words of its own at this place.
        return edge.proxy.forward(Upstream::Catalog, request, &client).await;
    };
    let authorization = request.headers().get(header::AUTHORIZATION);
    let page = edge.sources.page(&id.to_string(), caller.as_ref(), authorization).await?;
    let page = page.ok_or_else(|| Problem::not_found("product"))?;
    let tag = page.product.get("version").and_then(Value::as_i64).map(etag);
    Ok(match tag {
        Some(tag) => (tag, Json(page)).into_response(),
        None => Json(page).into_response(),
    })
}

/// What a type of problem means.
#[utoipa::path(
    get,
    path = "/problems/{slug}",
    tag = "gateway",
    params(("slug" = String, Path, description = "Last part of the problem's type")),
    responses(
        (status = OK, body = String, content_type = "text/plain"),
        (status = TOO_MANY_REQUESTS, body = Body)
    )
)]
async fn problem_page(Path(slug): Path<String>) -> Result<&'static str> {
    let page = PROBLEMS.iter().find(|(name, _)| *name == slug);
    page.map(|(_, text)| *text).ok_or_else(|| Problem::not_found("type of problem"))
}

async fn openapi(State(edge): State<Arc<Edge>>, headers: HeaderMap) -> Response {
    edge.library.documents(&edge.proxy).await.merged.answer(&headers)
}

/// A collection whose requests go where this one went.
async fn postman(State(edge): State<Arc<Edge>>, Extension(client): Extension<Client>) -> Response {
    let documents = edge.library.documents(&edge.proxy).await;
    let host = client.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = if client.https { "https" } else { "http" };
    documents.collection.answer(&format!("{scheme}://{host}"))
}

async fn service_openapi(
    State(edge): State<Arc<Edge>>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let upstream = file.strip_suffix(".json").and_then(Upstream::parse);
    let upstream = upstream.filter(|upstream| edge.proxy.has(*upstream));
    let upstream = upstream.ok_or_else(|| Problem::not_found("document"))?;
    let documents = edge.library.documents(&edge.proxy).await;
    Ok(documents.of(upstream)?.answer(&headers))
}

async fn forward(
    State(edge): State<Arc<Edge>>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Result<Response> {
    let path = request.uri().path();
    let (_, upstream) = find(path).ok_or_else(|| {
        Problem::new(kit::problem::NOT_FOUND, format!("there is nothing at {path}"))
    })?;
    // Browsers let every page open sockets; only the headers say whose page it is.
    if websocket(request.headers()).is_some() {
        edge.origins.check(request.headers(), &client)?;
    }
    edge.proxy.forward(upstream, request, &client).await
}

/// Swagger UI over the merged document and those of the services.
fn swagger<S: Clone + Send + Sync + 'static>(proxy: &Proxy) -> Router<S> {
    let there = Upstream::ALL.into_iter().filter(|upstream| proxy.has(*upstream));
    // Swagger UI wants texts that live forever; there are nine, once in the life of a gateway.
    let each = there.map(|upstream| {
        Url::new(upstream.name(), format!("/openapi/{}.json", upstream.name()).leak())
    });
    let all = Url::with_primary("shop", "/openapi.json", true);
    SwaggerUi::new("/swagger-ui").config(Config::new([all].into_iter().chain(each))).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_our_own_have_a_page() {
        for kind in [crate::proxy::DISABLED, UNAVAILABLE, kit::problem::RATE_LIMITED] {
            assert!(PROBLEMS.iter().any(|(slug, _)| *slug == kind.slug), "{}", kind.slug);
        }
    }
}
