//! The checks of `offswitch doctor` and of `POST /v1/doctor`: a running control plane and its issuers
//! end to end, as a client sees them. What is concluded from the answers is in `core::doctor`.

mod issuers;
mod sample;
mod system;

use offswitch_core::doctor::{Finding, Outcome, issuer_named};
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

use self::sample::Sample;
use crate::remote::Remote;

/// What is to be checked.
pub struct Examination {
    /// The control plane, and the credential that it is asked with.
    pub remote: Remote,
    /// Only the issuer that is registered under this name; all if absent.
    pub issuer: Option<String>,
    /// The public keys of the feed that verifiers trust; those that the control plane names if empty.
    pub feed_keys: Vec<String>,
    /// A token, which is explained and never shown.
    pub token: Option<Zeroizing<String>>,
    /// Where the token is shown before and after it is revoked; without an address it is kept.
    pub edge: Option<Url>,
}

impl Examination {
    /// Does all checks in turn. Each finding is there as soon as it is known: a caller that stops early
    /// has the others.
    pub async fn run(&self, findings: &mut Vec<Finding>) {
        findings.extend(system::reached(&self.remote).await);
        if findings.iter().any(|one| one.check == system::UNREACHED) {
            return;
        }
        let mut needed = vec!["feed:read"];
        needed.extend(self.feed_keys.is_empty().then_some("keys:read"));
        needed.extend(self.edge.is_some().then_some("revocations:write"));
        let known = system::known(&self.remote, &needed, findings).await;
        let feed = match &known {
            Some(known) => system::feed(&self.remote, known, &self.feed_keys, findings).await,
            None => None,
        };
        let own_keys = system::own_keys(&self.remote, findings).await;
        let Some(known) = known else { return };
        let named = self.issuer.as_deref();
        findings.extend(named.and_then(|name| issuer_named(name, &known.registered)));
        let is_meant = |name: &str| named.is_none_or(|named| named == name);
        let mut key_sets = vec![(known.issuer.clone(), own_keys)];
        for issuer in known.registered.iter().filter(|one| is_meant(&one.name)) {
            let keys = issuers::examine(&self.remote, &known.issuer, issuer, findings).await;
            key_sets.push((issuer.issuer.clone(), keys));
        }
        if named.is_none() {
            findings.extend(system::relying_parties(&self.remote).await);
        }
        if let Some(token) = &self.token {
            let sample = Sample { token: token.trim(), known: &known };
            let is_good = sample.explain(feed, key_sets, findings);
            if let Some(edge) = &self.edge {
                sample.sacrifice(&self.remote, edge, is_good, findings).await;
            }
        }
    }
}

/// The findings as one JSON object: what they say together, and each of them.
pub fn report(findings: &[Finding]) -> serde_json::Value {
    json!({ "result": Outcome::of_all(findings), "checks": findings })
}
