//! How old the feed may be, and the verdicts with a stale one.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use offswitch_verifier::Applied;
use offswitch_verifier::snapshot::Content;
use offswitch_verifier::{IssuerConfig, Jws, OnStale, Presentation, Staleness, Verifier};
use serde_json::json;
use support::feed::{History, Record, VALID_SECONDS, signer};
use support::{ISSUER, Minter, NOW, claims_with, feed};

// S07: the age counts from the newest signed statement, and not one second more is allowed.
#[test]
fn a_feed_is_stale_one_second_after_its_largest_age() {
    let mut verifier = verifier(60, OnStale::Deny);
    verifier.apply(history().base(2), NOW).unwrap();
    for (after, code) in
        [(0, "valid"), (60, "valid"), (61, "stale_snapshot"), (9999, "stale_snapshot")]
    {
        assert_eq!(code_at(&verifier, NOW + after), code, "{after}");
    }
    let verdict = verifier.verify(&token(), NOW + 61);
    assert_eq!(verdict.evidence.age_seconds, Some(61));
    assert_eq!(verdict.evidence.position.unwrap().to_string(), "1.2");
}

// S07: the feed's own end of validity counts too, with ten seconds for clocks that differ.
#[test]
fn a_feed_is_stale_once_its_own_validity_has_passed() {
    let mut verifier = verifier(86_400, OnStale::Deny);
    verifier.apply(history().base(2), NOW).unwrap();
    let end = NOW + VALID_SECONDS + 10;
    assert_eq!(code_at(&verifier, end), "valid");
    assert_eq!(code_at(&verifier, end + 1), "stale_snapshot");
    // A heartbeat makes it fresh again.
    verifier.apply(history().range(2, 2, end), end + 1).unwrap();
    assert_eq!(code_at(&verifier, end + 1), "valid");
}

// S07: the largest valid_until neither wraps nor keeps a feed fresh beyond its maximum age.
#[test]
fn the_largest_valid_until_does_not_outdo_the_largest_age() {
    let mut verifier = verifier(60, OnStale::Deny);
    let to = history().floor(2);
    let from = history().floor(0);
    let content = Content {
        from,
        to,
        issued_at: NOW,
        valid_until: u64::MAX,
        salt: feed::SALT,
        ..Content::default()
    };
    verifier.apply(signer().sign(&content), NOW).unwrap();
    assert_eq!(code_at(&verifier, NOW + 60), "valid");
    assert_eq!(code_at(&verifier, NOW + 61), "stale_snapshot");
}

// S07: if configured so, a stale feed is still used, and only to refuse.
#[test]
fn a_stale_feed_is_accepted_only_if_configured() {
    for (on_stale, code) in [(OnStale::Deny, "stale_snapshot"), (OnStale::Allow, "valid")] {
        let mut verifier = verifier(60, on_stale);
        assert_eq!(code_at(&verifier, NOW), "no_snapshot");
        verifier.apply(history().base(2), NOW).unwrap();
        assert_eq!(code_at(&verifier, NOW + 500), code);
        let revoked = Minter::new("EdDSA").token(&claims_with("exp", (NOW + 100_000).into()));
        assert_eq!(verifier.verify(&revoked, NOW + 500).code(), "revoked_token");
        // A fork is never accepted.
        let other = History::new(1, vec![Record::Token(3), Record::Token(4)]);
        verifier.apply(other.base(2), NOW).unwrap_err();
        assert_eq!(code_at(&verifier, NOW), "feed_fork");
    }
}

// S07: a feed that repeats an old statement becomes stale, however often it is repeated.
#[test]
fn a_repeated_or_older_statement_does_not_freshen_the_feed() {
    let history = history();
    let mut verifier = verifier(60, OnStale::Deny);
    verifier.apply(history.base(2), NOW).unwrap();
    verifier.apply(history.range(2, 4, NOW + 20), NOW + 20).unwrap();
    let age = |verifier: &Verifier| verifier.feed().age_seconds(NOW + 100);
    assert_eq!(age(&verifier), Some(80));
    for (bytes, applied) in [
        (history.range(4, 4, NOW + 10), Applied::Refreshed),
        (history.range(2, 4, NOW + 20), Applied::Ignored),
        (history.base(2), Applied::Ignored),
        // Newer, but not about everything that the verifier holds.
        (history.range(0, 3, NOW + 90), Applied::Replaced),
        (history.range(2, 3, NOW + 90), Applied::Ignored),
        (history.range(2, 2, NOW + 90), Applied::Ignored),
        (history.range(0, 3, NOW + 95), Applied::Ignored),
    ] {
        assert_eq!(verifier.apply(bytes, NOW + 100), Ok(applied));
        assert_eq!(age(&verifier), Some(80));
    }
    assert_eq!(code_at(&verifier, NOW + 100), "stale_snapshot");
    assert_eq!(verifier.apply(history.range(4, 4, NOW + 90), NOW + 100), Ok(Applied::Refreshed));
    assert_eq!(age(&verifier), Some(10));
}

// S07: a verifier whose clock is behind accepts up to five minutes, then refuses; a clock that is
// set back makes nothing wrap.
#[test]
fn a_statement_from_the_future_is_refused_beyond_the_skew() {
    let mut verifier = verifier(60, OnStale::Deny);
    let error = verifier.apply(history().base(2), NOW - 301).unwrap_err();
    assert_eq!(error.code(), "snapshot_from_the_future");
    assert_eq!(verifier.apply(history().base(2), NOW - 300), Ok(Applied::Replaced));
    assert_eq!(verifier.feed().age_seconds(0), Some(0));
    assert_eq!(verifier.feed().age_seconds(u64::MAX), Some(u64::MAX - NOW));
    assert!(verifier.feed().is_past_validity(u64::MAX));
    let to = history().floor(2);
    let content = Content {
        from: history().floor(0),
        to,
        issued_at: u64::MAX,
        valid_until: u64::MAX,
        ..Content::default()
    };
    let error = verifier.apply(signer().sign(&content), NOW).unwrap_err();
    assert_eq!(error.code(), "snapshot_from_the_future");
}

// D87: a feed dated in the future, and a clock that is set back, do not extend the time: the held
// state also ages by the verifier's own monotonic clock.
#[test]
fn freshness_never_outlives_the_largest_age_of_real_time() {
    for (issued_at, now) in [(NOW + 200, NOW), (NOW, NOW)] {
        let mut verifier = verifier(60, OnStale::Deny);
        verifier.feed_mut().tick(1000);
        verifier.apply(history().range(0, 2, issued_at), now).unwrap();
        for (uptime, code) in [(1000, "valid"), (1060, "valid"), (1061, "stale_snapshot")] {
            verifier.feed_mut().tick(uptime);
            assert_eq!(code_at(&verifier, now), code, "{uptime}");
        }
        assert_eq!(verifier.evidence(now).age_seconds, Some(61));
        // The same statement again proves nothing, a newer one does; the monotonic clock never goes
        // back.
        verifier.apply(history().range(0, 2, issued_at), now).unwrap();
        assert_eq!(code_at(&verifier, now), "stale_snapshot");
        verifier.feed_mut().tick(5);
        assert_eq!(code_at(&verifier, now), "stale_snapshot");
        verifier.apply(history().range(2, 2, issued_at + 1), now).unwrap();
        assert_eq!(code_at(&verifier, now), "valid");
    }
}

// D87: the feed's own validity is counted in the same way.
#[test]
fn validity_is_counted_in_real_time_too() {
    let mut verifier = verifier(86_400, OnStale::Deny);
    verifier.apply(history().range(0, 2, NOW + 200), NOW).unwrap();
    verifier.feed_mut().tick(VALID_SECONDS + 10);
    assert_eq!(code_at(&verifier, NOW), "valid");
    verifier.feed_mut().tick(VALID_SECONDS + 11);
    assert_eq!(code_at(&verifier, NOW), "stale_snapshot");
}

fn history() -> History {
    History::new(1, vec![Record::Token(1), Record::Token(2), Record::Token(3), Record::Token(4)])
}

/// The verdict on a token that is not revoked and valid long enough.
fn code_at(verifier: &Verifier, now: u64) -> &'static str {
    verifier.verify(&token(), now).code()
}

fn token() -> String {
    let mut claims = claims_with("jti", "token-14".into());
    claims["exp"] = (NOW + 100_000).into();
    Minter::new("EdDSA").token(&claims)
}

const DAY: u64 = 86_400;

// E06: a clock that is a day behind does not keep an old snapshot fresh. A snapshot that is dated a
// day ahead is not accepted, but it proves the earliest possible time.
#[test]
fn a_clock_that_is_behind_makes_the_held_state_stale() {
    for on_stale in [OnStale::Deny, OnStale::Allow] {
        let mut verifier = verifier(60, on_stale);
        verifier.apply(history().base(2), NOW).unwrap();
        let mut tomorrow = claims_with("iat", (NOW + DAY).into());
        tomorrow["exp"] = json!(NOW + DAY + 600);
        let fresh = Minter::new("EdDSA").token(&tomorrow);
        let old = Minter::new("EdDSA").token(&claims_with("jti", json!("old")));
        assert_eq!(verifier.verify(&old, NOW).code(), "valid");
        assert_eq!(verifier.verify(&fresh, NOW).code(), "not_yet_valid");
        verifier.apply(history().range(2, 2, NOW + DAY), NOW).unwrap_err();
        // By one clock the old token has expired and the new one has started, by the other neither.
        // The verifier cannot know which clock is right, under any policy: a snapshot makes no
        // token valid.
        for token in [&old, &fresh] {
            let verdict = serde_json::to_value(verifier.verify(token, NOW)).unwrap();
            assert_eq!(verdict["outcome"], "undecided");
            assert_eq!(verdict["code"], "clock_skew");
            let text =
                format!("this verifier's clock ({NOW}) is {DAY} s behind the control plane's");
            assert!(verdict["detail"].as_str().unwrap().starts_with(&text), "{verdict}");
        }
        assert_eq!(verifier.verify(&fresh, NOW).evidence.age_seconds, Some(DAY));
        // A statement that fits our clock again: the other clock was wrong.
        verifier.apply(history().range(2, 2, NOW + 1), NOW).unwrap();
        assert_eq!(verifier.verify(&old, NOW).code(), "valid");
        assert_eq!(verifier.verify(&fresh, NOW).code(), "not_yet_valid");
    }
}

// D17: an attacker replays a snapshot that was signed under a fast clock. Good tokens become
// undecided until the next fresh snapshot, and are never refused; tokens that our own clock refuses
// stay refused.
#[test]
fn a_replayed_snapshot_from_the_future_expires_no_token() {
    let mut verifier = verifier(60, OnStale::Deny);
    verifier.apply(history().base(2), NOW).unwrap();
    let minter = Minter::new("EdDSA");
    let token = |name, value: u64| {
        let mut claims = claims_with("jti", json!("good"));
        claims["exp"] = json!(NOW + 4000);
        claims[name] = json!(value);
        minter.token(&claims)
    };
    let cases = [
        (token("exp", NOW + 600), "clock_skew"),
        (token("exp", NOW + 31), "clock_skew"),
        (token("exp", NOW - 30), "expired"),
        (token("exp", NOW + 4000), "stale_snapshot"),
        (token("nbf", NOW + 31), "clock_skew"),
        (token("nbf", NOW + 1031), "not_yet_valid"),
        (token("iss", 1), "malformed"),
    ];
    verifier.apply(history().range(2, 2, NOW + 1000), NOW).unwrap_err();
    for (token, code) in &cases {
        assert_eq!(verifier.verify(token, NOW).code(), *code);
    }
    verifier.apply(history().range(2, 2, NOW + 2), NOW + 2).unwrap();
    assert_eq!(verifier.verify(&cases[0].0, NOW + 2).code(), "valid");
}

// D114, D88: our clock is up to five minutes behind, so that snapshots are accepted, or the feed's
// clock is ahead by that. A fresh login is undecided until our clock has caught up, and never
// refused.
#[test]
fn a_fresh_login_is_undecided_while_snapshots_show_that_the_clock_is_behind() {
    for behind in [0, 30, 31, 60, 299, 300] {
        let ours = NOW - behind;
        let mut verifier = verifier(60, OnStale::Deny);
        verifier.apply(history().base(2), ours).unwrap();
        let mut login = claims_with("iat", json!(NOW));
        login["jti"] = json!("login");
        let token = Minter::new("EdDSA").token(&login);
        let code = if behind <= 30 { "valid" } else { "clock_skew" };
        assert_eq!(verifier.verify(&token, ours).code(), code, "{behind}");
        if code == "clock_skew" {
            assert_eq!(verifier.verify(&token, NOW - 30).code(), "valid", "{behind}");
        }
        // A token in the future even by the feed's clock is refused as before.
        login["iat"] = json!(NOW + 31);
        let later = Minter::new("EdDSA").token(&login);
        assert_eq!(verifier.verify(&later, ours).code(), "not_yet_valid", "{behind}");
    }
}

// E06: a session that was opened after everything held shows that the feed is behind.
#[test]
fn a_token_of_a_later_session_shows_that_the_feed_is_behind() {
    let mut verifier = verifier(60, OnStale::Deny);
    verifier.apply(history().base(2), NOW).unwrap();
    for (version, is_behind) in [(1, false), (2, false), (3, true)] {
        let mut claims = claims_with("ver", version.into());
        claims["jti"] = json!("new");
        let token = Minter::new("EdDSA").token(&claims);
        let jws = Jws::parse(&token).unwrap();
        let (standing, _) = verifier.admit(&jws).unwrap();
        assert_eq!(verifier.is_behind(&standing), is_behind, "{version}");
        assert_eq!(
            verifier.judge(&standing, Presentation::Bearer, NOW, Staleness::Configured),
            Ok(())
        );
    }
}

// A caller may pass a stricter or laxer policy than the configured one.
#[test]
fn the_allowed_age_of_the_feed_can_be_set_for_one_verdict() {
    for on_stale in [OnStale::Deny, OnStale::Allow] {
        let mut verifier = verifier(60, on_stale);
        verifier.apply(history().base(2), NOW).unwrap();
        let jws = token();
        let (standing, _) = verifier.admit(&Jws::parse(&jws).unwrap()).unwrap();
        let at = |after, staleness| {
            verifier.judge(&standing, Presentation::Bearer, NOW + after, staleness).is_ok()
        };
        assert!(at(5, Staleness::AtMost(5)) && !at(6, Staleness::AtMost(5)));
        assert!(at(90, Staleness::AtMost(90)) && at(400, Staleness::Any));
        assert_eq!(at(61, Staleness::Configured), on_stale == OnStale::Allow);
    }
}

fn verifier(max_staleness_seconds: u64, on_stale: OnStale) -> Verifier {
    let minter = Minter::new("EdDSA");
    let rules = IssuerConfig { max_lifetime_seconds: 604_800, ..minter.rules() };
    let mut config = support::config(vec![rules]);
    config.feed.max_staleness_seconds = max_staleness_seconds;
    config.feed.on_stale = on_stale;
    let mut verifier = Verifier::new(config).unwrap();
    verifier.set_keys(ISSUER, minter.keys());
    verifier
}

// E03, S07: a verifier that is rebuilt from the held base is as fresh as before.
#[test]
fn of_two_bases_that_end_at_one_position_the_one_signed_later_is_held() {
    let mut verifier = verifier(60, OnStale::Deny);
    let [first, later] = [NOW, NOW + 30].map(|issued_at| history().range(0, 2, issued_at));
    assert_eq!(verifier.feed().base(), None);
    for (bytes, held, applied) in [
        (&first, &first, Applied::Replaced),
        (&later, &later, Applied::Refreshed),
        (&first, &later, Applied::Refreshed),
    ] {
        assert_eq!(verifier.apply(bytes.clone(), NOW + 30), Ok(applied));
        assert_eq!(verifier.feed().base(), Some(&held[..]));
    }
    // A delta is applied on top; the base stays as it was signed.
    verifier.apply(history().range(2, 4, NOW + 31), NOW + 31).unwrap();
    assert_eq!(verifier.feed().base(), Some(&later[..]));
}
