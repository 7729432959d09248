//! Every metric, with its description.

use metrics::Unit;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use self::Kind::{Counter, Gauge, Histogram, UnlabelledCounter};

/// Installs the recorder of the process's metrics, with descriptions. Durations are histograms,
/// which can be summed over several processes.
///
/// # Errors
///
/// If the process has a recorder already.
pub fn install_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_batch".to_owned()), &RECORDS)?
        .install_recorder()?;
    for (kind, name, unit, help) in METRICS {
        match kind {
            Counter | UnlabelledCounter => metrics::describe_counter!(*name, *unit, *help),
            Gauge => metrics::describe_gauge!(*name, *unit, *help),
            Histogram => metrics::describe_histogram!(*name, *unit, *help),
        }
    }
    Ok(handle)
}

/// Shows the control plane's counters that have no labels from its start on: from a series that begins
/// with its first increment, `increase()` misses that one.
pub fn show_counters() {
    for (kind, name, ..) in METRICS {
        if matches!(kind, UnlabelledCounter) {
            metrics::counter!(*name).increment(0);
        }
    }
}

enum Kind {
    Counter,
    Gauge,
    Histogram,
    /// A counter of the control plane that has no labels.
    UnlabelledCounter,
}

const METRICS: &[(Kind, &str, Unit, &str)] = &[
    (
        UnlabelledCounter,
        "offswitch_audit_left_out_total",
        Unit::Count,
        "Requests of unknown callers that have no line in the audit log, because there were too many.",
    ),
    (
        UnlabelledCounter,
        "offswitch_audit_lost_total",
        Unit::Count,
        "Changes that were made and have no line in the audit log, because it could not be written.",
    ),
    (
        UnlabelledCounter,
        "offswitch_audit_refused_total",
        Unit::Count,
        "Changes that were refused because they could not be recorded.",
    ),
    (
        Counter,
        "offswitch_connections_closed_total",
        Unit::Count,
        "Connections that were closed by this process, by reason.",
    ),
    (
        Counter,
        "offswitch_connections_refused_total",
        Unit::Count,
        "Connections that were not served, by reason.",
    ),
    (
        Counter,
        "offswitch_guard_answers_total",
        Unit::Count,
        "Answers of the guard to gateways, by code.",
    ),
    (
        Counter,
        "offswitch_guard_callbacks_total",
        Unit::Count,
        "Tokens of watched connections that ended, by whether the callback accepted that.",
    ),
    (
        Counter,
        "offswitch_guard_reloads_total",
        Unit::Count,
        "How often the guard read its configuration again, by outcome.",
    ),
    (
        Counter,
        "offswitch_http_requests_total",
        Unit::Count,
        "Answered requests, by path, method and status.",
    ),
    (
        UnlabelledCounter,
        "offswitch_key_rotations_total",
        Unit::Count,
        "Token-signing keys that this process added by rotation.",
    ),
    (
        UnlabelledCounter,
        "offswitch_lost_sessions_total",
        Unit::Count,
        "Genuine credentials whose session the store has lost.",
    ),
    (
        Counter,
        "offswitch_notices_total",
        Unit::Count,
        "Notices of ended sessions to relying parties, by relying party and outcome.",
    ),
    (
        Counter,
        "offswitch_polls_total",
        Unit::Count,
        "Polls for security events, by issuer and outcome.",
    ),
    (
        UnlabelledCounter,
        "offswitch_publication_removed_total",
        Unit::Count,
        "Parts of the feed that were removed where it is published, because no head names them.",
    ),
    (
        Counter,
        "offswitch_publications_total",
        Unit::Count,
        "Heads of the feed that were to be published elsewhere, by outcome.",
    ),
    (
        Counter,
        "offswitch_problems_total",
        Unit::Count,
        "Answers that were problem documents or OAuth errors, by code.",
    ),
    (
        Counter,
        "offswitch_receiver_requests_total",
        Unit::Count,
        "Requests to the receivers of registered issuers, by issuer, receiver and outcome.",
    ),
    (
        UnlabelledCounter,
        "offswitch_records_folded_total",
        Unit::Count,
        "Records of the log that this process has folded since it started.",
    ),
    (
        Counter,
        "offswitch_refresh_repetitions_total",
        Unit::Count,
        "Used refresh tokens that were presented again in the grace period, by timing.",
    ),
    (
        UnlabelledCounter,
        "offswitch_refresh_tokens_reused_total",
        Unit::Count,
        "Sessions that were revoked because a used refresh token was presented again.",
    ),
    (Counter, "offswitch_refreshes_total", Unit::Count, "Answered refresh requests, by outcome."),
    (
        Counter,
        "offswitch_requests_refused_total",
        Unit::Count,
        "Requests that were not served, by reason.",
    ),
    (
        UnlabelledCounter,
        "offswitch_revocations_total",
        Unit::Count,
        "Acknowledged entries of revocation requests.",
    ),
    (UnlabelledCounter, "offswitch_sessions_total", Unit::Count, "Opened sessions."),
    (
        Counter,
        "offswitch_spans_total",
        Unit::Count,
        "Ended spans of traces, by outcome: exported, failed (the collector did not take them), or \
         dropped (too many waited).",
    ),
    (
        Counter,
        "offswitch_streams_reset_total",
        Unit::Count,
        "HTTP/2 streams that were reset by this process, by reason.",
    ),
    (Gauge, "offswitch_base_bytes", Unit::Bytes, "Size of the published base."),
    (
        Gauge,
        "offswitch_publication_seq",
        Unit::Count,
        "Sequence number at which the head ends that this process published elsewhere last.",
    ),
    (
        Gauge,
        "offswitch_base_issued_at_seconds",
        Unit::Seconds,
        "When the published base was signed, in unix seconds.",
    ),
    (
        Gauge,
        "offswitch_base_valid_until_seconds",
        Unit::Seconds,
        "Until when the published base proves that the feed is fresh, in unix seconds.",
    ),
    (Gauge, "offswitch_connections", Unit::Count, "Open connections."),
    (Gauge, "offswitch_connections_limit", Unit::Count, "How many connections may be open."),
    (
        UnlabelledCounter,
        "offswitch_documents_altered_total",
        Unit::Count,
        "Documents in the store that something other than the control plane has changed.",
    ),
    (Gauge, "offswitch_entries", Unit::Count, "Revoked tokens, sessions and users that are held."),
    (Gauge, "offswitch_entries_limit", Unit::Count, "How many entries may be held: max_entries."),
    (
        Gauge,
        "offswitch_followers",
        Unit::Count,
        "Streams and long polls that wait for news, by kind.",
    ),
    (
        UnlabelledCounter,
        "offswitch_followers_ahead_total",
        Unit::Count,
        "Requests of followers that held a position beyond the log.",
    ),
    (
        Gauge,
        "offswitch_followers_behind",
        Unit::Count,
        "Known followers that have not been sent everything.",
    ),
    (Gauge, "offswitch_followers_live", Unit::Count, "Known followers that may still decide."),
    (
        Gauge,
        "offswitch_followers_oldest_seq",
        Unit::Count,
        "Sequence number of the lowest position that a known follower holds or was sent; 0 if one has none.",
    ),
    (
        Gauge,
        "offswitch_followers_limit",
        Unit::Count,
        "How many streams and long polls may wait: max_followers. 0 at a guard that does not relay.",
    ),
    (
        Gauge,
        "offswitch_guard_watched",
        Unit::Count,
        "Open connections whose tokens the guard watches.",
    ),
    (
        Gauge,
        "offswitch_guard_watched_limit",
        Unit::Count,
        "How many connections the guard may watch: max_watched.",
    ),
    (
        Gauge,
        "offswitch_log_age_seconds",
        Unit::Seconds,
        "How long ago the log was last read to its end: followers see the feed as that old.",
    ),
    (
        Gauge,
        "offswitch_log_records",
        Unit::Count,
        "Records after the checkpoint, which every start reads.",
    ),
    (Gauge, "offswitch_processes", Unit::Count, "Processes that list themselves in the store."),
    (
        Gauge,
        "offswitch_notice_delay_seconds",
        Unit::Seconds,
        "How long ago the session ended whose notice waits for longest, by relying party.",
    ),
    (
        Gauge,
        "offswitch_notices_waiting",
        Unit::Count,
        "Notices that were not accepted yet, of the next 256 at most, by relying party.",
    ),
    (Gauge, "offswitch_log_seq", Unit::Count, "Sequence number of the last folded record."),
    (Gauge, "offswitch_ready", Unit::Count, "1 while /readyz answers 200, otherwise 0."),
    (
        Gauge,
        "offswitch_requests_limit",
        Unit::Count,
        "How many requests may be answered at the same time.",
    ),
    (
        Gauge,
        "offswitch_store_finding",
        Unit::Count,
        "1 while the store has this finding, by code; 0 once it is over.",
    ),
    (
        Gauge,
        "offswitch_stream_enabled",
        Unit::Count,
        "1 while a stream of events that was set up is enabled, by issuer; 0 while it is paused, \
         disabled, or cannot be checked.",
    ),
    (
        Histogram,
        "offswitch_append_batch",
        Unit::Count,
        "Records that went to the store in one call.",
    ),
    (
        Histogram,
        "offswitch_base_seconds",
        Unit::Seconds,
        "Duration of building a base, in seconds.",
    ),
    (
        Histogram,
        "offswitch_http_seconds",
        Unit::Seconds,
        "Duration from a request to the head of its answer, in seconds, by path and method.",
    ),
    (
        Histogram,
        "offswitch_propagation_seconds",
        Unit::Seconds,
        "Duration from when a request began to wait until a follower said that it holds the revocation, in seconds.",
    ),
    (
        Histogram,
        "offswitch_publish_seconds",
        Unit::Seconds,
        "Duration from a revocation to its publication by this process, in seconds.",
    ),
];
/// From a durable append on a fast disk to a long poll.
const SECONDS: [f64; 17] = [
    0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0,
    60.0,
];
const RECORDS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::METRICS;

    // D44: every new metric is described here, with its unit in its name or its text.
    #[test]
    fn every_metric_of_the_source_is_described_and_no_other() {
        let mut used = BTreeSet::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for place in ["control-plane/src", "guard/src", "server/src"] {
            collect(&root.join(place), &mut used);
        }
        let described: BTreeSet<String> =
            METRICS.iter().map(|(_, name, ..)| (*name).to_owned()).collect();
        assert_eq!(described, used);
        assert_eq!(described.len(), METRICS.len(), "one is described twice");
    }

    fn collect(folder: &Path, used: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, used);
            } else if !path.ends_with("telemetry/metrics.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for begin in ["counter!(", "gauge!(", "histogram!("] {
                    used.extend(
                        text.split(begin)
                            .skip(1)
                            .map(|rest| rest.split('"').nth(1).unwrap_or_default().to_owned()),
                    );
                }
            }
        }
    }
}
