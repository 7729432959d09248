//! The files and the memory of the process, and who can read them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::support::process::ControlPlane;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

// D09: only the process's own user can read its files, also where an earlier start created them
// with wider permissions.
#[tokio::test]
async fn the_data_folder_and_all_files_in_it_are_closed_to_other_users() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    std::fs::create_dir(&data_dir).unwrap();
    set_mode(&data_dir, 0o755);
    let mut plane = ControlPlane::start_in(&data_dir, &[]).await;
    plane.posted("/v1/revocations", &json!({ "sub": "alice" })).await;
    let files = ["admin.key", "master.key", "offswitch.redb", "offswitch.redb.lock"];
    assert_eq!(mode(&data_dir), 0o700);
    assert!(plane.log().contains("other users could use this"), "{}", plane.log());
    for file in files {
        assert_eq!(mode(&data_dir.join(file)), 0o600, "{file}");
    }
    plane.kill();
    for file in &files[2..] {
        set_mode(&data_dir.join(file), 0o644);
    }
    let _plane = ControlPlane::start_in(&data_dir, &[]).await;
    for file in files {
        assert_eq!(mode(&data_dir.join(file)), 0o600, "{file}");
    }
}

// O05: a volume as Kubernetes mounts it, for a process that is not root: the error says what to do, and a
// folder inside works.
#[test]
fn a_volume_that_belongs_to_root_holds_the_data_folder() {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::CommandExt;
    let volume = tempfile::tempdir().unwrap();
    // Only root can run a process as another user.
    if std::fs::metadata(volume.path()).unwrap().uid() != 0 {
        return;
    }
    set_mode(volume.path(), 0o777);
    let binary = volume.path().join("offswitch");
    std::fs::copy(env!("CARGO_BIN_EXE_offswitch"), &binary).unwrap();
    set_mode(&binary, 0o755);
    let check = |data_dir: &Path| {
        let mut command = std::process::Command::new(&binary);
        command.args(["serve", "--check", "--listen", "127.0.0.1:0"]).env_clear();
        command.env("OFFSWITCH_DATA_DIR", data_dir).uid(65534).gid(65534);
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    };
    let (is_good, text) = check(volume.path());
    assert!(!is_good && text.contains("name a folder inside it"), "{text}");
    let inside = volume.path().join("data");
    let (is_good, text) = check(&inside);
    assert!(is_good, "{text}");
    assert_eq!(mode(&inside), 0o700);
}

// D20, A07: no core dump, and no access to the process's memory for other processes of its user.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_process_cannot_be_dumped() {
    use std::os::unix::fs::MetadataExt;
    let plane = ControlPlane::start().await;
    let proc = format!("/proc/{}", plane.id());
    let limits = std::fs::read_to_string(format!("{proc}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    // The files of a process that cannot be dumped belong to root, whichever user runs it.
    assert_eq!(std::fs::metadata(format!("{proc}/mem")).unwrap().uid(), 0);
    let filter = format!("{proc}/coredump_filter");
    assert_eq!(std::fs::metadata(filter).unwrap().uid(), 0);
}
