//! The control plane, its API key and feed, and the issuers with their keys and receivers.

use offswitch_snapshot::{OpenError, Position};
use offswitch_verifier::{ApplyError, KeySet, Shown, jwks_address};
use serde_json::Value;

use super::{Finding, Outcome, RegisteredIssuer, SeenReceiver};

/// How the newest snapshot describes the feed.
#[derive(Debug, Clone, Copy)]
pub struct FeedSeen {
    /// The position that it reaches.
    pub position: Position,
    /// When it was signed, unix seconds.
    pub issued_at: u64,
    /// Until when it proves that nothing newer was revoked, unix seconds.
    pub valid_until: u64,
}

/// A request that a receiver refuses before it counts as an event: it leaves no trace in its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Its method.
    pub method: &'static str,
    /// The media type of its empty body.
    pub media_type: &'static str,
    status: u16,
    code: &'static str,
}

/// What `/readyz` says, and true if it is a control plane that says it.
pub fn readiness(status: u16, body: Option<&Value>) -> (bool, Vec<Finding>) {
    let member = |name: &str| body.and_then(|body| body.get(name));
    let text = |name: &str| member(name).and_then(Value::as_str).unwrap_or_default();
    if status == 503 && text("code") == "starting" {
        let detail = "the control plane is still reading its log; wait, and run this again";
        return (true, vec![Finding::failed(CONTROL_PLANE, detail)]);
    }
    let Some(ready) = member("ready").and_then(Value::as_bool) else {
        let detail = format!(
            "what answers at this address ({status}) is not a control plane; correct --url"
        );
        return (false, vec![Finding::failed(CONTROL_PLANE, detail)]);
    };
    let store = member("store_reachable").and_then(Value::as_bool);
    let findings = || member("findings").and_then(Value::as_array).into_iter().flatten();
    let is_newer = findings().any(|one| one.get("code").is_some_and(|code| code == "store_newer"));
    let first = match (ready, store) {
        (false, _) if is_newer => Finding::failed(
            CONTROL_PLANE,
            "a newer version has written its store, which it therefore refuses: upgrade this process",
        ),
        (_, Some(false)) => Finding::failed(
            CONTROL_PLANE,
            "its store does not answer, so nothing can be revoked: see its log, and start the store",
        ),
        (true, _) => {
            let position = Shown::new(text("position"));
            Finding::ok(CONTROL_PLANE, format!("it is ready, at the position {position}"))
        }
        (false, _) => {
            Finding::failed(CONTROL_PLANE, "it answers, but it is not ready to serve; see its log")
        }
    };
    let of_store = findings().map(|one| {
        let text = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default();
        let is_fatal = one.get("fatal").and_then(Value::as_bool) == Some(true);
        let result = if is_fatal { Outcome::Failed } else { Outcome::Warning };
        Finding::new("store", result, format!("{}: {}", text("code"), text("detail")))
    });
    (true, [first].into_iter().chain(of_store).collect())
}

/// How far a clock differs from ours, which was `asked_at` before and `answered_at` after its answer.
pub fn clock(served_at: Option<u64>, asked_at: u64, answered_at: u64) -> Finding {
    let Some(served_at) = served_at else {
        return Finding::skipped(CLOCK, "the answer has no date");
    };
    // A date has whole seconds.
    let behind = asked_at.saturating_sub(served_at.saturating_add(1));
    let ahead = served_at.saturating_sub(answered_at);
    let detail = match (behind, ahead) {
        (0, 0) => return Finding::ok(CLOCK, "it agrees with the clock of this machine"),
        (0, ahead) => format!("it is {ahead} s ahead of the clock of this machine"),
        (behind, _) => format!("it is {behind} s behind the clock of this machine"),
    };
    match behind.max(ahead) {
        0..=CLOCK_WARNING_SECONDS => Finding::ok(CLOCK, detail),
        off if off <= CLOCK_FAILURE_SECONDS => {
            Finding::warning(CLOCK, detail + "; synchronise both by NTP")
        }
        _ => Finding::failed(CLOCK, detail + "; synchronise both by NTP"),
    }
}

/// What `/v1/status` says about the API key, which needs the scopes `needed`.
pub fn api_key(status: u16, body: Option<&Value>, needed: &[&str], now: u64) -> Finding {
    let key = body.and_then(|body| body.get("key"));
    let (200, Some(key)) = (status, key) else {
        let code = body.and_then(|body| body.get("code")).and_then(Value::as_str);
        let code = code.map(|code| format!(" {}", Shown::new(code))).unwrap_or_default();
        let advice = match status {
            401 | 403 => "give a key that `offswitch keys list` shows and that has not expired",
            _ => "see the log of the control plane",
        };
        return Finding::failed(API_KEY, format!("the answer is {status}{code}; {advice}"));
    };
    let scopes = key.get("scopes").and_then(Value::as_array).into_iter().flatten();
    let scopes: Vec<&str> = scopes.filter_map(Value::as_str).collect();
    let missing: Vec<&str> = needed.iter().filter(|one| !scopes.contains(one)).copied().collect();
    let id = key.get("id").and_then(Value::as_str).unwrap_or_default();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        let detail =
            format!("{id} lacks {missing}, which this command needs; make a key that has it");
        return Finding::failed(API_KEY, detail);
    }
    let left = key.get("expires_at").and_then(Value::as_u64).map(|at| at.saturating_sub(now));
    match left {
        Some(left) if left < SOON_SECONDS => {
            let hours = left / 3600;
            Finding::warning(API_KEY, format!("{id} expires in {hours} h; make a new one"))
        }
        _ => Finding::ok(API_KEY, format!("{id} may {}", scopes.join(", "))),
    }
}

/// What came of following the feed as a verifier does.
pub fn feed(seen: Result<FeedSeen, &ApplyError>, now: u64) -> Finding {
    let seen = match seen {
        Ok(seen) => seen,
        Err(error) => {
            let advice = match error {
                ApplyError::Open(OpenError::UnknownKey) => {
                    "; give verifiers the feed_public_keys of GET /v1/keys"
                }
                ApplyError::FromTheFuture { .. } => "; correct the clocks",
                _ => "; see what answers at this address, and the log of the control plane",
            };
            return Finding::failed(FEED, format!("{}: {error}{advice}", error.code()));
        }
    };
    let FeedSeen { position, issued_at, valid_until } = seen;
    let age = now.saturating_sub(issued_at);
    if valid_until < now {
        let detail = format!(
            "the newest statement is {age} s old and not valid any more, so verifiers answer 503; \
             see /readyz and the log of the control plane"
        );
        return Finding::failed(FEED, detail);
    }
    let left = valid_until.saturating_sub(now);
    let detail = format!("at the position {position}, signed {age} s ago, valid for {left} s");
    match age {
        0..=AGE_WARNING_SECONDS => Finding::ok(FEED, detail),
        _ => Finding::warning(FEED, detail + ": verifiers allow 60 s by default; see the clocks"),
    }
}

/// Whether the issuer that was asked for is registered.
pub fn issuer_named(name: &str, registered: &[RegisteredIssuer]) -> Option<Finding> {
    if registered.iter().any(|one| one.name == name) {
        return None;
    }
    let known: Vec<&str> = registered.iter().map(|one| one.name.as_str()).collect();
    let known = if known.is_empty() { "none is".to_owned() } else { known.join(", ") };
    let detail = format!("no issuer is registered under this name; registered: {known}");
    Some(Finding::failed("issuer", detail).about(name))
}

/// What the discovery document of an issuer says: the address of its key set too, if it is good.
pub fn discovery(
    issuer: &RegisteredIssuer,
    source: &str,
    document: Result<&[u8], &str>,
) -> (Finding, Option<String>) {
    let address = document.map_err(str::to_owned);
    match address.and_then(|document| jwks_address(&issuer.issuer, source, document)) {
        Ok(address) => {
            (Finding::ok("discovery", format!("it names the keys {address}")), Some(address))
        }
        Err(error) => {
            let detail =
                format!("{error}; correct the issuer or the discovery_uri of the registration");
            (Finding::failed("discovery", detail), None)
        }
    }
}

/// Which keys of a fetched set are used, and which are left out and why.
pub fn key_set(check: &'static str, keys: Result<&KeySet, &str>) -> Finding {
    let keys = match keys {
        Ok(keys) => keys,
        Err(error) => {
            let detail = format!("{error}; verifiers that fetch it find no keys");
            return Finding::failed(check, detail);
        }
    };
    if let Err(error) = keys.check_usable() {
        let detail = format!("{error}; correct the algorithms of the registration");
        return Finding::failed(check, detail);
    }
    let used = keys.keys().iter().take(MOST_LISTED).map(|key| {
        let kid = key.kid().map_or("without kid".to_owned(), |kid| Shown::new(kid).into());
        format!("{kid} {}", key.algorithm().name())
    });
    let mut detail =
        format!("{} used ({})", keys.keys().len(), used.collect::<Vec<_>>().join(", "));
    if !keys.refused().is_empty() {
        let left_out = keys.refused().iter().take(MOST_LISTED).map(ToString::to_string);
        let left_out = left_out.collect::<Vec<_>>().join("; ");
        detail += &format!(", {} left out ({left_out})", keys.refused().len());
    }
    Finding::ok(check, detail)
}

/// What arrived last at a receiver.
pub fn receiver_events(receiver: &SeenReceiver, now: u64) -> Finding {
    let age = |at: u64| format!("{} s ago", now.saturating_sub(at));
    let check = "receiver_events";
    match (&receiver.last_error, receiver.accepted_at) {
        (Some(error), accepted_at) if accepted_at.is_none_or(|at| at <= error.at) => {
            let (age, code) = (age(error.at), Shown::new(&error.code));
            let detail = format!("the last event, {age}, failed: {code}: {}", error.detail);
            Finding::warning(check, detail)
        }
        (_, Some(at)) => {
            let (age, accepted) = (age(at), receiver.accepted);
            Finding::ok(check, format!("the last event arrived {age}, {accepted} have revoked"))
        }
        (_, None) => {
            Finding::ok(check, "nothing has arrived since the process started; log out to try it")
        }
    }
}

/// Whether the public address of a receiver has refused its [`Probe`] as documented.
pub fn public_address(address: &str, probe: Probe, answer: Result<(u16, &[u8]), &str>) -> Finding {
    let check = "receiver_address";
    let advice = "the provider must reach it: see the proxy in front of the control plane";
    let (status, body) = match answer {
        Ok(answer) => answer,
        Err(error) => return Finding::failed(check, format!("{error}; {advice}")),
    };
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let members = ["code", "error_description", "description"];
    let has_code = |name| body.as_ref().and_then(|body| body.get(name)) == Some(&probe.code.into());
    if status == probe.status && members.into_iter().any(has_code) {
        return Finding::ok(check, format!("{address} answers"));
    }
    let expected = format!("{} {}", probe.status, probe.code);
    let detail =
        format!("{address} answers {status} to a wrong request, expected {expected}; {advice}");
    Finding::failed(check, detail)
}

impl Probe {
    /// The probe of a kind of receiver.
    pub fn of(receiver: &str) -> Option<Self> {
        let (method, media_type, status, code) = match receiver {
            "backchannel-logout" => {
                ("POST", "application/x-www-form-urlencoded", 400, "missing_token")
            }
            "events" => ("POST", "text/plain", 400, "unsupported_media_type"),
            "global-token-revocation" => ("POST", "text/plain", 415, "unsupported_media_type"),
            // Every post is an event to it, and every get a challenge.
            "webhook" => ("PUT", "text/plain", 405, "method_not_allowed"),
            _ => return None,
        };
        Some(Self { method, media_type, status, code })
    }
}

const CONTROL_PLANE: &str = "control_plane";
const CLOCK: &str = "clock";
const API_KEY: &str = "api_key";
const FEED: &str = "feed";
const CLOCK_WARNING_SECONDS: u64 = 5;
const CLOCK_FAILURE_SECONDS: u64 = 60;
/// Half of what verifiers allow by default.
const AGE_WARNING_SECONDS: u64 = 30;
/// Until an API key expires.
const SOON_SECONDS: u64 = 7 * 86_400;
const MOST_LISTED: usize = 8;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // O06.
    #[test]
    fn a_clock_may_differ_by_five_seconds_and_must_not_by_more_than_sixty() {
        for (served_at, expected) in [
            (Some(1000), Outcome::Ok),
            (Some(999), Outcome::Ok),
            (Some(1006), Outcome::Ok),
            (Some(1007), Outcome::Warning),
            (Some(994), Outcome::Ok),
            (Some(993), Outcome::Warning),
            (Some(939), Outcome::Warning),
            (Some(938), Outcome::Failed),
            (Some(1061), Outcome::Warning),
            (Some(1062), Outcome::Failed),
            (Some(u64::MAX), Outcome::Failed),
            (None, Outcome::Skipped),
        ] {
            assert_eq!(clock(served_at, 1000, 1001).result, expected, "{served_at:?}");
        }
    }

    // O06.
    #[test]
    fn findings_of_the_store_are_repeated() {
        let finding =
            |fatal| json!({ "code": "store_evicts", "detail": "it evicts", "fatal": fatal });
        let body = json!({
            "ready": true, "position": "1.2", "store_reachable": true,
            "findings": [finding(false), finding(true)],
        });
        let (is_ours, findings) = readiness(200, Some(&body));
        let results: Vec<_> = findings.iter().map(|one| (one.check, one.result)).collect();
        let expected = [
            ("control_plane", Outcome::Ok),
            ("store", Outcome::Warning),
            ("store", Outcome::Failed),
        ];
        assert!(is_ours && results == expected, "{findings:?}");
        for (status, body) in [(404, None), (200, Some(json!({}))), (200, Some(json!([1])))] {
            assert!(!readiness(status, body.as_ref()).0, "{status} {body:?}");
        }
    }

    // O06.
    #[test]
    fn an_old_statement_of_the_feed_is_a_warning_and_one_past_its_validity_a_failure() {
        let position = Position { era: 1, seq: 2 };
        for (age, valid_for, expected) in [(30, 60, "Ok"), (31, 60, "Warning"), (61, 60, "Failed")]
        {
            let seen = FeedSeen { position, issued_at: 1000, valid_until: 1000 + valid_for };
            let found = feed(Ok(seen), 1000 + age);
            assert_eq!(format!("{:?}", found.result), expected, "{found:?}");
        }
    }
}
