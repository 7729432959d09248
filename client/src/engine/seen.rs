//! The tokens whose signature and claims were found good, so that the next verdict about one of them needs
//! time and revocations alone. Bounded, sharded, and found by every byte of the token.

use std::sync::Arc;

use offswitch_verifier::Standing;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::claims::Claims;

/// A table of tokens. Those that are asked for stay, others make room.
pub(super) struct SeenTokens(Option<Cache<Box<str>, Arc<Seen>, Places>>);

/// What is left of a token: what time and feed judge, and its claims.
pub(super) struct Seen {
    pub(super) standing: Standing,
    pub(super) claims: Claims,
}

/// How many places a token takes: long ones are not to take more than their share.
#[derive(Clone)]
struct Places;

impl Weighter<Box<str>, Arc<Seen>> for Places {
    fn weight(&self, token: &Box<str>, _: &Arc<Seen>) -> u64 {
        u64::try_from(token.len().div_ceil(PLACE_BYTES)).unwrap_or(u64::MAX).max(1)
    }
}

impl SeenTokens {
    /// A table with that many places; 0 to remember nothing.
    pub(super) fn new(places: usize) -> Self {
        let weight = u64::try_from(places).unwrap_or(u64::MAX);
        Self((places > 0).then(|| Cache::with_weighter(places, weight, Places)))
    }

    /// What is known of exactly this token.
    pub(super) fn find(&self, token: &str) -> Option<Arc<Seen>> {
        self.0.as_ref()?.get(token)
    }

    /// Remembers a token that was found valid: those that are refused push nothing out.
    pub(super) fn remember(&self, token: &str, seen: Arc<Seen>) {
        if let Some(table) = &self.0 {
            table.insert(token.into(), seen);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, Cache::len)
    }
}

/// A place has room for a token of this length, in bytes.
const PLACE_BYTES: usize = 1024;
