//! What the audit log has of each request and command.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::audit::{audit_command, audit_lines};
use crate::support::oauth::text;
use crate::support::process::{ControlPlane, run};
use crate::support::redis_server::RedisServer;

async fn started(environment: &[(&str, &str)]) -> (ControlPlane, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (ControlPlane::start_in(folder.path(), environment).await, folder)
}

/// The line of the last request.
fn last(plane: &ControlPlane) -> Value {
    plane.audited().pop().unwrap()
}

// A08: every route that may change something, as the description of the API has them. A new one is
// recorded, or named here with the reason why it changes nothing.
#[tokio::test]
async fn every_changing_route_writes_exactly_one_line() {
    let (plane, _folder) = started(&[("OFFSWITCH_AUDIT", "all")]).await;
    let description: Value =
        plane.request(Method::GET, "/openapi.json").send().await.unwrap().json().await.unwrap();
    let mut recorded = 0;
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            if id == "followFeed" {
                continue; // A stream without end; it is a GET.
            }
            let method: Method = method.to_uppercase().parse().unwrap();
            for by in [None, Some(plane.admin_key())] {
                let name = format!("{id}-{}", by.is_some());
                let request = plane.request(method.clone(), path).header("x-request-id", &name);
                let request = by.iter().fold(request, |request, key| request.bearer_auth(key));
                let answer = request.json(&json!({ "odd": 1 })).send().await.unwrap();
                let lines = plane.audited();
                let lines: Vec<_> = lines.iter().filter(|line| line["request"] == *name).collect();
                let changes = method != Method::GET && !CHANGES_NOTHING.contains(&id);
                assert_eq!(lines.len(), usize::from(changes), "{name}: {lines:?}");
                let Some(line) = lines.first() else { continue };
                recorded += 1;
                assert_eq!(
                    (&line["operation"], &line["source"]),
                    (&json!(id), &json!("127.0.0.1"))
                );
                assert_eq!(line["status"], answer.status().as_u16(), "{line}");
                let refused =
                    answer.status().is_client_error() || answer.status().is_server_error();
                assert_eq!(line["code"].is_string(), refused, "{line}");
                let shown = answer.headers()["x-request-id"].to_str().unwrap();
                assert_eq!(shown, name);
            }
        }
    }
    assert!(recorded > 40, "{recorded}");
    // A method that a route does not have changes nothing.
    let wrong = plane.admin(Method::PATCH, "/v1/sessions").header("x-request-id", "wrong");
    assert_eq!(wrong.send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(!plane.audited().iter().any(|line| line["request"] == "wrong"));
}

/// Sent by POST for their bodies. What `examine` revokes is a request of its own, and a follower's position is
/// forgotten with its process.
const CHANGES_NOTHING: [&str; 3] = ["answerPosition", "examine", "introspectToken"];

// A08: who, what and what came of it; the refusal has the code of the answer.
#[tokio::test]
async fn a_line_says_who_did_what_and_what_came_of_it() {
    let (plane, _folder) = started(&[]).await;
    let own = plane.got("/v1/status").await["key"]["id"].clone();
    let revoked = plane.posted("/v1/revocations", &json!({ "sub": "alice" })).await;
    let line = last(&plane);
    let user = json!([{ "kind": "user", "sub": "alice" }]);
    for (name, value) in [
        ("operation", &json!("revoke")),
        ("outcome", &json!("accepted")),
        ("by", &own),
        ("targets", &user),
        ("count", &json!(1)),
        ("position", &revoked["position"]),
    ] {
        assert_eq!(&line[name], value, "{line}");
    }
    let unknown =
        plane.post("/v1/revocations", &json!({ "sub": "a", "issuer": "https://x" })).await;
    assert!(unknown.status().is_client_error());
    let line = last(&plane);
    assert_eq!((&line["outcome"], &line["code"]), (&json!("refused"), &json!("unknown_issuer")));
    assert_eq!((&line["by"], &line["position"]), (&own, &Value::Null));

    let bulk = json!({ "revocations": (0..50).map(|n| json!({ "jti": format!("t{n}") })).collect::<Vec<_>>() });
    let request = || plane.admin(Method::POST, "/v1/revocations").header("idempotency-key", "once");
    let first: Value = request().json(&bulk).send().await.unwrap().json().await.unwrap();
    let line = last(&plane);
    assert_eq!((&line["count"], line["targets"].as_array().unwrap().len()), (&json!(50), 8));
    assert_eq!((&line["position"], &line["repeated"]), (&first["position"], &Value::Null));
    request().json(&bulk).send().await.unwrap();
    let line = last(&plane);
    assert_eq!((&line["position"], &line["repeated"]), (&first["position"], &json!(true)));

    plane.posted("/v1/red-button", &json!({ "dry_run": true })).await;
    let line = last(&plane);
    assert_eq!((&line["preview"], &line["position"]), (&json!(true), &Value::Null));
    plane.register("idp", "https://idp.example").await;
    let line = last(&plane);
    assert_eq!((&line["operation"], &line["count"]), (&json!("putIssuer"), &json!(2)), "{line}");
    assert_eq!(line["targets"][0], json!({ "kind": "path", "path": "/v1/issuers/idp" }));
    let rotated = plane.posted("/v1/feed-keys/rotate", &json!({})).await;
    let key = json!([{ "kind": "feed_key", "id": rotated["id"] }]);
    assert_eq!((&last(&plane)["targets"], &last(&plane)["by"]), (&key, &own));

    // No key, and a key that may not do this: only the second is named.
    let refused = plane.request(Method::POST, "/v1/red-button").json(&json!({}));
    assert_eq!(refused.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let line = last(&plane);
    assert_eq!((&line["code"], &line["by"]), (&json!("missing_api_key"), &Value::Null));
    let reader =
        plane.posted("/v1/api-keys", &json!({ "name": "x", "scopes": ["keys:read"] })).await;
    assert_eq!(last(&plane)["targets"][0]["id"], reader["id"]);
    let refused = plane.request(Method::POST, "/v1/red-button").bearer_auth(text(&reader, "key"));
    assert_eq!(refused.json(&json!({})).send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let line = last(&plane);
    assert_eq!((&line["code"], &line["by"]), (&json!("missing_scope"), &reader["id"]));
    // What the process did on its own.
    let own: Vec<Value> = plane.audit().into_iter().filter(|line| line["type"] == "task").collect();
    let first_key = own.iter().any(|line| line["operation"] == "createApiKey");
    assert!(first_key && own.iter().all(|line| line["by"] == "offswitch"), "{own:?}");
}

// A08, A07: refreshes are routine and left out, but not the theft that one of them shows. No line has a
// token or a secret.
#[tokio::test]
async fn a_theft_is_recorded_a_refresh_is_not_and_no_secret_is() {
    let (plane, folder) = started(&[]).await;
    let session = plane.login("alice").await;
    let line = last(&plane);
    let id = &session["session_id"];
    assert_eq!(line["operation"], "openSession");
    let named =
        json!([{ "kind": "user", "sub": "alice" }, { "kind": "session", "session_id": id }]);
    assert_eq!(line["targets"], named);
    let spent = text(&session, "refresh_token");
    let next = plane.refreshed(spent).await;
    plane.refreshed(text(&next, "refresh_token")).await;
    assert_eq!(last(&plane)["operation"], "openSession");
    plane.not_refreshed(spent, "refresh_token_reused").await;
    let line = last(&plane);
    assert_eq!((&line["operation"], &line["by"]), (&json!("refreshToken"), &json!("holder")));
    assert_eq!(
        (&line["code"], &line["targets"][0]["session_id"]),
        (&json!("refresh_token_reused"), id)
    );
    assert!(line["position"].is_string());

    let token = text(&session, "access_token");
    plane.form("/oauth/revoke", &[("token", token)]).await;
    plane.post("/v1/revocations", &json!({ "jti": token, "reason": spent })).await;
    plane.delete(&format!("/v1/api-keys/{}", plane.admin_key().trim())).await;
    plane.delete(&format!("/v1/users/alice/sessions/{spent}")).await;
    let all = std::fs::read_to_string(folder.path().join("audit/serve.000001.ndjson")).unwrap();
    for secret in [spent, token, text(&next, "refresh_token"), plane.admin_key().trim()] {
        // A refresh token begins with its session's id, which may be there, and ends with a MAC.
        assert!(!all.contains(secret) && !all.contains(&secret[secret.len() - 20..]));
    }
}

// A08: a request of a stranger costs a bounded number of lines, and the rest is counted in the next one.
#[tokio::test]
async fn strangers_cannot_fill_the_disk() {
    let (plane, _folder) = started(&[]).await;
    for _ in 0..400 {
        plane.form("/oauth/revoke", &[("token", "x")]).await;
    }
    let lines = plane.audited().len();
    assert!((200..390).contains(&lines), "{lines}");
    plane.posted("/v1/revocations", &json!({ "sub": "alice" })).await;
    let all = plane.audit();
    let counted: u64 = all.iter().filter_map(|line| line["left_out"].as_u64()).sum();
    assert_eq!(lines as u64 + counted, 400);
}

// A08: two processes and a command on one Redis; their files are read together and paged by HTTP.
#[tokio::test]
async fn the_logs_of_processes_and_commands_are_read_together() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let master = ("OFFSWITCH_MASTER_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    let issuer = ("OFFSWITCH_ISSUER", "https://auth.example");
    let environment = [("OFFSWITCH_STORE", url.as_str()), master, issuer];
    let one = ControlPlane::start_in(folders[0].path(), &environment).await;
    let other = ControlPlane::start_in(folders[1].path(), &environment).await;
    let data_dir = folders[0].path().to_str().unwrap();
    let made = run(
        &["store", "create-api-key", "--name", "x", "--scope", "audit:read"],
        &[environment[0], master, ("OFFSWITCH_DATA_DIR", data_dir)],
    );
    assert!(made.status.success());
    let lines = audit_lines(&folders[0].path().join("audit/command.000001.ndjson"));
    assert_eq!(
        (&lines[1]["type"], &lines[1]["operation"]),
        (&json!("command"), &json!("createApiKey"))
    );
    assert!(lines[1]["by"].as_str().unwrap().starts_with("command:uid="), "{lines:?}");
    assert_eq!(lines[1]["targets"][0]["scopes"], "audit:read");
    for number in 0..20 {
        one.posted("/v1/revocations", &json!({ "sub": format!("a{number}") })).await;
        let key = one.admin_key();
        let request = other.request(Method::POST, "/v1/revocations").bearer_auth(key);
        let answer = request.json(&json!({ "sub": format!("b{number}") })).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
    let paths = folders.each_ref().map(|one| one.path().join("audit").display().to_string());
    let (code, merged) = audit_command(folders[0].path(), &["export", &paths[0], &paths[1]]);
    assert_eq!(code, Some(0), "{merged}");
    let times: Vec<u64> = merged
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["at_ms"].as_u64().unwrap())
        .collect();
    assert!(times.is_sorted() && times.len() > 45, "{}", times.len());
    let file = folders[0].path().join("merged.ndjson");
    std::fs::write(&file, merged).unwrap();
    let (code, said) = audit_command(folders[0].path(), &["verify", file.to_str().unwrap()]);
    assert_eq!((code, said.matches("chain ").count()), (Some(0), 3), "{said}");

    // Page by page it is the file.
    let (mut paged, mut from) = (String::new(), 0);
    loop {
        let page = one.admin(Method::GET, &format!("/v1/audit?from={from}&limit=7")).send().await;
        let page = page.unwrap().text().await.unwrap();
        let Some(line) = page.lines().last() else { break };
        from = serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap() + 1;
        paged.push_str(&page);
    }
    let file =
        std::fs::read_to_string(folders[0].path().join("audit/serve.000001.ndjson")).unwrap();
    assert!(file.starts_with(&paged) && paged.len() > 2000);
    let command = one.admin(Method::GET, "/v1/audit?writer=command").send().await.unwrap();
    assert_eq!(command.headers()["content-type"], "application/x-ndjson");
    assert!(command.text().await.unwrap().contains("createApiKey"));
}
