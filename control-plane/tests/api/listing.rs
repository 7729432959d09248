//! Searching what was revoked.

use serde_json::{Value, json};

use crate::support::follower::now;
use crate::support::process::ControlPlane;

fn reasons(page: &Value) -> Vec<&str> {
    let requests = page["requests"].as_array().unwrap().iter();
    requests.map(|one| one["reason"].as_str().unwrap()).collect()
}

// D41, D33: the list is filtered by selector, user and time; each entry names its issuer.
#[tokio::test]
async fn revocations_are_found_by_their_selectors() {
    let plane = ControlPlane::start().await;
    let exp = now() + 600;
    let other = "https://idp.example";
    plane.register("idp", other).await;
    let session = plane.posted("/v1/sessions", &json!({ "sub": "s" })).await;
    let sid = session["session_id"].as_str().unwrap();
    for request in [
        json!({ "reason": "r0", "sub": "alice" }),
        json!({ "reason": "r1", "sub": "alice", "issuer": other }),
        json!({ "reason": "r2", "jti": "t", "exp": exp }),
        json!({ "reason": "r3", "session_id": sid }),
        json!({ "reason": "r4", "kid": "k", "issuer": other }),
        json!({ "reason": "r5", "refresh_token": session["refresh_token"] }),
        json!({ "reason": "r6", "revocations": [{ "sub": "bob" }, { "sub": "alice" }] }),
    ] {
        plane.posted("/v1/revocations", &request).await;
    }
    let own = plane.issuer();
    for (query, expected) in [
        ("sub=alice".to_owned(), vec!["r6", "r1", "r0"]),
        (format!("sub=alice&issuer={own}"), vec!["r6", "r0"]),
        (format!("issuer={other}&kid=k"), vec!["r4"]),
        (format!("issuer={other}&sub=alice"), vec!["r1"]),
        (format!("issuer={other}/"), vec![]),
        ("jti=t".to_owned(), vec!["r2"]),
        (format!("session_id={sid}"), vec!["r5", "r3"]),
        ("kid=k".to_owned(), vec!["r4"]),
        ("sub=carol".to_owned(), vec![]),
        (format!("until={}", now() - 60), vec![]),
        (format!("since={}&limit=7", now() - 60), vec!["r6", "r5", "r4", "r3", "r2", "r1", "r0"]),
        (format!("since={}", now() + 60), vec![]),
        ("sub=alice&limit=1".to_owned(), vec!["r6"]),
    ] {
        let page = plane.got(&format!("/v1/revocations?{query}")).await;
        assert_eq!(reasons(&page), expected, "{query}: {page}");
    }
    let bulk = plane.got("/v1/revocations?sub=alice&limit=1").await;
    let request = &bulk["requests"][0];
    assert_eq!(
        (&request["count"], request["revocations"].as_array().unwrap().len()),
        (&json!(2), 1)
    );
    assert_eq!(request["revocations"][0]["issuer"], own);
    let mut found = Vec::new();
    let mut before = String::new();
    loop {
        let page = plane.got(&format!("/v1/revocations?sub=alice&limit=1{before}")).await;
        found.extend(reasons(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_u64() else { break };
        before = format!("&before={next}");
    }
    assert_eq!(found, ["r6", "r1", "r0"]);
}

// D41: a search for rare entries reads a long log in parts, and each page says where to continue.
#[tokio::test]
async fn one_request_reads_a_bounded_part_of_the_log() {
    let plane = ControlPlane::start().await;
    plane.posted("/v1/revocations", &json!({ "sub": "rare", "reason": "first" })).await;
    let lines: Vec<Value> =
        (0..100_000).map(|one| json!({ "jti": format!("t{one}"), "exp": now() + 600 })).collect();
    for _ in 0..3 {
        plane.posted("/v1/revocations", &json!({ "revocations": lines })).await;
    }
    let first = plane.got("/v1/revocations?sub=rare").await;
    assert_eq!(first["requests"], json!([]));
    let next = first["next"].as_u64().unwrap();
    let second = plane.got(&format!("/v1/revocations?sub=rare&before={next}")).await;
    assert_eq!(reasons(&second), ["first"]);
}
