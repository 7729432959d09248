//! The headers of a client, however the gateway hands them over.

use std::borrow::Cow;
use std::collections::HashMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The headers of one request, by their names in lower case.
pub(crate) trait Fields {
    /// All values of a header.
    fn values<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]>;

    /// The value of a header that must not be there twice.
    fn single(&self, name: &str) -> Single<'_>;

    /// True if one of the names passes the test.
    fn any_name(&self, test: impl FnMut(&str) -> bool) -> bool;

    /// The value, if the header is there once and has visible characters only.
    fn only(&self, name: &str) -> Option<Cow<'_, str>> {
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
    fn values<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name).iter().map(HeaderValue::as_bytes)
    }

    fn single(&self, name: &str) -> Single<'_> {
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
    fn values<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.get(name.as_str()).map(String::as_bytes).into_iter()
    }

    fn single(&self, name: &str) -> Single<'_> {
        match self.get(name) {
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
