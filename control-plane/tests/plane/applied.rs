//! `?wait=applied` with several processes on one Redis: the answer is about the followers of all of them. P10.

use std::process::Command;
use std::time::{Duration, Instant};

use offswitch_snapshot::Position;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::several_processes::{ISSUER, several, two_with};
use crate::support::follower::now;
use crate::support::in_process::{MASTER, plane_at};
use crate::support::process::ControlPlane;
use crate::support::raw_follower::{RawFollower, honest, until_connected};
use crate::support::redis_server::RedisServer;

/// What became of a revocation that waits.
pub(crate) async fn applied(plane: &ControlPlane, timeout: u64) -> Value {
    let path = format!("/v1/revocations?wait=applied&timeout={timeout}");
    plane.posted(&path, &json!({ "sub": "alice" })).await["applied"].clone()
}

/// Waits until a count is complete; what it was then, and how long that took.
pub(crate) async fn until_complete(plane: &ControlPlane, longest: Duration) -> (Value, Duration) {
    let begin = Instant::now();
    loop {
        let applied = applied(plane, 1).await;
        if applied["complete"] == true {
            return (applied, begin.elapsed());
        }
        assert!(begin.elapsed() < longest, "{applied}");
        sleep(Duration::from_millis(300)).await;
    }
}

pub(crate) async fn id_of(plane: &ControlPlane) -> String {
    plane.got("/v1/followers").await["process"].as_str().unwrap().to_owned()
}

fn signal(plane: &ControlPlane, signal: &str) {
    let id = plane.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}

async fn position(plane: &ControlPlane) -> String {
    plane.got("/readyz").await["position"].as_str().unwrap().to_owned()
}

// P10: one process on Redis knows that it is the only one.
#[tokio::test]
async fn one_process_on_a_store_that_others_may_use_can_be_complete() {
    let redis = RedisServer::start().await;
    let mut all = several(&redis, 1, &[]).await;
    let (plane, _folder) = all.pop().unwrap();
    let follower = RawFollower::of(&plane, 1, ";staleness=60;name=edge-1").stream(honest);
    until_connected(&plane, 1).await;
    let count = applied(&plane, 10).await;
    assert_eq!((&count["complete"], &count["counted"]), (&json!(true), &json!("all_processes")));
    assert_eq!(count["processes"], json!({ "asked": 1, "answered": 1, "silent": [] }));
    assert!(count["milliseconds"].as_u64().unwrap() < 5000, "{count}");
    let notes: u64 = redis.command(&["EXISTS", "{offswitch}:notes"]).await;
    assert_eq!(notes, 0, "there is no process to ask");
    follower.abort();
}

// P10: a wait at any of three processes counts the followers of all of them, and names those that are silent.
#[tokio::test]
async fn a_wait_counts_the_followers_of_all_processes() {
    let redis = RedisServer::start().await;
    let all = several(&redis, 3, &[]).await;
    for (number, (plane, _)) in all.iter().enumerate() {
        let id = u8::try_from(number + 1).unwrap();
        let introduction = format!(";staleness=60;name=edge-{id}");
        RawFollower::of(plane, id, &introduction).stream(honest);
        until_connected(plane, 1).await;
    }
    let notes = async || redis.command::<u64>(&["XLEN", "{offswitch}:notes"]).await;
    assert_eq!(notes().await, 0, "nothing is written while no request waits");
    for (plane, _) in &all {
        let count = applied(plane, 10).await;
        assert_eq!(
            (&count["complete"], &count["counted"]),
            (&json!(true), &json!("all_processes"))
        );
        assert_eq!((&count["followers"], &count["holding"]), (&json!(3), &json!(3)), "{count}");
        assert_eq!(count["processes"], json!({ "asked": 3, "answered": 3, "silent": [] }));
        assert_eq!((&count["silent"], &count["refuse_within_seconds"]), (&json!([]), &json!(0)));
        assert!(count["slowest"]["name"].as_str().unwrap().starts_with("edge-"), "{count}");
    }
    // What was left is gone soon, and after that nothing is written again.
    sleep(Duration::from_millis(500)).await;
    let left = notes().await;
    let expires: i64 = redis.command(&["TTL", "{offswitch}:notes"]).await;
    assert!((1..=60).contains(&expires), "{expires}");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(notes().await, left, "nothing waits any more");

    // One that reads its stream and answers nothing, at another process than the one that is asked.
    RawFollower::of(&all[1].0, 9, ";staleness=60;name=sleeper").stream(|_| None);
    until_connected(&all[1].0, 2).await;
    let count = applied(&all[0].0, 2).await;
    assert_eq!((&count["complete"], &count["counted"]), (&json!(false), &json!("all_processes")));
    assert_eq!((&count["followers"], &count["holding"]), (&json!(4), &json!(3)), "{count}");
    assert_eq!(count["silent"][0]["name"], "sleeper");
    assert_eq!(count["refuse_within_seconds"], 60, "{count}");
    assert_eq!(count["processes"]["answered"], 3);
    // A follower without an id at another process.
    let stranger = all[2].0.admin(Method::GET, "/v1/feed/stream").send().await.unwrap();
    let count = applied(&all[0].0, 1).await;
    assert_eq!((&count["unidentified"], &count["complete"]), (&json!(1), &json!(false)), "{count}");
    assert!(count.get("refuse_within_seconds").is_none(), "{count}");
    drop(stranger);
}

// P10: a follower that moves from one process to another counts once, by what it said to any of them.
#[tokio::test]
async fn a_follower_that_moves_counts_once_and_is_silent_nowhere() {
    let redis = RedisServer::start().await;
    let (one, other, _folders) = two_with(&redis, &[]).await;
    let body = json!({ "name": "other", "scopes": ["feed:read"] });
    let other_key = one.posted("/v1/api-keys", &body).await["key"].as_str().unwrap().to_owned();
    let at_one = RawFollower::of(&one, 1, ";staleness=60;name=edge-1");
    let at_other = at_one.at(&other);
    assert_eq!(at_one.request(Method::GET, "").send().await.unwrap().status(), 200);
    assert_eq!(at_one.poll(&position(&one).await).await, 200);
    let count = applied(&one, 1).await;
    assert_eq!(
        (&count["complete"], &count["silent"][0]["name"]),
        (&json!(false), &json!("edge-1"))
    );
    // Another API key with the same id, at the other process, does not speak for it.
    let thief = RawFollower::new(&other, &other_key, 1, ";staleness=60;name=thief");
    // The other process reads the API keys every five seconds.
    let begin = Instant::now();
    while thief.poll(&position(&other).await).await != 200 {
        assert!(begin.elapsed() < Duration::from_secs(20), "the key is not known");
        sleep(Duration::from_millis(100)).await;
    }
    for moves in [false, true] {
        let waiting = applied(&one, if moves { 20 } else { 2 });
        let polling = async {
            sleep(Duration::from_millis(300)).await;
            let head = position(&one).await;
            assert_eq!(thief.poll(&head).await, 200);
            if moves {
                at_other.poll(&head).await;
            }
        };
        let (count, ()) = tokio::join!(waiting, polling);
        assert_eq!(count["followers"], 2, "itself, once, and the thief: {count}");
        assert_eq!(count["complete"], moves, "{count}");
        assert_eq!(count["holding"], if moves { 2 } else { 1 }, "{count}");
    }
    // Also where the other process is asked, and where it comes back.
    for (asked, poller) in [(&other, &at_one), (&one, &at_other), (&other, &at_other)] {
        let waiting = applied(asked, 20);
        let polling = async {
            sleep(Duration::from_millis(300)).await;
            let head = position(asked).await;
            thief.poll(&head).await;
            poller.poll(&head).await;
        };
        let (count, ()) = tokio::join!(waiting, polling);
        assert_eq!((&count["followers"], &count["complete"]), (&json!(2), &json!(true)), "{count}");
    }
}

// P10: behind a load balancer the answer of a stream may come to another process than the one that asked.
#[tokio::test]
async fn an_answer_that_comes_to_another_process_counts() {
    let redis = RedisServer::start().await;
    let (one, other, _folders) = two_with(&redis, &[]).await;
    let follower = RawFollower::of(&one, 1, ";staleness=60;name=edge-1").answering_at(&other);
    let _stream = follower.stream(honest);
    until_connected(&one, 1).await;
    for plane in [&one, &other, &one] {
        let count = applied(plane, 20).await;
        assert_eq!((&count["complete"], &count["followers"]), (&json!(true), &json!(1)), "{count}");
        assert!(count["milliseconds"].as_u64().unwrap() < 10_000, "{count}");
    }
    // It answers less than it was sent, or the token of another follower.
    let before = position(&one).await;
    let _liar = RawFollower::of(&one, 2, ";staleness=60;name=liar")
        .answering_at(&other)
        .stream(move |_| Some(before.clone()));
    until_connected(&one, 2).await;
    let count = applied(&one, 2).await;
    assert_eq!((&count["complete"], &count["holding"]), (&json!(false), &json!(1)), "{count}");
    assert_eq!(count["silent"][0]["name"], "liar");
}

// P10: a process that was killed is named until its followers refuse, and no longer.
#[tokio::test]
async fn a_process_that_was_killed_keeps_a_count_from_being_complete_until_its_followers_refuse() {
    let redis = RedisServer::start().await;
    let short =
        [("OFFSWITCH_SNAPSHOT_VALIDITY_SECONDS", "5"), ("OFFSWITCH_HEARTBEAT_SECONDS", "2")];
    let mut all = several(&redis, 3, &short).await;
    let (mut killed, _folder) = all.pop().unwrap();
    let id = id_of(&killed).await;
    let _follower = RawFollower::of(&killed, 1, ";staleness=5;name=edge-1").stream(honest);
    until_connected(&killed, 1).await;
    assert_eq!(applied(&all[0].0, 10).await["complete"], true);
    killed.kill();
    let begin = Instant::now();
    let count = applied(&all[0].0, 1).await;
    assert_eq!((&count["complete"], &count["counted"]), (&json!(false), &json!("some_processes")));
    let processes = &count["processes"];
    assert_eq!((&processes["asked"], &processes["answered"]), (&json!(3), &json!(2)), "{count}");
    assert_eq!(processes["silent"][0]["process"], id.as_str());
    let within = processes["silent"][0]["refuses_in_seconds"].as_u64().unwrap();
    assert_eq!(count["refuse_within_seconds"], within);
    // Ten seconds without a renewal, five of validity with ten of skew, five of slack; killed within three seconds.
    assert!((25..=30).contains(&within), "{count}");
    let (count, _) = until_complete(&all[1].0, Duration::from_secs(60)).await;
    assert_eq!(count["processes"], json!({ "asked": 2, "answered": 2, "silent": [] }));
    assert!(begin.elapsed() >= Duration::from_secs(15), "{:?}", begin.elapsed());
}

// P10: a process that is paused has not answered; it is heard again when it goes on.
#[tokio::test]
async fn a_process_that_is_paused_has_not_answered() {
    let redis = RedisServer::start().await;
    let (one, other, _folders) = two_with(&redis, &[]).await;
    let id = id_of(&other).await;
    let _follower = RawFollower::of(&other, 1, ";staleness=60;name=edge-1").stream(honest);
    until_connected(&other, 1).await;
    signal(&other, "-STOP");
    let count = applied(&one, 1).await;
    signal(&other, "-CONT");
    assert_eq!((&count["complete"], &count["counted"]), (&json!(false), &json!("this_process")));
    assert_eq!(count["processes"]["silent"][0]["process"], id.as_str(), "{count}");
    let within = count["refuse_within_seconds"].as_u64().unwrap();
    assert!((60..=90).contains(&within), "{count}");
    let (count, _) = until_complete(&one, Duration::from_secs(20)).await;
    assert_eq!((&count["followers"], &count["holding"]), (&json!(1), &json!(1)), "{count}");
}

// P10: a process that is stopped as usual is waited for only as long as its followers may decide.
#[tokio::test]
async fn a_process_that_is_stopped_says_how_long_its_followers_may_decide() {
    let redis = RedisServer::start().await;
    let mut all = several(&redis, 3, &[]).await;
    let (mut without, _first) = all.pop().unwrap();
    let (mut with, _second) = all.pop().unwrap();
    let (one, _third) = all.pop().unwrap();
    let _follower = RawFollower::of(&with, 1, ";staleness=3;name=edge-1").stream(honest);
    until_connected(&with, 1).await;
    let id = id_of(&with).await;
    for plane in [&mut without, &mut with] {
        plane.ask_to_stop();
        plane.until_stopped().await;
    }
    let count = applied(&one, 1).await;
    assert_eq!(count["complete"], false, "{count}");
    let silent = count["processes"]["silent"].as_array().unwrap();
    let named: Vec<_> = silent.iter().map(|one| one["process"].as_str().unwrap()).collect();
    assert!(named.contains(&id.as_str()), "{count}");
    let (count, took) = until_complete(&one, Duration::from_secs(20)).await;
    assert_eq!(count["processes"], json!({ "asked": 1, "answered": 1, "silent": [] }));
    assert!(took < Duration::from_secs(15), "{took:?}");
}

// P10: a process of a version that does not list itself is shut out by the format, and its followers are waited out.
#[tokio::test]
async fn a_process_of_an_older_version_is_never_overlooked() {
    let redis = RedisServer::start().await;
    let short =
        [("OFFSWITCH_SNAPSHOT_VALIDITY_SECONDS", "5"), ("OFFSWITCH_HEARTBEAT_SECONDS", "2")];
    let (plane, _folder) = several(&redis, 1, &short).await.pop().unwrap();
    assert_eq!(applied(&plane, 1).await["complete"], true);
    // As it is while, and after, an older one uses it: for example, it was the first to find an empty store.
    redis.command::<()>(&["HSET", "{offswitch}:meta", "format", "1"]).await;
    let begin = Instant::now();
    let count = applied(&plane, 1).await;
    assert_eq!((&count["complete"], &count["counted"]), (&json!(false), &json!("this_process")));
    assert_eq!(count["processes"]["silent"][0]["process"], "older_version", "{count}");
    assert!(
        count["refuse_within_seconds"].is_null(),
        "it may have followers that never refuse: {count}"
    );
    let format: String = redis.command(&["HGET", "{offswitch}:meta", "format"]).await;
    assert_eq!(format, "2", "from then on older ones are refused");
    let (count, _) = until_complete(&plane, Duration::from_secs(40)).await;
    assert_eq!(count["processes"]["asked"], 1);
    assert!(begin.elapsed() >= Duration::from_secs(15), "{:?}", begin.elapsed());
}

// P10: one that comes to a process which has not read the position gets a base without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_has_not_read_the_position_answers_nothing_and_makes_nothing_complete() {
    let redis = RedisServer::start().await;
    let one = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    let other = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    one.spawn_tasks();
    other.spawn_tasks();
    let (reached, wait) = (one.log.position(), Duration::from_secs(2));
    let count = one.processes.count(reached, wait).await;
    assert!(count.is_complete() && count.asked == Some(2), "{count:?}");
    let ahead = Position { seq: reached.seq + 1, ..reached };
    let count = one.processes.count(ahead, wait).await;
    let mut silent: Vec<String> = count.silent.iter().map(|one| one.name.clone()).collect();
    silent.sort_unstable();
    let mut both = vec![one.processes.own_id(), other.processes.own_id()];
    both.sort_unstable();
    assert_eq!((count.is_complete(), silent), (false, both));
}

// P10: what another one writes to the store makes nothing complete, and takes no process away.
#[tokio::test]
async fn one_who_writes_to_the_store_makes_nothing_complete() {
    let redis = RedisServer::start().await;
    let (one, other, _folders) = two_with(&redis, &[]).await;
    let _follower = RawFollower::of(&other, 1, ";staleness=60;name=sleeper").stream(|_| None);
    until_connected(&other, 1).await;
    until_both_have_answered(&one).await;
    let (list, notes) = ("{offswitch}:doc:processes", "{offswitch}:notes");
    // Notes of an earlier wait, and notes of others.
    let earlier: Vec<(String, Vec<Vec<u8>>)> = redis.command(&["XRANGE", notes, "-", "+"]).await;
    assert!(earlier.len() >= 2, "{}", earlier.len());
    let mut connection = redis.connection().await;
    let mut replay = async || {
        for (_, fields) in &earlier {
            let mut command = redis::cmd("XADD");
            command.arg(notes).arg("*").arg("n").arg(&fields[1]);
            command.query_async::<String>(&mut connection).await.unwrap();
        }
        redis.command::<()>(&["XADD", notes, "*", "n", "nonsense"]).await;
    };
    for list_is_gone in [true, false] {
        signal(&other, "-STOP");
        if list_is_gone {
            redis.command::<()>(&["DEL", list]).await;
        } else {
            redis.command::<()>(&["SET", list, "nonsense"]).await;
        }
        let waiting = applied(&one, 2);
        let (count, ()) = tokio::join!(waiting, async {
            sleep(Duration::from_millis(500)).await;
            replay().await;
        });
        signal(&other, "-CONT");
        assert_eq!(count["complete"], false, "{count}");
        assert_eq!(
            count["processes"],
            json!({ "asked": 2, "answered": 1,
            "silent": count["processes"]["silent"] })
        );
        assert_eq!(count["followers"], 0, "{count}");
        // Both list themselves again.
        until_both_have_answered(&one).await;
    }
}

/// Waits until the other process has answered, whose one follower holds nothing.
async fn until_both_have_answered(plane: &ControlPlane) {
    let begin = Instant::now();
    loop {
        let count = applied(plane, 2).await;
        if count["processes"]["answered"] == 2 && count["followers"] == 1 {
            assert_eq!((&count["complete"], &count["holding"]), (&json!(false), &json!(0)));
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(40), "{count}");
    }
}
