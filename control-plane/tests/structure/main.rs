//! What may import what, and what is committed of the API.

mod description;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the crate, the lowest first: one imports only those before it. The rules are
/// below all of them, in a crate of their own that cannot import any.
const LAYERS: [&str; 13] = [
    "clock",
    "private_files",
    "master_key",
    "credential",
    "telemetry",
    "problem",
    "store",
    "keyring",
    "api_keys",
    "sealing",
    "plane",
    "server",
    "config",
];
/// Above them, and beside each other.
const TOP: [&str; 1] = ["http"];

#[test]
fn no_module_imports_one_above_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    let layers: Vec<&str> = LAYERS.into_iter().chain(TOP).collect();
    for (rank, layer) in layers.iter().enumerate() {
        let file = source.join(format!("{layer}.rs"));
        let mut files = files_in(&source.join(layer));
        files.extend(file.exists().then_some(file));
        assert!(!files.is_empty(), "there is no module {layer}");
        for file in files {
            let text = without_tests(&fs::read_to_string(&file).unwrap());
            for imported in imports(&text) {
                let Some(of) = layers.iter().position(|one| *one == imported) else { continue };
                seen.insert(imported.clone());
                if of > rank {
                    wrong.push(format!("{} imports {imported}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen.contains("store") && seen.contains("plane"), "imports are found: {seen:?}");
    let library = fs::read_to_string(source.join("lib.rs")).unwrap();
    let modules =
        library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let unlisted: Vec<&str> = modules.filter(|module| !layers.contains(module)).collect();
    assert!(unlisted.is_empty(), "give them a place in LAYERS: {unlisted:?}");
}

/// Rules are called with a clock and with random bytes, and wait for nothing.
#[test]
fn the_rules_depend_on_no_runtime_and_no_server() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("core/Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap();
    let dependencies = dependencies.split("\n[").next().unwrap();
    let names = dependencies.lines().filter_map(|line| line.split(['.', ' ']).next());
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    let allowed =
        ["base64ct", "offswitch-snapshot", "offswitch-verifier", "postcard", "serde", "thiserror"];
    assert!(names.iter().all(|name| allowed.contains(name)), "{names:?}");
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return vec![] };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .collect()
}

/// Tests at the end of a file may build what they need.
fn without_tests(text: &str) -> String {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
}

fn imports(text: &str) -> BTreeSet<String> {
    let is_name = |one: char| one.is_ascii_alphanumeric() || one == '_';
    let after = text.split("crate::").skip(1);
    after.map(|rest| rest.chars().take_while(|one| is_name(*one)).collect()).collect()
}
