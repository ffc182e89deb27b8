//! Client addresses behind trusted proxies, and the client networks that failures are counted by.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// The unit that failures are counted by: an IPv4 address, or the /64 of an IPv6 client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientNetwork(IpAddr);

impl ClientNetwork {
    /// The network of `address`.
    pub fn of(address: IpAddr) -> Self {
        const FIRST_64: u128 = !0 << 64;
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & FIRST_64).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(first) => write!(f, "{first}/64"),
        }
    }
}

/// The proxies whose `X-Forwarded-For` is trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Parses CIDRs or addresses, separated by commas.
    pub fn parse(text: &str) -> Option<Self> {
        let network = |text: &str| {
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        };
        text.split(',').map(network).collect::<Option<_>>().map(Self)
    }

    /// Whether `hop` is one of them.
    pub fn trusts(&self, hop: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&hop))
    }

    /// The client of a request that came from `peer` with these `X-Forwarded-For` headers: the rightmost address that is
    /// no trusted proxy, since everything to the left of it may be made up.
    pub fn client<'a>(
        &self,
        peer: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a str>,
    ) -> IpAddr {
        let mut hop = peer.to_canonical();
        for before in forwarded.rev().flat_map(|header| header.rsplit(',')) {
            if !self.trusts(hop) {
                break;
            }
            let Some(address) = address(before.trim()) else { break };
            hop = address;
        }
        hop
    }
}

/// Parses an address as proxies write it: alone, in brackets, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_ipv6_client_is_its_64() {
        let of = |text| ClientNetwork::of(ip(text));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
        assert_eq!(of("2001:db8:1:2::1").to_string(), "2001:db8:1:2::/64");
        assert_eq!(of("192.0.2.7").to_string(), "192.0.2.7");
    }

    #[test]
    fn the_client_is_the_rightmost_that_is_no_trusted_proxy() {
        let proxies = TrustedProxies::parse("10.0.0.0/8, 192.0.2.1,fd00::/8").unwrap();
        let cases: &[(&str, &[&str], &str)] = &[
            ("203.0.113.5", &["1.1.1.1"], "203.0.113.5"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1, 2.2.2.2"], "2.2.2.2"),
            ("10.0.0.1", &["1.1.1.1, 2.2.2.2,10.9.9.9 , 192.0.2.1"], "2.2.2.2"),
            ("10.0.0.1", &["1.1.1.1", "2.2.2.2", "10.9.9.9"], "2.2.2.2"),
            ("::ffff:10.0.0.1", &["::ffff:2.2.2.2"], "2.2.2.2"),
            ("fd00::1", &["[2001:db8::7]:443"], "2001:db8::7"),
            ("fd00::1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", &["2.2.2.2:1234"], "2.2.2.2"),
            ("10.0.0.1", &["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
            // What cannot be read ends the walk: nothing to the left of it is believed.
            ("10.0.0.1", &["1.1.1.1, unknown, 10.0.0.3"], "10.0.0.3"),
            ("10.0.0.1", &["1.1.1.1,"], "10.0.0.1"),
        ];
        for (peer, forwarded, client) in cases {
            let found = proxies.client(ip(peer), forwarded.iter().copied());
            assert_eq!(found, ip(client), "{peer} {forwarded:?}");
        }
        let nobody = TrustedProxies::default();
        assert_eq!(nobody.client(ip("10.0.0.1"), ["1.1.1.1"].into_iter()), ip("10.0.0.1"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["true", "10.0.0.0/33", "10.0.0.0/8,", "", "proxy.internal", "10.0.0.0/8 ::1"] {
            assert_eq!(TrustedProxies::parse(text), None, "{text}");
        }
    }
}
