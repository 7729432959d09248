//! Room that is used up, and becomes free again.

use std::sync::Arc;

use offswitch::config::Config;
use offswitch::master_key::MasterKey;
use offswitch::plane::{Loading, MOST_ENTRIES, Plane, PlaneError};
use offswitch::store::{EmbeddedStore, Request, Store};
use offswitch_core::limits::REQUEST_MEMORY;
use offswitch_core::record::{Record, Revocation};
use offswitch_snapshot::MAX_ENTRIES;

use crate::support::follower::now;
use crate::support::in_process::MASTER;

// Expired entries make room for others.
#[tokio::test]
async fn room_is_free_again_when_entries_expire() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.redb");
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&path, 1).unwrap());
    let plane = plane(&store, now()).await;
    let record = |number: u64| Record {
        at: now(),
        by: "key_a".to_owned(),
        reason: None,
        revocations: vec![Revocation::Token {
            issuer: None,
            jti: format!("t-{number}"),
            exp: now() + 60,
        }],
    };
    for number in 0..3 {
        let request = Request { id: number.to_string(), digest: [0; 32], memory: REQUEST_MEMORY };
        plane.log.need_allowed(&record(number)).unwrap();
        plane.log.revoke(&request, &record(number)).await.unwrap();
        plane.log.catch_up().await.unwrap();
    }
    let refused = plane.log.need_allowed(&record(3));
    assert!(matches!(refused, Err(PlaneError::TooManyEntries { held: 3, most: 3 })), "{refused:?}");
    let later = self::plane(&store, now() + 2 * 86_400).await;
    later.log.need_allowed(&record(3)).unwrap();
}

// However the processes race, no verifier gets more entries than it accepts.
#[test]
fn what_may_be_revoked_is_less_than_what_verifiers_load() {
    const { assert!(MOST_ENTRIES + 40 * 100_000 < MAX_ENTRIES) };
    let configured = Config::load(Some("max_entries = 134217728"), []);
    assert!(configured.err().unwrap().iter().any(|problem| problem.key == "max_entries"));
}

async fn plane(store: &Arc<dyn Store>, now: u64) -> Arc<Plane> {
    let settings = Config::load(Some("max_entries = 3"), []).ok().unwrap().settings;
    let master = MasterKey::parse(MASTER).unwrap();
    Plane::start(settings, store.clone(), master, now, &Loading::default()).await.unwrap()
}
