//! What a gateway says about the request of its client. Each gateway has its own way, and a guard
//! reads only the one that it is configured for: a client could send the headers of another.

mod fields;

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, Request, header};

pub(crate) use fields::{DPOP, Fields, Single};

/// The gateway that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateway {
    /// `forward_auth`: `X-Forwarded-Method`, `-Uri`, `-Host` and `-Proto`.
    Caddy,
    /// `ext_authz`, over gRPC, or over HTTP with the path prefix `/auth`: the request itself.
    Envoy,
    /// A Lua script: `X-Original-Method`, `-URI`, `-Host` and `-Proto`.
    HaProxy,
    /// Kubernetes ingress-nginx, `auth-url`: `X-Original-Method` and `X-Original-URL`.
    IngressNginx,
    /// `auth_request`: `X-Original-Method`, `-URI`, `-Host` and `-Proto`.
    Nginx,
    /// `forwardAuth`: `X-Forwarded-Method`, `-Uri`, `-Host` and `-Proto`.
    Traefik,
}

/// The request of a client, as its gateway describes it. Nothing in it is trusted.
#[derive(Debug)]
pub(crate) struct Asked<'a, F> {
    pub(crate) method: Cow<'a, str>,
    /// Path and query.
    pub(crate) target: Cow<'a, str>,
    pub(crate) host: Option<Cow<'a, str>>,
    pub(crate) scheme: Option<Cow<'a, str>>,
    /// The id that the gateway gave the request.
    pub(crate) id: Option<Cow<'a, str>>,
    /// The client's headers.
    pub(crate) fields: &'a F,
}

/// The gateway leaves something out that the guard needs to know, or says it several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected one header {0} from the gateway; see the guide for its configuration")]
pub(crate) struct Misconfigured(&'static HeaderName);

impl Gateway {
    /// All of them, with their names in the configuration.
    pub(crate) const ALL: [(&'static str, Self); 6] = [
        ("caddy", Self::Caddy),
        ("envoy", Self::Envoy),
        ("haproxy", Self::HaProxy),
        ("ingress-nginx", Self::IngressNginx),
        ("nginx", Self::Nginx),
        ("traefik", Self::Traefik),
    ];

    /// True for a gateway that removes headers from the client's request when the guard says so. The
    /// others set headers, and some of them leave a client's header as it is if there is nothing to set.
    pub(crate) fn removes_headers(self) -> bool {
        self == Self::Envoy
    }

    /// Reads the request for a check that a gateway sent over HTTP.
    ///
    /// # Errors
    ///
    /// If the gateway does not say what is needed.
    pub(crate) fn read<'a, B>(
        self,
        request: &'a Request<B>,
        id_header: &HeaderName,
    ) -> Result<Asked<'a, HeaderMap>, Misconfigured> {
        let fields = request.headers();
        let id = fields.only(id_header);
        let of = |names: &'static [HeaderName; 4]| {
            let [method, target, host, scheme] = names;
            Ok(Asked {
                method: needed(fields, method)?,
                target: needed(fields, target)?,
                host: optional(fields, host)?,
                scheme: optional(fields, scheme)?,
                id: id.clone(),
                fields,
            })
        };
        match self {
            Self::Caddy | Self::Traefik => of(&FORWARDED),
            Self::HaProxy | Self::Nginx => of(&ORIGINAL),
            Self::IngressNginx => {
                let url = needed(fields, &ORIGINAL_URL)?;
                let wrong = Misconfigured(&ORIGINAL_URL);
                let (scheme, rest) = split_once_owned(&url, "://").ok_or(wrong)?;
                let slash = rest.find('/').ok_or(wrong)?;
                let (host, target) = rest.split_at(slash);
                Ok(Asked {
                    method: needed(fields, &ORIGINAL[0])?,
                    target: Cow::Owned(target.to_owned()),
                    host: Some(Cow::Owned(host.to_owned())),
                    scheme: Some(Cow::Owned(scheme)),
                    id,
                    fields,
                })
            }
            Self::Envoy => {
                let target = request.uri().path_and_query().map_or("", |target| target.as_str());
                // Over HTTP/2 there is no Host field, and the authority is in the URI.
                let authority = request.uri().authority().map(|one| Cow::Borrowed(one.as_str()));
                Ok(Asked {
                    method: Cow::Borrowed(request.method().as_str()),
                    target: Cow::Borrowed(target.strip_prefix(PREFIX).unwrap_or_default()),
                    host: authority.or(optional(fields, &header::HOST)?),
                    scheme: optional(fields, &FORWARDED[3])?,
                    id,
                    fields,
                })
            }
        }
    }
}

impl<F> Asked<'_, F> {
    /// The URL that the client asked for, as far as it is known: at the origin `public_url`, or as
    /// the gateway shows it. Empty if it is not known.
    pub(crate) fn url(&self, public_url: Option<&str>) -> String {
        if let Some(origin) = public_url {
            return format!("{origin}{}", self.target);
        }
        let (Some(scheme), Some(host)) = (&self.scheme, &self.host) else { return String::new() };
        // The client's own host: nothing in it may pass for a part of the path.
        let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:[]-".contains(&byte);
        match host.bytes().all(is_of_host) {
            true => format!("{scheme}://{host}{}", self.target),
            false => String::new(),
        }
    }
}

fn needed<'a>(
    fields: &'a impl Fields,
    name: &'static HeaderName,
) -> Result<Cow<'a, str>, Misconfigured> {
    match fields.single(name) {
        Single::One(value) => Ok(value),
        Single::None | Single::Unclear => Err(Misconfigured(name)),
    }
}

fn optional<'a>(
    fields: &'a impl Fields,
    name: &'static HeaderName,
) -> Result<Option<Cow<'a, str>>, Misconfigured> {
    match fields.single(name) {
        Single::None => Ok(None),
        Single::One(value) => Ok(Some(value)),
        Single::Unclear => Err(Misconfigured(name)),
    }
}

fn split_once_owned<'a>(text: &'a str, at: &str) -> Option<(String, &'a str)> {
    text.split_once(at).map(|(before, after)| (before.to_owned(), after))
}

/// Method, path with query, host and scheme, as Traefik and Caddy send them.
static FORWARDED: [HeaderName; 4] = [
    HeaderName::from_static("x-forwarded-method"),
    HeaderName::from_static("x-forwarded-uri"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
];
/// The same, as our guides have nginx and HAProxy send them.
static ORIGINAL: [HeaderName; 4] = [
    HeaderName::from_static("x-original-method"),
    HeaderName::from_static("x-original-uri"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("x-original-proto"),
];
/// As ingress-nginx sends it: with scheme and host.
static ORIGINAL_URL: HeaderName = HeaderName::from_static("x-original-url");
/// What a gateway's requests to the guard begin with.
pub(crate) const PREFIX: &str = "/auth";

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn request(uri: &str, fields: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    const ID: HeaderName = HeaderName::from_static("x-request-id");
    const OF_NGINX: [(&str, &str); 4] = [
        ("x-original-method", "POST"),
        ("x-original-uri", "/a?b"),
        ("x-original-host", "h.example"),
        ("x-original-proto", "https"),
    ];
    const OF_TRAEFIK: [(&str, &str); 4] = [
        ("x-forwarded-method", "PUT"),
        ("x-forwarded-uri", "/c"),
        ("x-forwarded-host", "t.example"),
        ("x-forwarded-proto", "http"),
    ];

    // G02: a client that sends the headers of another gateway changes nothing.
    #[test]
    fn each_gateway_is_read_in_its_own_way_alone() {
        let both = request("/auth", &[OF_NGINX, OF_TRAEFIK].concat());
        for (gateway, method, url) in [
            (Gateway::Nginx, "POST", "https://h.example/a?b"),
            (Gateway::HaProxy, "POST", "https://h.example/a?b"),
            (Gateway::Traefik, "PUT", "http://t.example/c"),
            (Gateway::Caddy, "PUT", "http://t.example/c"),
        ] {
            let asked = gateway.read(&both, &ID).unwrap();
            assert_eq!((&*asked.method, asked.url(None).as_str()), (method, url));
            assert_eq!(
                asked.url(Some("https://p.example")),
                format!("https://p.example{}", asked.target)
            );
        }
        let nginx_alone = request("/auth", &OF_NGINX);
        assert!(Gateway::Traefik.read(&nginx_alone, &ID).is_err());
        assert!(Gateway::IngressNginx.read(&nginx_alone, &ID).is_err());
    }

    #[test]
    fn envoy_sends_the_request_itself_below_the_prefix() {
        let sent = request("/auth/a/b?c", &[("host", "e.example"), ("x-forwarded-proto", "https")]);
        let asked = Gateway::Envoy.read(&sent, &ID).unwrap();
        assert_eq!(asked.url(None), "https://e.example/a/b?c");
        let other = request("/other/a", &[]);
        assert_eq!(Gateway::Envoy.read(&other, &ID).unwrap().target, "");
    }

    #[test]
    fn ingress_nginx_sends_the_whole_url() {
        let fields =
            [("x-original-url", "https://i.example:8443/a?b=/c"), ("x-original-method", "GET")];
        let request = request("/auth", &fields);
        let asked = Gateway::IngressNginx.read(&request, &ID).unwrap();
        assert_eq!((&*asked.target, asked.host.as_deref()), ("/a?b=/c", Some("i.example:8443")));
    }

    #[test]
    fn what_a_gateway_says_twice_or_not_at_all_is_refused() {
        for at in 0..2 {
            let mut fields = OF_NGINX.to_vec();
            fields.remove(at);
            let request = request("/auth", &fields);
            assert!(Gateway::Nginx.read(&request, &ID).is_err(), "{at}");
        }
        for field in OF_NGINX {
            let mut fields = OF_NGINX.to_vec();
            fields.push(field);
            let request = request("/auth", &fields);
            assert!(Gateway::Nginx.read(&request, &ID).is_err(), "{field:?}");
        }
    }

    #[test]
    fn a_host_that_could_pass_for_a_path_makes_no_url() {
        let mut fields = OF_NGINX.to_vec();
        fields[2].1 = "h.example/evil?";
        let request = request("/auth", &fields);
        assert_eq!(Gateway::Nginx.read(&request, &ID).unwrap().url(None), "");
    }
}
