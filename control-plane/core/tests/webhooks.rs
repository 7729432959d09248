//! The signatures of webhooks, and the revocations by their events. tests/receivers has other
//! signers. I13.

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use offswitch_core::issuers::{Definition, Issuers, Registration};
use offswitch_core::receivers::{
    Genuine, HmacEncoding, Receivers, Scheme, Webhook, WebhookEvent, webhook,
};
use offswitch_core::revoking::Target;
use sha2::Sha256;

const NOW: u64 = 1_800_000_000;
const OLD: &str = "whsec_b2xkIHNlY3JldCBvZiAyNCBieXRlcyEh";
const NEW: &str = "whsec_bmV3IHNlY3JldCBvZiAyNCBieXRlcyEh";
const PLAIN: &str = "a secret of the provider";
const BODY: &[u8] = br#"{"type":"session.revoked","data":{"id":"sess_1"}}"#;

fn mac(key: &[u8], signed: &str, body: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.chain_update(signed).chain_update(body).finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A signature of Standard Webhooks.
fn v1(secret: &str, id: &str, time: &str, body: &[u8]) -> String {
    let key = Base64::decode_vec(secret.strip_prefix("whsec_").unwrap()).unwrap();
    format!("v1,{}", Base64::encode_string(&mac(&key, &format!("{id}.{time}."), body)))
}

fn verified(
    scheme: &Scheme,
    headers: &[(&str, &str)],
    body: &[u8],
    secrets: &[&str],
) -> Result<Genuine, &'static str> {
    let header = |name: &str| headers.iter().find(|(one, _)| *one == name).map(|(_, value)| *value);
    scheme.verify(header, body, secrets, NOW).map_err(|refusal| refusal.code)
}

// I13: the bytes of the body, the time, the id, several signatures and several secrets.
#[test]
fn standard_webhooks_are_verified() {
    let now = NOW.to_string();
    let standard = |id: &str, time: &str, signature: &str, body: &[u8], secrets: &[&str]| {
        let headers =
            [("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", signature)];
        verified(&Scheme::Standard, &headers, body, secrets).map(|genuine| genuine.at)
    };
    let good = v1(NEW, "msg_1", &now, BODY);
    let rotating = format!("v1,AAAA {} v2,x {good}", v1(OLD, "msg_1", &now, BODY));
    assert_eq!(standard("msg_1", &now, &good, BODY, &[NEW]), Ok(Some(NOW)));
    assert_eq!(standard("msg_1", &now, &good, BODY, &[OLD, NEW]), Ok(Some(NOW)));
    assert_eq!(standard("msg_1", &now, &rotating, BODY, &[NEW]), Ok(Some(NOW)));
    let at = |time: u64| {
        let time = time.to_string();
        standard("msg_1", &time, &v1(NEW, "msg_1", &time, BODY), BODY, &[NEW]).err()
    };
    assert_eq!((at(NOW - 300), at(NOW + 300)), (None, None));
    assert_eq!((at(NOW - 301), at(NOW + 301)), (Some("too_old"), Some("not_yet_valid")));
    let spaced = [BODY, b" "].concat();
    let other_time = (NOW - 1).to_string();
    let cut = &good[..good.len() - 4];
    let many = format!("{}{good}", "v1,AAAA ".repeat(16));
    for (id, time, signature, body, secrets, code) in [
        ("msg_1", now.as_str(), good.as_str(), spaced.as_slice(), &[NEW][..], "bad_signature"),
        ("msg_2", &now, &good, BODY, &[NEW], "bad_signature"),
        ("msg_1", &other_time, &good, BODY, &[NEW], "bad_signature"),
        ("msg_1", &now, &good, BODY, &[OLD], "bad_signature"),
        ("msg_1", &now, &good, BODY, &[], "bad_signature"),
        ("msg_1", &now, cut, BODY, &[NEW], "bad_signature"),
        ("msg_1", &now, "v1,", BODY, &[NEW], "bad_signature"),
        ("msg_1", &now, "", BODY, &[NEW], "bad_signature"),
        ("msg_1", &now, &good.replace("v1,", "v1a,"), BODY, &[NEW], "bad_signature"),
        // A signature beyond the number that is checked.
        ("msg_1", &now, &many, BODY, &[NEW], "bad_signature"),
        // `whsec_` without a key, and a key that could be guessed.
        ("msg_1", &now, &good, BODY, &["whsec_", "whsec_AAAA"], "bad_signature"),
        ("", &now, &good, BODY, &[NEW], "malformed"),
        ("msg.1", &now, &good, BODY, &[NEW], "malformed"),
        ("msg_1", "-5", &good, BODY, &[NEW], "malformed"),
        ("msg_1", "99999999999999999999", &good, BODY, &[NEW], "malformed"),
        ("msg_1", "1e9", &good, BODY, &[NEW], "malformed"),
    ] {
        assert_eq!(
            standard(id, time, signature, body, secrets),
            Err(code),
            "{id} {time} {signature}"
        );
    }
    let svix = [("svix-id", "msg_1"), ("svix-timestamp", &now), ("svix-signature", &good)];
    let genuine = Genuine { id: Some("msg_1".to_owned()), at: Some(NOW) };
    assert_eq!(verified(&Scheme::Standard, &svix, BODY, &[NEW]), Ok(genuine));
    assert_eq!(verified(&Scheme::Standard, &svix[..2], BODY, &[NEW]), Err("missing_signature"));
    assert_eq!(verified(&Scheme::Standard, &[], BODY, &[NEW]), Err("missing_signature"));
}

// I13: WorkOS uses milliseconds, others seconds; several signatures use several secrets.
#[test]
fn stamped_signatures_are_verified() {
    let scheme = Scheme::Stamped { header: "workos-signature".to_owned() };
    let stamped = |time: u64, key: &str, body: &[u8]| {
        let signature = hex(&mac(key.as_bytes(), &format!("{time}."), body));
        let text = format!("t={time}, v1=00, v1={signature}");
        let headers = [("workos-signature", text.as_str())];
        verified(&scheme, &headers, BODY, &[PLAIN]).map(|genuine| genuine.at)
    };
    assert_eq!(stamped(NOW * 1000 + 7, PLAIN, BODY), Ok(Some(NOW)));
    assert_eq!(stamped(NOW, PLAIN, BODY), Ok(Some(NOW)));
    assert_eq!(stamped((NOW - 301) * 1000, PLAIN, BODY), Err("too_old"));
    assert_eq!(stamped(NOW, "another secret, as long", BODY), Err("bad_signature"));
    assert_eq!(stamped(NOW, PLAIN, b"{}"), Err("bad_signature"));
    for (text, code) in [
        ("v1=00", "missing_signature"),
        ("t=x,v1=00", "malformed"),
        ("t=1800000000", "bad_signature"),
    ] {
        let headers = [("workos-signature", text)];
        assert_eq!(verified(&scheme, &headers, BODY, &[PLAIN]), Err(code), "{text}");
    }
}

// I13: two events with one id are the same; without an id, an equal body at another time is a new
// event, which must not get the first one's answer: the user may have logged in between the two.
#[test]
fn an_event_without_an_id_is_another_one_at_another_time() {
    let id = |id: Option<&str>, at: Option<u64>, body: &[u8]| {
        Genuine { id: id.map(str::to_owned), at }.event_id(body)
    };
    assert_eq!(id(Some("msg_1"), Some(NOW), BODY), id(Some("msg_1"), Some(NOW + 60), BODY));
    assert_ne!(id(None, Some(NOW), BODY), id(None, Some(NOW + 60), BODY));
    assert_eq!(id(None, Some(NOW), BODY), id(None, Some(NOW), BODY));
    assert_ne!(id(None, Some(NOW), BODY), id(None, Some(NOW), b"{}"));
    assert_eq!(id(None, None, BODY), id(None, None, BODY));
}

// I13: any header with the HMAC of the body.
#[test]
fn plain_hmacs_are_verified() {
    let scheme = |prefix: &str, encoding, time: Option<&str>| Scheme::Hmac {
        header: "x-signature".to_owned(),
        prefix: prefix.to_owned(),
        encoding,
        timestamp_header: time.map(str::to_owned),
    };
    let now = NOW.to_string();
    let of = |signed: &str| mac(PLAIN.as_bytes(), signed, BODY);
    let prefixed = format!("sha256={}", hex(&of("")));
    let timed = Base64::encode_string(&of(&format!("{now}.")));
    let judge = |scheme: &Scheme, signature: &str| {
        let headers = [("x-signature", signature), ("x-time", now.as_str())];
        verified(scheme, &headers, BODY, &[PLAIN]).map(|genuine| genuine.at)
    };
    let hexed = scheme("sha256=", HmacEncoding::Hex, None);
    let base64 = scheme("", HmacEncoding::Base64, Some("x-time"));
    assert_eq!(judge(&hexed, &prefixed), Ok(None));
    assert_eq!(judge(&hexed, &prefixed.to_uppercase().replace("SHA", "sha")), Ok(None));
    assert_eq!(judge(&base64, &timed), Ok(Some(NOW)));
    assert_eq!(judge(&hexed, &prefixed["sha256=".len()..]), Err("bad_signature"));
    assert_eq!(judge(&hexed, &prefixed[..prefixed.len() - 2]), Err("bad_signature"));
    assert_eq!(judge(&base64, &Base64::encode_string(&of(""))), Err("bad_signature"));
    let untimed = [("x-signature", timed.as_str())];
    assert_eq!(verified(&base64, &untimed, BODY, &[PLAIN]), Err("missing_signature"));
}

// I13: a secret that is sent as it is, after its prefix, in one header.
#[test]
fn shared_secrets_are_compared_as_they_are() {
    let scheme =
        Scheme::Shared { header: "authorization".to_owned(), prefix: "Bearer ".to_owned() };
    let judge = |value: &str, secrets: &[&str]| {
        verified(&scheme, &[("authorization", value)], BODY, secrets).map(|genuine| genuine.at)
    };
    let good = format!("Bearer {PLAIN}");
    assert_eq!(judge(&good, &[PLAIN]), Ok(None));
    assert_eq!(judge(&good, &["another secret, as long", PLAIN]), Ok(None));
    for value in [
        PLAIN,
        "",
        "Bearer ",
        &format!("bearer {PLAIN}"),
        &format!("{good} "),
        &good[..good.len() - 1],
        &format!("Bearer {}", PLAIN.to_uppercase()),
    ] {
        assert_eq!(judge(value, &[PLAIN]), Err("bad_signature"), "{value}");
    }
    // No secret, none that is too short to be one, and no header.
    assert_eq!(judge("Bearer ", &[]), Err("bad_signature"));
    assert_eq!(judge("Bearer short", &["short"]), Err("bad_signature"));
    assert_eq!(judge("Bearer ", &[""]), Err("bad_signature"));
    assert_eq!(verified(&scheme, &[], BODY, &[PLAIN]), Err("missing_signature"));
}

fn registration(receiver: Webhook) -> Result<Registration, String> {
    let receivers = Receivers { webhook: Some(receiver), ..Receivers::default() };
    let issuer = "https://idp.example".to_owned();
    let definition = Definition { issuer, receivers, ..Definition::default() };
    definition.check("idp", &Issuers::new("own")).map_err(|refused| refused.detail)
}

fn judged(
    registration: &Registration,
    body: &str,
) -> Result<Option<(Target, Option<u64>)>, &'static str> {
    let genuine = Genuine { id: None, at: Some(NOW) };
    let receiver = registration.receivers.webhook.as_ref().unwrap();
    let named = webhook(&genuine, body.as_bytes(), registration, receiver, NOW);
    let named = named.map_err(|refusal| refusal.code)?;
    assert!(named.len() <= 1);
    Ok(named.into_iter().next().map(|named| (named.target, named.issued_before)))
}

// I13: the events of the presets, in the shapes that their providers document.
#[test]
fn presets_know_the_events_of_their_provider() {
    let preset = |name: &str| {
        registration(Webhook { preset: Some(name.to_owned()), ..Webhook::default() }).unwrap()
    };
    let (clerk, workos) = (preset("clerk"), preset("workos"));
    let session = |id: &str| Ok(Some((Target::Session(id.to_owned()), None)));
    let user = |id: &str| Ok(Some((Target::User(id.to_owned()), Some(NOW + 1))));
    for kind in ["session.ended", "session.removed", "session.revoked"] {
        let body = format!(
            r#"{{"data":{{"id":"sess_1","object":"session","status":"x","user_id":"user_1"}},"object":"event","type":"{kind}"}}"#
        );
        assert_eq!(judged(&clerk, &body), session("sess_1"));
    }
    let deleted = r#"{"data":{"deleted":true,"id":"user_1","object":"user"},"object":"event","type":"user.deleted"}"#;
    assert_eq!(judged(&clerk, deleted), user("user_1"));
    assert_eq!(judged(&clerk, r#"{"data":{"id":"user_1"},"type":"user.created"}"#), Ok(None));
    let revoked = r#"{"id":"event_1","event":"session.revoked","data":{"object":"session","id":"session_1","user_id":"user_1"},"created_at":"2026-11-30T00:00:00Z"}"#;
    assert_eq!(judged(&workos, revoked), session("session_1"));
    assert_eq!(
        judged(&workos, r#"{"event":"user.deleted","data":{"id":"user_1"}}"#),
        user("user_1")
    );
    for body in [
        "",
        "[]",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":"session.ended"}"#,
        r#"{"type":"session.ended","data":{"id":7}}"#,
        r#"{"type":"session.ended","data":{"id":""}}"#,
        r#"{"type":"session.ended","data":{"id":"a","id":"b"}}"#,
    ] {
        assert_eq!(judged(&clerk, body), Err("malformed"), "{body}");
    }
}

// I13: a receiver whose events would revoke nothing, or that has no path for its id, cannot be
// registered.
#[test]
fn a_wrong_receiver_of_webhooks_is_refused() {
    let events = |session: Option<&str>, user: Option<&str>| {
        let event =
            WebhookEvent { session: session.map(str::to_owned), user: user.map(str::to_owned) };
        Webhook { events: [("logout".to_owned(), event)].into(), ..Webhook::default() }
    };
    assert!(registration(events(Some("/data/sid"), None)).is_ok());
    let signature = |scheme| Webhook { signature: Some(scheme), ..events(Some("/id"), None) };
    for wrong in [
        Webhook::default(),
        Webhook { preset: Some("keycloak".to_owned()), ..Webhook::default() },
        events(None, None),
        events(Some("/a"), Some("/b")),
        events(Some("data.id"), None),
        events(Some(&"/a".repeat(65)), None),
        Webhook { type_pointers: vec!["type".to_owned()], ..events(Some("/id"), None) },
        Webhook { type_pointers: vec!["/t".to_owned(); 5], ..events(Some("/id"), None) },
        Webhook { events_pointer: Some("data".to_owned()), ..events(Some("/id"), None) },
        Webhook { time_pointer: Some(String::new()), ..events(None, Some("/id")) },
        Webhook { challenge_header: Some(String::new()), ..events(Some("/id"), None) },
        signature(Scheme::Stamped { header: "x signature".to_owned() }),
        signature(Scheme::Stamped { header: String::new() }),
        signature(Scheme::Shared { header: String::new(), prefix: String::new() }),
        signature(Scheme::Shared { header: "a".to_owned(), prefix: " ".repeat(33) }),
    ] {
        assert!(registration(wrong.clone()).unwrap_err().starts_with("webhook."), "{wrong:?}");
    }
}
