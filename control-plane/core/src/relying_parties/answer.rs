//! What a relying party's answer means, and how long to wait before the next attempt.

use serde_json::Value;

/// What came of an attempt to deliver a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The relying party has it.
    Delivered,
    /// It is tried again.
    Failed {
        /// The stable code.
        code: &'static str,
        /// What was found and what was expected, in words.
        detail: String,
        /// The seconds that the relying party asks for before the next attempt.
        retry_after: Option<u64>,
    },
    /// The relying party refuses this notice, so it is not sent again.
    Refused {
        /// What was found, in words.
        detail: String,
    },
}

/// Judges an answer: its status, its `Retry-After`, and the beginning of its body.
///
/// 400 is what both specifications answer to a token that is wrong, and it is final. Every other refusal
/// is about the address or the relying party, and an operator or time can mend it.
pub fn judge(status: u16, retry_after: Option<&str>, body: &[u8]) -> Outcome {
    match status {
        200..=299 => Outcome::Delivered,
        400 => Outcome::Refused { detail: format!("answers 400{}", error_in(body)) },
        300..=399 => {
            let detail = format!("answers {status}; redirects are not followed");
            Outcome::Failed { code: UNEXPECTED_STATUS, detail, retry_after: None }
        }
        _ => Outcome::Failed {
            code: UNEXPECTED_STATUS,
            detail: format!("answers {status}"),
            retry_after: retry_after.and_then(|text| text.trim().parse().ok()),
        },
    }
}

/// How long to pause after so many failures in a row: twice as long after each, up to 5 minutes, with a
/// quarter more or less by `random`, so that many senders do not return together. A longer time that the
/// relying party asks for counts, up to an hour.
pub fn pause_seconds(failures: u32, retry_after: Option<u64>, random: u32) -> f64 {
    let doubled = 1_u32 << failures.saturating_sub(1).min(MOST_DOUBLINGS);
    let base = f64::from(doubled).min(LONGEST_PAUSE_SECONDS);
    let share = f64::from(random) / f64::from(u32::MAX);
    let pause = base * (0.75 + share / 2.0);
    let asked = retry_after.unwrap_or_default().min(LONGEST_ASKED_SECONDS);
    let asked = u32::try_from(asked).map_or(0.0, f64::from);
    pause.max(asked)
}

/// The error code in a body as of RFC 6749 section 5.2 or RFC 8935 section 2.4, if it is a plain one.
/// Nothing else of a body is repeated: a relying party decides what is in it.
fn error_in(body: &[u8]) -> String {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let member = |name: &str| parsed.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let code = member("err").or_else(|| member("error"));
    let is_code = |text: &String| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        (1..=MAX_CODE_BYTES).contains(&text.len()) && text.bytes().all(is_plain)
    };
    code.filter(is_code).map(|code| format!(", {code}")).unwrap_or_default()
}

/// The code of a status that is neither success nor a refusal.
pub const UNEXPECTED_STATUS: &str = "unexpected_status";
/// The code of a notice that was refused.
pub const REFUSED: &str = "refused";
const LONGEST_PAUSE_SECONDS: f64 = 300.0;
/// 512 seconds, which is more than the longest pause.
const MOST_DOUBLINGS: u32 = 9;
const LONGEST_ASKED_SECONDS: u64 = 3600;
const MAX_CODE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    // L04: only 400 is final; a redirect is not followed.
    #[test]
    fn only_400_is_final_and_everything_else_is_tried_again() {
        for status in [200, 202, 204] {
            assert_eq!(judge(status, None, b""), Outcome::Delivered);
        }
        let refused = |body: &[u8]| judge(400, None, body);
        let plain = Outcome::Refused { detail: "answers 400".to_owned() };
        assert_eq!(refused(b""), plain);
        assert_eq!(refused(b"<script>"), plain);
        assert_eq!(refused(br#"{"error":"a b\n"}"#), plain);
        let named = Outcome::Refused { detail: "answers 400, invalid_request".to_owned() };
        assert_eq!(refused(br#"{"error":"invalid_request"}"#), named);
        assert_eq!(refused(br#"{"err":"invalid_request","description":"secret"}"#), named);
        for status in [301, 307, 401, 403, 404, 413, 429, 500, 503, 599] {
            let outcome = judge(status, Some("7"), b"{}");
            let Outcome::Failed { code, retry_after, .. } = outcome else { panic!("{status}") };
            assert_eq!(code, UNEXPECTED_STATUS);
            assert_eq!(retry_after, (status >= 400).then_some(7), "{status}");
        }
        for text in ["soon", "-1", "99999999999999999999", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            let outcome = judge(503, Some(text), b"");
            assert!(matches!(outcome, Outcome::Failed { retry_after: None, .. }), "{text}");
        }
    }

    // L04: pauses grow, differ, and have an end.
    #[test]
    fn pauses_double_up_to_five_minutes_and_respect_what_is_asked_for() {
        let middle = u32::MAX / 2;
        let pauses =
            [1, 2, 3, 9, 10, u32::MAX].map(|count| pause_seconds(count, None, middle).round());
        assert_eq!(pauses, [1.0, 2.0, 4.0, 256.0, 300.0, 300.0]);
        assert_eq!(pause_seconds(3, None, 0), 3.0);
        assert_eq!(pause_seconds(3, None, u32::MAX), 5.0);
        assert_eq!(pause_seconds(1, Some(40), 0), 40.0);
        assert_eq!(pause_seconds(12, Some(40), 0), 225.0);
        assert_eq!(pause_seconds(1, Some(u64::MAX), 0), 3600.0);
    }
}
