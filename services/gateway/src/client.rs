//! Who is on the other side of a connection, as far as an address can tell.

use std::net::IpAddr;

use contracts::{FORWARDED_FOR, TrustedProxies, client_network, is_public};
use http::{HeaderMap, HeaderValue, header};

/// Header by which proxies tell the scheme that the client used.
pub const FORWARDED_PROTO: &str = "x-forwarded-proto";
/// Header by which proxies tell the host that the client asked for.
pub const FORWARDED_HOST: &str = "x-forwarded-host";

/// Where a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Address of the client itself, not of a proxy that we trust.
    pub address: IpAddr,
    /// Whether clients are known to share their addresses, those of proxies that we are not configured to trust.
    pub shared: bool,
    /// Scheme that the client used.
    pub https: bool,
    /// Host that the client asked for.
    pub host: Option<HeaderValue>,
}

impl Client {
    /// The client that this peer speaks for, which is the peer itself unless we trust it.
    pub fn of(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let peer = peer.to_canonical();
        let host = headers.get(header::HOST).cloned();
        if !trusted.contains(peer) {
            return Self { address: peer, shared: false, https: false, host };
        }
        let https = headers.get(FORWARDED_PROTO).is_some_and(|proto| proto == "https");
        let host = headers.get(FORWARDED_HOST).cloned().or(host);
        Self { address: original(peer, headers, trusted), shared: false, https, host }
    }

    /// What the client is limited by.
    pub fn network(&self) -> IpAddr {
        client_network(self.address)
    }

    /// Whether the network identifies the client.
    pub fn is_alone(&self) -> bool {
        !self.shared && is_public(self.address)
    }
}

/// The last address that was added by a proxy of ours: what stands before it, anybody can write.
fn original(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> IpAddr {
    let mut address = peer;
    let lines: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .map(|line| line.to_str().unwrap_or_default())
        .collect();
    for hop in lines.join(",").rsplit(',') {
        let Ok(hop) = hop.trim().parse::<IpAddr>() else { break };
        address = hop.to_canonical();
        if !trusted.contains(address) {
            break;
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address_of(peer: &str, forwarded: &[&str], trusted: &str) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        let trusted =
            if trusted.is_empty() { TrustedProxies::default() } else { trusted.parse().unwrap() };
        Client::of(peer.parse().unwrap(), &headers, &trusted).address.to_string()
    }

    #[test]
    fn strangers_are_not_believed() {
        assert_eq!(address_of("203.0.113.9", &["198.51.100.1"], ""), "203.0.113.9");
        assert_eq!(address_of("203.0.113.9", &["198.51.100.1"], "10.0.0.0/8"), "203.0.113.9");
        assert_eq!(address_of("::ffff:203.0.113.9", &[], ""), "203.0.113.9");
    }

    #[test]
    fn our_proxies_are_believed_as_far_as_they_have_written() {
        let trusted = "10.0.0.0/8, fd00::/8";
        // The client has written the first address itself.
        assert_eq!(address_of("10.1.2.3", &["1.1.1.1, 203.0.113.9"], trusted), "203.0.113.9");
        assert_eq!(address_of("10.1.2.3", &["1.1.1.1", "203.0.113.9"], trusted), "203.0.113.9");
        assert_eq!(address_of("10.1.2.3", &["203.0.113.9, 10.9.9.9"], trusted), "203.0.113.9");
        assert_eq!(address_of("fd00::1", &["2001:db8::7"], trusted), "2001:db8::7");
        assert_eq!(address_of("10.1.2.3", &["203.0.113.9, nonsense"], trusted), "10.1.2.3");
        assert_eq!(address_of("10.1.2.3", &[], trusted), "10.1.2.3");
    }
}
