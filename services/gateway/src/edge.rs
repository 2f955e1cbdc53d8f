//! What every request passes through on its way in: who it is from, whether it may come in, and
//! the line that it leaves in the log.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, MatchedPath, OptionalFromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header;
use kit::auth::Caller;
use kit::http::{Route, UNMATCHED};
use kit::problem::Result;

use crate::Edge;
use crate::access::Line;
use crate::client::Client;
use crate::http::REST;
use crate::limit::Limit;
use crate::routes;

/// Paths that guess at passwords, send e-mails or make accounts, and those among them that do not.
const SENSITIVE: &str = "/api/v1/auth/";
const HARMLESS: [&str; 3] = ["refresh", "logout", "logout-everywhere"];

/// Paths that providers call, which have no token of ours: they sign what they send.
const WEBHOOKS: &str = "/api/v1/webhooks/";

/// Finds out who the client is, and logs the request.
pub async fn log(
    State(edge): State<Arc<Edge>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    name_host(&mut request);
    let client = Client::of(peer.ip(), request.headers(), &edge.trusted_proxies);
    let mut line = Line::begin(request.method().clone(), client.address);
    request.extensions_mut().insert(client);
    let matched = request.extensions().get::<MatchedPath>();
    let own = matched.map(MatchedPath::as_str).filter(|path| *path != REST).map(str::to_owned);
    let found = routes::find(request.uri().path()).map_or(UNMATCHED, |(route, _)| route);
    line.route = own.clone().unwrap_or_else(|| found.to_owned());
    let mut response = next.run(request).await;
    if own.is_none() {
        response.extensions_mut().insert(Route(found));
    }
    line.status = response.status().as_u16();
    response.map(|body| line.follow(body))
}

/// HTTP/2 says in the URI what HTTP/1.1 says in a header.
fn name_host(request: &mut Request) {
    let authority = request.uri().authority().and_then(|host| host.as_str().parse().ok());
    if let Some(host) = authority {
        request.headers_mut().entry(header::HOST).or_insert(host);
    }
}

/// Lets a request in unless its token is not valid, its client has sent too many, or its roles have been taken away.
pub async fn admit(
    State(edge): State<Arc<Edge>>,
    request: Request,
    next: Next,
) -> Result<Response> {
    let path = request.uri().path().to_owned();
    if path == "/health" {
        return Ok(next.run(request).await);
    }
    let (mut parts, body) = request.into_parts();
    let address = parts.extensions.get::<Client>().map(Client::network);
    let address = address.map_or(String::new(), |address| address.to_string());
    // Whoever logs in or renews a token may well send an old one along.
    let caller = if path.starts_with(SENSITIVE) || path.starts_with(WEBHOOKS) {
        Ok(None)
    } else {
        <Caller as OptionalFromRequestParts<()>>::from_request_parts(&mut parts, &()).await
    };
    let (limit, client) = match &caller {
        _ if is_sensitive(&path) => (edge.auth_limit, address),
        _ if path.starts_with(WEBHOOKS) => (edge.webhook_limit, address),
        Ok(Some(caller)) => (edge.limit, caller.user_id.to_string()),
        Ok(None) | Err(_) => (edge.guest_limit, address),
    };
    let allowance = edge.limiter.take(limit, &client).await;
    allowance.as_ref().map_or(Ok(()), crate::limit::Allowance::check)?;
    if let Some(caller) = caller? {
        edge.standings.check(&parts.method, &caller).await?;
    }
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if let Some(allowance) = allowance {
        allowance.tell(response.headers_mut());
    }
    Ok(response)
}

fn is_sensitive(path: &str) -> bool {
    path.strip_prefix(SENSITIVE).is_some_and(|rest| !HARMLESS.contains(&rest))
}

/// Clients that are counted as one where many share an address.
const SHARING: u32 = 20;

/// The limit on everything, for users and for guests, the stricter one on what guesses at passwords, and a wide one
/// for providers, all of whose webhooks come from a few addresses. Where guests share the address of a proxy, what is
/// limited by address is as wide.
pub fn limits(per_minute: u32, shared: bool) -> [Limit; 4] {
    let limit = |name, per_minute| Limit { name, per_minute };
    let by_address = |per_minute: u32| {
        if shared { per_minute.saturating_mul(SHARING) } else { per_minute }
    };
    [
        limit("client", per_minute),
        limit(if shared { "guests" } else { "client" }, by_address(per_minute)),
        limit("auth", by_address(per_minute.div_ceil(10))),
        limit("webhooks", per_minute.saturating_mul(SHARING)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_harmless_is_there() {
        let document: serde_json::Value =
            serde_json::from_str(include_str!("../../user/openapi.json")).unwrap();
        for path in HARMLESS.map(|rest| format!("{SENSITIVE}{rest}")) {
            assert!(document["paths"].get(&path).is_some(), "{path}");
            assert!(!is_sensitive(&path));
        }
        for path in ["login", "register", "forgot-password"] {
            assert!(is_sensitive(&format!("{SENSITIVE}{path}")));
        }
    }
}
