//! A receiver answers everything that a sender signs or posts: it never panics, and an accepted
//! event is a revocation of its own issuer that verifiers enforce. I10, I11, I12, I13.

mod support;

use offswitch_core::issuers::{Definition, Issuers, Registration};
use offswitch_core::receivers::{
    BackchannelLogout, EventReceiver, Genuine, GlobalRevocation, Receivers, Revokes, Scheme,
    Sender, Webhook, authentication, event, global_revocation, logout, open, webhook,
};
use offswitch_core::record::{Record, Revocation};
use offswitch_core::revoking::{Named, Rules};
use offswitch_snapshot::Salt;
use proptest::prelude::*;
use serde_json::{Value, json};

const IDP: &str = "https://idp.example";
const NOW: u64 = 1_800_000_000;
const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";
const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

fn registration() -> Registration {
    let claims = || [("email".to_owned(), "email".to_owned())].into();
    let receivers = Receivers {
        backchannel_logout: Some(BackchannelLogout {
            client_ids: vec!["me".to_owned()],
            revokes: Revokes::Session,
        }),
        events: Some(EventReceiver {
            audiences: vec!["me".to_owned()],
            subject_claims: claims(),
            ..EventReceiver::default()
        }),
        global_token_revocation: Some(GlobalRevocation {
            audiences: vec!["me".to_owned()],
            subject_claims: claims(),
            ..GlobalRevocation::default()
        }),
        webhook: Some(Webhook { preset: Some("clerk".to_owned()), ..Webhook::default() }),
    };
    let definition = Definition { issuer: IDP.to_owned(), receivers, ..Definition::default() };
    definition.check("idp", &Issuers::new("own")).unwrap()
}

/// The revocation belongs to the issuer, and fits into a snapshot.
fn is_enforced(registration: &Registration, named: Named) {
    let mut issuers = Issuers::new("own");
    let revocations = vec![Revocation::Issuer {
        name: "idp".to_owned(),
        registration: Box::new(registration.clone()),
    }];
    let mut record = Record { at: NOW, by: String::new(), reason: None, revocations };
    record.effects(1, Salt::default(), &mut issuers);
    let rules = Rules { issuers: issuers.clone().into(), max_revocation_seconds: 86_400 };
    // An event that is too late, or names more than verifiers accept, is refused there.
    let Ok(revocation) = named.check(&rules, NOW) else { return };
    assert_eq!(revocation.issuer(), Some(IDP));
    record.revocations = vec![revocation];
    let effects = record.effects(2, Salt::default(), &mut issuers);
    assert_eq!(effects.denied.len() + effects.cutoffs.len(), 1);
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (NOW - 700..NOW + 400).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        prop::sample::select(vec![
            "me", IDP, "", "alice", "iss_sub", "opaque", "email", "complex", "aliases"
        ])
        .prop_map(Value::from),
        (250..260usize).prop_map(|count| Value::from("x".repeat(count))),
    ];
    let name = prop::sample::select(vec![
        "format",
        "iss",
        "sub",
        "id",
        "user",
        "session",
        "identifiers",
        "email",
        "subject",
        "jti",
        LOGOUT,
        REVOKED,
        "https://schemas.openid.net/secevent/ssf/event-type/stream-updated",
        "status",
    ]);
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(name.clone(), inner, 0..4).prop_map(|members| {
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }),
        ]
    })
}

/// Good claims of one kind, some of them replaced or missing.
fn claims() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "iss", "aud", "iat", "exp", "jti", "sub", "sid", "nonce", "events", "sub_id", "type",
        "data",
    ]);
    prop::collection::hash_map(name, prop::option::of(json_value()), 0..3).prop_map(|changes| {
        let mut claims = json!({
            "iss": IDP, "aud": "me", "iat": NOW, "exp": NOW + 60, "jti": "j", "sid": "s",
            "events": { LOGOUT: {}, REVOKED: {} },
            "sub_id": { "format": "iss_sub", "iss": IDP, "sub": "alice" },
            "type": "session.ended", "data": { "id": "s" },
        });
        for (name, value) in changes {
            match value {
                Some(value) => claims[name] = value,
                None => drop(claims.as_object_mut().unwrap().remove(name)),
            }
        }
        claims
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    // I10, I11, I12
    #[test]
    fn signed_statements_of_any_content_are_answered(
        claims in claims(),
        typ in prop::sample::select(vec!["logout+jwt", "secevent+jwt", "global-token-revocation+jwt"]),
    ) {
        let registration = registration();
        let (token, jwks) = support::signed(typ, &claims);
        let Receivers { backchannel_logout, events, global_token_revocation, .. } = &registration.receivers;
        let signed = open(&token, &jwks, &Sender::of(&registration)).unwrap();
        if let Ok(asked) = logout(&signed, &registration, backchannel_logout.as_ref().unwrap(), NOW) {
            assert_eq!(typ, "logout+jwt");
            is_enforced(&registration, asked.named);
        }
        if let Ok(found) = event(&signed, &registration, events.as_ref().unwrap(), NOW) {
            assert_eq!(typ, "secevent+jwt");
            found.named.into_iter().for_each(|named| is_enforced(&registration, named));
        }
        let shown = authentication(&signed, &registration, global_token_revocation.as_ref().unwrap(), NOW);
        assert!(shown.is_err() || typ == "global-token-revocation+jwt");
    }

    // I12, I13
    #[test]
    fn bodies_of_any_content_are_answered(claims in claims(), at in prop::option::of(any::<u64>())) {
        let (registration, body) = (registration(), claims.to_string());
        let Receivers { global_token_revocation, webhook: receiver, .. } = &registration.receivers;
        let genuine = Genuine { id: None, at };
        let receiver = receiver.as_ref().unwrap();
        let found = webhook(&genuine, body.as_bytes(), &registration, receiver, NOW);
        found.into_iter().flatten().for_each(|named| is_enforced(&registration, named));
        let list = Webhook {
            events_pointer: Some(String::new()),
            time_pointer: Some("/iat".to_owned()),
            ..receiver.clone()
        };
        for list_body in [format!("[{body},{body}]"), format!("{body}\n{body}"), format!("{body}]")] {
            let found = webhook(&genuine, list_body.as_bytes(), &registration, &list, NOW);
            found.into_iter().flatten().for_each(|named| is_enforced(&registration, named));
        }
        let receiver = global_token_revocation.as_ref().unwrap();
        let found = global_revocation(body.as_bytes(), at, &registration, receiver);
        found.into_iter().for_each(|named| is_enforced(&registration, named));
    }

    // I13
    #[test]
    fn signatures_of_any_text_are_refused(
        text in "(v1[,=])?([0-9a-f]{64}|t=[0-9]{0,20}[, ]v1=[0-9a-f]{0,66}|.{0,40})( v1,[A-Za-z0-9+/=]{0,50}){0,3}",
        time in "[0-9]{0,21}|.{0,6}", id in ".{0,6}",
    ) {
        let header = |name: &str| match name {
            "webhook-id" => Some(id.as_str()),
            "webhook-timestamp" | "x-time" => Some(time.as_str()),
            _ => Some(text.as_str()),
        };
        let named = || "x-signature".to_owned();
        for scheme in [
            Scheme::Standard,
            Scheme::Stamped { header: named() },
            Scheme::Hmac {
                header: named(),
                prefix: "v1=".to_owned(),
                encoding: Default::default(),
                timestamp_header: Some("x-time".to_owned()),
            },
            Scheme::Shared { header: named(), prefix: "v1=".to_owned() },
        ] {
            let secrets = ["whsec_bmV3IHNlY3JldCBvZiAyNCBieXRlcyEh", "a secret of the provider"];
            assert!(scheme.verify(header, b"x", &secrets, NOW).is_err());
        }
    }
}
