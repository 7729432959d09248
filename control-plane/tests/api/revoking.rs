//! The effect of a revocation, as a verifier that follows the feed sees it.

use base64ct::{Base64, Encoding};
use offswitch_snapshot::Snapshot;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::follower::{Follower, now, peek};
use crate::support::process::ControlPlane;

async fn token(plane: &ControlPlane, sub: &str) -> String {
    let session = plane.posted("/v1/sessions", &json!({ "sub": sub })).await;
    session["access_token"].as_str().unwrap().to_owned()
}

/// The seq of a position.
fn seq_of(position: &str) -> Option<u64> {
    position.split_once('.')?.1.parse().ok()
}

#[tokio::test]
async fn a_session_opens_with_a_token_that_every_rule_accepts() {
    let plane = ControlPlane::start().await;
    let request = json!({ "sub": "alice", "scope": "read", "claims": { "tenant": "acme" } });
    let session = plane.posted("/v1/sessions", &request).await;
    let token = session["access_token"].as_str().unwrap();
    let claims = peek(token);
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims["sid"], session["session_id"]);
    assert_eq!(claims["jti"], session["jti"]);
    assert_eq!(claims["exp"], session["expires_at"]);
    assert_eq!((&claims["tenant"], &claims["scope"]), (&json!("acme"), &json!("read")));
    assert_eq!(
        (&claims["aud"], &claims["ver"]),
        (&json!("api"), &plane.got("/readyz").await["position"].as_str().and_then(seq_of).into())
    );
    let follower = Follower::start(&plane, &plane.issuer()).await;
    assert_eq!(follower.judge(token), "valid");
}

#[tokio::test]
async fn each_form_of_revocation_stops_exactly_its_tokens() {
    let plane = ControlPlane::start().await;
    let issuer = plane.issuer();
    let mut follower = Follower::start(&plane, &issuer).await;
    let bystander = token(&plane, "bystander").await;

    let by_token = token(&plane, "a").await;
    plane.posted("/v1/revocations", &json!({ "token": by_token })).await;
    let by_jti = token(&plane, "b").await;
    let claims = peek(&by_jti);
    let request = json!({ "jti": claims["jti"], "exp": claims["exp"] });
    plane.posted("/v1/revocations", &request).await;
    let (phone, laptop) = (token(&plane, "c").await, token(&plane, "c").await);
    plane.posted("/v1/revocations", &json!({ "session_id": peek(&phone)["sid"] })).await;
    let (old, other) = (token(&plane, "d").await, token(&plane, "d").await);
    plane.posted("/v1/revocations", &json!({ "sub": "d" })).await;
    let new = token(&plane, "d").await;
    follower.follow(&plane).await;

    assert_eq!(follower.judge(&by_token), "revoked_token");
    assert_eq!(follower.judge(&by_jti), "revoked_token");
    assert_eq!(follower.judge(&phone), "revoked_session");
    assert_eq!(follower.judge(&laptop), "valid");
    assert_eq!(follower.judge(&old), "revoked_user");
    assert_eq!(follower.judge(&other), "revoked_user");
    assert_eq!(follower.judge(&new), "valid");
    assert_eq!(follower.judge(&bystander), "valid");

    let kid = plane.got("/v1/keys").await["token_keys"][0]["kid"].clone();
    plane.posted("/v1/revocations", &json!({ "kid": kid })).await;
    let next = token(&plane, "e").await;
    follower.fetch_keys(&plane, &issuer).await;
    follower.follow(&plane).await;
    assert_eq!(follower.judge(&bystander), "unknown_key");
    assert_eq!(follower.judge(&next), "valid");
    let base = Follower::start(&plane, &issuer).await;
    assert_eq!(base.judge(&next), "valid");
}

// A revocation of a user's own tokens must last longer than the exp of one token: giving that exp
// must not shorten it. S05: a wrong exp of an own token must not either.
#[tokio::test]
async fn an_exp_that_is_too_early_does_not_shorten_a_revocation() {
    let plane = ControlPlane::start().await;
    let token = token(&plane, "a").await;
    let (claims, begin) = (peek(&token), now());
    plane.register("idp", "https://idp.example").await;
    for (request, stays) in [
        (json!({ "sub": "a", "exp": begin }), 600),
        (json!({ "session_id": claims["sid"], "exp": begin }), 600),
        (json!({ "jti": claims["jti"], "exp": begin }), 600),
        (json!({ "sub": "a", "issuer": "https://idp.example", "exp": begin }), 86_400),
    ] {
        plane.posted("/v1/revocations", &request).await;
        let listed = plane.got("/v1/revocations?limit=1").await;
        let exp = listed["requests"][0]["revocations"][0]["until"].as_u64().unwrap();
        assert!(exp >= begin + stays + 600, "{request}: {listed}");
    }
    let mut follower = Follower::start(&plane, &plane.issuer()).await;
    follower.follow(&plane).await;
    assert!(follower.judge(&token).starts_with("revoked_"));
}

// I05, D06, D33: a revocation that no verifier would enforce is refused, and nothing is recorded.
#[tokio::test]
async fn a_revocation_without_an_effect_is_refused_and_not_recorded() {
    let plane = ControlPlane::start().await;
    let token = token(&plane, "a").await;
    let claims = peek(&token);
    plane.register("idp", "https://idp.example").await;
    let begin = plane.got("/readyz").await["position"].clone();
    let (own, other) = (plane.issuer(), "https://idp.example");
    // As long as a session's id, and of the same user.
    let sid = claims["sid"].as_str().unwrap();
    let missing = format!("{}AAAAAAAAAAAAAAAA", &sid[..16]);
    for (entry, field, code) in [
        (json!({ "jti": claims["jti"], "exp": now() - 700 }), "exp", "already_expired"),
        (json!({ "jti": claims["jti"], "exp": 0 }), "exp", "already_expired"),
        (json!({ "jti": claims["jti"], "exp": 600 }), "exp", "already_expired"),
        (json!({ "jti": "t", "exp": now() - 700, "issuer": other }), "exp", "already_expired"),
        (json!({ "sub": "a", "exp": 1 }), "exp", "already_expired"),
        (json!({ "session_id": claims["sid"], "exp": 1 }), "exp", "already_expired"),
        (json!({ "session_id": "s-1" }), "session_id", "unknown_session"),
        (json!({ "session_id": missing }), "session_id", "unknown_session"),
        (json!({ "sub": "a", "issuer": format!("{own}/") }), "issuer", "unknown_issuer"),
        (json!({ "kid": "k", "issuer": format!("{own}/") }), "issuer", "unknown_issuer"),
        (json!({ "sub": "a", "issuer": " https://idp.example" }), "issuer", "unknown_issuer"),
        (json!({ "sub": "a", "issuer": "https://other.example" }), "issuer", "unknown_issuer"),
        (json!({ "kid": "k", "issuer": "" }), "issuer", "unknown_issuer"),
    ] {
        let bulk = json!({ "revocations": [{ "sub": "b" }, entry] });
        for (body, pointer) in
            [(&entry, format!("/{field}")), (&bulk, format!("/revocations/1/{field}"))]
        {
            let answer = plane.post("/v1/revocations", body).await;
            assert_eq!(answer.status(), 422, "{body}");
            let problem: Value = answer.json().await.unwrap();
            assert_eq!((&problem["code"], &problem["pointer"]), (&json!(code), &json!(pointer)));
        }
        let line = format!("{entry}\n");
        let request = plane.admin(Method::POST, "/v1/revocations").body(line);
        let request = request.header("content-type", "application/x-ndjson");
        let problem: Value = request.send().await.unwrap().json().await.unwrap();
        // D43: one defect has one code.
        assert_eq!((&problem["code"], &problem["line"]), (&json!(code), &json!(1)), "{problem}");
        assert_eq!(problem["pointer"], format!("/{field}"));
        assert_eq!(problem["accepted"], 0);
    }
    assert_eq!(plane.got("/readyz").await["position"], begin);
    let listed = plane.got("/v1/revocations").await;
    assert_eq!(listed["requests"].as_array().unwrap().len(), 1, "the issuer alone: {listed}");
}

// I15, D107: names are compared byte for byte, up to one common limit of length.
#[tokio::test]
async fn every_name_that_can_log_in_can_be_revoked() {
    let plane = ControlPlane::start().await;
    let (longest, wide) = ("x".repeat(256), "\u{fc}".repeat(128));
    for sub in [longest.as_str(), &wide, "a\u{0}b", "a/../b", "..", " a ", "\u{65e5}\u{672c}"] {
        let token = token(&plane, sub).await;
        plane.posted("/v1/revocations", &json!({ "sub": sub })).await;
        let mut follower = Follower::start(&plane, &plane.issuer()).await;
        follower.follow(&plane).await;
        assert_eq!(follower.judge(&token), "revoked_user", "{sub:?}");
    }
    let exp = now() + 60;
    for (field, detail) in [("sub", "sub: must have 1 to 256 bytes, found 257"), ("jti", "jti: ")] {
        let body = json!({ field: "x".repeat(257), "exp": exp });
        let answer = plane.post("/v1/revocations", &body).await;
        assert_eq!(answer.status(), 400, "{field}");
        let problem: Value = answer.json().await.unwrap();
        assert!(problem["detail"].as_str().unwrap().starts_with(detail), "{problem}");
    }
    let login = plane.post("/v1/sessions", &json!({ "sub": "x".repeat(257) })).await;
    assert_eq!(login.status(), 400);
}

// D33: the lines before an unknown session are recorded, those after it are not.
#[tokio::test]
async fn an_upload_stops_at_the_first_unknown_session() {
    let plane = ControlPlane::start().await;
    let sid = peek(&token(&plane, "a").await)["sid"].clone();
    let lines = [
        json!({ "sub": "x" }),
        json!({ "session_id": sid }),
        json!({ "session_id": "s-1" }),
        json!({ "sub": "y" }),
    ];
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let request = plane.admin(Method::POST, "/v1/revocations").body(body);
    let request = request.header("content-type", "application/x-ndjson");
    let problem: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(problem["code"], "unknown_session");
    assert_eq!((&problem["accepted"], &problem["line"]), (&json!(2), &json!(3)));
    let listed = plane.got("/v1/revocations").await;
    assert_eq!(listed["requests"][0]["count"], 2, "{listed}");
}

// D33: the answer says how many sessions it ended.
#[tokio::test]
async fn an_answer_says_how_many_sessions_it_ended() {
    let plane = ControlPlane::start().await;
    let mut sids = Vec::new();
    for _ in 0..3 {
        sids.push(peek(&token(&plane, "a").await)["sid"].clone());
    }
    let both = json!({ "revocations": [{ "session_id": sids[0] }, { "sub": "nobody" }] });
    assert_eq!(plane.posted("/v1/revocations", &both).await["sessions_ended"], 1);
    let again = json!({ "session_id": sids[0] });
    assert_eq!(plane.posted("/v1/revocations", &again).await["sessions_ended"], 0);
    let sid = sids[1].as_str().unwrap();
    let delete = async |path: String| -> Value {
        plane.admin(Method::DELETE, &path).send().await.unwrap().json().await.unwrap()
    };
    assert_eq!(delete(format!("/v1/users/a/sessions/{sid}")).await["sessions_ended"], 1);
    assert_eq!(delete("/v1/users/a/sessions".to_owned()).await["sessions_ended"], 1);
    assert_eq!(delete("/v1/users/a/sessions".to_owned()).await["sessions_ended"], 0);
    let unknown = delete(format!("/v1/users/b/sessions/{sid}")).await;
    assert_eq!(unknown["code"], "unknown_session");
    let jti = json!({ "jti": "t", "exp": now() + 60 });
    assert_eq!(plane.posted("/v1/revocations", &jti).await["sessions_ended"], 0);
}

// A11: a request was accepted, but its answer was lost; its token has expired when the client
// repeats it.
#[tokio::test]
async fn a_named_request_is_answered_again_although_it_would_be_refused_now() {
    let plane = ControlPlane::start().await;
    let sid = peek(&token(&plane, "a").await)["sid"].clone();
    let send = async |body: &Value| {
        let request = plane.admin(Method::POST, "/v1/revocations").json(body);
        let answer = request.header("idempotency-key", "k").send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    let first = send(&json!({ "session_id": sid })).await;
    let again = send(&json!({ "session_id": sid })).await;
    assert_eq!((&again["position"], &again["repeated"]), (&first["position"], &json!(true)));
    assert_eq!(again.get("sessions_ended"), None);
    assert_eq!(send(&json!({ "sub": "a", "exp": 1 })).await["code"], "idempotency_key_reused");
}

// A user's version only grows, also after the user's entry has left the base.
#[tokio::test]
async fn a_token_carries_the_log_position_it_was_issued_at_as_its_version() {
    let plane = ControlPlane::start().await;
    for sub in ["someone else", "a"] {
        let revoked = plane.posted("/v1/revocations", &json!({ "sub": sub })).await;
        let (_, seq) = revoked["position"].as_str().unwrap().split_once('.').unwrap();
        assert_eq!(peek(&token(&plane, "a").await)["ver"].to_string(), seq);
    }
}

#[tokio::test]
async fn the_red_button_revokes_every_token_and_logins_work_immediately() {
    let plane = ControlPlane::start().await;
    let issuer = plane.issuer();
    let mut follower = Follower::start(&plane, &issuer).await;
    let before = token(&plane, "a").await;
    let dry = plane.posted("/v1/red-button", &json!({ "dry_run": true })).await;
    assert_eq!(dry["dead_kids"].as_array().unwrap().len(), 1);
    assert_eq!(dry["position"], Value::Null);
    follower.follow(&plane).await;
    assert_eq!(follower.judge(&before), "valid");

    let pressed = plane.posted("/v1/red-button", &json!({ "reason": "drill" })).await;
    assert_eq!(pressed["dead_kids"], dry["dead_kids"]);
    assert_ne!(pressed["active_kid"], dry["dead_kids"][0]);
    follower.follow(&plane).await;
    // The verifier still has the old key set: the feed alone stops the token.
    assert_eq!(follower.judge(&before), "revoked_key");
    let after = token(&plane, "a").await;
    follower.fetch_keys(&plane, &issuer).await;
    assert_eq!(follower.judge(&after), "valid");
    assert!(peek(&after)["iat"].as_u64().unwrap() >= pressed["epoch"].as_u64().unwrap());
}

#[tokio::test]
async fn a_request_repeated_with_its_key_is_accepted_once() {
    let plane = ControlPlane::start().await;
    let send = async |key: &str, body: Value| {
        let request = plane.admin(Method::POST, "/v1/revocations").json(&body);
        let answer = request.header("idempotency-key", key).send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    let first = send("one", json!({ "sub": "a" })).await;
    let again = send("one", json!({ "sub": "a" })).await;
    assert_eq!(first["position"], again["position"]);
    assert_eq!((&first["repeated"], &again["repeated"]), (&json!(false), &json!(true)));
    let reused = send("one", json!({ "sub": "b" })).await;
    assert_eq!(reused["code"], "idempotency_key_reused");
    let listed = plane.got("/v1/revocations").await;
    assert_eq!(listed["requests"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_hundred_thousand_entries_are_one_request_and_one_position() {
    let plane = ControlPlane::start().await;
    let mut follower = Follower::start(&plane, &plane.issuer()).await;
    let exp = now() + 600;
    let entries: Vec<Value> =
        (0..100_000).map(|number| json!({ "jti": format!("t{number}"), "exp": exp })).collect();
    let answer = plane.posted("/v1/revocations", &json!({ "revocations": entries })).await;
    let listed = plane.got("/v1/revocations").await;
    assert_eq!(listed["requests"].as_array().unwrap().len(), 1);
    assert_eq!(listed["requests"][0]["position"], answer["position"]);
    follower.follow(&plane).await;
    let feed = follower.verifier().feed();
    let denied = |number: u32| feed.is_denied(&plane.issuer(), "jti", &format!("t{number}"));
    assert!((0..100_000).all(denied));
    assert!(!(100_000..200_000).any(denied));
    let listed = plane.got("/v1/revocations").await;
    assert_eq!(listed["requests"][0]["count"], 100_000);
    assert_eq!(listed["requests"][0]["revocations"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn the_list_shows_selector_actor_reason_and_time_newest_first() {
    let plane = ControlPlane::start().await;
    for number in 0..5 {
        let request = json!({ "sub": format!("u{number}"), "reason": format!("r{number}") });
        plane.posted("/v1/revocations", &request).await;
    }
    let first = plane.got("/v1/revocations?limit=2").await;
    let reasons = |page: &Value| -> Vec<String> {
        let requests = page["requests"].as_array().unwrap();
        requests.iter().map(|one| one["reason"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(reasons(&first), ["r4", "r3"]);
    let second = plane.got(&format!("/v1/revocations?limit=2&before={}", first["next"])).await;
    assert_eq!(reasons(&second), ["r2", "r1"]);
    let third = plane.got(&format!("/v1/revocations?limit=2&before={}", second["next"])).await;
    assert_eq!(reasons(&third), ["r0"]);
    assert_eq!(third["next"], Value::Null);
    let one = &first["requests"][0];
    assert!(one["by"].as_str().unwrap().starts_with("key_"));
    assert!(one["at"].as_u64().unwrap().abs_diff(now()) < 60);
    assert_eq!(one["revocations"][0]["kind"], "user");
}

#[tokio::test]
async fn tokens_of_another_issuer_are_revoked_by_the_same_feed() {
    let plane = ControlPlane::start().await;
    let other = "https://idp.example";
    plane.register("idp", other).await;
    let exp = now() + 600;
    for request in [
        json!({ "issuer": other, "jti": "t", "exp": exp }),
        json!({ "issuer": other, "session_id": "s" }),
        json!({ "issuer": other, "sub": "u" }),
        json!({ "issuer": other, "kid": "k" }),
    ] {
        plane.posted("/v1/revocations", &request).await;
    }
    let follower = Follower::start(&plane, &plane.issuer()).await;
    let feed = follower.verifier().feed();
    assert!(feed.is_denied(other, "jti", "t"));
    assert!(!feed.is_denied(&plane.issuer(), "jti", "t"));
    assert!(feed.is_denied(other, "sid", "s"));
    assert!(feed.cutoff(other, "sub", "u").unwrap().not_before > now() - 60);
    assert!(feed.is_dead(other, "k"));
    assert!(!feed.is_dead(&plane.issuer(), "k"));
}

#[tokio::test]
async fn a_long_poll_answers_as_soon_as_something_is_revoked() {
    let plane = ControlPlane::start().await;
    let position = plane.got("/readyz").await["position"].as_str().unwrap().to_owned();
    let query = format!("?since={position}&wait=30");
    let waiting = plane.feed(&query);
    let revoking = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        plane.posted("/v1/revocations", &json!({ "sub": "a" })).await
    };
    let begin = std::time::Instant::now();
    let (bytes, _) = tokio::join!(waiting, revoking);
    assert!(begin.elapsed().as_secs() < 10);
    assert!(bytes.starts_with(b"OFSW"));
}

/// The next event of a stream: its id and its snapshot.
async fn event(stream: &mut reqwest::Response, text: &mut String) -> (String, Vec<u8>) {
    loop {
        if let Some((event, rest)) = text.split_once("\n\n") {
            if event.starts_with("event: stream") {
                *text = rest.to_owned();
                continue;
            }
            let field = |name: &str| {
                let line = event.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap().to_owned()
            };
            let snapshot = Base64::decode_vec(&field("data: ")).unwrap();
            let answer = (field("id: "), snapshot);
            *text = rest.to_owned();
            return answer;
        }
        let chunk = stream.chunk().await.unwrap().expect("the stream goes on");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}

#[tokio::test]
async fn the_stream_sends_base_delta_and_heartbeat_and_resumes_where_it_ended() {
    let plane = ControlPlane::start().await;
    let follower = Follower::start(&plane, &plane.issuer()).await;
    let trusted = follower.verifier().feed().trusted();
    let open = |bytes: Vec<u8>| Snapshot::open(bytes, trusted).unwrap();
    let request = plane.admin(Method::GET, "/v1/feed/stream");
    let (mut stream, mut text) = (request.send().await.unwrap(), String::new());
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    // D103: no proxy may buffer or compress the stream.
    assert_eq!(stream.headers()["x-accel-buffering"], "no");
    assert_eq!(stream.headers()["cache-control"], "no-store, no-transform");
    let hello = stream.chunk().await.unwrap().unwrap();
    text.push_str(std::str::from_utf8(&hello).unwrap());
    assert!(text.starts_with("event: stream\ndata: {\"heartbeat_seconds\":"), "{text}");
    let (first, base) = event(&mut stream, &mut text).await;
    assert!(open(base).is_base());
    let answer = plane.posted("/v1/revocations", &json!({ "sub": "a" })).await;
    let (second, delta) = event(&mut stream, &mut text).await;
    let delta = open(delta);
    assert_eq!((delta.from().to_string(), delta.to().to_string()), (first.clone(), second.clone()));
    assert_eq!(answer["position"], second.as_str());
    let (third, heartbeat) = event(&mut stream, &mut text).await;
    let heartbeat = open(heartbeat);
    assert_eq!((heartbeat.from(), third), (heartbeat.to(), second));
    assert!(heartbeat.issued_at() >= delta.issued_at());

    let request = plane.admin(Method::GET, "/v1/feed/stream").header("last-event-id", &first);
    let (mut resumed, mut text) = (request.send().await.unwrap(), String::new());
    let (_, delta) = event(&mut resumed, &mut text).await;
    assert_eq!(open(delta).from().to_string(), first);
}

// A mirror or a cache asks whether it has the newest snapshot. An ETag belongs to one address: the
// snapshot from another position is another one.
#[tokio::test]
async fn a_snapshot_that_the_client_has_is_not_sent_again() {
    let plane = ControlPlane::start().await;
    let get = async |tags: Option<&str>| {
        let request = plane.admin(Method::GET, "/v1/feed");
        let request = tags.into_iter().fold(request, |it, tags| it.header("if-none-match", tags));
        request.send().await.unwrap()
    };
    let first = get(None).await;
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    for (tags, status) in [
        (tag.clone(), 304),
        (format!("\"other\", W/{tag}"), 304),
        ("\"other\"".to_owned(), 200),
        (tag.trim_matches('"').to_owned(), 200),
        (String::new(), 200),
    ] {
        let answer = get(Some(&tags)).await;
        // The base may be rebuilt in the meantime; then it has another tag, and is sent.
        if answer.headers()["etag"] != tag.as_str() {
            assert_eq!(answer.status(), 200);
            continue;
        }
        assert_eq!(answer.status(), status, "{tags}");
        assert_eq!(answer.bytes().await.unwrap().is_empty(), status == 304);
    }
    let position = first.headers()["offswitch-position"].to_str().unwrap();
    let delta = plane.admin(Method::GET, &format!("/v1/feed?since={position}"));
    assert_eq!(delta.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn the_metrics_count_revocations_requests_and_problems() {
    let plane = ControlPlane::start().await;
    plane
        .posted("/v1/revocations", &json!({ "revocations": [{ "sub": "a" }, { "sub": "b" }] }))
        .await;
    plane.post("/v1/revocations", &json!({})).await;
    let text = plane.admin(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for line in [
        "offswitch_revocations_total 2",
        "offswitch_problems_total{code=\"invalid_revocation\"} 1",
        "offswitch_http_requests_total{path=\"/v1/revocations\",method=\"POST\",status=\"200\"} 1",
        "offswitch_log_seq ",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line} in\n{text}");
    }
}
