//! Registered issuers: their tokens can be revoked by any claims, also for verifiers that do not
//! know them yet.

use offswitch_snapshot::{ClaimValue, Fingerprinter, Selector};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::follower::{Follower, now};
use crate::support::process::ControlPlane;

const ENTRA: &str = "https://login.microsoftonline.com/t/v2.0";
const OTHER: &str = "https://other.example";

async fn send(plane: &ControlPlane, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let answer = plane.admin(method, path).json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn registered() -> ControlPlane {
    let plane = ControlPlane::start().await;
    let entra = json!({
        "issuer": ENTRA, "algorithms": ["RS256"], "horizon_seconds": 5400,
        "token_id_claim": "uti", "user_id_claim": "oid", "selectors": [["azp"]],
    });
    assert_eq!(send(&plane, Method::PUT, "/v1/issuers/entra", &entra).await.0, 200);
    plane.register("other", OTHER).await;
    plane
}

fn rules(follower: &Follower, issuer: &str) -> (u64, Vec<String>) {
    let feed = follower.verifier().feed();
    let rules = feed.rules_of(issuer).unwrap();
    (rules.epoch, rules.selectors.iter().map(|one| one.selector.to_string()).collect())
}

// I05: an issuer is registered, listed, changed and removed; registering the same again changes
// nothing.
#[tokio::test]
async fn an_issuer_is_registered_listed_changed_and_removed() {
    let plane = registered().await;
    let listed = plane.got("/v1/issuers").await;
    let names: Vec<_> =
        listed["issuers"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["entra", "other"]);
    let entra = &listed["issuers"][0];
    assert_eq!(entra["discovery_uri"], format!("{ENTRA}/.well-known/openid-configuration"));
    assert_eq!(entra["selectors_in_use"], json!([["azp"], ["oid"], ["sid"], ["uti"]]));
    assert_eq!(
        plane.got("/v1/status").await["issuers"][1],
        json!({ "name": "other", "issuer": OTHER })
    );
    let before = plane.got("/readyz").await["position"].clone();
    let again = plane.register("other", OTHER).await;
    assert_eq!(plane.got("/readyz").await["position"], before);
    assert_eq!(again["position"], before);
    let (status, gone) = send(&plane, Method::DELETE, "/v1/issuers/other", &json!({})).await;
    assert_eq!((status, &gone["name"]), (200, &json!("other")));
    let (status, problem) = send(&plane, Method::DELETE, "/v1/issuers/other", &json!({})).await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_issuer_name")));
    let body = json!({ "sub": "a", "issuer": OTHER });
    let (status, problem) = send(&plane, Method::POST, "/v1/revocations", &body).await;
    assert_eq!((status, &problem["code"]), (422, &json!("unknown_issuer")));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("{ENTRA} (entra)")), "{detail}");
}

#[tokio::test]
async fn a_wrong_issuer_is_refused_with_the_name_of_its_member_and_changes_nothing() {
    let plane = registered().await;
    let before = plane.got("/readyz").await["position"].clone();
    let own = plane.issuer();
    for (name, body, code, pointer) in [
        ("a", json!({}), "invalid_issuer", Some("/issuer")),
        ("a", json!({ "issuer": own }), "invalid_issuer", Some("/issuer")),
        ("a", json!({ "issuer": OTHER }), "invalid_issuer", Some("/issuer")),
        ("A", json!({ "issuer": "https://a.example" }), "invalid_issuer", Some("/name")),
        (
            "a",
            json!({ "issuer": "https://a.example", "horizon_seconds": 1 }),
            "invalid_issuer",
            Some("/horizon_seconds"),
        ),
        ("a", json!({ "issuer": "https://a.example", "colour": 1 }), "invalid_body", None),
        ("a", json!({ "issuer": 1 }), "invalid_body", Some("/issuer")),
    ] {
        let (status, problem) =
            send(&plane, Method::PUT, &format!("/v1/issuers/{name}"), &body).await;
        assert_eq!((status, &problem["code"]), (400, &json!(code)), "{body}: {problem}");
        if let Some(pointer) = pointer {
            assert_eq!(problem["pointer"], pointer, "{problem}");
        }
    }
    assert_eq!(plane.got("/readyz").await["position"], before);
}

// I07: shorthands use the issuer's claims, pairs and pointers get selectors of their own, and the
// answer names the selectors and their end.
#[tokio::test]
async fn tokens_of_a_registered_issuer_are_revoked_by_any_claims() {
    let plane = registered().await;
    let mut follower = Follower::start(&plane, &plane.issuer()).await;
    let begin = now();
    let post = async |body: Value| plane.posted("/v1/revocations", &body).await;
    for (named, selector) in [
        (json!({ "jti": "t-1" }), json!(["uti"])),
        (json!({ "sub": "u-1" }), json!(["oid"])),
        (json!({ "session_id": "s-1" }), json!(["sid"])),
        (json!({ "claims": { "azp": "app" } }), json!(["azp"])),
        (json!({ "claims": { "oid": "u-2", "azp": "app" } }), json!(["azp", "oid"])),
        (
            json!({ "claims": { "/act/sub": "bot" }, "issued_before": begin - 60 }),
            json!(["/act/sub"]),
        ),
    ] {
        let mut body = named.clone();
        body["issuer"] = json!(ENTRA);
        let answer = post(body).await;
        assert_eq!(answer["selector"], selector, "{named}");
        // The longest life, the largest leeway and a margin.
        let until = answer["until"].as_u64().unwrap();
        assert!((begin + 5400 + 540..begin + 5400 + 700).contains(&until), "{named}: {until}");
    }
    follower.follow(&plane).await;
    let feed = follower.verifier().feed();
    assert!(feed.is_denied(ENTRA, "uti", "t-1") && feed.is_denied(ENTRA, "sid", "s-1"));
    let cutoff = feed.cutoff(ENTRA, "oid", "u-1").unwrap();
    assert!((begin + 6..begin + 60).contains(&cutoff.not_before) && cutoff.minimum_version == 0);
    let pair = Selector::new(["azp", "oid"]).unwrap();
    let salt = feed.salt().unwrap();
    let values = [ClaimValue::from("app"), ClaimValue::from("u-2")];
    assert!(feed.cutoff_of(Fingerprinter::new(salt, ENTRA, &pair).of(&values)).is_some());
    assert_eq!(feed.cutoff(ENTRA, "/act/sub", "bot").unwrap().not_before, begin - 60);
    let all = ["uti", "sid", "oid", "/act/sub", "azp", "azp + oid"];
    let mut in_use = rules(&follower, ENTRA).1;
    in_use.sort_by_key(|one| all.iter().position(|other| other == one));
    assert_eq!(in_use, all);
    let listed = plane.got("/v1/revocations?limit=2").await;
    assert_eq!(
        listed["requests"][1]["revocations"][0]["claims"],
        json!({ "azp": "app", "oid": "u-2" })
    );
}

// I05: the ninth combination is refused and named, in a single request, in bulk and as a line;
// nothing of it is recorded.
#[tokio::test]
async fn more_combinations_of_claims_than_verifiers_look_up_are_refused() {
    let plane = registered().await;
    let claims = |name: &str| json!({ "issuer": ENTRA, "claims": { name: "x" } });
    let bulk =
        json!({ "revocations": (0..5).map(|one| claims(&format!("c{one}"))).collect::<Vec<_>>() });
    let (status, problem) = send(&plane, Method::POST, "/v1/revocations", &bulk).await;
    assert_eq!((status, &problem["code"]), (422, &json!("too_many_selectors")), "{problem}");
    for name in ["c0", "c1", "c2", "c3", "c0"] {
        assert_eq!(
            send(&plane, Method::POST, "/v1/revocations", &claims(name)).await.0,
            200,
            "{name}"
        );
    }
    let (status, problem) = send(&plane, Method::POST, "/v1/revocations", &claims("c4")).await;
    assert_eq!((status, &problem["code"]), (422, &json!("too_many_selectors")), "{problem}");
    // Many at the same time: exactly as many are accepted as there is room for.
    let other = |name: usize| json!({ "issuer": OTHER, "claims": { format!("p{name}"): "x" } });
    let bodies: Vec<Value> = (0..20).map(other).collect();
    let all = bodies.iter().map(|body| send(&plane, Method::POST, "/v1/revocations", body));
    let answers = futures_util::future::join_all(all).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 5);
}

// I09: a red button for one issuer affects no token of another issuer, and not our own sessions and
// keys.
#[tokio::test]
async fn a_red_button_for_one_issuer_affects_no_other() {
    let plane = registered().await;
    let keys = plane.got("/v1/keys").await["token_keys"].clone();
    let press = |body: Value| {
        let plane = &plane;
        async move { send(plane, Method::POST, "/v1/red-button", &body).await }
    };
    let (_, dry) = press(json!({ "issuer": ENTRA, "dry_run": true })).await;
    assert_eq!((&dry["dead_kids"], &dry["position"]), (&json!([]), &Value::Null));
    let (status, pressed) = press(json!({ "issuer": ENTRA, "reason": "stolen" })).await;
    assert_eq!(status, 200, "{pressed}");
    assert!(pressed["epoch"].as_u64().unwrap() > now());
    for (body, code, status) in [
        (json!({ "issuer": "https://nobody.example" }), "unknown_issuer", 422),
        (json!({ "issuer": ENTRA, "sessions": "end" }), "invalid_red_button", 400),
    ] {
        let (found, problem) = press(body).await;
        assert_eq!((found, &problem["code"]), (status, &json!(code)));
    }
    let follower = Follower::start(&plane, &plane.issuer()).await;
    assert_eq!(rules(&follower, ENTRA).0, pressed["epoch"].as_u64().unwrap());
    assert_eq!((rules(&follower, OTHER).0, rules(&follower, &plane.issuer()).0), (0, 0));
    assert_eq!(plane.got("/v1/keys").await["token_keys"], keys);
}

// The revocations of a deleted issuer stay, also in a process that restarts.
#[tokio::test]
async fn revocations_of_a_removed_issuer_stay_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start_in(folder.path(), &[]).await;
    plane.register("other", OTHER).await;
    let body = json!({ "issuer": OTHER, "claims": { "client_id": "c" } });
    plane.posted("/v1/revocations", &body).await;
    assert_eq!(send(&plane, Method::DELETE, "/v1/issuers/other", &json!({})).await.0, 200);
    let issuer = plane.issuer();
    let check = |follower: &Follower| {
        assert!(follower.verifier().feed().cutoff(OTHER, "client_id", "c").is_some());
        assert_eq!(rules(follower, OTHER).1, ["client_id", "jti", "sid", "sub"]);
    };
    check(&Follower::start(&plane, &issuer).await);
    drop(plane);
    let plane = ControlPlane::start_in(folder.path(), &[("OFFSWITCH_ISSUER", &issuer)]).await;
    check(&Follower::start(&plane, &issuer).await);
    assert_eq!(plane.got("/v1/issuers").await["issuers"], json!([]));
}

// The text of a token says which registered issuer it is from; RFC 7009 accepts it from a caller
// who may revoke.
#[tokio::test]
async fn a_token_of_a_registered_issuer_is_revoked_by_its_text() {
    use base64ct::{Base64UrlUnpadded, Encoding};
    let plane = registered().await;
    let part = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
    let token = |claims: Value| {
        format!("{}.{}.c2ln", part(&json!({ "alg": "RS256", "kid": "k" })), part(&claims))
    };
    let of = |id: &str| token(json!({ "iss": ENTRA, "uti": id, "exp": now() + 600 }));
    plane.posted("/v1/revocations", &json!({ "token": of("t-1") })).await;
    let form = |token: String| [("token", token)];
    let anyone = plane.request(Method::POST, "/oauth/revoke").form(&form(of("t-2")));
    let refused = anyone.send().await.unwrap();
    assert_eq!(refused.status(), 401);
    let refused = refused.json::<Value>().await.unwrap();
    let expected = json!({ "error": "invalid_client", "error_description": "missing_api_key" });
    assert_eq!(refused, expected);
    let reader = json!({ "name": "reader", "scopes": ["feed:read"] });
    let reader = plane.posted("/v1/api-keys", &reader).await["key"].as_str().unwrap().to_owned();
    let lacking = plane.request(Method::POST, "/oauth/revoke").bearer_auth(reader);
    let refused = lacking.form(&form(of("t-4"))).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.json::<Value>().await.unwrap()["error_description"], "missing_scope");
    let admin = plane.admin(Method::POST, "/oauth/revoke").form(&form(of("t-3")));
    assert_eq!(admin.send().await.unwrap().status(), 200);
    for claims in [
        json!({ "iss": ENTRA, "exp": now() + 600 }),
        json!({ "iss": "https://nobody.example", "uti": "t", "exp": now() + 600 }),
    ] {
        let body = json!({ "token": token(claims) });
        let (status, problem) = send(&plane, Method::POST, "/v1/revocations", &body).await;
        assert_eq!((status, &problem["code"]), (400, &json!("invalid_revocation")), "{problem}");
    }
    let expired =
        json!({ "token": token(json!({ "iss": ENTRA, "uti": "t", "exp": now() - 700 })) });
    let (status, problem) = send(&plane, Method::POST, "/v1/revocations", &expired).await;
    assert_eq!((status, &problem["code"]), (422, &json!("already_expired")));
    let follower = Follower::start(&plane, &plane.issuer()).await;
    let feed = follower.verifier().feed();
    let denied = ["t-1", "t-2", "t-3", "t-4"].map(|id| feed.is_denied(ENTRA, "uti", id));
    assert_eq!(denied, [true, false, true, false]);
}

// I13: 200 means that the token is no longer accepted, so a token that stays valid must get an
// error.
#[tokio::test]
async fn a_token_of_a_registered_issuer_that_cannot_be_revoked_is_an_error() {
    use base64ct::{Base64UrlUnpadded, Encoding};
    let plane = registered().await;
    let without_id =
        json!({ "issuer": "https://plain.example", "token_id_claim": "", "horizon_seconds": 600 });
    let (status, problem) = send(&plane, Method::PUT, "/v1/issuers/plain", &without_id).await;
    assert!(status < 300, "{problem}");
    let part = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
    let header = part(&json!({ "alg": "RS256", "kid": "k" }).to_string());
    let before = plane.got("/readyz").await["position"].clone();
    let exp = now() + 600;
    let refused = (400, "unsupported_token_type".to_owned(), "invalid_revocation".to_owned());
    for (claims, is_refused) in [
        (json!({ "iss": ENTRA, "exp": exp }), true),
        (json!({ "iss": ENTRA, "uti": 7, "exp": exp }), true),
        (json!({ "iss": ENTRA, "uti": "", "exp": exp }), true),
        (json!({ "iss": ENTRA, "uti": "x".repeat(257), "exp": exp }), true),
        (json!({ "iss": ENTRA, "uti": "t", "exp": "soon" }), true),
        (json!({ "iss": ENTRA, "uti": "t", "exp": exp * 1000 }), true),
        (json!({ "iss": "https://plain.example", "jti": "t", "exp": exp }), true),
        // RFC 7009 section 2.2: tokens that are expired or unknown here.
        (json!({ "iss": ENTRA, "uti": "t", "exp": now() - 700 }), false),
        (json!({ "iss": "https://nobody.example", "uti": "t", "exp": exp }), false),
        (json!({ "uti": "t", "exp": exp }), false),
    ] {
        let token = format!("{header}.{}.c2ln", part(&claims.to_string()));
        let sent = plane.admin(Method::POST, "/oauth/revoke").form(&[("token", token.clone())]);
        let answer = sent.send().await.unwrap();
        let status = answer.status().as_u16();
        if is_refused {
            let body = answer.json::<Value>().await.unwrap();
            let text = |name: &str| body[name].as_str().unwrap().to_owned();
            assert_eq!((status, text("error"), text("error_description")), refused, "{claims}");
            // A caller who may not revoke learns nothing about the token.
            let anyone = plane.request(Method::POST, "/oauth/revoke").form(&[("token", token)]);
            assert_eq!(anyone.send().await.unwrap().status(), 401);
        } else {
            assert_eq!(status, 200, "{claims}");
        }
    }
    assert_eq!(plane.got("/readyz").await["position"], before);
}

// An issuer in the configuration is registered at the start; a wrong one stops the start and is
// named.
#[tokio::test]
async fn issuers_of_the_configuration_are_registered_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("offswitch.toml");
    let issuer =
        "[[issuers]]\nname = \"idp\"\nissuer = \"https://idp.example\"\nhorizon_seconds = 900\n";
    std::fs::write(&file, issuer).unwrap();
    let config = file.to_str().unwrap();
    let plane = ControlPlane::start_with_config(folder.path(), config).await;
    let listed = plane.got("/v1/issuers").await;
    assert_eq!(listed["issuers"][0]["horizon_seconds"], 900);
    // The horizon of the control plane's own tokens comes from the configuration too.
    let follower = Follower::start(&plane, &plane.issuer()).await;
    let rules = follower.verifier().feed().rules_of(&plane.issuer()).unwrap();
    assert_eq!(rules.horizons.limit_at(now() + 5), Some(600));
}
