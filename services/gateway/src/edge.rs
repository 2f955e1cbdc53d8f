//! What every request passes through on its way in: who it is from, whether it may come in, and
//! the line that it leaves in the log.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{
    ConnectInfo, FromRequestParts, MatchedPath, OptionalFromRequestParts, Request, State,
};
use axum::middleware::Next;
use axum::response::Response;
use http::header;
use kit::auth::{Caller, SocketCaller};
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

/// Where WebSockets are opened.
const LIVE: &str = "/api/v1/live";

/// Finds out who the client is, and logs the request.
pub async fn log(
    State(edge): State<Arc<Edge>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    name_host(&mut request);
    let mut client = Client::of(peer.ip(), request.headers(), &edge.trusted_proxies);
    client.shared = edge.shared_addresses;
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
    let client = parts.extensions.get::<Client>();
    let address = client.map_or(String::new(), |client| client.network().to_string());
    let alone = client.is_some_and(Client::is_alone);
    // Whoever logs in or renews a token may well send an old one along.
    let caller = if path.starts_with(SENSITIVE) || path.starts_with(WEBHOOKS) {
        Ok(None)
    } else if path == LIVE {
        SocketCaller::from_request_parts(&mut parts, &()).await.map(|SocketCaller(caller)| caller)
    } else {
        <Caller as OptionalFromRequestParts<()>>::from_request_parts(&mut parts, &()).await
    };
    let (limit, client) = match &caller {
        _ if is_sensitive(&path) => (edge.limits.auth(alone), address),
        _ if path.starts_with(WEBHOOKS) => (edge.limits.webhooks(), address),
        Ok(Some(caller)) => (edge.limits.user(), caller.user_id.to_string()),
        Ok(None) | Err(_) => (edge.limits.guest(alone), address),
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

/// What each client may send in a minute.
#[derive(Clone, Copy, Debug)]
pub struct Limits(pub NonZeroU32);

impl Limits {
    fn user(self) -> Limit {
        Limit { name: "client", per_minute: self.0.get() }
    }

    /// Of a client that is identified by its address alone, if by anything.
    fn guest(self, alone: bool) -> Limit {
        let name = if alone { "client" } else { "guests" };
        Limit { name, per_minute: by_address(self.0.get(), alone) }
    }

    /// Stricter, on what guesses at passwords.
    fn auth(self, alone: bool) -> Limit {
        Limit { name: "auth", per_minute: by_address(self.0.get().div_ceil(10), alone) }
    }

    /// Wide: all webhooks of a provider come from a few addresses.
    fn webhooks(self) -> Limit {
        Limit { name: "webhooks", per_minute: by_address(self.0.get(), false) }
    }
}

fn by_address(per_minute: u32, alone: bool) -> u32 {
    if alone { per_minute } else { per_minute.saturating_mul(SHARING) }
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
