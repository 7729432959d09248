//! The key sets of all issuers, and the search for a key that none of them has yet.
//!
//! A token of an unknown key is refused only if every set it could be in was fetched after the token had arrived.
//! Until then, and if a set cannot be fetched, it cannot be decided. A token without `kid` names no key, so that
//! one whose signature does not match may be of an unknown key too.

mod source;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64ct::{Base64UrlUnpadded, Encoding};
use http::{HeaderMap, HeaderName, HeaderValue};
use offswitch_verifier::{Jws, KeySet, Refusal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::engine::{Engine, Judged};
use crate::events::{Event, Events};
use crate::http::{Client, KeySetAddress};
use crate::options::{InvalidOptions, Issuer, KeysGiven};
use crate::verdict::{Decision, Undecided, Verdict};
use source::{Fetched, Source};

pub use source::KeysStatus;

/// The key sets of all issuers.
pub(crate) struct KeySources {
    engine: Arc<Engine>,
    client: Arc<Client>,
    events: Arc<Events>,
    /// In the order of the issuers.
    sources: Vec<Arc<Source>>,
    searches: Semaphore,
}

impl KeySources {
    pub(crate) fn new(
        issuers: &[Issuer],
        engine: Arc<Engine>,
        client: Arc<Client>,
        events: Arc<Events>,
        algorithms: impl Fn(usize) -> Vec<offswitch_verifier::Algorithm>,
    ) -> Result<Self, InvalidOptions> {
        let mut problems = vec![];
        let mut sources = vec![];
        for (at, one) in issuers.iter().enumerate() {
            let (issuer, algorithms) = (one.issuer.clone(), algorithms(at));
            if let KeysGiven::Jwks(text) = &one.keys.given {
                let keys = KeySet::from_configured_jwks(text.as_bytes(), &algorithms);
                match keys.and_then(|keys| keys.check_usable().map(|()| keys)) {
                    Ok(keys) => engine.set_keys(at, keys),
                    Err(error) => problems.push(format!("issuers[{at}].keys: {error}")),
                }
            }
            let address = one.keys.source(&issuer);
            let address =
                address.map(|source| KeySetAddress { issuer: issuer.clone(), source, algorithms });
            let headers = one.keys.headers.iter().filter_map(|(name, value)| {
                let mut value = HeaderValue::try_from(value).ok()?;
                value.set_sensitive(true);
                Some((HeaderName::try_from(name).ok()?, value))
            });
            sources.push(Arc::new(Source::new(issuer, address, headers.collect::<HeaderMap>())));
        }
        match problems.is_empty() {
            true => {
                let searches = Semaphore::new(MOST_SEARCHES);
                Ok(Self { engine, client, events, sources, searches })
            }
            false => Err(InvalidOptions { problems }),
        }
    }

    /// True once there is a set for every issuer.
    pub(crate) fn are_there(&self) -> bool {
        self.sources.iter().all(|source| source.is_ready())
    }

    pub(crate) fn status(&self) -> Vec<KeysStatus> {
        self.sources.iter().map(|source| source.status()).collect()
    }

    /// Fetches the sets that are older than five minutes, or were never fetched.
    pub(crate) async fn refresh(self: &Arc<Self>) {
        let now = Instant::now();
        let is_due = |source: &Source| source.age(now).is_none_or(|age| age >= OLDEST);
        let all = 0..self.sources.len();
        let due = all.filter(|at| self.sources[*at].is_fetched() && is_due(&self.sources[*at]));
        let fetches: JoinSet<()> =
            due.map(|at| self.clone().fetch(at, self.sources[at].confirmed_at())).collect();
        fetches.join_all().await;
    }

    /// Keeps the sets young, without end.
    pub(crate) async fn keep_young(self: Arc<Self>) {
        loop {
            let now = Instant::now();
            let rests = self.sources.iter().map(|source| source.rest(now));
            let rest = rests.filter(|rest| !rest.is_zero()).min().unwrap_or(LOOK_EVERY);
            tokio::time::sleep(rest.clamp(SHORTEST_REST, LOOK_EVERY)).await;
            self.refresh().await;
        }
    }

    /// Looks for the key of a token that arrived at `arrived`: judges again with each set that comes, until it is
    /// known or no set can have it.
    pub(crate) async fn search(
        self: &Arc<Self>,
        token: &str,
        arrived: Instant,
        judge: impl Fn() -> Judged,
    ) -> Judged {
        let end = arrived + SEARCH;
        let (kid, places) = (kid_of(token), self.places_of(token));
        let Ok(_place) = self.searches.try_acquire() else {
            return self.doubted(token, judge(), Some("too many tokens wait for them"));
        };
        loop {
            // Before the token is judged: a set that comes meanwhile is not missed.
            let held: Vec<_> = self.sources.iter().map(|source| source.confirmed_at()).collect();
            let judged = judge();
            if !is_of_unknown_key(&judged.verdict.decision, token) {
                return judged;
            }
            let now = Instant::now();
            let is_open = |at: &&usize| self.sources[**at].is_open_at(arrived, kid.as_deref());
            let open: Vec<usize> = places.iter().filter(is_open).copied().collect();
            if open.is_empty() {
                return self.doubted(token, judged, None);
            }
            let is_over = now >= end || open.iter().all(|at| self.sources[*at].is_resting(now));
            if is_over {
                let why = "they were not fetched since the token arrived";
                return self.doubted(token, judged, Some(why));
            }
            // Tasks of their own: a caller that is gone does not cost others the answer.
            let free = open.into_iter().filter(|at| !self.sources[*at].is_resting(now));
            let fetches = free.map(|at| self.clone().fetch(at, held[at]));
            let mut fetches: JoinSet<()> = fetches.collect();
            drop(timeout_at(end.into(), fetches.join_next()).await);
            fetches.detach_all();
        }
    }

    /// A verdict about an unknown key, as far as it is known which keys the issuer has, where nothing may be asked.
    pub(crate) fn doubted_now(&self, token: &str, judged: Judged) -> Judged {
        if !is_of_unknown_key(&judged.verdict.decision, token) {
            return judged;
        }
        let is_fetching = self.places_of(token).iter().any(|at| self.sources[*at].is_fetching());
        self.doubted(token, judged, is_fetching.then_some("they are being fetched"))
    }

    /// A verdict about an unknown key, as far as it is known which keys the issuer has; undecided if there is a reason
    /// `why` that is not known.
    fn doubted(&self, token: &str, judged: Judged, why: Option<&str>) -> Judged {
        if !is_of_unknown_key(&judged.verdict.decision, token) {
            return judged;
        }
        let places = self.places_of(token);
        let sources = || places.iter().map(|at| &self.sources[*at]);
        let missing = sources().find(|source| !source.is_ready());
        let doubt = missing.or_else(|| sources().find(|source| source.doubt().is_some()));
        let why = match (doubt, why) {
            (None, None) => return judged,
            (Some(source), why) => {
                let never = why.unwrap_or("they were not fetched yet").to_owned();
                source.doubt().unwrap_or(never)
            }
            (None, Some(why)) => why.to_owned(),
        };
        let undecided = match missing {
            Some(_) => Undecided::NoKeys(why),
            None => Undecided::KeysUnavailable(why),
        };
        let evidence = judged.verdict.evidence;
        let verdict = Verdict { decision: Decision::Undecided(undecided), evidence };
        Judged { verdict, ..judged }
    }

    /// Fetches the set that comes after the one that was asked for at `since`.
    async fn fetch(self: Arc<Self>, at: usize, since: Option<Instant>) {
        let source = &self.sources[at];
        let unix_now = || self.engine.clock().now().unix;
        let accept = |keys| self.engine.set_keys(at, keys);
        match source.fetch(&self.client, since, unix_now, accept).await {
            Fetched::Failed(detail) => self.events.failed("keys_unreachable", &detail, None),
            Fetched::New => self.events.report(Event::Keys { issuer: source.issuer.clone() }),
            Fetched::ByAnother | Fetched::Nothing => {}
        }
    }

    /// The sources that can have the key of a token: those of the issuer that it names. Nothing has signed that
    /// name yet. It makes no token valid, it only spares the other issuers.
    fn places_of(&self, token: &str) -> Vec<usize> {
        let all = 0..self.sources.len();
        match issuer_of(token) {
            Some(issuer) => all.filter(|at| self.sources[*at].issuer == issuer).collect(),
            None => all.collect(),
        }
    }
}

/// True if a newer set may have the key of a token: no set has its `kid`, or it has none and its signature
/// matches no key.
pub(crate) fn is_of_unknown_key(decision: &Decision, token: &str) -> bool {
    match decision {
        Decision::Refused(Refusal::UnknownKey(_)) => true,
        Decision::Refused(Refusal::BadSignature) => kid_of(token).is_none(),
        Decision::Refused(_) | Decision::Undecided(_) | Decision::Valid(_) => false,
    }
}

fn kid_of(token: &str) -> Option<String> {
    Jws::parse(token).ok()?.kid().map(str::to_owned)
}

/// Unverified.
pub(crate) fn issuer_of(token: &str) -> Option<String> {
    let payload = Jws::parse(token).ok()?.unverified_payload();
    let payload = Base64UrlUnpadded::decode_vec(payload).ok()?;
    let claims: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&payload).ok()?;
    claims.get("iss")?.as_str().map(str::to_owned)
}

/// A key that its issuer withdrew is forgotten after this.
const OLDEST: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_secs(5);
const SHORTEST_REST: Duration = Duration::from_millis(100);
/// How long the search for a key may take.
const SEARCH: Duration = Duration::from_secs(5);
/// This many tokens may wait for keys at a time; more are undecided immediately.
const MOST_SEARCHES: usize = 2_000;
