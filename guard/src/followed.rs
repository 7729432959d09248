//! The feeds that are followed: a verifier for each, and one over all of them. A feed that is away makes only the
//! tokens of its own issuers undecided.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use offswitch_client::{Combined, InvalidOptions, Status, Verifier};
use serde::Serialize;
use tokio::time::timeout;

use crate::config::Feed;

/// The feeds that are followed. A clone is another handle on the same ones.
#[derive(Clone)]
pub(crate) struct Followed {
    /// In the order of the configuration.
    feeds: Arc<[One]>,
    verifier: Combined,
}

struct One {
    id: String,
    max_staleness_seconds: u64,
    verifier: Verifier,
}

/// The state of one feed, and of the keys of its issuers.
#[derive(Debug, Serialize)]
pub(crate) struct FeedState {
    /// The feed's id.
    pub(crate) id: String,
    /// True if tokens of its issuers are decided now: it has their keys, and its newest statement is not too old.
    pub(crate) is_fresh: bool,
    #[serde(flatten)]
    pub(crate) status: Status,
}

impl Followed {
    /// Follows these feeds, also those that do not answer, and waits for their first answers for `longest` at most.
    pub(crate) async fn start(feeds: &[Feed], longest: Duration) -> Result<Self, InvalidOptions> {
        let start = |feed: &Feed| Verifier::start_within(feed.options.clone(), longest);
        Self::of(feeds, try_join_all(feeds.iter().map(start)).await?)
    }

    /// Follows the feeds of another configuration. A feed of `old`, which these are, keeps its verifier if nothing of
    /// it has changed; any other must be there with the keys of its issuers first.
    pub(crate) async fn renewed(&self, old: &[Feed], new: &[Feed]) -> Result<Self, String> {
        let kept = |feed: &Feed| {
            let at = old.iter().position(|other| feed.trusts_as(other))?;
            self.feeds.get(at).map(|one| one.verifier.clone())
        };
        let verifier = async |feed: &Feed| match kept(feed) {
            Some(verifier) => Ok(verifier),
            None => started(feed).await,
        };
        let verifiers = try_join_all(new.iter().map(verifier)).await?;
        Self::of(new, verifiers).map_err(|error| error.to_string())
    }

    fn of(feeds: &[Feed], verifiers: Vec<Verifier>) -> Result<Self, InvalidOptions> {
        let verifier = Combined::new(verifiers.iter().cloned())?;
        let one = |(feed, verifier): (&Feed, Verifier)| One {
            id: feed.id.clone(),
            max_staleness_seconds: feed.max_staleness_seconds,
            verifier,
        };
        Ok(Self { feeds: feeds.iter().zip(verifiers).map(one).collect(), verifier })
    }

    /// What judges the tokens of all issuers.
    pub(crate) fn verifier(&self) -> &Combined {
        &self.verifier
    }

    /// The verifier of the first feed, with its id.
    pub(crate) fn first(&self) -> Option<(&str, &Verifier)> {
        self.feeds.first().map(|one| (&*one.id, &one.verifier))
    }

    /// The state of each feed.
    pub(crate) fn states(&self) -> Vec<FeedState> {
        let state = |one: &One| {
            let status = one.verifier.status();
            let is_young = |age: u64| age <= one.max_staleness_seconds;
            let is_fresh = status.is_ready && status.age_seconds.is_some_and(is_young);
            FeedState { id: one.id.clone(), is_fresh, status }
        };
        self.feeds.iter().map(state).collect()
    }

    /// Waits until all of them are there with the keys of their issuers.
    pub(crate) async fn ready(&self) {
        join_all(self.feeds.iter().map(|one| one.verifier.ready())).await;
    }

    /// Keeps the newest state of those that have a folder.
    pub(crate) async fn save(&self) {
        join_all(self.feeds.iter().map(|one| one.verifier.save())).await;
    }
}

/// A verifier that has what it needs.
async fn started(feed: &Feed) -> Result<Verifier, String> {
    let ready = async {
        let verifier =
            Verifier::start(feed.options.clone()).await.map_err(|error| error.to_string())?;
        verifier.ready().await;
        Ok(verifier)
    };
    let late = |_| Err(format!("no feed {} or no keys within {LONGEST_START:?}", feed.id));
    timeout(LONGEST_START, ready).await.unwrap_or_else(late)
}

/// How long a configuration that is read again has to reach its feeds and its key sets.
const LONGEST_START: Duration = Duration::from_secs(30);
