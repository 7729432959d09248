//! What the simulation has found in the product, one test each.

use std::sync::Arc;
use std::time::Duration;

use offswitch::plane::Plane;
use offswitch::store::Request;
use offswitch_core::limits::REQUEST_MEMORY;
use offswitch_core::record::{Record, Revocation};
use offswitch_simulation::chance::Chance;
use offswitch_simulation::store::Server;
use offswitch_simulation::time::WorldTime;
use offswitch_simulation::trace::Trace;
use offswitch_simulation::world::World;
use offswitch_snapshot::Position;
use tokio::time::sleep;

/// Three processes on a store, without any fault.
async fn begin() -> Arc<World> {
    let time = WorldTime::begin(1_800_000_000);
    let trace = Arc::new(Trace::new(time, false));
    let world = Arc::new(World::new(Chance::new(1), trace, time, None));
    world.begin().await;
    world
}

async fn revoke(plane: &Plane, sub: &str) -> Position {
    let user = Revocation::User { issuer: None, sub: sub.to_owned(), issued_before: None, exp: 0 };
    let (by, revocations) = ("test".to_owned(), vec![user]);
    let record = Record { at: plane.now(), by, reason: None, revocations };
    let request = Request { id: sub.to_owned(), digest: [0; 32], memory: REQUEST_MEMORY };
    plane.log.revoke(&request, &record).await.unwrap().position
}

/// True if a session of this version has ended, in what the store's log says.
fn is_over(world: &World, sub: &str, version: u64) -> bool {
    let held = world.fold_of(&world.network().copy()).unwrap();
    held.is_session_over("session", sub, version)
}

// R02, R05: a request is repeated at a process that has not read its record yet, and the store loses everything
// before it can. The process has acknowledged it, so it knows it, and brings it back.
#[tokio::test(start_paused = true)]
async fn a_repeated_request_that_was_acknowledged_is_not_lost() {
    let world = begin().await;
    let (network, [one, other, third]) = (world.network(), [0, 1, 2].map(|at| world.process(at)));
    network.change(|conditions| conditions.cut_off = vec![false, true, false]);
    sleep(Duration::from_secs(3)).await;
    revoke(&one.plane().unwrap(), "alice").await;
    network.change(|conditions| conditions.cut_off.fill(false));
    let plane = other.plane().unwrap();
    let repeated = tokio::spawn(async move { revoke(&plane, "alice").await });
    while !is_over(&world, "alice", 0) {
        sleep(Duration::from_millis(1)).await;
    }
    network.replace(Server::new(None));
    for process in [one, third] {
        process.crash();
        process.lose_disk();
    }
    repeated.await.unwrap();
    sleep(Duration::from_secs(10)).await;
    assert!(is_over(&world, "alice", 0), "it is not back");
}

// R02: a revocation is acknowledged, its process has to read the log before it can fold it, and the store fails
// over without it. Another process appends to what is left, in the same era and with a later seq. The process that
// acknowledged it reads that, and brings the lost revocation back.
#[tokio::test(start_paused = true)]
async fn a_lost_revocation_is_brought_back_although_the_log_went_on_beyond_it() {
    let world = begin().await;
    let network = world.network();
    let [one, other, third] = [0, 1, 2].map(|at| world.process(at).plane().unwrap());
    network.change(|conditions| conditions.drops_hints = true);
    sleep(Duration::from_secs(3)).await;
    let older = network.copy();
    network.change(|conditions| conditions.cut_off = vec![false, true, false]);
    // What the first process has not read yet.
    revoke(&third, "unread").await;
    let plane = one.clone();
    let acknowledged = tokio::spawn(async move { revoke(&plane, "alice").await });
    while !is_over(&world, "alice", 0) {
        sleep(Duration::from_millis(1)).await;
    }
    network.change(|conditions| conditions.cut_off.fill(true));
    let lost = acknowledged.await.unwrap();
    assert!(one.log.position() < lost, "otherwise this shows nothing");
    network.replace(older);
    world.process(2).crash();
    world.process(2).lose_disk();
    sleep(Duration::from_secs(2)).await;
    network.change(|conditions| conditions.cut_off = vec![true, false, true]);
    let beyond = revoke(&other, "bob").await;
    assert!(beyond.era == lost.era && beyond.seq > lost.seq, "otherwise this shows nothing");
    network.change(|conditions| conditions.cut_off.fill(false));
    sleep(Duration::from_secs(10)).await;
    assert!(is_over(&world, "alice", 0), "it is not back");
    assert!(is_over(&world, "bob", 0));
}

// R02, R17: the store fails over to a replica that lacks some records, and whose clock is behind. A user is
// revoked there by a process that has read none of them, so with a smaller seq. A token whose session was opened
// at the end of the lost part is refused, once the process that has read it is back.
#[tokio::test(start_paused = true)]
async fn a_token_from_the_lost_part_of_a_log_can_be_revoked() {
    let world = begin().await;
    let network = world.network();
    let [one, other] = [0, 1].map(|at| world.process(at).plane().unwrap());
    network.set_clock(-200);
    revoke(&one, "first").await;
    sleep(Duration::from_secs(5)).await;
    let older = network.copy();
    network.change(|conditions| conditions.cut_off = vec![true, false, true]);
    for number in 0..5 {
        revoke(&other, &format!("lost-{number}")).await;
    }
    let version = other.log.position().seq;
    network.change(|conditions| conditions.cut_off = vec![false, true, true]);
    network.replace(older);
    let revoked_at = revoke(&one, "alice").await;
    assert!(revoked_at.seq <= version, "otherwise this shows nothing");
    network.change(|conditions| conditions.cut_off.fill(false));
    sleep(Duration::from_secs(10)).await;
    assert!(is_over(&world, "alice", version));
    assert!(is_over(&world, "lost-4", 0), "what was lost is back");
    assert!(!is_over(&world, "alice", other.log.position().seq), "a new login works");
}
