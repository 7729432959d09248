//! What is counted, through the `metrics` crate. Install the recorder before a verifier is started: the counters of
//! verdicts are looked up once.

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

use crate::engine::Engine;
use crate::feed::Shelf;
use crate::verdict::Decision;

#[derive(Clone)]
pub(crate) struct Counters {
    valid: Counter,
    age: Gauge,
    snapshot_bytes: Gauge,
}

impl Counters {
    pub(crate) fn new() -> Self {
        describe();
        Self {
            valid: counter!(VERDICTS, "outcome" => "valid", "code" => "valid"),
            age: gauge!(FEED_AGE),
            snapshot_bytes: gauge!(BASE_BYTES),
        }
    }

    pub(crate) fn count(&self, decision: &Decision) {
        match decision {
            Decision::Valid(_) => self.valid.increment(1),
            other => {
                let (outcome, code) = (other.outcome(), other.code());
                counter!(VERDICTS, "outcome" => outcome, "code" => code).increment(1);
            }
        }
    }

    /// Shows the age of the feed without end.
    pub(crate) async fn follow(&self, engine: &Engine, shelf: &Shelf) {
        loop {
            let age = engine.evidence().age_seconds.and_then(|age| u32::try_from(age).ok());
            self.age.set(age.map_or(f64::INFINITY, f64::from));
            let base = shelf.held().base.as_ref().map_or(0, |base| base.bytes.len());
            self.snapshot_bytes.set(u32::try_from(base).map_or(f64::MAX, f64::from));
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}

/// Says what each of them means, to recorders that show it.
fn describe() {
    describe_gauge!(BASE_BYTES, Unit::Bytes, "Size of the base that is in force.");
    describe_gauge!(
        FEED_AGE,
        Unit::Seconds,
        "Age of the newest signed statement of the feed, in seconds; infinite before the first."
    );
    describe_counter!(FAILURES, Unit::Count, "Failures of feed, key sets and store, by code.");
    describe_counter!(SNAPSHOTS, Unit::Count, "Snapshots that arrived, by what came of them.");
    describe_counter!(VERDICTS, Unit::Count, "Verdicts, by outcome and code.");
}

const BASE_BYTES: &str = "offswitch_client_base_bytes";
const FEED_AGE: &str = "offswitch_client_feed_age_seconds";
pub(crate) const FAILURES: &str = "offswitch_client_failures_total";
pub(crate) const SNAPSHOTS: &str = "offswitch_client_snapshots_total";
const VERDICTS: &str = "offswitch_client_verdicts_total";
