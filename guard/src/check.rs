//! `offswitch guard --check`: whether the process would start, and could judge.

use std::time::Duration;

use offswitch_client::Verifier;
use tokio::time::timeout;

use crate::config::{Config, Place};
use crate::service::listen;

/// One thing that was checked: what it is, and how it is, or what is wrong with it.
pub type Finding = (&'static str, Result<String, String>);

/// Checks everything that a start needs, and serves nothing. The configuration has been read.
pub async fn check(config: &Config) -> Vec<Finding> {
    let mut findings = vec![("configuration", Ok("every setting is understood".to_owned()))];
    let checks = config.checks.as_ref().map(|checks| ("listen", &checks.listen));
    let relay = config.relay.as_ref().map(|relay| ("relay_listen", &relay.listen));
    let admin = Place::Tcp(config.admin_listen);
    for (name, place) in [("admin_listen", &admin)].into_iter().chain(checks).chain(relay) {
        let free = listen(place).map(|_| format!("{place} is free"));
        findings.push((name, free.map_err(|error| error.to_string())));
    }
    findings.extend(verifier(config).await);
    findings
}

async fn verifier(config: &Config) -> Vec<Finding> {
    let verifier = match Verifier::start(config.verifier.clone()).await {
        Ok(verifier) => verifier,
        Err(error) => return vec![("verifier", Err(error.to_string()))],
    };
    // What is wrong is in the status.
    let _ = timeout(LONGEST, verifier.ready()).await;
    let status = verifier.status();
    let feed = match (status.position, status.feed.last_failure) {
        (Some(position), _) => Ok(format!("it is at {position}")),
        (None, Some(failure)) => Err(format!("{}: {}", failure.url, failure.detail)),
        (None, None) => Err(format!("{} has not answered", status.feed.url)),
    };
    let mut findings = vec![("feed", feed)];
    if config.checks.is_some() {
        for keys in status.keys {
            let found = match keys.problem {
                Some(problem) => Err(format!("{}: {problem}", keys.issuer)),
                None => Ok(format!("those of {} are known", keys.issuer)),
            };
            findings.push(("keys", found));
        }
    }
    findings
}

const LONGEST: Duration = Duration::from_secs(10);
