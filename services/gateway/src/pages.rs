//! Pages that e-mails link to: they present the token of an e-mail, or ask for one. Plain, and complete without anything from
//! elsewhere; a shop with a storefront of its own has better ones.

use axum::Router;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use http::{HeaderName, HeaderValue, header};
use tower_http::set_header::SetResponseHeaderLayer;

/// Nothing but the page's own script and style, no other page around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The pages and what they need.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let set = |name: HeaderName, value| {
        SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
    };
    let html = |text: &'static str| get(async move || Html(text));
    let file = |r#type: &'static str, text: &'static str| {
        get(async move || ([(header::CONTENT_TYPE, r#type)], text).into_response())
    };
    Router::new()
        .route("/verify-email", html(include_str!("../pages/verify-email.html")))
        .route("/reset-password", html(include_str!("../pages/reset-password.html")))
        .route("/forgot-password", html(include_str!("../pages/forgot-password.html")))
        .route("/account.js", file("text/javascript", include_str!("../pages/account.js")))
        .route("/account.css", file("text/css", include_str!("../pages/account.css")))
        .layer(set(header::CONTENT_SECURITY_POLICY, POLICY))
        .layer(set(header::REFERRER_POLICY, "no-referrer"))
        .layer(set(header::CACHE_CONTROL, "no-cache"))
}
