//! The headers of a client, however the gateway hands them over.

use std::borrow::Cow;
use std::collections::HashMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// The headers of one request, by their names in lower case.
pub(crate) trait Fields {
    /// At least the headers in which a client shows a token: `Authorization` and `DPoP`.
    fn shown(&self) -> Cow<'_, HeaderMap>;

    /// The value of a header that must not be there twice.
    fn single(&self, name: &HeaderName) -> Single<'_>;

    /// True if one of the names passes the test.
    fn any_name(&self, test: impl FnMut(&str) -> bool) -> bool;

    /// The value, if the header is there once and has visible characters only.
    fn only(&self, name: &HeaderName) -> Option<Cow<'_, str>> {
        match self.single(name) {
            Single::One(value) => Some(value),
            Single::None | Single::Unclear => None,
        }
    }
}

/// The value of a header that must not be there twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Single<'a> {
    /// There is no such header.
    None,
    /// It is there once, with visible ASCII characters and blanks.
    One(Cow<'a, str>),
    /// It is there several times, or has other characters.
    Unclear,
}

impl Fields for HeaderMap {
    fn shown(&self) -> Cow<'_, HeaderMap> {
        Cow::Borrowed(self)
    }

    fn single(&self, name: &HeaderName) -> Single<'_> {
        let mut values = self.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Single::None,
            (Some(value), None) => {
                value.to_str().map_or(Single::Unclear, |text| Single::One(Cow::Borrowed(text)))
            }
            (Some(_), Some(_)) => Single::Unclear,
        }
    }

    fn any_name(&self, mut test: impl FnMut(&str) -> bool) -> bool {
        self.keys().any(|name| test(name.as_str()))
    }
}

/// As Envoy sends them over gRPC: several headers of one name are joined by commas.
impl Fields for HashMap<String, String> {
    fn shown(&self) -> Cow<'_, HeaderMap> {
        let mut shown = HeaderMap::with_capacity(2);
        for name in [header::AUTHORIZATION, DPOP] {
            if let Some(value) = self.get(name.as_str()) {
                // Bytes that no header may have are in no good token either.
                shown.insert(name, HeaderValue::try_from(value).unwrap_or(UNREADABLE));
            }
        }
        Cow::Owned(shown)
    }

    fn single(&self, name: &HeaderName) -> Single<'_> {
        match self.get(name.as_str()) {
            None => Single::None,
            Some(value) if value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) => {
                Single::One(Cow::Borrowed(value))
            }
            Some(_) => Single::Unclear,
        }
    }

    fn any_name(&self, test: impl FnMut(&str) -> bool) -> bool {
        self.keys().map(String::as_str).any(test)
    }
}

pub(crate) const DPOP: HeaderName = HeaderName::from_static("dpop");
const UNREADABLE: HeaderValue = HeaderValue::from_static("");
