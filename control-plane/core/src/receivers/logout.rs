//! Logout tokens (OpenID Connect Back-Channel Logout 1.0, section 2.6).

use std::collections::BTreeMap;

use offswitch_snapshot::ClaimValue;
use serde_json::Value;

use super::{BackchannelLogout, Refusal, Revokes, Signed};
use crate::issuers::Registration;
use crate::revoking::{Named, Target};

/// What a logout token asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logout {
    /// Its `jti`: the same token again is the same logout.
    pub id: String,
    /// What to revoke.
    pub named: Named,
}

/// Judges a logout token at `now` (unix seconds), whose signature is checked.
///
/// A session is revoked by its id. A user gets a cut-off at the token's own `iat`: that is the time of the
/// provider's clock, as the `iat` of its access tokens is.
///
/// # Errors
///
/// Which rule of section 2.6 the token breaks.
pub fn logout(
    signed: &Signed,
    issuer: &Registration,
    receiver: &BackchannelLogout,
    now: u64,
) -> Result<Logout, Refusal> {
    // Providers from before the type was registered send `JWT`, or none.
    if let Some(typ) = signed.typ.as_deref().filter(|typ| !TYPES.contains(typ)) {
        let typ = offswitch_verifier::Shown::new(typ);
        let detail = format!("typ is {typ}, expected logout+jwt, JWT or none");
        return Err(Refusal::new("wrong_type", detail));
    }
    signed.check_parties(&issuer.issuer, &receiver.client_ids)?;
    // `exp` came with the final specification: earlier drafts did not have it.
    let iat = signed.check_times(issuer.clock_skew_seconds, MAX_AGE_SECONDS, now)?;
    let event = signed.claims.get("events").and_then(|events| events.get(EVENT));
    if !event.is_some_and(Value::is_object) {
        let detail = format!("events must have the member {EVENT}, an object");
        return Err(Refusal::new("not_a_logout_token", detail));
    }
    // Else an ID token could be passed off as a logout token, and the other way round.
    if signed.claims.contains_key("nonce") {
        return Err(Refusal::new("nonce_present", "a logout token has no nonce"));
    }
    let id = signed.id("jti")?.ok_or_else(|| signed.lacks("jti"))?.to_owned();
    // Tokens that have no session's id can only be revoked by their user.
    let revokes = if issuer.session_claim.is_some() { receiver.revokes } else { Revokes::User };
    let (target, issued_before) = match (signed.id("sid")?, signed.id("sub")?, revokes) {
        (Some(sid), _, Revokes::Session) => (Target::Session(sid.to_owned()), None),
        // A token of the same second may be older than the logout.
        (_, Some(sub), _) => (user(sub), Some(iat.saturating_add(1))),
        (Some(_), None, Revokes::User) => {
            let detail = "sub is missing, and the receiver revokes users: by its registration, or because \
                          tokens of this issuer have no session_id_claim";
            return Err(Refusal::new("missing_claim", detail));
        }
        (None, None, _) => {
            return Err(Refusal::new("missing_claim", "sub and sid are missing"));
        }
    };
    let issuer = Some(issuer.issuer.clone());
    Ok(Logout { id, named: Named { target, exp: None, issued_before, issuer } })
}

/// The `sub` of a logout token is that of an ID token: where another claim is the user's id in access
/// tokens, those with this `sub` are meant all the same.
fn user(sub: &str) -> Target {
    let sub = ClaimValue::Text(sub.to_owned().into());
    Target::Claims(BTreeMap::from([("sub".to_owned(), sub)]))
}

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const TYPES: [&str; 2] = ["logout+jwt", "jwt"];
/// How old a logout token may be. Request ids are remembered for longer, so that no token that is
/// still accepted is a new request when it comes again.
pub const MAX_AGE_SECONDS: u64 = 600;

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::issuers::{Definition, Issuers};
    use crate::receivers::Receivers;

    fn registration(revokes: Revokes) -> (Registration, BackchannelLogout) {
        let receiver = BackchannelLogout { client_ids: vec!["app".to_owned()], revokes };
        let definition = Definition {
            issuer: IDP.to_owned(),
            receivers: Receivers {
                backchannel_logout: Some(receiver.clone()),
                ..Receivers::default()
            },
            ..Definition::default()
        };
        (definition.check("idp", &Issuers::new("own")).unwrap(), receiver)
    }

    fn claims(change: &Value) -> Map<String, Value> {
        let mut claims = json!({
            "iss": IDP, "aud": "app", "iat": NOW, "exp": NOW + 120, "jti": "j", "sub": "alice",
            "sid": "s-1", "events": { EVENT: {} },
        });
        for (name, value) in change.as_object().unwrap() {
            match value {
                // A member to leave out.
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        claims.as_object().unwrap().clone()
    }

    fn judged(typ: Option<&str>, change: &Value, revokes: Revokes) -> Result<Logout, &'static str> {
        let (registration, receiver) = registration(revokes);
        let signed = Signed { typ: typ.map(str::to_owned), kid: None, claims: claims(change) };
        logout(&signed, &registration, &receiver, NOW).map_err(|refusal| refusal.code)
    }

    // I10, I08: a session by its id, a user up to the provider's own time.
    #[test]
    fn a_session_is_revoked_by_its_id_and_a_user_up_to_the_time_of_the_provider() {
        let named = |change: Value, revokes| {
            let Named { target, issued_before, .. } =
                judged(Some("logout+jwt"), &change, revokes).unwrap().named;
            (target, issued_before)
        };
        let session = (Target::Session("s-1".to_owned()), None);
        assert_eq!(named(json!({}), Revokes::Session), session);
        assert_eq!(named(json!({ "sub": null }), Revokes::Session), session);
        let alice = (user("alice"), Some(NOW - 29));
        assert_eq!(named(json!({ "sid": null, "iat": NOW - 30 }), Revokes::Session), alice);
        assert_eq!(named(json!({ "iat": NOW - 30 }), Revokes::User), alice);
        // An issuer whose tokens have no session's id.
        let (mut bare, receiver) = registration(Revokes::Session);
        bare.session_claim = None;
        let of = |change| {
            let signed = Signed { typ: None, kid: None, claims: claims(&change) };
            logout(&signed, &bare, &receiver, NOW).map(|asked| asked.named.target)
        };
        assert_eq!(of(json!({})), Ok(user("alice")));
        assert_eq!(of(json!({ "sub": null })).unwrap_err().code, "missing_claim");
    }

    // I10: every rule of section 2.6, with what is just accepted beside it.
    #[test]
    fn each_rule_of_the_specification_refuses_by_its_own_code() {
        for (typ, change, code) in [
            (None, json!({}), None),
            (Some("jwt"), json!({}), None),
            (Some("at+jwt"), json!({}), Some("wrong_type")),
            (Some("secevent+jwt"), json!({}), Some("wrong_type")),
            (None, json!({ "aud": ["other", "app"] }), None),
            (None, json!({ "aud": "other" }), Some("wrong_audience")),
            (None, json!({ "aud": [] }), Some("wrong_audience")),
            (None, json!({ "aud": { "app": 1 } }), Some("malformed")),
            (None, json!({ "aud": null }), Some("missing_claim")),
            (None, json!({ "iss": "https://idp.example/" }), Some("wrong_issuer")),
            (None, json!({ "iss": null }), Some("missing_claim")),
            (None, json!({ "iat": null }), Some("missing_claim")),
            (None, json!({ "iat": "1" }), Some("malformed")),
            (None, json!({ "iat": NOW + 60 }), None),
            (None, json!({ "iat": NOW + 61 }), Some("not_yet_valid")),
            (None, json!({ "exp": NOW - 59 }), None),
            (None, json!({ "exp": NOW - 60 }), Some("expired")),
            (None, json!({ "exp": -1 }), Some("malformed")),
            (None, json!({ "exp": null, "iat": NOW - 600 }), None),
            (None, json!({ "exp": null, "iat": NOW - 601 }), Some("too_old")),
            (None, json!({ "iat": NOW - 601 }), Some("too_old")),
            (None, json!({ "events": null }), Some("not_a_logout_token")),
            (None, json!({ "events": [EVENT] }), Some("not_a_logout_token")),
            (None, json!({ "events": { EVENT: true } }), Some("not_a_logout_token")),
            (None, json!({ "events": { "http://other": {} } }), Some("not_a_logout_token")),
            (None, json!({ "events": { EVENT: { "more": 1 }, "http://other": {} } }), None),
            (None, json!({ "nonce": "n" }), Some("nonce_present")),
            (None, json!({ "nonce": false }), Some("nonce_present")),
            (None, json!({ "jti": null }), Some("missing_claim")),
            (None, json!({ "jti": "" }), Some("malformed")),
            (None, json!({ "jti": "x".repeat(257) }), Some("malformed")),
            (None, json!({ "sid": 7 }), Some("malformed")),
            (None, json!({ "sub": "" }), Some("malformed")),
            (None, json!({ "sub": null, "sid": null }), Some("missing_claim")),
        ] {
            assert_eq!(judged(typ, &change, Revokes::Session).err(), code, "{typ:?} {change}");
        }
        let no_sub = json!({ "sub": null });
        assert_eq!(judged(None, &no_sub, Revokes::User).err(), Some("missing_claim"));
    }

    const IDP: &str = "https://idp.example";
    const NOW: u64 = 2_000_000_000;
}
