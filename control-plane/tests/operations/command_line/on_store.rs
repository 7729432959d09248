//! The commands that work on the store itself: what programs read of them, and how they fail.

use std::path::Path;

use serde_json::{Value, json};

use super::run_with;
use crate::support::process::ControlPlane;

/// The JSON that a command prints, and its exit code: on the standard output if it is done, otherwise on the
/// standard error, and nothing else.
fn asked(data_dir: &Path, arguments: &[&str], more: &[(&str, &str)]) -> (Option<i32>, Value) {
    let mut environment = vec![("OFFSWITCH_DATA_DIR", data_dir.to_str().unwrap())];
    environment.extend(more);
    let ended = run_with(&[arguments, &["--json"]].concat(), &environment, "");
    let printed = if ended.code == Some(0) { &ended.out } else { &ended.err };
    assert!(ended.out.is_empty() || ended.err.is_empty(), "{arguments:?}: {}", ended.err);
    let json = serde_json::from_str(printed);
    (ended.code, json.unwrap_or_else(|_| panic!("{arguments:?}: {} {}", ended.out, ended.err)))
}

// O07: a backup and its way back, as a script does it.
#[tokio::test]
async fn programs_back_up_restore_and_change_the_store() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut plane = ControlPlane::start_in(first.path(), &[]).await;
    let revoked = plane.posted("/v1/revocations", &json!({ "sub": "alice" })).await;
    let issuer = plane.issuer();
    plane.kill();
    let file = second.path().join("file");
    let back_up = ["backup", "--to", file.to_str().unwrap()];
    let (code, taken) = asked(first.path(), &back_up, &[]);
    assert_eq!(code, Some(0), "{taken}");
    assert_eq!((&taken["issuer"], &taken["position"]), (&json!(issuer), &revoked["position"]));
    assert_eq!((&taken["left_out"], &taken["file"]), (&json!([]), &json!(file.to_str().unwrap())));
    let (code, failed) = asked(first.path(), &back_up, &[]);
    assert_eq!((code, &failed["code"]), (Some(1), &json!("command_failed")), "it exists: {failed}");

    let restore = ["restore", "--from", file.to_str().unwrap()];
    let (code, failed) = asked(first.path(), &restore, &[]);
    assert_eq!((code, &failed["code"]), (Some(1), &json!("store_not_empty")), "{failed}");
    let other = [("OFFSWITCH_MASTER_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")];
    let (code, failed) = asked(second.path(), &restore, &other);
    assert_eq!((code, &failed["code"]), (Some(1), &json!("other_master_key")), "{failed}");
    std::fs::copy(first.path().join("master.key"), second.path().join("master.key")).unwrap();
    let junk = second.path().join("junk");
    std::fs::write(&junk, "no backup").unwrap();
    let (code, failed) = asked(second.path(), &["restore", "--from", junk.to_str().unwrap()], &[]);
    assert_eq!((code, &failed["code"]), (Some(1), &json!("not_a_backup")), "{failed}");
    let (code, restored) = asked(second.path(), &restore, &[]);
    assert_eq!(code, Some(0), "{restored}");
    assert_eq!((&restored["records"], &restored["kept"]), (&taken["records"], &json!(0)));

    let new = ["store", "create-api-key", "--name", "rescue", "--scope", "keys:read"];
    let (code, made) = asked(second.path(), &new, &[]);
    assert_eq!((code, &made["scopes"]), (Some(0), &json!(["keys:read"])), "{made}");
    let (code, failed) = asked(second.path(), &["store", "replace-master-key"], &[]);
    assert_eq!((code, &failed["code"]), (Some(1), &json!("command_failed")), "{failed}");
    let plane = ControlPlane::start_in(second.path(), &[("OFFSWITCH_ISSUER", &issuer)]).await;
    let key = made["key"].as_str().unwrap();
    let keys = plane.request(reqwest::Method::GET, "/v1/keys").bearer_auth(key);
    assert_eq!(keys.send().await.unwrap().status(), 200);
    drop(plane);
    let (code, aside) = asked(first.path(), &["store", "new-era"], &[]);
    assert_eq!((code, aside["put_aside"].as_array().unwrap().len()), (Some(0), 2), "{aside}");
}

// O07: nothing was done, or it is not known: by code and exit code, as for all commands.
#[test]
fn a_store_or_a_configuration_that_cannot_be_used_has_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let key = ("OFFSWITCH_MASTER_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    let file = folder.path().join("file");
    let back_up = ["backup", "--to", file.to_str().unwrap()];
    for (store, code, exit) in [
        ("embedded", "store_empty", 1),
        ("redis://127.0.0.1:1", "store_unavailable", 3),
        ("nonsense", "wrong_usage", 2),
    ] {
        let (found, failed) = asked(folder.path(), &back_up, &[key, ("OFFSWITCH_STORE", store)]);
        assert_eq!((found, &failed["code"]), (Some(exit), &json!(code)), "{failed}");
        assert!(!failed["detail"].as_str().unwrap().is_empty());
    }
}
