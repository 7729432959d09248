//! Relying parties: whether the notices of ended sessions arrive there.

use offswitch_verifier::Shown;
use serde::Deserialize;

use super::{Finding, SeenError};

/// A relying party, as `GET /v1/relying-parties` describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SeenRelyingParty {
    /// Its name.
    pub name: String,
    /// How many notices it has accepted.
    pub delivered: u64,
    /// How many were given up.
    pub given_up: u64,
    /// When it last accepted one, unix seconds.
    pub delivered_at: Option<u64>,
    /// Why the last attempt failed that did.
    pub last_error: Option<SeenError>,
    /// When the session ended whose notice waits for longest, unix seconds.
    pub waiting_since: Option<u64>,
}

/// Whether its notices arrive.
pub fn relying_party(party: &SeenRelyingParty, now: u64) -> Finding {
    let error = party.last_error.as_ref();
    let error = error.filter(|error| party.delivered_at.is_none_or(|at| at <= error.at));
    let finding = match (error, party.waiting_since) {
        (Some(SeenError { code, detail, .. }), Some(since)) => {
            let age = now.saturating_sub(since);
            let detail = format!(
                "a session that ended {age} s ago is not known there: {}: {detail}",
                Shown::new(code)
            );
            Finding::failed(RELYING_PARTY, detail)
        }
        _ if party.given_up > 0 => {
            let detail = format!(
                "{} notice(s) were given up: sessions may go on there that have ended",
                party.given_up
            );
            Finding::warning(RELYING_PARTY, detail)
        }
        _ => Finding::ok(RELYING_PARTY, format!("{} notice(s) have arrived", party.delivered)),
    };
    finding.about(&party.name)
}

const RELYING_PARTY: &str = "relying_party";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // O06: what is being retried fails, what was given up is a warning, and what arrived since is forgotten.
    #[test]
    fn notices_that_do_not_arrive_are_found() {
        let found = |delivered_at, given_up, waiting_since| {
            let party = json!({
                "name": "shop", "delivered": 1, "given_up": given_up, "delivered_at": delivered_at,
                "last_error": { "at": 50, "code": "no_answer", "detail": "refused" },
                "waiting_since": waiting_since,
            });
            let party = serde_json::from_value(party).unwrap();
            format!("{:?}", relying_party(&party, 100).result)
        };
        let none = || json!(null);
        assert_eq!(found(none(), 0, json!(40)), "Failed");
        assert_eq!(found(json!(50), 0, json!(40)), "Failed");
        assert_eq!(found(json!(60), 0, json!(70)), "Ok");
        assert_eq!(found(json!(60), 0, none()), "Ok");
        assert_eq!(found(json!(60), 2, none()), "Warning");
    }
}
