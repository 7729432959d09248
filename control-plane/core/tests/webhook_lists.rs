//! Webhooks with many events, in the shapes that Auth0, Okta, Supabase and Stytch document. I13.

use offswitch_core::issuers::{Definition, Issuers, Registration};
use offswitch_core::receivers::{Genuine, Receivers, Webhook, webhook};
use offswitch_core::revoking::Target;

/// 2026-11-30T00:00:00Z.
const NOW: u64 = 1_795_996_800;

fn preset(name: &str) -> Registration {
    let receiver = Webhook { preset: Some(name.to_owned()), ..Webhook::default() };
    let receivers = Receivers { webhook: Some(receiver), ..Receivers::default() };
    let issuer = "https://idp.example".to_owned();
    let definition = Definition { issuer, receivers, ..Definition::default() };
    definition.check("idp", &Issuers::new("own")).unwrap()
}

/// What a body revokes that shows the secret: nothing says when it was sent.
fn judged(preset: &Registration, body: &str) -> Result<Vec<(Target, Option<u64>)>, &'static str> {
    let genuine = Genuine { id: None, at: None };
    let receiver = preset.receivers.webhook.as_ref().unwrap();
    let named = webhook(&genuine, body.as_bytes(), preset, receiver, NOW);
    let named = named.map_err(|refusal| refusal.code)?;
    Ok(named.into_iter().map(|one| (one.target, one.issued_before)).collect())
}

fn user(id: &str, issued_before: Option<u64>) -> (Target, Option<u64>) {
    (Target::User(id.to_owned()), issued_before)
}

/// An event of an Auth0 log stream.
fn log(kind: &str, user: &str, date: &str) -> String {
    format!(
        r#"{{"log_id":"90020261130","data":{{"date":"{date}","type":"{kind}","description":"","client_id":"c","client_name":"App","ip":"203.0.113.7","user_id":{user},"user_name":"a@example.com","details":{{"session_id":"s"}},"log_id":"90020261130","tenant_name":"t","environment_name":"prod-eu-1","hostname":"t.eu.auth0.com"}}}}"#
    )
}

// I13: an array, lines and a single object; the time is that of the event.
#[test]
fn an_auth0_log_stream_revokes_the_users_who_logged_out() {
    let auth0 = preset("auth0");
    let date = "2026-11-29T23:59:58.750Z";
    let logout = log("slo", r#""auth0|alice""#, date);
    let others = [
        log("s", r#""auth0|bob""#, date),
        log("sdu", r#""auth0|carol""#, "2026-11-30T01:00:00.000+01:00"),
        log("scp", r#""auth0|dave""#, date),
    ];
    let all = [logout.as_str(), &others[0], &others[1], &others[2]];
    let expected = vec![
        user("auth0|alice", Some(NOW - 1)),
        user("auth0|carol", Some(NOW + 1)),
        user("auth0|dave", Some(NOW - 1)),
    ];
    assert_eq!(judged(&auth0, &format!("[{}]", all.join(","))), Ok(expected.clone()));
    assert_eq!(judged(&auth0, &format!(" \n[{}]\n", all.join(",\n"))), Ok(expected.clone()));
    assert_eq!(judged(&auth0, &all.join("\n")), Ok(expected.clone()));
    assert_eq!(judged(&auth0, &format!("{}\r\n\r\n", all.join("\r\n"))), Ok(expected));
    assert_eq!(judged(&auth0, &logout), Ok(vec![user("auth0|alice", Some(NOW - 1))]));
    // A logout of no user is in the log of every tenant: it must not keep the others from being revoked.
    for empty in [r#""""#, "null"] {
        let list = format!("[{},{}]", log("slo", empty, date), logout);
        assert_eq!(judged(&auth0, &list), Ok(vec![user("auth0|alice", Some(NOW - 1))]));
    }
    let without = logout.replace(r#""user_id":"auth0|alice","#, "");
    assert_eq!(judged(&auth0, &without), Ok(vec![]));
}

// I13: nothing of a list counts if a part of it is not what the provider documents.
#[test]
fn a_list_with_one_wrong_event_revokes_nothing() {
    let auth0 = preset("auth0");
    let date = "2026-11-29T23:59:58.750Z";
    let good = log("slo", r#""auth0|alice""#, date);
    let long = format!(r#""{}""#, "x".repeat(257));
    for wrong in [
        log("slo", "7", date),
        log("slo", "true", date),
        log("slo", r#"{"id":"auth0|alice"}"#, date),
        log("slo", r#"["auth0|alice"]"#, date),
        log("slo", &long, date),
        log("slo", r#""auth0|bob""#, "yesterday"),
        log("slo", r#""auth0|bob""#, "2026-11-29"),
        log("slo", r#""auth0|bob""#, "1960-01-01T00:00:00Z"),
        good.replace(r#""type":"slo""#, r#""type":"slo","type":"s""#),
        good.replace(r#""type":"slo""#, r#""type":7"#),
        "7".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
    ] {
        assert_eq!(judged(&auth0, &format!("[{good},{wrong}]")), Err("malformed"), "{wrong}");
        assert_eq!(judged(&auth0, &format!("{good}\n{wrong}")), Err("malformed"), "{wrong}");
    }
    let soon = log("slo", r#""auth0|bob""#, "2026-11-30T00:05:01Z");
    assert_eq!(judged(&auth0, &format!("[{good},{soon}]")), Err("not_yet_valid"));
    for wrong in ["", "[]", "{}", "[", "]", "nonsense", r#"[{}],"x":[{}]"#] {
        assert_eq!(judged(&auth0, wrong), Err("malformed"), "{wrong}");
    }
    let many = |count: usize| format!("[{}]", vec!["{\"data\":{\"type\":\"s\"}}"; count].join(","));
    assert_eq!(judged(&auth0, &many(1000)), Ok(vec![]));
    assert_eq!(judged(&auth0, &many(1001)), Err("malformed"));
    assert_eq!(judged(&auth0, &"{\"data\":{\"type\":\"s\"}}\n".repeat(1001)), Err("malformed"));
    // What would close the member that a list is read as.
    let closed = format!(r#"[{good}],"more":[{good}]"#);
    assert_eq!(judged(&auth0, &closed), Err("malformed"));
}

// I13: the body that Okta documents, with an event of each kind.
#[test]
fn an_okta_event_hook_revokes_its_users() {
    let okta = preset("okta");
    let event = |kind: &str, actor: &str, target: &str| {
        format!(
            r#"{{"version":"0","severity":"INFO","actor":{{"id":"{actor}","type":"User","alternateId":"a@example.com"}},"outcome":{{"result":"SUCCESS"}},"uuid":"f790999f-fe87-467a-9880-6982a583986c","published":"2026-11-29T23:59:59.000Z","eventType":"{kind}","authenticationContext":{{"externalSessionId":"1013FfF"}},"target":[{{"id":"{target}","type":"User"}}]}}"#
        )
    };
    let body = |events: &[String]| {
        format!(
            r#"{{"eventType":"com.okta.event_hook","eventTypeVersion":"1.0","cloudEventsVersion":"0.1","eventId":"b5a188b9","eventTime":"2026-11-30T00:00:00.032Z","source":"https://dev.okta.com/api/v1/eventHooks/who","data":{{"events":[{}]}}}}"#,
            events.join(",")
        )
    };
    let all = [
        event("user.session.start", "00u0", "00u0"),
        event("user.session.end", "00u1", "00u9"),
        event("user.lifecycle.suspend", "00ua", "00u2"),
        event("user.session.clear", "00ua", "00u3"),
    ];
    let expected = ["00u1", "00u2", "00u3"].map(|id| user(id, Some(NOW)));
    assert_eq!(judged(&okta, &body(&all)), Ok(expected.to_vec()));
    for wrong in ["{}", r#"{"data":{"events":{}}}"#, r#"{"data":{"events":[]}}"#, "[]"] {
        assert_eq!(judged(&okta, wrong), Err("malformed"), "{wrong}");
    }
    let receiver = okta.receivers.webhook.as_ref().unwrap();
    let asked = |value: &'static str| {
        receiver.challenge(move |name| (name == "x-okta-verification-challenge").then_some(value))
    };
    assert_eq!(asked("dGhlIGNoYWxsZW5nZQ"), Some("dGhlIGNoYWxsZW5nZQ"));
    assert_eq!((asked(""), receiver.challenge(|_| None)), (None, None));
    let clerk = preset("clerk");
    assert_eq!(clerk.receivers.webhook.unwrap().challenge(|_| Some("x")), None);
}

// I13: the bodies that Supabase's trigger and Stytch's Svix send; their type has several parts.
#[test]
fn a_type_of_several_parts_is_found() {
    let supabase = preset("supabase");
    let row = |schema: &str, table: &str, kind: &str| {
        format!(
            r#"{{"type":"{kind}","table":"{table}","schema":"{schema}","record":null,"old_record":{{"id":"6f1c","user_id":"11aa"}}}}"#
        )
    };
    let session = (Target::Session("6f1c".to_owned()), None);
    assert_eq!(judged(&supabase, &row("auth", "sessions", "DELETE")), Ok(vec![session]));
    assert_eq!(judged(&supabase, &row("auth", "users", "DELETE")), Ok(vec![user("6f1c", None)]));
    for (schema, table, kind) in
        [("public", "sessions", "DELETE"), ("auth", "sessions", "UPDATE"), ("auth", "x", "DELETE")]
    {
        assert_eq!(judged(&supabase, &row(schema, table, kind)), Ok(vec![]));
    }
    let numbered = row("auth", "sessions", "DELETE").replace(r#""6f1c""#, "17");
    assert_eq!(judged(&supabase, &numbered), Err("malformed"));
    let stytch = preset("stytch");
    let event = |kind: &str, action: &str| {
        format!(
            r#"{{"action":"{action}","event_id":"webhook-event-test-0","id":"{kind}-test-0","object_type":"{kind}","project_id":"project-test-0","source":"DASHBOARD","timestamp":"2024-11-21T06:47:49.555247073Z"}}"#
        )
    };
    assert_eq!(judged(&stytch, &event("member", "DELETE")), Ok(vec![user("member-test-0", None)]));
    assert_eq!(judged(&stytch, &event("user", "DELETE")), Ok(vec![user("user-test-0", None)]));
    assert_eq!(judged(&stytch, &event("organization", "DELETE")), Ok(vec![]));
    assert_eq!(judged(&stytch, &event("user", "UPDATE")), Ok(vec![]));
}
