//! What a server reports about itself, and what that means for revocations.

use std::collections::HashMap;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};

use super::super::{Durability, Finding};
use super::options::{Appendfsync, Tolerance, Tolerated};

/// A server's state at one time.
#[derive(Debug)]
pub(super) struct Health {
    /// Identifies the server's process: a restart changes it.
    pub(super) run_id: String,
    pub(super) role: Role,
    /// Which failures an acknowledged write survives.
    pub(super) durability: Durability,
    flushing: Flushing,
    info: HashMap<String, String>,
}

/// Whether the server accepts writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Primary,
    Replica,
}

/// When the append-only file is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flushing {
    /// Before every answer.
    Always,
    /// After the answer, or not known.
    Later,
    /// Not while a child process writes a dump or a new file, whatever `appendfsync` says.
    Skipping,
}

impl Flushing {
    fn new(settings: &HashMap<String, String>) -> Self {
        let is = |name: &str, value: &str| settings.get(name).is_some_and(|found| found == value);
        if is("no-appendfsync-on-rewrite", "yes") {
            Self::Skipping
        } else if is("appendfsync", "always") && is("no-appendfsync-on-rewrite", "no") {
            Self::Always
        } else {
            Self::Later
        }
    }
}

impl Health {
    /// Asks the server. `CONFIG` may be forbidden, `INFO` must be allowed.
    pub(super) async fn ask(
        connection: &mut MultiplexedConnection,
        asserted: Appendfsync,
    ) -> RedisResult<Self> {
        let info: String = redis::cmd("INFO").query_async(connection).await?;
        if info.contains("\nloading:1") {
            // While it is loading, it does not report whether it keeps an append-only file.
            return Err(RedisError::from((
                ErrorKind::Server(ServerErrorKind::BusyLoading),
                "the server is loading its data",
            )));
        }
        let mut config = redis::cmd("CONFIG");
        config.arg("GET").arg("*appendfsync*");
        let flushing = match config.query_async::<HashMap<String, String>>(connection).await {
            Ok(settings) => Some(Flushing::new(&settings)),
            Err(error) if is_refusal(&error) => None,
            Err(error) => return Err(error),
        };
        let asserted = match asserted {
            Appendfsync::Always => Flushing::Always,
            Appendfsync::Detect => Flushing::Later,
        };
        Ok(Self::new(&info, flushing.unwrap_or(asserted)))
    }

    fn new(info: &str, flushing: Flushing) -> Self {
        let pairs = info.lines().filter_map(|line| line.split_once(':'));
        let info: HashMap<_, _> =
            pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        let is = |name: &str, value: &str| info.get(name).is_some_and(|found| found == value);
        let durability = match (is("aof_enabled", "1"), flushing) {
            (false, _) => Durability::Memory,
            (true, Flushing::Always) => Durability::Synced,
            (true, Flushing::Later | Flushing::Skipping) => Durability::Written,
        };
        let role = if is("role", "master") { Role::Primary } else { Role::Replica };
        let run_id = info.get("run_id").cloned().unwrap_or_default();
        Self { run_id, role, durability, flushing, info }
    }

    fn major_version(&self) -> Option<u32> {
        self.info.get("redis_version")?.split('.').next()?.parse().ok()
    }

    /// The memory in use, and the limit, if there is one.
    fn memory(&self) -> Option<(u64, u64)> {
        let number = |name: &str| self.info.get(name)?.parse::<u64>().ok();
        number("used_memory").zip(number("maxmemory")).filter(|(_, most)| *most > 0)
    }

    /// What an operator should know. `first_run_id` is that of the first server this process used.
    pub(super) fn findings(&self, tolerance: &Tolerance, first_run_id: &str) -> Vec<Finding> {
        let fatal = |tolerated: Tolerated| !tolerance.accepts(tolerated);
        let reported = |name: &str| self.info.get(name).map_or("unknown", String::as_str);
        let mut findings = Vec::new();
        let mut found = |code, fatal, detail| findings.push(Finding { code, detail, fatal });
        if reported("maxmemory_policy") != "noeviction" {
            let policy = reported("maxmemory_policy");
            let detail = format!("maxmemory_policy is {policy}; set it to noeviction");
            found("store_evicts", fatal(Tolerated::Eviction), detail);
        }
        if reported("evicted_keys") != "0" {
            let count = reported("evicted_keys");
            let detail = format!(
                "evicted_keys is {count}: revocations may be lost; when that is ruled out, \
                 CONFIG RESETSTAT or a restart clears it"
            );
            found("store_evicted", fatal(Tolerated::Eviction), detail);
        }
        if self.durability == Durability::Memory {
            let detail = "there is no append-only file; set appendonly yes and appendfsync always";
            found("store_keeps_no_file", fatal(Tolerated::NoAppendOnlyFile), detail.to_owned());
        }
        if self.durability != Durability::Memory && self.flushing == Flushing::Skipping {
            let detail = "no-appendfsync-on-rewrite is yes: nothing is flushed to disk while the \
                          server writes a dump or a new file; set it to no";
            found("store_skips_flushes", false, detail.to_owned());
        }
        if self.major_version().is_none_or(|version| version < OLDEST_MAJOR_VERSION) {
            let version = reported("redis_version");
            let detail = format!("redis_version is {version}; 7.0 or later is needed");
            found("store_too_old", true, detail);
        }
        if self.role == Role::Replica {
            let detail = format!("its role is {}; connect to the primary", reported("role"));
            found("store_is_replica", fatal(Tolerated::Replica), detail);
        }
        let write_status = reported("aof_last_write_status");
        if self.durability != Durability::Memory && write_status != "ok" {
            let detail = format!("aof_last_write_status is {write_status}; look at its disk");
            found("store_write_error", true, detail);
        }
        if reported("rdb_last_bgsave_status") == "err" {
            let detail = "rdb_last_bgsave_status is err; look at its disk".to_owned();
            found("store_snapshot_error", false, detail);
        }
        if let Some((used, most)) = self.memory() {
            let detail = format!(
                "used_memory is {used} of {most} bytes (maxmemory): nothing can be revoked when \
                 it is used up; give it more"
            );
            if used >= most {
                found("store_full", false, detail);
            } else if used >= most / 10 * 9 {
                found("store_nearly_full", false, detail);
            }
        }
        if self.run_id != first_run_id {
            let detail = format!("run_id was {first_run_id} and is {}", self.run_id);
            found("store_restarted", false, detail);
        }
        findings
    }

    /// Whether there are fewer replicas than must acknowledge an append.
    pub(super) fn missing_replicas(&self, wait_replicas: u32) -> Option<Finding> {
        let connected = self.info.get("connected_slaves").and_then(|count| count.parse().ok());
        let connected: u32 = connected.unwrap_or(0);
        let detail = format!(
            "redis_wait_replicas is {wait_replicas}, and {connected} replica(s) are connected: nothing is \
             acknowledged until there are more"
        );
        let code = "store_lacks_replicas";
        (connected < wait_replicas).then_some(Finding { code, detail, fatal: false })
    }

    /// What may be lost if a primary that is cut off goes on accepting writes: it does unless it
    /// demands replicas, or the caller waits for some. Only where there are replicas.
    pub(super) fn split_brain(&self, wait_replicas: u32) -> Option<Finding> {
        let replicas = self.info.get("connected_slaves").map_or("0", String::as_str);
        let demands_replicas = self.info.contains_key("min_slaves_good_slaves");
        if replicas == "0" || demands_replicas || wait_replicas > 0 {
            return None;
        }
        let detail = "there are replicas, but min-replicas-to-write is 0 and redis_wait_replicas is \
                      0: a failover may lose what was acknowledged; set one of them";
        Some(Finding { code: "store_may_lose_writes", detail: detail.to_owned(), fatal: false })
    }
}

/// What the access rules of the server forbid that processes need to ask each other.
pub(super) fn forbidden_notes(forbidden: &[String], notes: &str) -> Option<Finding> {
    let commands = forbidden.join(", ");
    let detail = format!(
        "the user may not call {commands} on {notes}: where several processes use the store, no request with \
         wait=applied is complete; allow it (ACL SETUSER)"
    );
    let code = "store_forbids_notes";
    (!forbidden.is_empty()).then_some(Finding { code, detail, fatal: false })
}

/// From 7.0 on a server that is out of memory or disk space refuses a script before it has written
/// anything. Older ones may stop it between two records, so that the log would be ahead of its seq.
const OLDEST_MAJOR_VERSION: u32 = 7;

/// True if the server does not support the command: forbidden, renamed or disabled.
fn is_refusal(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::UnexpectedReturnType
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:a\r\nmaxmemory_policy:noeviction\r\nevicted_keys:0\r\n\
        aof_enabled:1\r\naof_last_write_status:ok\r\nrole:master\r\n";

    fn codes(info: &str, tolerance: &str) -> Vec<(&'static str, bool)> {
        let health = Health::new(info, Flushing::Always);
        let findings = health.findings(&tolerance.parse().unwrap(), "a");
        findings.into_iter().map(|finding| (finding.code, finding.fatal)).collect()
    }

    // A server in good order: no findings.
    #[test]
    fn a_good_server_has_no_findings() {
        assert_eq!(codes(GOOD, ""), []);
    }

    // R07: every evicting policy, including future ones; refused unless tolerated.
    #[test]
    fn anything_but_noeviction_is_a_finding() {
        for policy in ["allkeys-lru", "volatile-ttl", "something-new"] {
            let info = GOOD.replace("noeviction", policy);
            assert_eq!(codes(&info, ""), [("store_evicts", true)]);
            assert_eq!(codes(&info, "eviction"), [("store_evicts", false)]);
        }
    }

    // O06, R07: an append waits for replicas that are not there.
    #[test]
    fn missing_replicas_are_a_finding_where_appends_wait_for_them() {
        let missing = |connected: &str, needed: u32| {
            let info = format!("{GOOD}connected_slaves:{connected}\r\n");
            Health::new(&info, Flushing::Always).missing_replicas(needed).is_some()
        };
        let found = [("0", 0), ("0", 1), ("1", 1), ("1", 2), ("?", 1)];
        assert_eq!(
            found.map(|(connected, needed)| missing(connected, needed)),
            [false, true, false, true, true]
        );
    }

    // R07: keys that were evicted already.
    #[test]
    fn evicted_keys_are_a_finding() {
        assert_eq!(
            codes(&GOOD.replace("evicted_keys:0", "evicted_keys:1"), ""),
            [("store_evicted", true)]
        );
    }

    // A failing disk is not a choice of the operator.
    #[test]
    fn a_write_error_cannot_be_tolerated() {
        let info = GOOD.replace("status:ok", "status:err");
        assert_eq!(
            codes(&info, "eviction,no_append_only_file,replica"),
            [("store_write_error", true)]
        );
    }

    // R16: memory runs out; a process that starts then can still serve what is stored.
    #[test]
    fn memory_that_runs_out_is_a_finding() {
        let with = |used: u64, most: u64| {
            codes(&format!("{GOOD}used_memory:{used}\r\nmaxmemory:{most}\r\n"), "")
        };
        assert_eq!(with(u64::MAX, 0), []);
        assert_eq!(with(899, 1000), []);
        assert_eq!(with(900, 1000), [("store_nearly_full", false)]);
        assert_eq!(with(1000, 1000), [("store_full", false)]);
    }

    // R15: the server could not write its last snapshot.
    #[test]
    fn a_failed_snapshot_of_the_server_is_a_finding() {
        let info = |status: &str| format!("{GOOD}rdb_last_bgsave_status:{status}\r\n");
        assert_eq!(codes(&info("ok"), ""), []);
        assert_eq!(codes(&info("err"), ""), [("store_snapshot_error", false)]);
    }

    // What a server does not report is not assumed to be fine.
    #[test]
    fn an_empty_answer_is_refused() {
        let expected = [
            "store_evicts",
            "store_evicted",
            "store_keeps_no_file",
            "store_too_old",
            "store_is_replica",
        ];
        assert_eq!(codes("run_id:a", ""), expected.map(|code| (code, true)));
    }

    // A server whose scripts may stop half-way; a Valkey reports the version it is compatible with.
    #[test]
    fn a_server_before_7_cannot_be_tolerated() {
        for version in ["6.2.14", "6.3.4", "seven"] {
            let info = GOOD.replace("7.0.15", version);
            let all = "eviction,no_append_only_file,replica";
            assert_eq!(codes(&info, all), [("store_too_old", true)], "{version}");
        }
        for version in ["7.2.4", "8.0.0", "10.0.1"] {
            assert_eq!(codes(&GOOD.replace("7.0.15", version), ""), [], "{version}");
        }
    }

    // The durability is never reported better than what is known.
    #[test]
    fn a_file_is_flushed_always_only_where_both_settings_say_so() {
        let flushing = |appendfsync: &str, on_rewrite: &str| {
            let named = [("appendfsync", appendfsync), ("no-appendfsync-on-rewrite", on_rewrite)];
            let settings = named.into_iter().filter(|(_, value)| !value.is_empty());
            Flushing::new(&settings.map(|(name, value)| (name.into(), value.into())).collect())
        };
        assert_eq!(flushing("always", "no"), Flushing::Always);
        assert_eq!(flushing("always", "yes"), Flushing::Skipping);
        assert_eq!(flushing("everysec", "yes"), Flushing::Skipping);
        assert_eq!(flushing("everysec", "no"), Flushing::Later);
        assert_eq!(flushing("always", ""), Flushing::Later);
        assert_eq!(flushing("", ""), Flushing::Later);
        let level = |info: &str, flushing| Health::new(info, flushing).durability;
        let none = GOOD.replace("aof_enabled:1", "aof_enabled:0");
        assert_eq!(level(GOOD, Flushing::Always), Durability::Synced);
        assert_eq!(level(GOOD, Flushing::Later), Durability::Written);
        assert_eq!(level(GOOD, Flushing::Skipping), Durability::Written);
        assert_eq!(level(&none, Flushing::Always), Durability::Memory);
    }
}
