//! What a relying party is sent about an ended session: the claims of a logout token, or of a security
//! event token.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Delivery, RelyingParty};
use crate::record::{HOLDER, OWN_ACT, Record, Revocation};
use crate::session::{Session, SessionId};

/// The sessions of this control plane that one revocation ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Every session that was open: a red button.
    All,
    /// One session.
    Session(SessionId),
    /// Those of a user that are older than the revocation.
    User {
        /// The user.
        sub: String,
        /// Sessions with a lower version.
        version: u64,
    },
}

impl Ending {
    /// What `revocation`, which is in the record at `seq`, ends; none if that is no session of this
    /// control plane.
    pub fn of(revocation: &Revocation, seq: u64) -> Option<Self> {
        match revocation {
            Revocation::Refresh { sid, .. } | Revocation::Session { issuer: None, sid, .. } => {
                sid.parse().ok().map(Self::Session)
            }
            Revocation::Sessions => Some(Self::All),
            Revocation::User { issuer: None, sub, .. } => {
                Some(Self::User { sub: sub.clone(), version: seq })
            }
            Revocation::Claims { .. }
            | Revocation::Epoch { .. }
            | Revocation::Horizon { .. }
            | Revocation::Issuer { .. }
            | Revocation::IssuerRemoved { .. }
            | Revocation::Key { .. }
            | Revocation::Session { .. }
            | Revocation::Token { .. }
            | Revocation::User { .. } => None,
        }
    }

    /// True if it ends `session`. A red button is not asked: whether it has ended a session is known to
    /// the fold alone.
    pub fn names(&self, session: &Session) -> bool {
        match self {
            Self::All => false,
            Self::Session(id) => session.id == *id,
            Self::User { sub, version } => session.sub == *sub && session.version < *version,
        }
    }
}

/// True if the record ends sessions of this control plane.
pub fn ends_sessions(record: &Record) -> bool {
    record.revocations.iter().any(|one| Ending::of(one, 0).is_some())
}

/// Who ended a session (CAEP 1.0 section 2, `initiating_entity`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initiator {
    /// A caller of the API: an operator, or an application for its user.
    Caller,
    /// The control plane: a used refresh token came back, or the user has too many sessions.
    Policy,
    /// The holder of a token.
    User,
}

impl Initiator {
    /// Who made a record, by its `by`.
    pub fn of(by: &str) -> Self {
        match by {
            HOLDER => Self::User,
            OWN_ACT => Self::Policy,
            _ => Self::Caller,
        }
    }

    fn name(self) -> Option<&'static str> {
        match self {
            Self::Caller => None,
            Self::Policy => Some("policy"),
            Self::User => Some("user"),
        }
    }
}

/// What a relying party is sent about one session, or about a user of whom no session is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The session's id. Without it, all sessions of the user have ended.
    pub sid: Option<String>,
    /// The user, if known.
    pub sub: Option<String>,
    /// When it ended, unix seconds.
    pub at: u64,
    /// Who ended it.
    pub initiator: Initiator,
}

impl Notice {
    /// The type of the token, and its claims as JSON. The same notice has the same `jti` again, and
    /// within a minute the same text: a relying party that gets it twice can tell.
    pub fn token(
        &self,
        issuer: &str,
        name: &str,
        party: &RelyingParty,
        now: u64,
    ) -> (&'static str, String) {
        let mut claims = json!({ "iss": issuer, "aud": party.audience, "jti": self.id(name) });
        let members = claims.as_object_mut();
        let typ = members.map_or("", |claims| match party.delivery {
            Delivery::BackchannelLogout { session_required, .. } => {
                self.add_logout(claims, session_required, now);
                "logout+jwt"
            }
            Delivery::Push { .. } => {
                self.add_event(claims, issuer);
                "secevent+jwt"
            }
        });
        (typ, claims.to_string())
    }

    /// OpenID Connect Back-Channel Logout 1.0 section 2.4. Relying parties refuse tokens that are some
    /// minutes old, so the token of a late notice is dated when it is sent.
    ///
    /// A relying party that requires `sid` gets no `sub` with it: some end all sessions of a user that they
    /// are given.
    fn add_logout(&self, claims: &mut Map<String, Value>, session_required: bool, now: u64) {
        let is_by_session = session_required && self.sid.is_some();
        let iat = self.at.max(now - now % SAME_SECONDS);
        claims.insert("iat".to_owned(), iat.into());
        claims.insert("exp".to_owned(), iat.saturating_add(LOGOUT_TOKEN_SECONDS).into());
        claims.insert("events".to_owned(), json!({ LOGOUT: {} }));
        claims.extend(self.sid.iter().map(|sid| ("sid".to_owned(), sid.as_str().into())));
        let sub = self.sub.iter().filter(|_| !is_by_session);
        claims.extend(sub.map(|sub| ("sub".to_owned(), sub.as_str().into())));
    }

    /// CAEP 1.0 section 3.1, with a complex subject (SSF 1.0 section 3.3). It has no `exp` and no `sub`
    /// (SSF 1.0 section 4.1), and is dated when the session ended.
    fn add_event(&self, claims: &mut Map<String, Value>, issuer: &str) {
        let mut subject = Map::from_iter([("format".to_owned(), "complex".into())]);
        if let Some(sid) = &self.sid {
            subject.insert("session".to_owned(), json!({ "format": "opaque", "id": sid }));
        }
        if let Some(sub) = &self.sub {
            let user = json!({ "format": "iss_sub", "iss": issuer, "sub": sub });
            subject.insert("user".to_owned(), user);
        }
        let mut event = json!({ "event_timestamp": self.at });
        if let Some(initiator) = self.initiator.name() {
            event["initiating_entity"] = initiator.into();
        }
        claims.insert("iat".to_owned(), self.at.into());
        claims.insert("sub_id".to_owned(), subject.into());
        claims.insert("events".to_owned(), json!({ SESSION_REVOKED: event }));
    }

    /// The `jti`. A session ends once, so its id is enough; the end of all sessions of a user has its
    /// time. The relying party's name keeps receivers of one token from recognising another's.
    fn id(&self, name: &str) -> String {
        let mut hash = Sha256::new();
        let at = self.at.to_string();
        let (sid, sub) = (self.sid.as_deref(), self.sub.as_deref());
        let named = match sid {
            Some(sid) => ["session", sid, ""],
            None => ["user", sub.unwrap_or_default(), at.as_str()],
        };
        for part in [name].into_iter().chain(named) {
            // The length comes first, so that no other parts give the same text.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        Base64UrlUnpadded::encode_string(&hash.finalize()[..JTI_BYTES])
    }
}

const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
/// Section 2.4 recommends two minutes at most.
const LOGOUT_TOKEN_SECONDS: u64 = 120;
/// A logout token that is sent again within this time is the same.
const SAME_SECONDS: u64 = 60;
const JTI_BYTES: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;

    fn party(delivery: Delivery) -> RelyingParty {
        RelyingParty { audience: "app".to_owned(), delivery }
    }

    fn logout() -> RelyingParty {
        party(Delivery::BackchannelLogout { uri: String::new(), session_required: false })
    }

    fn notice() -> Notice {
        let (sid, sub) = (Some("s-1".to_owned()), Some("alice".to_owned()));
        Notice { sid, sub, at: NOW, initiator: Initiator::Caller }
    }

    fn claims(notice: &Notice, party: &RelyingParty, now: u64) -> Value {
        serde_json::from_str(&notice.token("https://own.example", "shop", party, now).1).unwrap()
    }

    // L02: section 2.4 of the specification, and nothing else.
    #[test]
    fn a_logout_token_has_the_claims_of_the_specification() {
        let (typ, _) = notice().token("https://own.example", "shop", &logout(), NOW);
        assert_eq!(typ, "logout+jwt");
        let found = claims(&notice(), &logout(), NOW);
        let jti = found["jti"].as_str().unwrap().to_owned();
        let expected = json!({
            "iss": "https://own.example", "aud": "app", "jti": jti, "iat": NOW, "exp": NOW + 120,
            "sid": "s-1", "sub": "alice", "events": { LOGOUT: {} },
        });
        assert_eq!(found, expected);
        let without = Notice { sub: None, ..notice() };
        assert!(claims(&without, &logout(), NOW).get("sub").is_none());
        let by_session = Delivery::BackchannelLogout { uri: String::new(), session_required: true };
        let by_session = claims(&notice(), &party(by_session), NOW);
        assert_eq!((by_session.get("sub"), &by_session["sid"]), (None, &json!("s-1")));
    }

    // L02: SSF 1.0 section 4.1: no `sub`, no `exp`; the subject is in `sub_id`.
    #[test]
    fn a_security_event_names_the_session_and_the_user() {
        let push = party(Delivery::Push { endpoint_url: String::new() });
        let notice = Notice { initiator: Initiator::of(HOLDER), ..notice() };
        let (typ, _) = notice.token("https://own.example", "shop", &push, NOW + 9);
        assert_eq!(typ, "secevent+jwt");
        let found = claims(&notice, &push, NOW + 9);
        let jti = found["jti"].as_str().unwrap().to_owned();
        let expected = json!({
            "iss": "https://own.example", "aud": "app", "jti": jti, "iat": NOW,
            "sub_id": {
                "format": "complex",
                "session": { "format": "opaque", "id": "s-1" },
                "user": { "format": "iss_sub", "iss": "https://own.example", "sub": "alice" },
            },
            "events": { SESSION_REVOKED: { "event_timestamp": NOW, "initiating_entity": "user" } },
        });
        assert_eq!(found, expected);
    }

    // L03: a notice that is sent again is recognised; a late one is not refused for its age.
    #[test]
    fn the_same_notice_has_the_same_id_and_a_late_token_is_dated_when_it_is_sent() {
        let at = |now| claims(&notice(), &logout(), now);
        assert_eq!(at(NOW), at(NOW + 19));
        let late = at(NOW + 3_600);
        assert_eq!(late["jti"], at(NOW)["jti"]);
        let iat = late["iat"].as_u64().unwrap();
        assert!((NOW + 3_541..=NOW + 3_600).contains(&iat), "{iat}");
        // A process whose clock is behind the one that ended the session.
        assert_eq!(at(NOW - 5)["iat"], NOW);
        let other = |change: Notice, name: &str| {
            let text = change.token("https://own.example", name, &logout(), NOW).1;
            serde_json::from_str::<Value>(&text).unwrap()["jti"].clone()
        };
        let jti = at(NOW)["jti"].clone();
        assert_eq!(other(notice(), "shop"), jti);
        assert_ne!(other(notice(), "shoq"), jti);
        assert_ne!(other(Notice { sid: Some("s-2".to_owned()), ..notice() }, "shop"), jti);
        let user = Notice { sid: None, ..notice() };
        assert_ne!(other(user.clone(), "shop"), other(Notice { at: NOW + 1, ..user }, "shop"));
    }

    // L02: what ends no session of this control plane is not sent.
    #[test]
    fn only_revocations_that_end_own_sessions_are_endings() {
        let sid = SessionId::from_bytes([7; 24]).to_string();
        let session = |issuer: Option<&str>| Revocation::Session {
            issuer: issuer.map(str::to_owned),
            sid: sid.clone(),
            exp: 1,
        };
        let user = |issuer: Option<&str>| Revocation::User {
            issuer: issuer.map(str::to_owned),
            sub: "alice".to_owned(),
            issued_before: None,
            exp: 1,
        };
        let id = SessionId::from_bytes([7; 24]);
        assert_eq!(Ending::of(&session(None), 5), Some(Ending::Session(id)));
        let refresh = Revocation::Refresh { sid: sid.clone(), exp: 1 };
        assert_eq!(Ending::of(&refresh, 5), Some(Ending::Session(id)));
        let alice = Ending::User { sub: "alice".to_owned(), version: 5 };
        assert_eq!(Ending::of(&user(None), 5), Some(alice));
        assert_eq!(Ending::of(&Revocation::Sessions, 5), Some(Ending::All));
        for other in [
            session(Some("https://idp.example")),
            user(Some("https://idp.example")),
            Revocation::Epoch { issuer: None, epoch: 1 },
            Revocation::Key { issuer: None, kid: "k".to_owned() },
            Revocation::Token { issuer: None, jti: "j".to_owned(), exp: 1 },
            Revocation::Session { issuer: None, sid: "not-ours".to_owned(), exp: 1 },
        ] {
            assert_eq!(Ending::of(&other, 5), None, "{other:?}");
        }
    }

    /// 20 seconds into a minute.
    const NOW: u64 = 2_000_000_000;
}
