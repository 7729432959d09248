//! Which key of which issuer.

use super::set::MAX_KEYS;

/// One key of one issuer, until the issuer's keys are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId {
    pub(crate) issuer: usize,
    pub(crate) key: usize,
}

impl KeyId {
    /// Every key has its own number.
    pub fn number(self) -> usize {
        self.issuer.saturating_mul(MAX_KEYS).saturating_add(self.key)
    }

    /// The key of that number.
    pub fn of_number(number: usize) -> Self {
        Self { issuer: number / MAX_KEYS, key: number % MAX_KEYS }
    }
}
