//! `offswitch snapshot import` into a folder that another user of the machine can write to. P09.

use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::{Value, json};

use super::feed_files::{export, offline, plane_in};

// P09: names that another user has put into the folder lead the import to no other file, and a pipe does not hold it up.
#[tokio::test]
async fn links_in_the_folder_lead_an_import_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let (plane, key) = plane_in(&folder).await;
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, place, victim) = (path("feed.tar"), path("place"), path("victim"));
    export(&plane, &key, &file).await;
    let import = || offline(&["snapshot", "import", &file, "--into", &place, "--key", &key]);
    let in_place = |name: &str| format!("{place}/{name}");
    let refused = |(answer, exit): (Value, Option<i32>), text: &str| {
        assert_ne!(exit, Some(0), "{answer}");
        assert_eq!(answer["code"], "file_unreadable", "{answer}");
        assert!(answer["detail"].as_str().unwrap().contains(text), "{answer}");
    };
    std::fs::create_dir(&place).unwrap();
    std::fs::write(&victim, "of another program").unwrap();
    let is_untouched = || std::fs::read(&victim).unwrap() == b"of another program";

    symlink(&victim, in_place(".import-lock")).unwrap();
    refused(import(), ".import-lock is a symbolic link");
    assert!(is_untouched());
    // Not even a file that is not there is made.
    std::fs::remove_file(in_place(".import-lock")).unwrap();
    symlink(path("new"), in_place(".import-lock")).unwrap();
    refused(import(), "symbolic link");
    assert!(!folder.path().join("new").exists());
    std::fs::remove_file(in_place(".import-lock")).unwrap();
    assert!(Command::new("mkfifo").arg(in_place(".import-lock")).status().unwrap().success());
    refused(import(), "");
    std::fs::remove_file(in_place(".import-lock")).unwrap();
    std::fs::hard_link(&victim, in_place(".import-lock")).unwrap();

    // A folder that leads elsewhere.
    let elsewhere = path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, in_place("bases")).unwrap();
    refused(import(), "bases is a symbolic link");
    assert!(is_untouched() && std::fs::read_dir(&elsewhere).unwrap().next().is_none());
    std::fs::remove_file(in_place("bases")).unwrap();

    // The draft is made new, where its name was taken.
    for link in [true, false] {
        match link {
            true => symlink(&victim, in_place(".import-draft")).unwrap(),
            false => std::fs::hard_link(&victim, in_place(".import-draft")).unwrap(),
        }
        let (put, exit) = import();
        assert_eq!((&put["changed"], exit), (&json!(true), Some(0)), "{put}");
        assert!(is_untouched(), "by a symbolic link: {link}");
        std::fs::remove_file(in_place("head")).unwrap();
    }
}
