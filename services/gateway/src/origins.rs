//! Pages of which origins may call the shop from browsers.

use std::str::FromStr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use kit::problem::{FORBIDDEN, Problem, Result};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::client::Client;

/// How long browsers may remember what other origins are allowed.
const PREFLIGHT: Duration = Duration::from_hours(1);

/// Origins whose pages browsers may let call the shop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// The shop's own alone.
    #[default]
    None,
    /// All there are.
    Any,
    /// These.
    These(Vec<HeaderValue>),
}

impl AllowedOrigins {
    /// Refuses what a page of another origin asks for. Who sends no origin is no page.
    pub fn check(&self, headers: &HeaderMap, client: &Client) -> Result<()> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let allowed = match self {
            Self::Any => true,
            Self::None => false,
            Self::These(origins) => origins.contains(origin),
        };
        if allowed || is_own(origin, client) {
            return Ok(());
        }
        Err(Problem::new(FORBIDDEN, "pages of this origin may not ask for that"))
    }

    /// Tells browsers what pages of these origins may ask for.
    pub fn cors(&self) -> CorsLayer {
        let allowed = match self {
            Self::None => AllowOrigin::list([]),
            Self::Any => AllowOrigin::any(),
            Self::These(origins) => AllowOrigin::list(origins.iter().cloned()),
        };
        let shown = ["ratelimit", "ratelimit-policy"].map(HeaderName::from_static);
        let shown = shown.into_iter().chain([header::ETAG, header::LOCATION, header::RETRY_AFTER]);
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods(AllowMethods::mirror_request())
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(shown.collect::<Vec<_>>())
            .max_age(PREFLIGHT)
    }
}

/// Whether an origin is the shop itself, as its pages see it. The scheme is left out: whoever ends TLS before us
/// need not be a proxy that we know.
fn is_own(origin: &HeaderValue, client: &Client) -> bool {
    let host =
        origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    let own = client.host.as_ref().and_then(|host| host.to_str().ok());
    host.zip(own).is_some_and(|(host, own)| host.eq_ignore_ascii_case(own))
}

/// The list cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `*` or a comma-separated list of origins like https://shop.example.com")]
pub struct NotOrigins;

impl FromStr for AllowedOrigins {
    type Err = NotOrigins;

    fn from_str(text: &str) -> Result<Self, NotOrigins> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let origin = |text: &str| {
            let text = text.trim();
            // An origin has no path (RFC 6454), and browsers compare it letter by letter.
            let (scheme, host) = text.split_once("://")?;
            let plain = !host.is_empty() && !host.contains(['/', '?', '#', '*']);
            (plain && matches!(scheme, "http" | "https")).then(|| text.parse().ok())?
        };
        text.split(',').map(origin).collect::<Option<_>>().map(Self::These).ok_or(NotOrigins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_or_refused() {
        assert_eq!("*".parse(), Ok(AllowedOrigins::Any));
        let two: AllowedOrigins = "https://a.example, http://localhost:3000".parse().unwrap();
        assert!(matches!(two, AllowedOrigins::These(origins) if origins.len() == 2));
        for bad in ["", "a.example", "https://a.example/", "https://*.a", "https://a,", "ftp://a"] {
            assert_eq!(bad.parse::<AllowedOrigins>(), Err(NotOrigins), "{bad}");
        }
    }

    #[test]
    fn sockets_are_for_pages_of_the_shop_and_of_allowed_origins() {
        let refused = |origins: &AllowedOrigins, origin: &'static str| {
            let headers =
                HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))]);
            let host = Some(HeaderValue::from_static("shop.example:8080"));
            let address = std::net::Ipv4Addr::LOCALHOST.into();
            let client = Client { address, shared: false, https: false, host };
            assert!(origins.check(&HeaderMap::new(), &client).is_ok(), "no page at all");
            origins.check(&headers, &client).is_err()
        };
        let these: AllowedOrigins = "https://a.example".parse().unwrap();
        for own in ["http://shop.example:8080", "https://Shop.Example:8080"] {
            assert!(!refused(&AllowedOrigins::None, own), "{own}");
        }
        for other in
            ["http://shop.example", "https://evil.example", "null", "", "https://a.example.evil"]
        {
            assert!(refused(&AllowedOrigins::None, other) && refused(&these, other), "{other}");
            assert!(!refused(&AllowedOrigins::Any, other), "{other}");
        }
        assert!(!refused(&these, "https://a.example"));
    }
}
