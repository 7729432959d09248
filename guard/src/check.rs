//! `offswitch guard --check`: whether the process would start, and could judge.

use std::time::Duration;

use tokio::time::timeout;

use crate::config::{Config, Place};
use crate::followed::{FeedState, Followed};
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
    findings.extend(feeds(config).await);
    findings
}

async fn feeds(config: &Config) -> Vec<Finding> {
    let followed = match Followed::start(&config.feeds, Duration::MAX).await {
        Ok(followed) => followed,
        Err(error) => return vec![("verifier", Err(error.to_string()))],
    };
    // What is wrong is in the states.
    let _ = timeout(LONGEST, followed.ready()).await;
    let is_alone = config.feeds.len() == 1;
    let of_one = |state| of_feed(state, is_alone, config.checks.is_some());
    followed.states().into_iter().flat_map(of_one).collect()
}

/// Findings about one feed, which they name if there are several.
fn of_feed(state: FeedState, is_alone: bool, is_checking: bool) -> Vec<Finding> {
    let FeedState { id, status, .. } = state;
    let feed = match (status.position, status.feed.last_failure) {
        (Some(position), _) if is_alone => Ok(format!("it is at {position}")),
        (Some(position), _) => Ok(format!("that of {id} is at {position}")),
        (None, Some(failure)) => Err(format!("{}: {}", failure.url, failure.detail)),
        (None, None) => Err(format!("{} has not answered", status.feed.url)),
    };
    let keys = status.keys.into_iter().filter(|_| is_checking).map(|keys| match keys.problem {
        Some(problem) => Err(format!("{}: {problem}", keys.issuer)),
        None if keys.is_ready => Ok(format!("those of {} are known", keys.issuer)),
        None => Err(format!("{}: their address has not answered", keys.issuer)),
    });
    [("feed", feed)].into_iter().chain(keys.map(|found| ("keys", found))).collect()
}

const LONGEST: Duration = Duration::from_secs(10);
