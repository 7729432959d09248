//! What is counted, through the `metrics` crate. Install the recorder before a verifier is started: the counters of
//! verdicts are looked up once.

use metrics::{Counter, Gauge, Label, Unit, counter, describe_counter, describe_gauge, gauge};

use crate::engine::Engine;
use crate::feed::Shelf;
use crate::verdict::Decision;

/// What all series of one verifier are labelled with: the feed, where the process follows several.
#[derive(Debug, Clone, Default)]
pub(crate) struct FeedLabel(Option<String>);

#[derive(Clone)]
pub(crate) struct Counters {
    label: FeedLabel,
    valid: Counter,
    age: Gauge,
    snapshot_bytes: Gauge,
}

impl FeedLabel {
    pub(crate) fn new(feed: Option<String>) -> Self {
        Self(feed)
    }

    /// The counter with this name and these labels.
    pub(crate) fn counter(
        &self,
        name: &'static str,
        labels: &[(&'static str, &'static str)],
    ) -> Counter {
        counter!(name, self.labels(labels))
    }

    fn gauge(&self, name: &'static str) -> Gauge {
        gauge!(name, self.labels(&[]))
    }

    fn labels(&self, labels: &[(&'static str, &'static str)]) -> Vec<Label> {
        let own = labels.iter().map(|(key, value)| Label::from_static_parts(key, value));
        own.chain(self.0.iter().map(|feed| Label::new("feed", feed.clone()))).collect()
    }
}

impl Counters {
    pub(crate) fn new(label: FeedLabel) -> Self {
        describe();
        Self {
            valid: label.counter(VERDICTS, &[("outcome", "valid"), ("code", "valid")]),
            age: label.gauge(FEED_AGE),
            snapshot_bytes: label.gauge(BASE_BYTES),
            label,
        }
    }

    pub(crate) fn count(&self, decision: &Decision) {
        match decision {
            Decision::Valid(_) => self.valid.increment(1),
            other => {
                let (outcome, code) = (other.outcome(), other.code());
                self.label.counter(VERDICTS, &[("outcome", outcome), ("code", code)]).increment(1);
            }
        }
    }

    /// A feed that is followed no longer has no age: what was shown last would look like one.
    pub(crate) fn end(&self) {
        if self.label.0.is_some() {
            self.age.set(f64::NAN);
            self.snapshot_bytes.set(f64::NAN);
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
