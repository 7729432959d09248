//! Addresses in the configuration: the listen address and the issuer.

use std::net::{SocketAddr, ToSocketAddrs};

use url::Url;

/// The address that `text` names. For a host name the first one, IPv4 before IPv6: that is what
/// people mean by localhost.
pub fn resolve(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let found: Vec<SocketAddr> = text.to_socket_addrs().ok()?.collect();
    found.iter().find(|address| address.is_ipv4()).or_else(|| found.first()).copied()
}

/// True for an issuer as defined in RFC 8414 section 2; http is also allowed, for a first try.
pub fn is_issuer(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let is_bare = url.query().is_none() && url.fragment().is_none();
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    matches!(url.scheme(), "http" | "https") && url.has_host() && is_bare && is_anonymous
}
