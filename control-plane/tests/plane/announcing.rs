//! The announcements that followers of the stream get.

use std::sync::Arc;
use std::time::Instant;

use offswitch::plane::{Following, Plane};
use offswitch::store::{EmbeddedStore, Request};
use offswitch_core::limits::REQUEST_MEMORY;
use offswitch_core::record::{Record, Revocation};
use offswitch_snapshot::Snapshot;

use crate::several_processes::ISSUER;
use crate::support::follower::now;
use crate::support::in_process::{MASTER, plane_on};

async fn started() -> (Arc<Plane>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&folder.path().join("log.redb"), 1).unwrap();
    let plane = plane_on(Arc::new(store), ISSUER, MASTER, now()).await;
    plane.spawn_tasks();
    (plane, folder)
}

pub(crate) async fn revoke(plane: &Plane, jti: &str) {
    let request = Request { id: jti.to_owned(), digest: [0; 32], memory: REQUEST_MEMORY };
    let exp = now() + 60;
    let revocations = vec![Revocation::Token { issuer: None, jti: jti.to_owned(), exp }];
    let record = Record { at: now(), by: "test".to_owned(), reason: None, revocations };
    plane.log.revoke(&request, &record).await.unwrap();
}

async fn following(plane: &Arc<Plane>) -> Following {
    let mut following = plane.publisher.following(None);
    following.next().await.unwrap();
    following
}

// Two followers that took everything get the very same bytes. A follower that took nothing for
// three revocations gets a single delta over all three, and shares the next one again.
#[tokio::test]
async fn followers_in_step_share_one_announcement_and_others_get_one_delta() {
    let (plane, _folder) = started().await;
    let (mut one, mut other) = (following(&plane).await, following(&plane).await);
    let mut slow = following(&plane).await;
    for jti in ["a", "b", "c"] {
        revoke(&plane, jti).await;
        let (announced, same) = (one.next().await.unwrap(), other.next().await.unwrap());
        assert!(Arc::ptr_eq(&announced, &same), "{jti} was encoded twice");
        assert_eq!(announced.position, plane.log.position());
    }
    let all = slow.next().await.unwrap();
    let snapshot = Snapshot::open(all.bytes.to_vec(), &plane.signing.feed_keys()).unwrap();
    assert_eq!((snapshot.denied_count(), snapshot.to()), (3, plane.log.position()));
    revoke(&plane, "d").await;
    assert!(Arc::ptr_eq(&slow.next().await.unwrap(), &one.next().await.unwrap()));
}

// Without news, each follower gets a heartbeat in time, and not all at the same moment.
#[tokio::test]
async fn heartbeats_come_in_time_and_are_spread() {
    let (plane, _folder) = started().await;
    let beat = plane.publisher.following(None).heartbeat();
    let begin = Instant::now();
    let mut heartbeats = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut following = following(&plane).await;
        heartbeats.spawn(async move {
            let snapshot = following.next().await.unwrap();
            (begin.elapsed(), snapshot.position)
        });
    }
    let mut times = Vec::new();
    while let Some(heartbeat) = heartbeats.join_next().await {
        let (time, position) = heartbeat.unwrap();
        assert_eq!(position, plane.log.position());
        times.push(time);
    }
    times.sort_unstable();
    assert!(times[19] < beat * 3, "{times:?}");
    assert!(times[19] - times[0] > beat / 10, "{times:?}");
}
