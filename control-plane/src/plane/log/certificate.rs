//! Finds the certificate for HTTPS that expires soon, or has expired.

use std::ops::Range;

use crate::clock::utc;
use crate::store::Finding;

/// What an operator must know at `now` about a certificate that is valid in this time (both in unix seconds). Renewal
/// is usual with a third of the time left (RFC 9773 section 4); with a sixth left it has probably failed.
pub(super) fn finding(valid: &Range<u64>, now: u64) -> Option<Finding> {
    let lifetime = valid.end.saturating_sub(valid.start);
    if valid.end.saturating_sub(now) > lifetime / 6 {
        return None;
    }
    let ends = if valid.end <= now { "has expired at" } else { "expires at" };
    let detail = format!(
        "the certificate for HTTPS {ends} {}: renew the file tls_certificate_file, which is then read without a restart",
        utc(valid.end)
    );
    Some(Finding { code: "certificate_expires", detail, fatal: false })
}

#[cfg(test)]
mod tests {
    use super::{Range, finding};

    const DAY: u64 = 86_400;

    fn detail(now: u64) -> Option<String> {
        finding(&(1_767_225_600..1_767_225_600 + 90 * DAY), now).map(|one| one.detail)
    }

    #[test]
    fn a_certificate_is_found_when_a_sixth_of_its_time_is_left_and_after_its_end() {
        assert_eq!(detail(1_767_225_600), None);
        assert_eq!(detail(1_767_225_600 + 75 * DAY - 1), None);
        assert!(
            detail(1_767_225_600 + 75 * DAY).unwrap().contains("expires at 2026-04-01T00:00:00Z")
        );
        assert!(detail(1_767_225_600 + 90 * DAY).unwrap().contains("has expired at 2026-04-01"));
    }

    #[test]
    fn a_certificate_whose_times_make_no_sense_is_found() {
        assert!(finding(&Range { start: 20, end: 10 }, 15).is_some());
    }
}
