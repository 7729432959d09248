//! Judges the cases of `tests/conformance` by the crate's own interface: each snapshot is served over HTTP to a
//! verifier that follows that feed, and each token is checked twice, the second time as one that was seen before.
//!
//! In: `{verifiers: {name: {now, issuers: [{issuer, audience, keys, …}], feed: {id, publicKeys, …}, snapshots:
//! [{bytes, code}]}}, cases: [{name, verifier, token | apply, outcome, code, claims, at, policy}]}`, with keys and
//! claims as JSON text. Out: `{count, valid, differences}`.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64ct::{Base64, Encoding};
use offswitch_client::{
    Decision, Event, FeedOptions, Issuer, Keys, OnStale, Options, Presentation, Staleness,
    UserRule, Verifier,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::broadcast::Receiver;
use tokio::task::JoinSet;

#[derive(Deserialize)]
struct Input {
    cases: Vec<Case>,
    verifiers: HashMap<String, Setup>,
}

#[derive(Deserialize)]
struct Setup {
    feed: GivenFeed,
    issuers: Vec<GivenIssuer>,
    now: f64,
    snapshots: Vec<Snapshot>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenFeed {
    id: String,
    public_keys: Vec<String>,
    max_staleness: Option<u64>,
    on_stale: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenIssuer {
    issuer: String,
    /// None where it is not checked.
    audience: Option<Vec<String>>,
    keys: String,
    algorithms: Option<Vec<String>>,
    types: Option<Vec<Option<String>>>,
    required_claims: Option<Vec<String>>,
    #[serde(default)]
    required_values: BTreeMap<String, Vec<String>>,
    leeway_seconds: Option<u64>,
    max_lifetime: Option<u64>,
    user_rule: Option<String>,
}

#[derive(Deserialize)]
struct Snapshot {
    bytes: String,
    code: String,
}

#[derive(Deserialize)]
struct Case {
    apply: Option<String>,
    #[serde(default)]
    at: f64,
    claims: Option<String>,
    code: String,
    name: String,
    outcome: Option<String>,
    policy: Option<Policy>,
    token: Option<String>,
    verifier: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    max_staleness: Option<u64>,
    on_stale: Option<String>,
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// What each feed answers now, by the number of its verifier.
type Served = Arc<Mutex<HashMap<usize, Vec<u8>>>>;

/// A verifier with its feed and its clock.
struct Judging {
    number: usize,
    verifier: Verifier,
    events: Receiver<Event>,
    now: f64,
    clock: Arc<AtomicU64>,
    served: Served,
    /// The snapshot that was put into force last.
    good: Option<Vec<u8>>,
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let Input { cases, verifiers } = serde_json::from_reader(std::io::stdin().lock())?;
    let served = Served::default();
    let router = Router::new().route("/{number}", get(answer)).with_state(served.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut differences = vec![];
    let mut differ = |name: &str, expected: &str, found: &str| {
        if found != expected {
            differences.push(json!({ "name": name, "expected": expected, "found": found }));
        }
    };
    // At the same time: each of them waits for a moment, because its feed has no snapshot at first.
    let mut starting = JoinSet::new();
    for (number, (name, setup)) in verifiers.into_iter().enumerate() {
        let (origin, served) = (origin.clone(), served.clone());
        starting.spawn(async move {
            let mut judging = Judging::start(number, &setup, &origin, served).await?;
            let mut codes = vec![];
            for Snapshot { bytes, code } in setup.snapshots {
                codes.push((code, judging.apply(&bytes).await?));
            }
            Ok::<_, Failed>((name, judging, codes))
        });
    }
    let mut made = HashMap::new();
    while let Some(started) = starting.join_next().await {
        let (name, judging, codes) = started??;
        for (expected, found) in codes {
            differ(&name, &expected, &found);
        }
        made.insert(name, judging);
    }
    let mut valid = 0;
    for case in &cases {
        let judging = made.get_mut(&case.verifier).ok_or("no such verifier")?;
        judging.clock.store(seconds(judging.now + case.at), Ordering::Relaxed);
        if let Some(bytes) = &case.apply {
            differ(&case.name, &case.code, &judging.apply(bytes).await?);
            continue;
        }
        let token = case.token.as_deref().ok_or("neither token nor snapshot")?;
        for _ in ["new", "seen before"] {
            let verdict = judging.verifier.check(token, Presentation::Bearer, case.staleness());
            differ(&case.name, &case.code, verdict.code());
            let outcome = case.outcome.as_deref().unwrap_or_default();
            differ(&case.name, outcome, verdict.decision.outcome());
            if let Decision::Valid(claims) = &verdict.decision {
                valid += 1;
                let expected = serde_json::from_str(case.claims.as_deref().unwrap_or("null"))?;
                if !is_same(&Value::Object(claims.payload().clone()), &expected) {
                    differ(&case.name, "its claims", &json!(claims.payload()).to_string());
                }
            }
        }
    }
    let count = cases.len();
    println!("{}", json!({ "count": count, "differences": differences, "valid": valid }));
    Ok(())
}

async fn answer(State(served): State<Served>, Path(number): Path<usize>) -> Response {
    let bytes = served.lock().ok().and_then(|served| served.get(&number).cloned());
    let content_type = [(header::CONTENT_TYPE, "application/octet-stream")];
    match bytes {
        Some(bytes) => (content_type, bytes).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Judging {
    async fn start(
        number: usize,
        setup: &Setup,
        origin: &str,
        served: Served,
    ) -> Result<Self, Failed> {
        let now = setup.now;
        let clock = Arc::new(AtomicU64::new(seconds(now)));
        let read = clock.clone();
        let options = setup.options(&format!("{origin}/{number}"))?;
        let verifier = Verifier::start(options.clock(move || read.load(Ordering::Relaxed))).await?;
        let events = verifier.events();
        Ok(Self { number, verifier, events, now, clock, served, good: None })
    }

    /// Has the feed answer with a snapshot; returns the code of what comes of it.
    async fn apply(&mut self, bytes: &str) -> Result<String, Failed> {
        let bytes = Base64::decode_vec(bytes).map_err(|error| error.to_string())?;
        let code = self.answered_with(&bytes).await?;
        let is_good = ["extended", "refreshed", "replaced"].contains(&code.as_str());
        if is_good {
            self.good = Some(bytes);
        } else if let Some(good) = self.good.clone() {
            // What fails is asked for less and less often, until something succeeds.
            self.answered_with(&good).await?;
        }
        Ok(code)
    }

    async fn answered_with(&mut self, bytes: &[u8]) -> Result<String, Failed> {
        let put = self.served.lock().map(|mut all| all.insert(self.number, bytes.to_vec()));
        put.map_err(|error| error.to_string())?;
        loop {
            while self.events.try_recv().is_ok() {}
            self.verifier.refresh().await;
            while let Ok(event) = self.events.try_recv() {
                match event {
                    Event::Snapshot { applied, .. } => return Ok(applied.code().to_owned()),
                    Event::Failure { code, .. } if !NOT_OF_SNAPSHOTS.contains(&code) => {
                        return Ok(code.to_owned());
                    }
                    Event::Failure { .. } | Event::Keys { .. } => {}
                }
            }
            // The address is being spared after a failure.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Setup {
    fn options(&self, url: &str) -> Result<Options, Failed> {
        let GivenFeed { id, public_keys, max_staleness, on_stale } = &self.feed;
        let (first, others) = public_keys.split_first().ok_or("no public key")?;
        // Nothing but `refresh` asks the feed within this time.
        let mut feed = FeedOptions::new(url, first).id(id).poll_interval(DAY);
        for key in others {
            feed = feed.public_key(key);
        }
        if let Some(seconds) = max_staleness {
            feed = feed.max_staleness_seconds(*seconds);
        }
        if on_stale.as_deref() == Some("allow") {
            feed = feed.on_stale(OnStale::Allow);
        }
        let issuers = self.issuers.iter().map(GivenIssuer::issuer);
        Ok(issuers.fold(Options::new(feed).remembered_tokens(20_000), Options::issuer))
    }
}

impl GivenIssuer {
    fn issuer(&self) -> Issuer {
        let issuer = match &self.audience {
            Some(audiences) => Issuer::new(&self.issuer, "").audiences(audiences),
            None => Issuer::without_audience(&self.issuer),
        };
        let issuer = issuer.keys(Keys::jwks(&self.keys));
        let issuer = given(issuer, &self.algorithms, Issuer::algorithms);
        let issuer = given(issuer, &self.types, Issuer::types);
        let issuer = given(issuer, &self.required_claims, Issuer::required_claims);
        let issuer = given(issuer, &self.leeway_seconds, Issuer::leeway_seconds);
        let issuer = given(issuer, &self.max_lifetime, Issuer::max_lifetime_seconds);
        let values = self.required_values.iter();
        let issuer =
            values.fold(issuer, |issuer, (claim, any_of)| issuer.required_value(claim, any_of));
        match self.user_rule.as_deref() {
            Some("issued_at") => issuer.user_rule(UserRule::IssuedAt),
            Some(_) => issuer.user_rule(UserRule::VersionElseIssuedAt),
            None => issuer,
        }
    }
}

fn given<T: Clone>(issuer: Issuer, one: &Option<T>, with: fn(Issuer, T) -> Issuer) -> Issuer {
    match one {
        Some(one) => with(issuer, one.clone()),
        None => issuer,
    }
}

impl Case {
    fn staleness(&self) -> Staleness {
        match &self.policy {
            Some(Policy { on_stale: Some(on_stale), .. }) if on_stale == "allow" => Staleness::Any,
            Some(Policy { max_staleness: Some(seconds), .. }) => Staleness::AtMost(*seconds),
            _ => Staleness::Configured,
        }
    }
}

/// Numbers are compared as JavaScript numbers.
fn is_same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Array(found), Value::Array(expected)) => {
            let mut pairs = found.iter().zip(expected);
            found.len() == expected.len() && pairs.all(|(one, two)| is_same(one, two))
        }
        (Value::Number(found), Value::Number(expected)) => {
            let near = |one: f64, two: f64| (one - two).abs() <= one.abs() * f64::EPSILON;
            found.as_f64().zip(expected.as_f64()).is_some_and(|(one, two)| near(one, two))
        }
        (Value::Object(found), Value::Object(expected)) => {
            let known = |(name, one)| expected.get(name).is_some_and(|two| is_same(one, two));
            found.len() == expected.len() && found.iter().all(known)
        }
        _ => found == expected,
    }
}

#[expect(clippy::as_conversions, reason = "the cases' times are whole and positive")]
fn seconds(now: f64) -> u64 {
    now.floor() as u64
}

const DAY: Duration = Duration::from_secs(86_400);
/// A feed without a snapshot, or without a stream, and one that serves what it has served before.
const NOT_OF_SNAPSHOTS: [&str; 2] = ["feed_unreachable", "feed_behind"];
