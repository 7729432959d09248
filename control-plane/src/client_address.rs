//! Which client a request comes from, where proxies pass it on.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use axum::middleware::map_request;
use ipnet::IpNet;

/// The proxies whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// The routes, for whose requests the address of the peer is that of the client.
    pub fn before(self, router: Router) -> Router {
        if self.0.is_empty() {
            return router;
        }
        let proxies = Arc::new(self);
        router.layer(map_request(move |mut request: Request| {
            let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().copied();
            if let Some(ConnectInfo(peer)) = peer {
                let client = proxies.client(peer.ip(), request.headers());
                let client = ConnectInfo(SocketAddr::new(client, peer.port()));
                request.extensions_mut().insert(client);
            }
            std::future::ready(request)
        }))
    }

    /// The client of a request that came from `peer`. Each proxy adds the address that it was asked from at the
    /// end of `X-Forwarded-For`, so it is read from its end, for as long as trusted proxies have written it. What
    /// a client writes there itself is never reached.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let values = headers.get_all(FORWARDED_FOR).iter().rev();
        let entries = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
        let mut client = peer.to_canonical();
        for entry in entries.take(MOST_PROXIES) {
            match address(entry.trim()) {
                Some(before) if self.are_trusted(client) => client = before,
                _ => break,
            }
        }
        client
    }

    fn are_trusted(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Addresses and networks, separated by spaces: `10.0.0.0/8 fd00::/8 192.0.2.7`.
impl FromStr for TrustedProxies {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let network = |text: &str| match text.parse::<IpAddr>() {
            Ok(address) => Ok(IpNet::from(address.to_canonical())),
            Err(_) => text.parse::<IpNet>().map_err(drop),
        };
        text.split_whitespace().map(network).collect::<Result<_, _>>().map(Self)
    }
}

/// An address, with or without the port that some proxies add.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address| address.to_canonical())
}

const FORWARDED_FOR: &str = "x-forwarded-for";
/// A chain of more proxies is a mistake, or an attack.
const MOST_PROXIES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    // A05
    #[test]
    fn only_what_trusted_proxies_have_written_is_believed() {
        let proxies: TrustedProxies = "10.0.0.0/8 fd00::/8 192.0.2.7".parse().unwrap();
        for (peer, headers, client) in [
            // Not a proxy: what it says of others does not count.
            ("203.0.113.1", &["198.51.100.1"][..], "203.0.113.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
            ("fd00::1", &["[2001:db8::1]:443"], "2001:db8::1"),
            ("fd00::1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["198.51.100.1:5000"], "198.51.100.1"),
            // A client adds entries at the beginning only.
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1, 192.0.2.7,10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, "], "10.0.0.1"),
        ] {
            let mut sent = HeaderMap::new();
            for value in headers {
                sent.append(FORWARDED_FOR, value.parse().unwrap());
            }
            let found = proxies.client(peer.parse().unwrap(), &sent);
            assert_eq!(found.to_string(), client, "{peer} {headers:?}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["10.0.0.0/33", "proxy.example", "10.0.0.1:80", "10.0.0.0/8,"] {
            assert!(text.parse::<TrustedProxies>().is_err(), "{text}");
        }
    }
}
