//! Which module may import which, and the committed description of the API.

mod description;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the crate, the lowest first: a module imports only those before it. The rules are
/// below all of them, in a crate of their own that cannot import any.
const LAYERS: [&str; 20] = [
    "blocking",
    "client_address",
    "request_limits",
    "clock",
    "private_files",
    "shared_files",
    "master_key",
    "credential",
    "remote",
    "telemetry",
    "doctor",
    "store",
    "audit",
    "keyring",
    "api_keys",
    "relying_parties",
    "sealing",
    "plane",
    "backup",
    "config",
];
/// Modules above those; they do not import each other.
const TOP: [&str; 1] = ["http"];

/// The owners inside the plane, the lowest first: each is a file or folder, and uses the types of
/// those before it. Modules of [`ALONE`] use no owner, and only the module that assembles the plane
/// uses them.
const OWNERS: [(&str, &str); 10] = [
    ("folded", "Folded"),
    ("signing", "SigningKeys"),
    ("publish", "Publisher"),
    ("processes", "Processes"),
    ("publication", "Publication"),
    ("log", "Log"),
    ("sessions", "Sessions"),
    ("introspection", "Introspection"),
    ("receivers", "Receivers"),
    ("outgoing", "Outgoing"),
];
const ALONE: (&str, &str) = ("api_key_ring", "ApiKeyRing");
/// Modules that only the owners use: HTTP calls an owner's method instead.
const INTERNALS: [&str; 10] = [
    "ApiKeys",
    "Fold",
    "Folded",
    "Keyring",
    "MasterKey",
    "SealedStore",
    "Settings",
    "SnapshotSigner",
    "Store",
    "folded",
];

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

#[test]
fn no_owner_in_the_plane_uses_one_above_it() {
    let plane = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plane");
    for (place, (module, _)) in OWNERS.into_iter().chain([ALONE]).enumerate() {
        let below = if module == ALONE.0 { &[] } else { &OWNERS[..=place] };
        let all = OWNERS.into_iter().chain([ALONE]);
        let above = all.filter(|one| !below.contains(one) && one.0 != module);
        let above: BTreeSet<&str> = above.map(|(_, owner)| owner).chain(["Plane"]).collect();
        for (file, words) in words_of(&plane, module) {
            let wrong: Vec<_> = words.iter().filter(|word| above.contains(word.as_str())).collect();
            assert!(wrong.is_empty(), "{} uses {wrong:?}", file.display());
        }
    }
}

#[test]
fn http_does_not_reach_through_the_plane() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (file, words) in words_of(&source, "http") {
        let wrong: Vec<_> = INTERNALS.iter().filter(|one| words.contains(**one)).collect();
        assert!(wrong.is_empty(), "{} uses {wrong:?}: name it at its owner", file.display());
    }
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
    let allowed = [
        "base64ct",
        "chrono",
        "hmac",
        "offswitch-presets",
        "offswitch-snapshot",
        "offswitch-verifier",
        "postcard",
        "serde",
        "serde_json",
        "sha2",
        "thiserror",
    ];
    assert!(names.iter().all(|name| allowed.contains(name)), "{names:?}");
}

/// The names in the code of a module's files.
fn words_of(folder: &Path, module: &str) -> Vec<(PathBuf, BTreeSet<String>)> {
    let file = folder.join(format!("{module}.rs"));
    let mut files = files_in(&folder.join(module));
    files.extend(file.exists().then_some(file));
    assert!(!files.is_empty(), "there is no module {module}");
    let words = |file: PathBuf| {
        let text = without_tests(&fs::read_to_string(&file).unwrap());
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let paths = code.flat_map(|line| line.split(|one| !is_name(one) && one != ':'));
        // The variants of an error are named like what failed.
        let names = paths.filter(|path| !path.contains("Error::")).flat_map(|path| path.split(':'));
        (file, names.map(str::to_owned).collect())
    };
    files.into_iter().map(words).collect()
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

fn is_name(one: char) -> bool {
    one.is_ascii_alphanumeric() || one == '_'
}

fn imports(text: &str) -> BTreeSet<String> {
    let after = text.split("crate::").skip(1);
    after.map(|rest| rest.chars().take_while(|one| is_name(*one)).collect()).collect()
}
