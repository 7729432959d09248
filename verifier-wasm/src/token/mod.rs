//! A token's text: its compact form, its header and its claims.

pub(crate) mod claims;
pub(crate) mod jws;
pub(crate) mod known_headers;
