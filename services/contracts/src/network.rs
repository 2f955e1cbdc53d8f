//! Networks, as the operator admits them and the gateway reads them.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Addresses that share their first bits (CIDR, RFC 4632 and RFC 4291, 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// The text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an address or a network like 10.0.0.0/8 or fd00::/8")]
pub struct NetworkError;

impl FromStr for Network {
    type Err = NetworkError;

    /// An address alone is a network of one.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().map_err(|_| NetworkError)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(longest);
        if bits <= longest { Ok(Self { address, bits }) } else { Err(NetworkError) }
    }
}

impl Network {
    /// Whether the address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                (network.to_bits() ^ address.to_bits()) & mask == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                (network.to_bits() ^ address.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

/// The proxies in front of a server, each of which speaks for many clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

/// The list cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a comma-separated list of addresses and networks like 10.0.0.0/8")]
pub struct NotNetworks;

impl FromStr for TrustedProxies {
    type Err = NotNetworks;

    fn from_str(text: &str) -> Result<Self, NotNetworks> {
        let networks = text.split(',').map(|network| network.trim().parse());
        networks.collect::<Result<_, _>>().map(Self).map_err(|_| NotNetworks)
    }
}

impl TrustedProxies {
    /// Whether the address, in its canonical form, is one of theirs.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// Header by which proxies tell whom they speak for.
pub const FORWARDED_FOR: &str = "x-forwarded-for";

/// Whether an address may be one client's. A private one is rather that of a node or of a proxy which the gateway is not
/// configured to trust (`spec.gateway.trustedProxies`), and everybody is behind it. So is one of the space that carriers share
/// (RFC 6598), which cluster networks use as well.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let shared = first == 100 && second & 0b1100_0000 == 64;
            !(shared || address.is_private() || address.is_loopback() || address.is_link_local())
        }
        IpAddr::V6(address) => {
            !(address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local())
        }
    }
}

/// What a client is counted by: whoever has one IPv6 address has a whole /64 of them (RFC 6177, 2).
pub fn client_network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
    }
}

/// The /48 of an IPv6 address, the most that one customer has (RFC 6177, 2): homes often have 256 networks, and rented servers
/// all of it. None for IPv4.
pub fn client_site(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => {
            Some(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 80))))
        }
    }
}

/// How many times the limit of one network a [`client_site`] has: it may be a carrier's, for many customers.
pub const NETWORKS_PER_SITE: i32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0.0/x", "10.0.0.0/", "/8", " ::1", "host"] {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError), "{bad}");
        }
    }

    #[test]
    fn a_network_has_the_addresses_that_share_its_first_bits() {
        let contains = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("10.0.0.1", "10.0.0.1") && !contains("10.0.0.1", "10.0.0.2"));
        assert!(contains("fd00::/8", "fdff::1") && !contains("fd00::/8", "fe00::1"));
        assert!(contains("0.0.0.0/0", "8.8.8.8") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("::/0", "2001:db8::1"));
    }

    #[test]
    fn lists_that_are_none_are_refused() {
        for bad in ["", "10.0.0.0/33", "10.0.0.1,,", "host"] {
            assert_eq!(bad.parse::<TrustedProxies>(), Err(NotNetworks), "{bad}");
        }
        let list: TrustedProxies = "10.0.0.0/8, fd00::/8".parse().unwrap();
        assert!(list.contains("10.1.2.3".parse().unwrap()));
        assert!(!list.contains("8.8.8.8".parse().unwrap()));
    }

    #[test]
    fn a_site_is_a_48() {
        let site = |address: &str| client_site(address.parse().unwrap());
        assert_eq!(site("2001:db8:1:2:3::4"), Some("2001:db8:1::".parse().unwrap()));
        assert_eq!(site("203.0.113.7"), None);
    }

    #[test]
    fn one_household_is_one_client() {
        let network = |text: &str| client_network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("203.0.113.1"), network("203.0.113.2"));
    }

    #[test]
    fn addresses_that_many_share_are_not_public() {
        let public = |address: &str| is_public(address.parse().unwrap());
        for address in ["203.0.113.7", "100.63.255.255", "100.128.0.0", "101.64.0.1", "2001:db8::1"]
        {
            assert!(public(address), "{address}");
        }
        for address in
            ["100.64.0.0", "100.100.1.1", "100.127.255.255", "10.0.0.1", "fd00::1", "::1"]
        {
            assert!(!public(address), "{address}");
        }
    }
}
