//! Follows a feed and judges tokens, as another program asks for it: the tests in `tests/feed` run the servers that
//! they have for the npm package against it.
//!
//! In: one line with the options, in the names of the npm package; then one line for each command:
//! `{"check": token}`, `{"verify": token}`, `{"verify_all": [token]}`, `{"watch": token}`, `"refresh"`, `"save"` or
//! `"status"`. Out: one line of JSON for each. It ends with its input.

use std::io::{BufRead, Write};
use std::time::Duration;

use offswitch_client::{
    Event, FeedAddress, FeedOptions, Follow, Issuer, Keys, Options, Presentation, Staleness,
    Verdict, Verifier, Watched,
};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given {
    issuer: String,
    audience: String,
    /// A JWK set, or the address of one.
    keys: Value,
    feed: GivenFeed,
    remembered_tokens: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenFeed {
    #[serde(default)]
    url: Vec<String>,
    /// Heads, asked before the other addresses.
    #[serde(default)]
    head: Vec<String>,
    id: Option<String>,
    public_keys: Vec<String>,
    max_staleness: Option<u64>,
    api_key: Option<String>,
    follow: Option<String>,
    poll_seconds: Option<f64>,
    long_poll_seconds: Option<f64>,
    max_bytes: Option<usize>,
    timeout_seconds: Option<f64>,
    store: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Command {
    Check(String),
    Refresh,
    Save,
    Status,
    Verify(String),
    VerifyAll(Vec<String>),
    Watch(String),
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (send, mut lines) = tokio::sync::mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if send.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let given: Given = serde_json::from_str(&lines.recv().await.unwrap_or_default())?;
    let verifier = Verifier::start(options(given)).await?;
    let mut failures = verifier.events();
    tokio::spawn(async move {
        loop {
            if let Ok(Event::Failure { code, detail, .. }) = failures.recv().await {
                eprintln!("{code}: {detail}");
            }
        }
    });
    say(&json!({ "started": true }))?;
    while let Some(line) = lines.recv().await {
        let answer = match serde_json::from_str(&line)? {
            Command::Check(token) => {
                shown(&verifier.check(&token, Presentation::Bearer, Staleness::Configured))
            }
            Command::Verify(token) => {
                let presentation = Presentation::Bearer;
                shown(&verifier.verify(&token, presentation, Staleness::Configured).await)
            }
            Command::VerifyAll(tokens) => json!({ "codes": all(&verifier, tokens).await }),
            Command::Refresh => {
                verifier.refresh().await;
                json!({})
            }
            Command::Save => {
                verifier.save().await;
                json!({})
            }
            Command::Status => json!(verifier.status()),
            Command::Watch(token) => {
                let mut watch = verifier.watch(&token);
                match tokio::time::timeout(Duration::from_secs(20), watch.changed()).await {
                    Err(_) => json!({ "code": "valid" }),
                    Ok(Watched::Refused(refusal)) => json!({ "code": refusal.code() }),
                    Ok(Watched::Undecided(undecided)) => json!({ "code": undecided.code() }),
                }
            }
        };
        say(&answer)?;
    }
    Ok(())
}

/// All at the same time.
async fn all(verifier: &Verifier, tokens: Vec<String>) -> Vec<&'static str> {
    let one = async |token: String, verifier: Verifier| {
        verifier.verify(&token, Presentation::Bearer, Staleness::Configured).await.code()
    };
    let asked: tokio::task::JoinSet<_> = tokens
        .into_iter()
        .map(|token| {
            let verifier = verifier.clone();
            async move { one(token, verifier).await }
        })
        .collect();
    asked.join_all().await
}

fn options(given: Given) -> Options {
    let feed = given.feed;
    let heads = feed.head.iter().map(|url| FeedAddress::head(url));
    let mut addresses = heads.chain(feed.url.iter().map(|url| FeedAddress::new(url)));
    let first = addresses.next().unwrap_or_else(|| FeedAddress::new(""));
    let key = feed.public_keys.first().cloned().unwrap_or_default();
    let mut options = FeedOptions::at(first, &key)
        .max_staleness_seconds(feed.max_staleness.unwrap_or(60))
        .follow(match feed.follow.as_deref() {
            Some("poll") => Follow::Poll,
            Some("long-poll") => Follow::LongPoll,
            _ => Follow::Stream,
        });
    let seconds =
        |given: Option<f64>, default: f64| Duration::from_secs_f64(given.unwrap_or(default));
    options = options
        .poll_interval(seconds(feed.poll_seconds, 1.0))
        .long_poll(seconds(feed.long_poll_seconds, 20.0))
        .timeout(seconds(feed.timeout_seconds, 30.0));
    for address in addresses {
        options = options.address(address);
    }
    if let Some(id) = feed.id {
        options = options.id(&id);
    }
    if let Some(key) = feed.api_key {
        options = options.api_key(&key);
    }
    if let Some(bytes) = feed.max_bytes {
        options = options.max_bytes(bytes);
    }
    if let Some(folder) = feed.store {
        options = options.store(folder);
    }
    let keys = match given.keys {
        Value::String(url) => Keys::url(&url),
        jwks => Keys::jwks(&jwks.to_string()),
    };
    let issuer = Issuer::new(&given.issuer, &given.audience).keys(keys);
    let options = Options::new(options).issuer(issuer);
    match given.remembered_tokens {
        Some(tokens) => options.remembered_tokens(tokens),
        None => options,
    }
}

fn shown(verdict: &Verdict) -> Value {
    let claims = verdict.claims().map(|claims| claims.payload().clone());
    json!({ "code": verdict.code(), "outcome": verdict.decision.outcome(),
        "detail": verdict.decision.detail(), "claims": claims })
}

fn say(answer: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{answer}")?;
    out.flush()
}
