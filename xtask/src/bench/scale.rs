//! How much is measured: everything for BENCHMARKS.md, less in a few minutes, or next to nothing as a test.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use serde::Serialize;

use crate::tools::target_dir;

/// The numbers of a run. The programs in JavaScript get them as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Scale {
    #[serde(skip)]
    pub(crate) kind: Kind,
    /// Odd, so that the median is one of them.
    pub(crate) rounds: usize,
    /// How long each contestant is under load in a round, from this repository's own client.
    pub(crate) measured: Duration,
    pub(crate) warm_up: Duration,
    /// The same for the load of wrk and h2load, which know whole seconds only. They take longer to start and end.
    pub(crate) load_rounds: usize,
    pub(crate) load_seconds: u32,
    pub(crate) load_warm_up_seconds: u32,
    /// Revocations that a verifier holds.
    pub(crate) entries: u64,
    /// The most that a control plane holds.
    pub(crate) many_entries: u64,
    /// Those of which a guard's memory is measured.
    pub(crate) guard_entries: &'static [u64],
    pub(crate) runtimes: &'static [&'static str],
    pub(crate) handler_runtimes: &'static [&'static str],
    pub(crate) gateways: &'static [&'static str],
    pub(crate) seen_tokens: usize,
    pub(crate) fresh_tokens: usize,
    /// Calls in a round: of what takes a microsecond, and of what takes much longer.
    pub(crate) fast_calls: usize,
    pub(crate) slow_calls: usize,
    /// How often a process is started.
    pub(crate) starts: usize,
    /// Revocations that are measured one after the other, at the edge and at gateways.
    pub(crate) revocations: usize,
    pub(crate) followers: usize,
    pub(crate) idle_followers: usize,
    /// How long followers connect before they are measured, as a share of what ten thousand take.
    pub(crate) patience: f64,
    /// Rounds with followers of the control plane and of a relay.
    pub(crate) relay_rounds: usize,
    /// Tokens to introspect in turn: one and a half times as many as the control plane remembers.
    pub(crate) introspected_tokens: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Full,
    Quick,
    /// With the programs that the tests have built.
    Smoke,
}

impl Scale {
    const fn full() -> Self {
        Self {
            kind: Kind::Full,
            rounds: 9,
            measured: Duration::from_millis(1500),
            warm_up: Duration::from_millis(500),
            load_rounds: 9,
            load_seconds: 1,
            load_warm_up_seconds: 2,
            entries: 1_000_000,
            many_entries: 10_000_000,
            guard_entries: &[1_000_000, 10_000_000],
            runtimes: &["Node", "newest Node", "Deno", "Bun", "workerd"],
            handler_runtimes: &["Node", "newest Node", "Deno", "Bun"],
            gateways: &["Caddy", "Envoy by gRPC", "Envoy by HTTP", "HAProxy", "nginx", "Traefik"],
            seen_tokens: 10_000,
            fresh_tokens: 2000,
            fast_calls: 50_000,
            slow_calls: 1000,
            starts: 9,
            revocations: 99,
            followers: 1000,
            idle_followers: 10_000,
            patience: 1.0,
            relay_rounds: 2,
            introspected_tokens: 30_000,
        }
    }

    const fn quick() -> Self {
        Self {
            kind: Kind::Quick,
            rounds: 3,
            measured: Duration::from_millis(1000),
            load_rounds: 3,
            load_warm_up_seconds: 1,
            guard_entries: &[1_000_000],
            runtimes: &["Node", "workerd"],
            handler_runtimes: &["Node"],
            gateways: &["Envoy by gRPC", "nginx"],
            starts: 3,
            revocations: 21,
            patience: 0.5,
            relay_rounds: 1,
            ..Self::full()
        }
    }

    const fn smoke() -> Self {
        Self {
            kind: Kind::Smoke,
            rounds: 2,
            // A peer that has just started, in a debug build or on a busy machine, must answer at least once.
            measured: Duration::from_secs(1),
            warm_up: Duration::ZERO,
            load_rounds: 1,
            load_warm_up_seconds: 0,
            entries: 2000,
            many_entries: 10_000,
            guard_entries: &[2000],
            runtimes: &["Node", "newest Node", "Deno", "Bun", "workerd"],
            handler_runtimes: &["Node"],
            gateways: &["Envoy by gRPC", "nginx"],
            seen_tokens: 200,
            fresh_tokens: 20,
            fast_calls: 100,
            slow_calls: 10,
            starts: 1,
            revocations: 3,
            followers: 20,
            idle_followers: 50,
            patience: 0.1,
            relay_rounds: 1,
            introspected_tokens: 128,
            ..Self::full()
        }
    }

    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Full => Self::full(),
            Kind::Quick => Self::quick(),
            Kind::Smoke => Self::smoke(),
        }
    }

    /// How long all of it may take, with unsteady figures measured again.
    pub(crate) fn limit(&self) -> Duration {
        match self.kind {
            Kind::Full => Duration::from_secs(30 * 60),
            Kind::Quick => Duration::from_secs(5 * 60),
            // Nothing is measured again.
            Kind::Smoke => Duration::ZERO,
        }
    }

    /// That many seconds, or less where fewer followers connect.
    pub(crate) fn waits(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds * self.patience)
    }

    /// A program of this repository that is measured.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let profile = if self.kind == Kind::Smoke { "debug" } else { "release" };
        target_dir().join(profile).join(name)
    }

    /// How it is built: for the tests with the features of all members, so that nothing is compiled twice.
    pub(crate) fn cargo_options(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Smoke => &["--quiet", "--workspace", "--all-features", "--locked"],
            _ => &RELEASE,
        }
    }
}

/// Chooses the scale of this run, once.
pub(crate) fn choose(kind: Kind) {
    let _first = SCALE.set(Scale::of(kind));
}

/// The scale of this run.
pub(crate) fn scale() -> &'static Scale {
    SCALE.get_or_init(Scale::full)
}

/// The guard has the bare peer of its checks.
const RELEASE: [&str; 7] =
    ["--quiet", "--release", "--locked", "--package", "offswitch", "--package", "offswitch-guard"];
static SCALE: OnceLock<Scale> = OnceLock::new();
