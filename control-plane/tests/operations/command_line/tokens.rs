//! `verify` and `inspect`: tokens come from files and from the standard input, never as arguments.

use serde_json::{Value, json};

use super::{asked, done, run_with};
use crate::support::follower::now;
use crate::support::process::ControlPlane;
use crate::support::provider::Provider;

/// The verdict, its code and the exit code.
async fn verdict(
    plane: &ControlPlane,
    token: &str,
    more: &[&str],
) -> (String, String, Option<i32>) {
    let ended = asked(plane, &[&["verify", "--json"], more].concat(), token).await;
    assert!(ended.err.is_empty(), "{}", ended.err);
    assert!(!ended.out.contains("eyJ"), "{}", ended.out);
    let json: Value = serde_json::from_str(&ended.out).unwrap();
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    (text("verdict"), text("code"), ended.code)
}

fn is(verdict: &str, code: &str, exit: i32) -> (String, String, Option<i32>) {
    (verdict.to_owned(), code.to_owned(), Some(exit))
}

// O07: each revocation counts in the next call, also while the published base is older.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_judged_by_the_newest_revocations() {
    let plane = ControlPlane::start().await;
    for user in ["alice", "bob", "carol"] {
        let session = plane.posted("/v1/sessions", &json!({ "sub": user })).await;
        let token = session["access_token"].as_str().unwrap();
        assert_eq!(verdict(&plane, token, &[]).await, is("valid", "valid", 0));
        done(&plane, &["revoke", "user", user], "").await;
        assert_eq!(verdict(&plane, token, &[]).await, is("refused", "revoked_user", 1));
    }
    let session = plane.posted("/v1/sessions", &json!({ "sub": "dave" })).await;
    let token = session["access_token"].as_str().unwrap();
    for (more, expected) in [
        (&["--audience", "api", "--audience", "other"][..], is("valid", "valid", 0)),
        (&["--audience", "other"], is("refused", "wrong_audience", 1)),
        // A feed that the operator does not trust decides nothing.
        (
            &["--feed-key", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"],
            is("undecided", "no_snapshot", 3),
        ),
    ] {
        assert_eq!(verdict(&plane, token, more).await, expected, "{more:?}");
    }
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    assert_eq!(verdict(&plane, &forged, &[]).await, is("refused", "bad_signature", 1));
    assert_eq!(verdict(&plane, "a.b.c", &[]).await, is("refused", "malformed", 1));

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{token}\n")).unwrap();
    let path = file.path().to_str().unwrap();
    let shown = done(&plane, &["verify", "--explain", path], "").await;
    assert!(shown.starts_with("valid\nfeed position  "), "{shown}");
    for line in
        ["audience       not checked", "signature        passed", "audience         not asked"]
    {
        assert!(shown.lines().any(|found| found == line), "{line:?} in {shown}");
    }
    let ended = asked(&plane, &["verify"], &forged).await;
    assert!(ended.out.starts_with("refused: bad_signature: "), "{}", ended.out);
}

// O07: a token of a registered issuer is judged with the keys of that issuer alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_a_registered_issuer_is_judged_with_its_keys() {
    let (plane, provider) = (ControlPlane::start().await, Provider::start().await);
    let claims = json!({ "iss": provider.issuer(), "aud": "api", "sub": "alice", "jti": "t",
                         "iat": now(), "exp": now() + 600 });
    let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": "k1" });
    let token = provider.sign_text(&header, &claims.to_string());
    let refused = verdict(&plane, &token, &[]).await;
    assert_eq!((refused.0.as_str(), refused.2), ("refused", Some(1)), "it is not registered");
    assert_eq!(provider.fetches(), 0, "a token names no address to fetch");
    plane.register("idp", provider.issuer()).await;
    assert_eq!(verdict(&plane, &token, &[]).await, is("valid", "valid", 0));
    done(&plane, &["revoke", "token"], &token).await;
    assert_eq!(verdict(&plane, &token, &[]).await, is("refused", "revoked_token", 1));
}

// O07: the header and the claims, and no signature; nothing that is not verified ends with 0.
#[tokio::test]
async fn a_token_is_decoded_without_its_signature() {
    let plane = ControlPlane::start().await;
    let login = json!({ "sub": "alice", "claims": { "note": "a\u{1b}[2J" } });
    let session = plane.posted("/v1/sessions", &login).await;
    let token = session["access_token"].as_str().unwrap();
    let (_, signature) = token.rsplit_once('.').unwrap();
    let keys = plane.got("/.well-known/jwks.json").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, keys.to_string()).unwrap();
    let path = path.to_str().unwrap();

    let shown = run_with(&["inspect"], &[], token);
    assert_eq!(shown.code, Some(3), "{}", shown.err);
    assert!(shown.out.starts_with("signature: NOT VERIFIED"), "{}", shown.out);
    assert!(shown.out.contains("\nalg  EdDSA\n") && shown.out.contains("alice"), "{}", shown.out);
    assert!(shown.out.contains("Z, in ") && !shown.out.contains('\u{1b}'), "{}", shown.out);
    let json = run_with(&["inspect", "--json"], &[], token);
    let decoded: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&decoded["signature"], json.code), (&json!("not_verified"), Some(3)));
    assert_eq!(
        (&decoded["claims"]["sub"], &decoded["header"]["typ"]),
        (&json!("alice"), &json!("at+jwt"))
    );
    let verified = run_with(&["inspect", "--keys", path], &[], token);
    assert_eq!(verified.code, Some(0), "{}", verified.err);
    assert!(verified.out.starts_with("signature: verified, by key "), "{}", verified.out);
    for ended in [&shown, &json, &verified] {
        assert!(!ended.out.contains(signature), "{}", ended.out);
    }

    // One of an issuer that no verifier accepts: {"alg":"none"} and {"exp":2,"sub":"alice"}.
    let foreign = "eyJhbGciOiJub25lIn0.eyJleHAiOjIsInN1YiI6ImFsaWNlIn0.";
    let expected = r#"{
  "claims": {
    "exp": 2,
    "sub": "alice"
  },
  "header": {
    "alg": "none"
  },
  "signature": "not_verified",
  "verified_by": null
}
"#;
    assert_eq!(run_with(&["inspect", "--json"], &[], foreign).out, expected);

    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    let other = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "other", "alg": "EdDSA",
                                   "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] });
    let others = folder.path().join("others.json");
    std::fs::write(&others, other.to_string()).unwrap();
    let others = others.to_str().unwrap();
    for (arguments, input, code, exit) in [
        (&["--keys", path][..], forged.as_str(), "bad_signature", 1),
        (&["--keys", others], token, "unknown_key", 1),
        (&["--keys", "/dev/null"], token, "invalid_key", 2),
        (&[], "osr_refresh", "malformed", 1),
        (&[], "a.b.c", "malformed", 1),
        (&[], "a.b.c.d.e", "malformed", 1),
        (&[], "", "invalid_input", 2),
        (&[], &"x".repeat(20_000), "file_too_large", 2),
    ] {
        let ended = run_with(&[&["inspect"], arguments].concat(), &[], input);
        assert_eq!((ended.code, ended.out.as_str()), (Some(exit), ""), "{code}: {}", ended.err);
        assert!(ended.err.starts_with(&format!("offswitch: {code}: ")), "{}", ended.err);
        assert!(!ended.err.contains(signature), "{}", ended.err);
    }
}
