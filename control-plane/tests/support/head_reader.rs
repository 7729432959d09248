//! A reader that follows a head, with its own short implementation of the rules in `HEAD.md`.

use offswitch_snapshot::{FeedHead, Part, Step};

use super::follower::Follower;

/// Where a reader finds files: their bytes, or none for one that is missing.
pub(crate) trait Files {
    async fn file(&self, name: &str) -> Option<Vec<u8>>;
}

/// What came of one round.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// The head is older than what is held.
    Behind,
    /// It is at the position of the head, after so many parts.
    Current(Vec<String>),
    /// A part is missing.
    Missing(Part),
    /// There is no head.
    NoHead,
    /// Nothing leads from what is held to the position of the head.
    NoWay,
}

/// The head as it is now.
pub(crate) async fn head_of(files: &impl Files) -> Option<FeedHead> {
    let head = files.file("head").await?;
    assert!(head.len() <= offswitch_snapshot::MAX_HEAD_BYTES);
    Some(serde_json::from_slice(&head).unwrap())
}

/// Reads the head once, and what it leads to.
pub(crate) async fn read(follower: &mut Follower, feed: &str, files: &impl Files) -> Read {
    let Some(head) = head_of(files).await else { return Read::NoHead };
    head.check(feed).unwrap();
    let (mut may_take_base, mut may_ask, mut parts) = (true, true, vec![]);
    loop {
        let held = follower.verifier().feed().since();
        let (part, is_asked) = match head.next_step(held, may_take_base, may_ask) {
            Step::Behind => return Read::Behind,
            Step::Heartbeat => {
                follower.apply(head.heartbeat_bytes().unwrap()).unwrap();
                return Read::Current(parts);
            }
            Step::Fetch(part) => (part, false),
            Step::Ask(part) => (part, true),
            Step::NoWay => return Read::NoWay,
        };
        may_take_base &= !matches!(part, Part::Base { .. });
        let Some(bytes) = files.file(&part.to_string()).await else {
            if !is_asked {
                return Read::Missing(part);
            }
            may_ask = false;
            continue;
        };
        follower.apply(bytes).unwrap();
        parts.push(part.to_string());
    }
}
