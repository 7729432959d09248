//! The commands that an operator runs against a real control plane: what they print, and how they end.

mod errors;
mod feed_files;
mod feed_folders;
mod on_store;
mod shell;
mod tokens;

use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::support::process::{ControlPlane, command};

/// What a command printed, and its exit code.
struct Ended {
    out: String,
    err: String,
    code: Option<i32>,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        Self { out, err, code: output.status.code() }
    }
}

/// Runs the binary with these variables and this text as its standard input.
fn run_with(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Ended {
    let mut command = command();
    command.args(arguments).envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that reads nothing may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap().into()
}

/// Runs a command as an operator with the admin key, while the test serves requests.
async fn asked(plane: &ControlPlane, arguments: &[&str], input: &str) -> Ended {
    let url = format!("http://127.0.0.1:{}", plane.port());
    let (key, input) = (plane.admin_key(), input.to_owned());
    let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
    let ended = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let environment = [("OFFSWITCH_URL", url.as_str()), ("OFFSWITCH_API_KEY", key.as_str())];
        run_with(&arguments, &environment, &input)
    });
    ended.await.unwrap()
}

/// The same, which must succeed.
async fn done(plane: &ControlPlane, arguments: &[&str], input: &str) -> String {
    let ended = asked(plane, arguments, input).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{arguments:?}: {}", ended.out);
    ended.out
}

/// The text with ids replaced by names as long as they are, and times and positions by `TIME` and
/// `POSITION`.
fn shape(text: &str, ids: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (id, name) in ids {
        text = text.replace(id, &format!("{name:_<width$}", width = id.len()));
    }
    let is_time = |word: &str| word.len() == 20 && word.ends_with('Z') && word.contains("T");
    let is_position = |word: &str| {
        word.split_once('.').is_some_and(|(era, seq)| era.len() == 10 && seq.len() == 16)
    };
    let shaped = |word: &str| match word {
        time if is_time(time) => "TIME________________".to_owned(),
        position if is_position(position) => "POSITION___________________".to_owned(),
        other => other.to_owned(),
    };
    let lines = text.lines().map(|line| line.split(' ').map(shaped).collect::<Vec<_>>().join(" "));
    lines.map(|line| line + "\n").collect()
}

// O07: tables for people.
#[tokio::test]
async fn people_get_a_table_of_each_command() {
    let plane = ControlPlane::start().await;
    let status = plane.got("/v1/status").await;
    let keys = plane.got("/v1/keys").await;
    let login = json!({ "sub": "alice", "device": "Alice's\u{1b}[2J phone" });
    let session = plane.posted("/v1/sessions", &login).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (issuer, admin) = (plane.issuer(), text(&status["key"]["id"]));
    let (sid, kid) = (text(&session["session_id"]), text(&keys["token_keys"][0]["kid"]));
    let (feed, public) =
        (text(&keys["feed_keys"][0]["id"]), text(&keys["feed_keys"][0]["public_key"]));
    let ids = [
        (issuer.as_str(), "ISSUER"),
        (&admin, "ADMIN"),
        (&sid, "SID"),
        (&kid, "KID"),
        (&feed, "FEED"),
        (&public, "PUBLIC"),
    ];
    done(&plane, &["issuers", "put", "idp"], r#"{"issuer":"https://idp.example"}"#).await;
    let create = ["api-keys", "create", "--name", "edge", "--scope", "feed:read"];
    let created = done(&plane, &[&create[..], &["--expires-in-days", "30"]].concat(), "").await;
    assert!(created.starts_with("osk_") && created.lines().count() == 1, "{created}");

    let shown = shape(&done(&plane, &["status"], "").await, &ids);
    for line in [
        &format!("issuer      {}", shape(&issuer, &ids).trim_end()),
        "version     0.1.0",
        "ready       yes",
        "position    POSITION___________________",
        "durability  synced",
        "API key     ADMIN___________ (admin)",
        "expires     never",
        "issuer               name  receiver  accepted  failed  last event  last error",
        "https://idp.example  idp",
    ] {
        assert!(shown.lines().any(|found| found == line), "{line:?} in {shown}");
    }
    let shown = shape(&done(&plane, &["session", "list", "alice"], "").await, &ids);
    let expected = "\
session                           device                  ip  client            opened                last used             expires
SID_____________________________  Alice's\\u{1b}[2J phone      ADMIN___________  TIME________________  TIME________________  TIME________________
";
    assert_eq!(shown, expected);
    let shown = shape(&done(&plane, &["keys", "list"], "").await, &ids);
    let expected = "\
token key         alg    state   signs from            retires
KID_____________  EdDSA  active  TIME________________

feed key          state    created               public key
FEED____________  current  TIME________________  PUBLIC_____________________________________
";
    assert_eq!(shown, expected);
    let shown = done(&plane, &["issuers", "list"], "").await;
    let expected = "\
name  issuer               keys                                                  algorithms           horizon  revoked before
idp   https://idp.example  https://idp.example/.well-known/openid-configuration  RS256, ES256, EdDSA  86400 s
";
    assert_eq!(shown, expected);
    let shown = shape(&done(&plane, &["revoke", "user", "alice"], "").await, &ids);
    let expected = "\
revoked user alice
position           POSITION___________________
durability         synced
sessions ended     1
looked up by       sub
in the feed until  TIME________________
";
    assert_eq!(shown, expected);
    let shown = done(&plane, &["revoke", "user", "alcie"], "").await;
    assert!(shown.ends_with("check the spelling\n"), "{shown}");
}

// O07: what the API answers, for programs.
#[tokio::test]
async fn programs_get_what_the_api_answers() {
    let plane = ControlPlane::start().await;
    let session = plane.posted("/v1/sessions", &json!({ "sub": "alice" })).await;
    let sid = session["session_id"].as_str().unwrap();
    let asked = async |arguments: &[&str], input: &str| -> Value {
        let printed = done(&plane, &[arguments, &["--json"]].concat(), input).await;
        serde_json::from_str(&printed).unwrap()
    };
    for (arguments, path) in [
        (&["api-keys", "list"][..], "/v1/api-keys"),
        (&["issuers", "list"], "/v1/issuers"),
        (&["keys", "list"], "/v1/keys"),
        (&["session", "list", "alice"], "/v1/sessions?sub=alice"),
    ] {
        assert_eq!(asked(arguments, "").await, plane.got(path).await, "{arguments:?}");
    }
    let status = asked(&["status"], "").await;
    assert_eq!(status["status"], plane.got("/v1/status").await);
    assert_eq!(status["readiness"]["ready"], true);
    let revoked = asked(&["revoke", "user", "bob"], "").await;
    let members: Vec<&String> = revoked.as_object().unwrap().keys().collect();
    let expected = ["durability", "position", "repeated", "selector", "sessions_ended", "until"];
    assert_eq!(members, expected);
    let rotated = asked(&["keys", "rotate"], "").await;
    assert_eq!(rotated["repeated"], false);
    let feed = asked(&["keys", "rotate-feed"], "").await;
    assert_eq!(feed["state"], "current");
    let id = feed["id"].as_str().unwrap();
    assert_eq!(asked(&["keys", "drop-feed", id], "").await["dropped"], true);
    assert_eq!(asked(&["keys", "drop-feed", id], "").await["dropped"], false);
    let put = asked(&["issuers", "put", "idp"], r#"{"issuer":"https://idp.example"}"#).await;
    assert_eq!(put["issuer"], "https://idp.example");
    let name = ["--name", "edge", "--scope", "feed:read", "--scope", "keys:read"];
    let created = asked(&[&["api-keys", "create"], &name[..]].concat(), "").await;
    assert_eq!(created["scopes"], json!(["feed:read", "keys:read"]));
    let id = created["id"].as_str().unwrap();
    assert_eq!(asked(&["api-keys", "delete", id], "").await["name"], "edge");
    let ended = asked(&["session", "logout", "alice", sid], "").await;
    assert_eq!(ended["sessions_ended"], 1);
    assert_eq!(asked(&["session", "logout", "alice"], "").await["sessions_ended"], 0);
    assert_eq!(asked(&["issuers", "remove", "idp"], "").await["name"], "idp");
}

// O07: each kind of revocation, as the log then has it.
#[tokio::test]
async fn everything_that_can_be_revoked_is_revoked_from_the_command_line() {
    let plane = ControlPlane::start().await;
    plane.register("idp", "https://idp.example").await;
    let login = async || plane.posted("/v1/sessions", &json!({ "sub": "alice" })).await;
    let text = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
    let (first, second) = (login().await, login().await);
    let sid = text(&second, "session_id");
    let foreign = ["--issuer", "https://idp.example"];
    for (arguments, input, kind, member) in [
        (&["token"][..], text(&first, "access_token"), "token", json!(first["jti"])),
        (&["refresh-token"], text(&first, "refresh_token"), "refresh", Value::Null),
        (&["jti", "t-1"], String::new(), "token", json!("t-1")),
        (&["session", &sid], String::new(), "session", json!(sid)),
        (&["user", "bob"], String::new(), "user", json!("bob")),
        (&["kid", "k-1", "--yes", foreign[0], foreign[1]], String::new(), "key", json!("k-1")),
        (
            &["claims", r#"{"client_id":"app","tier":7}"#],
            String::new(),
            "claims",
            json!({ "client_id": "app", "tier": 7 }),
        ),
    ] {
        let all = [&["revoke", "--reason", "a test"], arguments].concat();
        let printed = done(&plane, &all, &input).await;
        assert!(printed.starts_with("revoked ") && !printed.contains("eyJ"), "{printed}");
        let listed = plane.got("/v1/revocations?limit=1").await;
        let newest = &listed["requests"][0];
        let revocation = &newest["revocations"][0];
        assert_eq!((&newest["reason"], &revocation["kind"]), (&json!("a test"), &json!(kind)));
        let held = revocation.as_object().unwrap().values().any(|value| *value == member);
        assert!(held || member.is_null(), "{member} in {revocation}");
    }
    // The red button: first what it would do, then for one issuer, then for all.
    let dry = done(&plane, &["revoke", "all", "--dry-run"], "").await;
    assert!(
        dry.starts_with("would revoke every token") && dry.contains("sessions reached"),
        "{dry}"
    );
    let one =
        done(&plane, &["revoke", "all", "--yes", "--issuer", "https://idp.example"], "").await;
    assert!(one.starts_with("revoked every token issued before "), "{one}");
    let kid = plane.got("/v1/keys").await["token_keys"][0]["kid"].clone();
    let all = done(&plane, &["revoke", "all", "--yes", "--keep-sessions"], "").await;
    assert!(all.contains(kid.as_str().unwrap()) && all.contains("signs from now on"), "{all}");
}
