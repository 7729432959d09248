//! Requirements on a Redis server, and what is reported where they are not met.

use offswitch::store::{
    Appendfsync, Durability, RedisOptions, RedisStore, Store, StoreError, Tolerance,
};

use crate::place::{options, request};
use crate::support::redis_server::RedisServer;
use crate::support::redis_user;

// R07: every evicting policy is refused at the start, and accepted only by name.
#[tokio::test]
async fn a_server_that_evicts_is_refused() {
    let server = RedisServer::start().await;
    for policy in [
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ] {
        server.command::<()>(&["CONFIG", "SET", "maxmemory-policy", policy]).await;
        assert!(refusal(&server, "").await.contains("store_evicts"), "{policy}");
        assert!(refusal(&server, "no_append_only_file,replica").await.contains("store_evicts"));
        let store = connect(&server, "eviction").await.unwrap();
        assert_eq!(findings(&store).await, [("store_evicts", false)]);
    }
}

// R07: one refusal lists everything that is wrong.
#[tokio::test]
async fn a_refusal_names_everything_that_is_fatal() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]).await;
    let refusal = refusal(&server, "").await;
    assert!(refusal.contains("store_evicts") && refusal.contains("store_keeps_no_file"));
    let store = connect(&server, "eviction,no_append_only_file").await.unwrap();
    let appended = store.append(&request("a", 0), b"record").await.unwrap();
    assert_eq!(appended.durability, Durability::Memory);
}

// R07: a change at runtime is found by the next check; the level follows.
#[tokio::test]
async fn a_change_at_runtime_is_found() {
    let server = RedisServer::start().await;
    let store = connect(&server, "").await.unwrap();
    assert_eq!(findings(&store).await, []);
    server.command::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    assert_eq!(findings(&store).await, [("store_evicts", true)]);
    server.command::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    server.command::<()>(&["CONFIG", "SET", "appendfsync", "everysec"]).await;
    assert_eq!(findings(&store).await, []);
    assert_eq!(level(&store).await, Durability::Written);
    server.command::<()>(&["CONFIG", "SET", "appendonly", "no"]).await;
    assert_eq!(findings(&store).await, [("store_keeps_no_file", true)]);
    assert_eq!(level(&store).await, Durability::Memory);
}

// A server that does not flush while it rewrites its file has not flushed before every answer.
#[tokio::test]
async fn a_server_that_skips_flushes_is_not_synced() {
    let durable = ["--appendonly", "yes", "--appendfsync", "always"];
    let skipping = ["--no-appendfsync-on-rewrite", "yes"];
    let server = RedisServer::start_with(&[&durable[..], &skipping].concat()).await;
    let store = connect(&server, "").await.unwrap();
    assert_eq!(level(&store).await, Durability::Written);
    assert_eq!(findings(&store).await, [("store_skips_flushes", false)]);
    server.command::<()>(&["CONFIG", "SET", "no-appendfsync-on-rewrite", "no"]).await;
    assert_eq!(findings(&store).await, []);
    assert_eq!(level(&store).await, Durability::Synced);
}

// R07: keys were evicted, although the policy is harmless by now.
#[tokio::test]
async fn evicted_keys_are_found() {
    let server = RedisServer::start().await;
    let store = connect(&server, "").await.unwrap();
    let large = "x".repeat(1 << 20);
    server.command::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]).await;
    for key in 0..8 {
        server.command::<()>(&["SET", &key.to_string(), &large]).await;
    }
    server.command::<()>(&["CONFIG", "SET", "maxmemory", "3mb"]).await;
    let _: redis::Value = server.command(&["SET", "one more", "x"]).await;
    server.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    server.command::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    assert_eq!(findings(&store).await, [("store_evicted", true)]);
    assert!(refusal(&server, "").await.contains("store_evicted"));
}

// R07: hosted servers forbid CONFIG: the level is not higher than what is known.
#[tokio::test]
async fn a_forbidden_config_lowers_the_level_unless_the_operator_asserts_it() {
    let server = RedisServer::start().await;
    let user = ["ACL", "SETUSER", "hosted", "on", ">secret", "~*", "&*", "+@all", "-config"];
    server.command::<()>(&user).await;
    let url = format!("redis://hosted:secret@127.0.0.1:{}", server.port());
    let store = RedisStore::connect(options(&url)).await.unwrap();
    assert_eq!(findings(&store).await, []);
    assert_eq!(level(&store).await, Durability::Written);
    let asserted = RedisOptions { appendfsync: Appendfsync::Always, ..options(&url) };
    let store = RedisStore::connect(asserted).await.unwrap();
    assert_eq!(level(&store).await, Durability::Synced);
}

// R18: the user of the guide, which may do nothing but what the store does. The level is known with
// one right more.
#[tokio::test]
async fn the_user_of_the_guide_suffices() {
    let server = RedisServer::start().await;
    let url = format!("redis://few:secret@127.0.0.1:{}", server.port());
    for (more, expected) in [(&[][..], Durability::Written), (&["+config|get"], Durability::Synced)]
    {
        server.command::<()>(&redis_user::command("few", ">secret", more)).await;
        let store = RedisStore::connect(options(&url)).await.unwrap();
        crate::redis_slots::call_everything(&store).await;
        assert_eq!(findings(&store).await, []);
        assert_eq!(level(&store).await, expected);
        server.command::<()>(&["FLUSHALL"]).await;
    }
    let forbidden = RedisStore::connect(RedisOptions { prefix: "other".into(), ..options(&url) });
    let error = forbidden.await.unwrap_err().to_string();
    assert!(error.contains("permission"), "{error}");
}

// P10: a user for whom the keys are named one by one, or whose rights are from before there were notes. The feed goes on.
#[tokio::test]
async fn a_user_that_may_leave_no_notes_is_found() {
    let server = RedisServer::start().await;
    let url = format!("redis://few:secret@127.0.0.1:{}", server.port());
    server.command::<()>(&redis_user::command("few", ">secret", &[])).await;
    let store = RedisStore::connect(options(&url)).await.unwrap();
    for (forbid, allow, commands) in [
        (&["-expire"][..], &["+expire"][..], "EXPIRE"),
        (&["-xtrim"], &["+xtrim"], "XTRIM"),
        (&["-xadd"], &["+xadd"], "XADD"),
        (&["-xread"], &["+xread"], "XREAD"),
        (
            &["resetkeys", "~{offswitch}:meta", "~{offswitch}:log"],
            &["~{offswitch}:*"],
            "XADD, XTRIM, EXPIRE, XREAD",
        ),
        (
            &["resetkeys", "~{offswitch}:meta", "%R~{offswitch}:notes"],
            &["~{offswitch}:*"],
            "XADD, XTRIM, EXPIRE",
        ),
    ] {
        server.command::<()>(&[&["ACL", "SETUSER", "few"], forbid].concat()).await;
        let findings = store.findings().await.unwrap();
        let [found] = &findings[..] else { panic!("{forbid:?}: {findings:?}") };
        assert_eq!((found.code, found.fatal), ("store_forbids_notes", false));
        assert!(found.detail.contains(&format!("may not call {commands} on")), "{}", found.detail);
        server.command::<()>(&[&["ACL", "SETUSER", "few"], allow].concat()).await;
        assert_eq!(store.findings().await, Ok(vec![]));
    }
}

// A wrong password: the store is unavailable, and the error does not show the password.
#[tokio::test]
async fn a_wrong_password_is_not_shown() {
    let server = RedisServer::start().await;
    let url = format!("redis://default:very-secret@127.0.0.1:{}", server.port());
    server.command::<()>(&["ACL", "SETUSER", "default", "on", ">another"]).await;
    let error = RedisStore::connect(options(&url)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(text) if !text.contains("very-secret")));
}

// R07, R10: a replica is refused at the start; where it is accepted, it can be read, and a write
// is never a success.
#[tokio::test]
async fn a_replica_is_refused() {
    let primary = RedisServer::start().await;
    let store = connect(&primary, "").await.unwrap();
    store.append(&request("a", 0), b"record").await.unwrap();
    let replica = RedisServer::start().await;
    replica.command::<()>(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]).await;
    assert!(refusal(&replica, "").await.contains("store_is_replica"));
    while !replica.command::<String>(&["INFO"]).await.contains("master_link_status:up") {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let copy = connect(&replica, "replica").await.unwrap();
    assert_eq!(findings(&copy).await, [("store_is_replica", false)]);
    assert_eq!(copy.read(0, 10).await.unwrap().head, 1);
    let appended = copy.append(&request("b", 0), b"record").await;
    assert!(matches!(appended, Err(StoreError::Unavailable(_))), "{appended:?}");
}

// R10: a primary is demoted under the store: it neither reads nor writes until the server is a
// primary again.
#[tokio::test]
async fn a_primary_that_becomes_a_replica_is_unavailable() {
    let server = RedisServer::start().await;
    let store = connect(&server, "").await.unwrap();
    store.append(&request("a", 0), b"record").await.unwrap();
    server.command::<()>(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let appended = store.append(&request("b", 0), b"record").await;
    assert!(matches!(appended, Err(StoreError::Unavailable(_))), "{appended:?}");
    let read = store.read(0, 10).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    server.command::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    assert_eq!(store.append(&request("b", 0), b"record").await.unwrap().position.seq, 2);
}

// A restarted server is reported; it is no problem if its file is complete.
#[tokio::test]
async fn a_restart_is_found() {
    let mut server = RedisServer::start().await;
    let store = connect(&server, "").await.unwrap();
    server.kill();
    server.start_again().await;
    assert_eq!(findings(&store).await, [("store_restarted", false)]);
}

async fn connect(server: &RedisServer, tolerance: &str) -> Result<RedisStore, StoreError> {
    let tolerance: Tolerance = tolerance.parse().unwrap();
    RedisStore::connect(RedisOptions { tolerance, ..options(&server.url()) }).await
}

async fn refusal(server: &RedisServer, tolerance: &str) -> String {
    connect(server, tolerance).await.unwrap_err().to_string()
}

async fn findings(store: &RedisStore) -> Vec<(&'static str, bool)> {
    let findings = store.findings().await.unwrap();
    findings.into_iter().map(|finding| (finding.code, finding.fatal)).collect()
}

async fn level(store: &RedisStore) -> Durability {
    let id = std::time::Instant::now();
    store.append(&request(&format!("{id:?}"), 0), b"record").await.unwrap().durability
}
