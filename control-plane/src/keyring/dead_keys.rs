//! Which token keys are switched off.

use std::collections::BTreeSet;

use offswitch_core::fold::Fold;

/// The names of the control plane's own dead keys, as one moment of the log has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadKeys(BTreeSet<String>);

impl DeadKeys {
    /// True if the key `kid` is dead.
    pub fn contains(&self, kid: &str) -> bool {
        self.0.contains(kid)
    }
}

impl From<&Fold> for DeadKeys {
    fn from(fold: &Fold) -> Self {
        let (_, own) = fold.names();
        let dead = fold.dead_keys().iter().filter(|key| key.issuer == own);
        dead.map(|key| key.kid.clone()).collect()
    }
}

impl FromIterator<String> for DeadKeys {
    fn from_iter<I: IntoIterator<Item = String>>(kids: I) -> Self {
        Self(kids.into_iter().collect())
    }
}
