//! Time limits that more than one rule depends on.

use std::time::Duration;

use offswitch_verifier::MAX_LEEWAY_SECONDS;

/// When an entry whose tokens expired at `exp` may be removed from the base: after the largest
/// leeway that a verifier may have, and [`MARGIN_SECONDS`]. If it were removed earlier, a revoked
/// token would be valid again at a verifier with a slow clock.
pub fn leaves_at(exp: u64) -> u64 {
    exp.saturating_add(MAX_LEEWAY_SECONDS).saturating_add(MARGIN_SECONDS)
}

/// No access token lives longer, with any configuration. A revoked session or user stays
/// in the base this long, so that no older token becomes valid when `access_token_seconds` is
/// lowered. Verifiers refuse tokens of this control plane that live longer.
pub const LONGEST_ACCESS_TOKEN_SECONDS: u64 = offswitch_verifier::OWN_LIFETIME_SECONDS;

/// Allows for clocks that differ, and for processes that read the log or the keys late.
pub const MARGIN_SECONDS: u64 = 300;

/// How long a request id that the caller chose is remembered; the caller may send it again.
pub const REQUEST_MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a request id that the control plane made up is remembered: only the store itself sends
/// it again, after a broken connection, and each remembered id costs Redis about 200 bytes.
pub const UNNAMED_REQUEST_MEMORY: Duration = Duration::from_secs(120);
