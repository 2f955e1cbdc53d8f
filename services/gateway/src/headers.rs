//! Headers on their way through: what ends at each hop, and what only we may say.

use contracts::FORWARDED_FOR;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::client::{Client, FORWARDED_HOST, FORWARDED_PROTO};

/// Headers of one connection only (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers by which somebody behind us could take a client for somebody else.
const IDENTITY: [&str; 5] = ["forwarded", "x-real-ip", "x-user-id", "x-roles", "x-role"];
/// Same, by the beginning of their names.
const IDENTITY_PREFIXES: [&str; 3] = ["x-forwarded-", "x-user-", "x-auth-"];

/// Removes what ends here, also what the `Connection` header says ends here.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Makes a client's headers fit to be sent to a service: says who the client is, and lets nothing
/// else say it. The client's trace context goes too: the service continues a span of ours, which
/// the proxy names with each attempt.
pub fn to_upstream(headers: &mut HeaderMap, client: &Client) {
    strip_hop_by_hop(headers);
    let spoofed: Vec<HeaderName> = headers.keys().filter(|name| claims(name)).cloned().collect();
    for name in spoofed {
        headers.remove(name);
    }
    // Services limit by it, and know nothing of the proxies in front of us.
    if !client.shared {
        let address = HeaderValue::try_from(client.address.to_string());
        let address = address.expect("addresses are visible characters");
        headers.insert("x-real-ip", address.clone());
        headers.insert(FORWARDED_FOR, address);
    }
    let proto = if client.https { "https" } else { "http" };
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(proto));
    if let Some(host) = &client.host {
        headers.insert(FORWARDED_HOST, host.clone());
    }
    // The connection to the service names the service.
    headers.remove(header::HOST);
    headers.remove("traceparent");
    headers.remove("tracestate");
}

fn claims(name: &HeaderName) -> bool {
    let name = name.as_str();
    IDENTITY.contains(&name) || IDENTITY_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The protocol that a client wants to change to, if that is WebSocket (RFC 6455), the only one.
pub fn websocket(headers: &HeaderMap) -> Option<HeaderValue> {
    let upgrades = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case("upgrade"));
    let protocol = headers.get(header::UPGRADE)?;
    let is_websocket = protocol.as_bytes().eq_ignore_ascii_case(b"websocket");
    (upgrades && is_websocket).then(|| protocol.clone())
}

/// Asks for, or grants, a change of protocol.
pub fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn what_ends_here_is_removed() {
        let mut sent = headers(&[
            ("connection", "keep-alive, X-Once"),
            ("x-once", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ]);
        strip_hop_by_hop(&mut sent);
        assert_eq!(sent, headers(&[("accept", "*/*")]));
    }

    #[test]
    fn only_websocket_is_an_upgrade() {
        let asks = |pairs| websocket(&headers(pairs)).is_some();
        assert!(asks(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")]));
        assert!(!asks(&[("connection", "keep-alive"), ("upgrade", "websocket")]));
        assert!(!asks(&[("connection", "upgrade"), ("upgrade", "h2c")]));
        assert!(!asks(&[("connection", "upgrade")]));
    }
}
