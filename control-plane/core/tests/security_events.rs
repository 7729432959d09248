//! The examples of the Shared Signals specifications (SSF 1.0, CAEP 1.0, RISC 1.0), signed and
//! judged as they would arrive, and events that must be refused. I11.

mod support;

use offswitch_core::issuers::{Definition, Issuers, Registration};
use offswitch_core::receivers::{
    Action, Event, EventReceiver, Receivers, Refusal, StreamState, event, open,
};
use offswitch_core::revoking::{Named, Target};
use serde_json::{Value, json};

const VECTORS: &str = include_str!("vectors/security-events.json");
const IDP: &str = "https://idp.example.com/";
const NOW: u64 = 1_800_000_000;
const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";

fn registration(issuer: &str, receiver: EventReceiver) -> Registration {
    let definition = Definition {
        issuer: issuer.to_owned(),
        jwks_uri: Some("https://idp.example.com/keys".to_owned()),
        receivers: Receivers { events: Some(receiver), ..Receivers::default() },
        ..Definition::default()
    };
    definition.check("idp", &Issuers::new("own")).unwrap()
}

fn receiver(audience: &str) -> EventReceiver {
    EventReceiver { audiences: vec![audience.to_owned()], ..EventReceiver::default() }
}

/// Signs the claims and lets them be judged.
fn judged(
    registration: &Registration,
    typ: &str,
    claims: &Value,
    now: u64,
) -> Result<Event, Refusal> {
    let (token, jwks) = support::signed(typ, claims);
    let receiver = registration.receivers.events.as_ref().unwrap();
    let signed = open(&token, &jwks, &receiver.sender(registration))?;
    event(&signed, registration, receiver, now)
}

/// The effect of an event, in words; the cut-off is compared with `iat`.
fn in_words(judged: Result<Event, Refusal>, iat: u64) -> String {
    let Event { named, stream, .. } = match judged {
        Ok(event) => event,
        Err(refusal) => return refusal.code.to_owned(),
    };
    match stream {
        Some(StreamState::Verified { .. }) => return "verified".to_owned(),
        Some(StreamState::Updated(status)) => return status.to_owned(),
        None => {}
    }
    let one = |Named { target, issued_before, .. }: &Named| match target {
        Target::Session(id) => format!("session {id}"),
        Target::Token(id) => format!("token {id}"),
        Target::User(id) => {
            assert_eq!(*issued_before, Some(iat + 1));
            format!("user {id}")
        }
        Target::Claims(claims) => {
            assert_eq!(*issued_before, Some(iat + 1));
            let (path, value) = claims.first_key_value().unwrap();
            format!("{path} {}", format!("{value:?}").split('"').nth(1).unwrap())
        }
        Target::Key(_) => "key".to_owned(),
    };
    match named.as_slice() {
        [] => "nothing".to_owned(),
        named => named.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

// I11: each example of the specifications, by the defaults, and with claims for e-mail addresses.
#[test]
fn the_examples_of_the_specifications_revoke_what_they_name() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors.len(), 24);
    for vector in vectors {
        let (claims, source) = (&vector["claims"], &vector["source"]);
        let transmitter = claims["iss"].as_str().unwrap();
        let audience = claims["aud"].as_str().or(claims["aud"][0].as_str()).unwrap();
        let subject = &claims["sub_id"];
        let issuer = subject["iss"].as_str().or(subject["user"]["iss"].as_str());
        let issuer = issuer.unwrap_or(transmitter);
        let mut receiver =
            EventReceiver { issuer: Some(transmitter.to_owned()), ..receiver(audience) };
        let iat = claims["iat"].as_u64().unwrap();
        let judge = |receiver| {
            let registration = registration(issuer, receiver);
            in_words(judged(&registration, "secevent+jwt", claims, iat + 5), iat)
        };
        assert_eq!(judge(receiver.clone()), vector["revokes"], "{source}");
        receiver.subject_claims =
            ["email", "phone_number"].map(|one| (one.to_owned(), one.to_owned())).into();
        let mapped = vector.get("with_subject_claims").unwrap_or(&vector["revokes"]);
        assert_eq!(&judge(receiver), mapped, "{source}");
    }
}

fn claims(event: &str, subject: &Value, change: &Value) -> Value {
    let mut claims = json!({
        "iss": IDP, "aud": "me", "iat": NOW, "jti": "j", "sub_id": subject, "events": { event: {} },
    });
    for (name, value) in change.as_object().unwrap() {
        match value {
            // A member to leave out.
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

// I11: the defaults, and the operator's table instead of them.
#[test]
fn the_table_decides_what_an_event_revokes() {
    let alice = json!({ "format": "iss_sub", "iss": IDP, "sub": "alice" });
    let both = json!({
        "format": "complex", "user": alice, "session": { "format": "opaque", "id": "s" },
    });
    let plain = registration(IDP, receiver("me"));
    let of = |registration: &Registration, event: &str, subject: &Value| {
        let claims = claims(event, subject, &json!({}));
        in_words(judged(registration, "secevent+jwt", &claims, NOW), NOW)
    };
    for (event, expected) in [
        (format!("{CAEP}session-revoked"), "session s"),
        (format!("{CAEP}credential-change"), "sub alice"),
        (format!("{CAEP}token-claims-change"), "sub alice"),
        (format!("{CAEP}device-compliance-change"), "nothing"),
        (format!("{CAEP}session-established"), "nothing"),
        (format!("{RISC}account-disabled"), "sub alice"),
        (format!("{RISC}account-purged"), "sub alice"),
        (format!("{RISC}account-enabled"), "nothing"),
        (format!("{RISC}credential-compromise"), "sub alice"),
        (format!("{RISC}sessions-revoked"), "sub alice"),
        ("https://events.example/unknown".to_owned(), "nothing"),
    ] {
        assert_eq!(of(&plain, &event, &both), expected, "{event}");
    }
    let actions = [
        (format!("{CAEP}session-revoked"), Action::User),
        (format!("{RISC}account-disabled"), Action::Ignore),
        (format!("{CAEP}credential-change"), Action::Session),
        ("https://events.example/unknown".to_owned(), Action::User),
    ];
    let changed = EventReceiver { actions: actions.into(), ..receiver("me") };
    let changed = registration(IDP, changed);
    assert_eq!(of(&changed, &format!("{CAEP}session-revoked"), &both), "sub alice");
    assert_eq!(of(&changed, &format!("{RISC}account-disabled"), &both), "nothing");
    assert_eq!(of(&changed, &format!("{CAEP}credential-change"), &both), "session s");
    assert_eq!(of(&changed, "https://events.example/unknown", &both), "sub alice");
}

// I11: subjects by RFC 9493: simple, complex, of several names, and in the form before SSF 1.0.
#[test]
fn subjects_are_read_in_each_format() {
    let mapped = EventReceiver {
        subject_claims: [("email".to_owned(), "/contact/email".to_owned())].into(),
        ..receiver("me")
    };
    let registration = registration(IDP, mapped);
    let session = format!("{CAEP}session-revoked");
    let user = format!("{RISC}account-disabled");
    let opaque = json!({ "format": "opaque", "id": "x" });
    let email = json!({ "format": "email", "email": "a@example.com" });
    let sub = json!({ "format": "iss_sub", "iss": IDP, "sub": "alice" });
    for (event, subject, expected) in [
        (&session, opaque.clone(), "session x"),
        (&user, opaque.clone(), "user x"),
        (&session, sub.clone(), "sub alice"),
        (&user, json!({ "format": "jwt_id", "iss": IDP, "jti": "t" }), "token t"),
        (&user, email.clone(), "/contact/email a@example.com"),
        (
            &user,
            json!({ "format": "aliases", "identifiers": [{ "format": "did", "url": "did:a" }, email, sub] }),
            "/contact/email a@example.com",
        ),
        (
            &user,
            json!({ "format": "aliases", "identifiers": [{ "format": "aliases", "identifiers": [sub] }] }),
            "unsupported_subject",
        ),
        (&user, json!({ "format": "did", "url": "did:a" }), "unsupported_subject"),
        (&user, json!({ "format": "complex", "user": opaque, "device": opaque }), "user x"),
        (
            &session,
            json!({ "format": "complex", "session": { "format": "iss_sub", "iss": IDP, "sub": "s" } }),
            "session s",
        ),
        (&user, json!({ "format": "complex", "tenant": opaque }), "unsupported_subject"),
        (&user, json!({ "user": sub, "tenant": opaque }), "sub alice"),
        (&user, json!({ "subject_type": "iss-sub", "iss": IDP, "sub": "alice" }), "sub alice"),
        (
            &user,
            json!({ "format": "iss_sub", "iss": "https://other.example", "sub": "alice" }),
            "foreign_subject",
        ),
        (&user, json!({ "format": "iss_sub", "sub": "alice" }), "malformed"),
        (&user, json!({ "format": "iss_sub", "iss": IDP, "sub": "" }), "malformed"),
        (&user, json!({ "format": "iss_sub", "iss": IDP, "sub": "x".repeat(257) }), "malformed"),
        (&user, json!({ "format": "iss_sub", "iss": IDP, "sub": 7 }), "malformed"),
        (&user, json!({ "format": "complex", "user": "alice" }), "malformed"),
        (&user, json!({}), "malformed"),
        (&user, json!("alice"), "malformed"),
    ] {
        let claims = claims(event, &subject, &json!({}));
        let found = in_words(judged(&registration, "secevent+jwt", &claims, NOW), NOW);
        assert_eq!(found, expected, "{subject}");
    }
    let legacy = json!({ "events": { &user: { "subject": sub } }, "sub_id": null });
    let legacy = claims(&user, &json!(null), &legacy);
    assert_eq!(in_words(judged(&registration, "secevent+jwt", &legacy, NOW), NOW), "sub alice");
}

// I11: events that are no security event of this transmitter for this receiver.
#[test]
fn each_rule_refuses_by_its_own_code() {
    let registration = registration(IDP, receiver("me"));
    let user = format!("{RISC}account-disabled");
    let alice = json!({ "format": "iss_sub", "iss": IDP, "sub": "alice" });
    for (typ, change, expected) in [
        ("secevent+jwt", json!({}), "sub alice"),
        ("application/secevent+jwt", json!({ "exp": NOW + 1 }), "sub alice"),
        ("JWT", json!({}), "wrong_type"),
        ("logout+jwt", json!({}), "wrong_type"),
        ("secevent+jwt", json!({ "iss": "https://other.example" }), "wrong_issuer"),
        ("secevent+jwt", json!({ "aud": "you" }), "wrong_audience"),
        ("secevent+jwt", json!({ "aud": null }), "missing_claim"),
        ("secevent+jwt", json!({ "iat": null }), "missing_claim"),
        ("secevent+jwt", json!({ "iat": NOW + 61 }), "not_yet_valid"),
        ("secevent+jwt", json!({ "iat": NOW - 604_801 }), "too_old"),
        ("secevent+jwt", json!({ "exp": NOW - 60 }), "expired"),
        ("secevent+jwt", json!({ "jti": null }), "missing_claim"),
        ("secevent+jwt", json!({ "events": null }), "malformed"),
        ("secevent+jwt", json!({ "events": {} }), "malformed"),
        ("secevent+jwt", json!({ "events": [user] }), "malformed"),
        ("secevent+jwt", json!({ "events": { &user: "now" } }), "malformed"),
        (
            "secevent+jwt",
            json!({ "events": { "a:1": {}, "a:2": {}, "a:3": {}, "a:4": {}, "a:5": {}, "a:6": {}, "a:7": {}, "a:8": {}, "a:9": {} } }),
            "malformed",
        ),
        (
            "secevent+jwt",
            json!({ "events": { &user: {}, "https://alias.example": {} } }),
            "sub alice",
        ),
        ("secevent+jwt", json!({ "sub_id": null, "sub": "alice" }), "missing_claim"),
    ] {
        let claims = claims(&user, &alice, &change);
        let found = in_words(judged(&registration, typ, &claims, NOW), NOW);
        assert_eq!(found, expected, "{typ} {change}");
    }
}

// I11: a receiver that would accept events for any audience, or look nothing up, cannot be
// registered.
#[test]
fn a_wrong_receiver_of_events_is_refused() {
    let good = || receiver("me");
    let pair = |a: &str, b: &str| [(a.to_owned(), b.to_owned())].into();
    for wrong in [
        EventReceiver::default(),
        EventReceiver { issuer: Some(String::new()), ..good() },
        EventReceiver { jwks_uri: Some("http://idp.example/keys".to_owned()), ..good() },
        EventReceiver { subject_claims: pair("iss_sub", "sub"), ..good() },
        EventReceiver { subject_claims: pair("email", ""), ..good() },
        EventReceiver { actions: [("no uri".to_owned(), Action::User)].into(), ..good() },
    ] {
        let receivers = Receivers { events: Some(wrong.clone()), ..Receivers::default() };
        let definition = Definition { issuer: IDP.to_owned(), receivers, ..Definition::default() };
        let refused = definition.check("idp", &Issuers::new("own")).unwrap_err();
        assert_eq!(refused.field, "receivers", "{wrong:?}");
    }
}
