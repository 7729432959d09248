//! Which request needs which token: an ordered list of routes. What no route is for is refused.

mod path;
mod pattern;

use std::time::Duration;

use serde_json::{Map, Value};

use crate::claims::ClaimPath;

pub use path::{ClearPath, UnclearPath};
pub use pattern::{Pattern, WrongPattern};

/// The routes, in their order: the first that is for a request decides.
#[derive(Debug, Clone, Default)]
pub struct Routes(pub Vec<Route>);

/// A set of requests, and what they need.
#[derive(Debug, Clone)]
pub struct Route {
    /// The hosts, in lower case and without a port; every host if empty.
    pub hosts: Vec<String>,
    /// The paths.
    pub paths: Vec<Pattern>,
    /// The methods; every method if empty. `GET` includes `HEAD`.
    pub methods: Vec<String>,
    /// What the requests need.
    pub policy: Policy,
}

/// What a request needs.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Whether it needs a token.
    pub access: Access,
    /// What the token must be: its scopes, how fresh the feed is, what an undecided verdict means.
    pub token: offswitch_client::Policy,
    /// The claims that the token must have, each with one of some values.
    pub claims: Vec<RequiredClaim>,
    /// How long the token is watched after the request, for connections that stay open.
    pub watch: Option<Duration>,
}

/// Whether a request needs a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// No token is looked at, and the upstream gets no claims.
    Anonymous,
    /// A request without a token passes without claims; one with a token needs a valid one.
    Optional,
    /// Every request needs a valid token.
    #[default]
    Token,
}

/// A claim that must have one of some values; of an array, one element must.
#[derive(Debug, Clone, PartialEq)]
pub struct RequiredClaim {
    /// The claim.
    pub path: ClaimPath,
    /// The accepted values: strings, whole numbers and booleans.
    pub any_of: Vec<Value>,
}

impl Routes {
    /// True if the host of a request can decide which route is for it.
    pub(crate) fn depend_on_hosts(&self) -> bool {
        self.0.iter().any(|route| !route.hosts.is_empty())
    }

    /// The policy for a request; none if no route is for it.
    pub(crate) fn policy(
        &self,
        host: Option<&str>,
        method: &str,
        path: &ClearPath<'_>,
    ) -> Option<&Policy> {
        let host = host.map(bare_host);
        let is_for = |route: &&Route| route.is_for(host.as_deref(), method, path);
        self.0.iter().find(is_for).map(|route| &route.policy)
    }
}

impl Route {
    fn is_for(&self, host: Option<&str>, method: &str, path: &ClearPath<'_>) -> bool {
        let is_host = self.hosts.is_empty()
            || host.is_some_and(|host| self.hosts.iter().any(|known| known == host));
        let is_method = |known: &String| known == method || (known == "GET" && method == "HEAD");
        is_host
            && (self.methods.is_empty() || self.methods.iter().any(is_method))
            && self.paths.iter().any(|pattern| pattern.matches(path))
    }
}

impl RequiredClaim {
    /// True if the token has one of the values.
    pub(crate) fn is_met_by(&self, claims: &Map<String, Value>) -> bool {
        match self.path.value(claims) {
            Some(Value::Array(all)) => all.iter().any(|one| self.any_of.contains(one)),
            Some(value) => self.any_of.contains(value),
            None => false,
        }
    }
}

/// A host as routes name it: in lower case, without a port and without the dot at the end.
pub(crate) fn bare_host(host: &str) -> String {
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        // The last part of an IPv6 address ends with a bracket.
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// True for a method that every server reads in the same way: some take `get` for `GET`.
pub(crate) fn is_clear_method(method: &str) -> bool {
    let is_of_method = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
    (1..=32).contains(&method.len()) && method.bytes().all(is_of_method)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A policy that its only claim tells apart.
    fn named(name: &str) -> RequiredClaim {
        RequiredClaim { path: name.parse().unwrap(), any_of: vec![] }
    }

    fn route(hosts: &[&str], paths: &[&str], methods: &[&str], name: &str) -> Route {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Route {
            hosts: owned(hosts),
            paths: paths.iter().map(|path| path.parse().unwrap()).collect(),
            methods: owned(methods),
            policy: Policy { claims: vec![named(name)], ..Policy::default() },
        }
    }

    #[test]
    fn the_first_route_that_is_for_a_request_decides_and_without_one_it_is_refused() {
        let routes = Routes(vec![
            route(&[], &["/admin/**"], &[], "admin"),
            route(&["shop.example"], &["/**"], &["POST"], "write"),
            route(&[], &["/open", "/items/*"], &["GET"], "read"),
        ]);
        for (host, method, target, name) in [
            ("a", "GET", "/admin", Some("admin")),
            ("shop.example", "POST", "/admin/x", Some("admin")),
            ("SHOP.example.:8443", "POST", "/x", Some("write")),
            ("shop.example.evil", "POST", "/x", None),
            ("a", "POST", "/x", None),
            ("a", "GET", "/open/", Some("read")),
            ("a", "HEAD", "/items/1", Some("read")),
            ("a", "OPTIONS", "/items/1", None),
            ("a", "GET", "/items", None),
        ] {
            let path = ClearPath::of_target(target).unwrap();
            let policy = routes.policy(Some(host), method, &path);
            let found = policy.map(|policy| policy.claims[0].path.shown());
            assert_eq!(found.as_deref(), name, "{host} {method} {target}");
        }
        let path = ClearPath::of_target("/x").unwrap();
        assert!(routes.policy(None, "POST", &path).is_none());
    }

    #[test]
    fn a_required_claim_is_met_by_one_of_its_values_in_the_right_type() {
        let required = RequiredClaim {
            path: "/org/id".parse().unwrap(),
            any_of: vec![Value::from("acme"), Value::from(7), Value::from(true)],
        };
        for (text, is_met) in [
            (r#"{"org":{"id":"acme"}}"#, true),
            (r#"{"org":{"id":["x","acme"]}}"#, true),
            (r#"{"org":{"id":7}}"#, true),
            (r#"{"org":{"id":"7"}}"#, false),
            (r#"{"org":{"id":7.5}}"#, false),
            (r#"{"org":{"id":["true"]}}"#, false),
            (r#"{"org":{"id":[["acme"]]}}"#, false),
            (r#"{"org":{}}"#, false),
            (r#"{"/org/id":"acme"}"#, false),
        ] {
            let claims: Map<String, Value> = serde_json::from_str(text).unwrap();
            assert_eq!(required.is_met_by(&claims), is_met, "{text}");
        }
    }

    #[test]
    fn a_host_is_compared_without_its_port_and_its_case() {
        for (host, bare) in [
            ("A.Example:443", "a.example"),
            ("a.example.", "a.example"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("a:b", "a:b"),
        ] {
            assert_eq!(bare_host(host), bare);
        }
    }
}
