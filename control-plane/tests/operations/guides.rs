//! The guides for identity providers: `serve --check` accepts the configuration that each of them shows.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::process::run;

/// The guides, by their name.
fn guides() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guides/providers");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let named = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    paths.into_iter().map(named).collect()
}

/// The blocks of TOML in a guide: of issuers, and of the file with their secrets.
fn blocks(guide: &str) -> (Vec<&str>, Vec<&str>) {
    let blocks = guide.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.partition(|block| block.starts_with("[[issuers]]"))
}

// I05, I13
#[test]
fn the_configuration_of_each_guide_would_start() {
    for (name, guide) in guides() {
        let (issuers, secrets) = blocks(&guide);
        assert!(!issuers.is_empty(), "{name} registers no issuer");
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let secret_file = file("secrets.toml", &secrets.concat());
        let config = file("offswitch.toml", &issuers.join("\n"));
        let data = folder.path().join("data");
        let arguments = ["serve", "--check", "--config", &config];
        let environment = [
            ("OFFSWITCH_DATA_DIR", data.to_str().unwrap()),
            ("OFFSWITCH_LISTEN", "127.0.0.1:0"),
            ("OFFSWITCH_RECEIVER_SECRETS_FILE", &secret_file),
        ];
        let output = run(&arguments, &environment);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(output.status.success(), "{name}: {text}");
        for block in issuers {
            let issuer = block.split("name = \"").nth(1).unwrap().split('"').next().unwrap();
            for (member, path) in [
                ("backchannel_logout", "backchannel-logout"),
                ("events", "events"),
                ("global_token_revocation", "global-token-revocation"),
                ("webhook", "webhook"),
            ] {
                let is_on = block.contains(&format!("receivers.{member}"));
                let address = format!("https://offswitch.example/v1/receivers/{issuer}/{path}");
                assert_eq!(guide.contains(&address), is_on, "{name}: {address}");
            }
            // A webhook without its secret would answer 503 to each event.
            let is_secret = |one: &&str| one.starts_with(&format!("{issuer} = "));
            let has_secret = secrets.iter().any(is_secret);
            assert_eq!(has_secret, block.contains("receivers.webhook"), "{name}: {issuer}");
        }
    }
}

// I05
#[test]
fn each_preset_has_a_guide_that_says_what_it_cannot_do_and_how_to_check_it() {
    let presets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../verifier-wasm/presets.json");
    let presets: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(presets).unwrap()).unwrap();
    let presets: BTreeSet<&str> = presets.as_object().unwrap().keys().map(String::as_str).collect();
    let guides = guides();
    for preset in &presets {
        let spellings = [format!("`{preset}`"), format!("preset = \"{preset}\"")];
        let is_named = |guide: &str| spellings.iter().any(|one| guide.contains(one));
        assert!(guides.iter().any(|(_, guide)| is_named(guide)), "{preset} has no guide");
    }
    for (name, guide) in &guides {
        for part in
            ["**What it cannot do.**", "\noffswitch doctor --url ", "\nSources: [", "](https://"]
        {
            assert!(guide.contains(part), "{name} lacks {part:?}");
        }
        assert!((20..=60).contains(&guide.lines().count()), "{name}");
    }
}
