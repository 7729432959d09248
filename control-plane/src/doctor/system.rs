//! The control plane itself: is it ready, what may the key do, can its feed be followed.

use axum::http::HeaderValue;
use offswitch_core::doctor::{self, FeedSeen, Finding, RegisteredIssuer, SeenRelyingParty};
use offswitch_snapshot::Snapshot;
use offswitch_verifier::{
    ApplyError, AudienceRule, DpopConfig, FeedConfig, IssuerConfig, KeySet, OnStale, Verifier,
    VerifierConfig,
};
use serde_json::Value;

use crate::clock::unix_seconds;
use crate::master_key::random_bytes;
use crate::remote::{MAX_BYTES, Remote};

/// What the control plane says about itself.
pub(super) struct Known {
    /// The `iss` of its own tokens, which is the id of its feed and its public address.
    pub(super) issuer: String,
    pub(super) registered: Vec<RegisteredIssuer>,
}

/// The feed as far as it was followed, to be followed once more by a verifier of one issuer.
pub(super) struct Followed {
    config: FeedConfig,
    snapshots: [Vec<u8>; 2],
}

/// Whether a control plane answers. If not, the rest is [`UNREACHED`].
pub(super) async fn reached(remote: &Remote) -> Vec<Finding> {
    let unreached = || Finding::skipped(UNREACHED, "there is no control plane to ask");
    match remote.get_public("/readyz").await {
        Err(error) => {
            let detail = format!("{error}; start it, or correct --url");
            vec![Finding::failed("control_plane", detail), unreached()]
        }
        Ok(answer) => {
            let (is_ours, mut findings) =
                doctor::readiness(answer.status(), answer.json().as_ref());
            match (is_ours, remote.is_elsewhere()) {
                (true, true) => findings.push(answer.clock()),
                (true, false) => {}
                (false, _) => findings.push(unreached()),
            }
            findings
        }
    }
}

/// Who the control plane is and which issuers it knows; none if the API key does not tell.
pub(super) async fn known(
    remote: &Remote,
    needed: &[&str],
    findings: &mut Vec<Finding>,
) -> Option<Known> {
    let answer = match remote.get("/v1/status", MAX_BYTES).await {
        Ok(answer) => answer,
        Err(error) => {
            findings.push(Finding::failed("api_key", error));
            return None;
        }
    };
    let (status, body) = (answer.status(), answer.json());
    findings.push(doctor::api_key(status, body.as_ref(), needed, unix_seconds()));
    let issuer = body.filter(|_| status == 200)?.get("issuer")?.as_str()?.to_owned();
    let listed = remote.get("/v1/issuers", MAX_BYTES).await;
    let listed = listed.and_then(|answer| match answer.status() {
        200 => Ok(answer.json().unwrap_or_default()),
        status => Err(format!("/v1/issuers answers {status}")),
    });
    let registered = listed.and_then(|mut list| {
        let issuers = list.get_mut("issuers").map(Value::take).unwrap_or_default();
        serde_json::from_value(issuers).map_err(|error| format!("/v1/issuers: {error}"))
    });
    match registered {
        Ok(registered) => Some(Known { issuer, registered }),
        Err(error) => {
            findings.push(Finding::failed("issuers", error));
            Some(Known { issuer, registered: vec![] })
        }
    }
}

/// Whether the relying parties hear of ended sessions.
pub(super) async fn relying_parties(remote: &Remote) -> Vec<Finding> {
    let listed = remote.get("/v1/relying-parties", MAX_BYTES).await;
    let parties = listed.and_then(|answer| match answer.status() {
        200 => {
            let mut list = answer.json().unwrap_or_default();
            let parties = list.get_mut("relying_parties").map(Value::take).unwrap_or_default();
            let parties: Result<Vec<SeenRelyingParty>, _> = serde_json::from_value(parties);
            parties.map_err(|error| format!("/v1/relying-parties: {error}"))
        }
        status => Err(format!("/v1/relying-parties answers {status}")),
    });
    match parties {
        Ok(parties) => {
            let now = unix_seconds();
            parties.iter().map(|party| doctor::relying_party(party, now)).collect()
        }
        Err(error) => vec![Finding::failed("relying_party", error)],
    }
}

/// Follows the feed from its base to its newest statement.
pub(super) async fn feed(
    remote: &Remote,
    known: &Known,
    keys: &[String],
    findings: &mut Vec<Finding>,
) -> Option<Followed> {
    match follow(remote, known, keys).await {
        Ok((finding, followed)) => {
            findings.push(finding);
            followed
        }
        Err(error) => {
            findings.push(Finding::failed("feed", error));
            None
        }
    }
}

async fn follow(
    remote: &Remote,
    known: &Known,
    keys: &[String],
) -> Result<(Finding, Option<Followed>), String> {
    let public_keys = if keys.is_empty() { published_keys(remote).await? } else { keys.to_vec() };
    let config = FeedConfig {
        id: known.issuer.clone(),
        public_keys,
        max_staleness_seconds: 60,
        on_stale: OnStale::Deny,
    };
    let issuer = IssuerConfig::offswitch(&known.issuer, "unchecked");
    let mut verifier = verifier(&config, issuer)?;
    let introduction = introduction();
    let base = snapshot(remote, FEED, &introduction).await?;
    let now = unix_seconds();
    let refused = |error: &ApplyError| (doctor::feed(Err(error), now), None);
    if let Err(error) = verifier.apply(base.clone(), now) {
        return Ok(refused(&error));
    }
    // A base may be minutes old; what follows it proves that nothing newer was revoked.
    let since = verifier.feed().since().ok_or("the feed has no base")?;
    let newest = snapshot(remote, &format!("{FEED}?since={since}"), &introduction).await?;
    if let Err(error) = verifier.apply(newest.clone(), unix_seconds()) {
        return Ok(refused(&error));
    }
    let read = Snapshot::open(newest.clone(), verifier.feed().trusted());
    let read = match read {
        Ok(read) => read,
        Err(error) => return Ok(refused(&error.into())),
    };
    let (issued_at, valid_until) = (read.issued_at(), read.valid_until());
    let seen = FeedSeen { position: read.to(), issued_at, valid_until };
    let followed = Followed { config, snapshots: [base, newest] };
    Ok((doctor::feed(Ok(seen), unix_seconds()), Some(followed)))
}

/// As a follower that lets nothing through by what it gets: one without an id, which the control plane knows nothing of,
/// would keep every wait for a revocation from being complete for a minute.
fn introduction() -> HeaderValue {
    let id = u128::from_be_bytes(random_bytes());
    let text = format!("{id:032x};software=doctor/{};staleness=1", env!("CARGO_PKG_VERSION"));
    HeaderValue::try_from(text).expect("digits, words and signs are a header value")
}

async fn snapshot(
    remote: &Remote,
    path: &str,
    introduction: &HeaderValue,
) -> Result<Vec<u8>, String> {
    let answer = remote.follow(path, introduction.clone(), MAX_BASE_BYTES).await?;
    match answer.status() {
        200 => Ok(answer.answer.body.to_vec()),
        status => Err(refused(path, status, answer.json().as_ref(), "feed:read")),
    }
}

async fn published_keys(remote: &Remote) -> Result<Vec<String>, String> {
    let answer = remote.get("/v1/keys", MAX_BYTES).await?;
    let (status, body) = (answer.status(), answer.json());
    let keys = body.as_ref().and_then(|body| body.get("feed_public_keys")?.as_array());
    match (status, keys) {
        (200, Some(keys)) => Ok(keys.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        _ => {
            let refused = refused("/v1/keys", status, body.as_ref(), "keys:read");
            Err(format!("{refused}, or give the keys by --feed-key"))
        }
    }
}

fn refused(path: &str, status: u16, body: Option<&Value>, scope: &str) -> String {
    let code = body.and_then(|body| body.get("code")).and_then(Value::as_str).unwrap_or_default();
    format!("{path} answers {status} {code}; give a key with the scope {scope}")
}

/// The public key set of the control plane itself.
pub(super) async fn own_keys(remote: &Remote, findings: &mut Vec<Finding>) -> Option<KeySet> {
    let keys = match remote.get_public("/.well-known/jwks.json").await {
        Ok(answer) if answer.status() == 200 => {
            let keys = KeySet::from_fetched_jwks(&answer.answer.body, &[]);
            keys.map_err(|error| error.to_string())
        }
        Ok(answer) => Err(format!("/.well-known/jwks.json answers {}", answer.status())),
        Err(error) => Err(error),
    };
    findings.push(doctor::key_set("own_key_set", keys.as_ref().map_err(String::as_str)));
    keys.ok()
}

impl Followed {
    /// A verifier of tokens of one issuer, with this feed. The audience is not checked: each verifier has
    /// its own.
    pub(super) fn verifier(self, issuer: IssuerConfig, keys: KeySet) -> Result<Verifier, String> {
        let name = issuer.issuer.clone();
        let mut verifier = verifier(&self.config, issuer)?;
        verifier.set_keys(&name, keys);
        for snapshot in self.snapshots {
            verifier.apply(snapshot, unix_seconds()).map_err(|error| error.to_string())?;
        }
        Ok(verifier)
    }
}

fn verifier(feed: &FeedConfig, issuer: IssuerConfig) -> Result<Verifier, String> {
    let issuer = IssuerConfig { audience: AudienceRule::Unchecked, ..issuer };
    let (feed, dpop) = (feed.clone(), DpopConfig::default());
    Verifier::new(VerifierConfig { issuers: vec![issuer], feed, dpop }).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        problems.join("; ")
    })
}

/// Its check is there if nothing else could be asked.
pub(super) const UNREACHED: &str = "all_others";
const FEED: &str = "/v1/feed";
/// A base of some ten million entries.
const MAX_BASE_BYTES: usize = 256 * 1024 * 1024;
