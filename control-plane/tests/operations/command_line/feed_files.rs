//! `offswitch snapshot export`, `verify` and `import`: the feed as one file, for verifiers without a network.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ed25519_dalek::SigningKey;
use offswitch::clock::unix_seconds as now;
use offswitch_snapshot::{
    BaseDigest, ChainHash, Content, FeedHead, Floor, HeadBase, HeadDelta, Position, Salt,
    SnapshotSigner,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Ended, asked, done, run_with};
use crate::support::process::ControlPlane;

/// Runs a command without a control plane, for a program: its JSON and its exit code.
pub(super) fn offline(arguments: &[&str]) -> (Value, Option<i32>) {
    let ended = run_with(&[arguments, &["--json"]].concat(), &[], "");
    let printed = if ended.code == Some(0) { ended.out } else { ended.err };
    (serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{printed}")), ended.code)
}

/// The code of a failure, and its exit code.
fn failure(arguments: &[&str]) -> (String, Option<i32>) {
    let (answer, exit) = offline(arguments);
    (answer["code"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned(), exit)
}

/// The files below a folder, with their contents.
fn files_in(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for below in ["", "bases", "deltas"] {
        for entry in std::fs::read_dir(folder.join(below)).into_iter().flatten() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                let name = format!("{below}/{}", entry.file_name().to_string_lossy());
                files.insert(name, std::fs::read(entry.path()).unwrap());
            }
        }
    }
    files
}

/// A control plane that makes a base each second, and the public key of its feed.
pub(super) async fn plane_in(folder: &TempDir) -> (ControlPlane, String) {
    let often = [("OFFSWITCH_BASE_INTERVAL_SECONDS", "1")];
    let plane = ControlPlane::start_in(folder.path(), &often).await;
    let keys = plane.got("/v1/keys").await;
    let key = keys["feed_public_keys"][0].as_str().unwrap().to_owned();
    (plane, key)
}

pub(super) async fn export(plane: &ControlPlane, key: &str, to: &str) -> Value {
    let arguments = ["snapshot", "export", "--key", key, "--to", to, "--json"];
    serde_json::from_str(&done(plane, &arguments, "").await).unwrap()
}

// P09: what is revoked when the file is made is in it, and it is put in place without a network, forwards only.
#[tokio::test]
async fn a_feed_is_carried_in_files_into_a_folder_and_never_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (plane, key) = plane_in(&folder).await;
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (first, second, place) = (path("first.tar"), path("second.tar"), path("place"));
    plane.posted("/v1/revocations", &json!({ "sub": "alice" })).await;
    let made = export(&plane, &key, &first).await;
    let (checked, exit) = offline(&["snapshot", "verify", &first, "--key", &key]);
    assert_eq!(exit, Some(0));
    for name in ["feed", "position", "issued_at", "valid_until", "entries", "issuers"] {
        assert_eq!(checked[name], made[name], "{name}");
    }
    assert_eq!(checked["feed"], plane.issuer());
    assert_eq!(checked["entries"], json!({ "denied": 0, "cutoffs": 1, "dead_keys": 0 }));
    assert_eq!(checked["issuers"][0]["issuer"], plane.issuer());
    let import = |file: &str| {
        ["snapshot", "import", file, "--into", &place, "--key", &key].map(str::to_owned)
    };
    let imported = |file: &str| {
        let arguments = import(file);
        offline(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let (put, exit) = imported(&first);
    assert_eq!((&put["changed"], exit), (&json!(true), Some(0)), "{put}");
    assert_eq!(imported(&first).0["changed"], json!(false));
    // A disk has damaged a part: it is written again.
    let whole = files_in(Path::new(&place));
    let base = whole.keys().find(|name| name.starts_with("bases/")).unwrap();
    std::fs::write(Path::new(&place).join(base), vec![0; whole[base].len()]).unwrap();
    assert_eq!(imported(&first).0["changed"], json!(true));
    assert_eq!(files_in(Path::new(&place)), whole);
    // A web server of another user reads it.
    let mode = |name: &str| {
        let path = Path::new(&place).join(name);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(["", "head", "bases"].map(mode), [0o755, 0o644, 0o755]);

    plane.posted("/v1/revocations", &json!({ "sub": "bob" })).await;
    plane.posted("/v1/revocations", &json!({ "jti": "one" })).await;
    let made = export(&plane, &key, &second).await;
    let (put, _) = imported(&second);
    assert_eq!((&put["changed"], &put["position"]), (&json!(true), &made["position"]));
    assert!(
        put["entries"]["cutoffs"].as_u64() >= Some(2)
            && put["entries"]["denied"].as_u64() >= Some(1)
    );
    let before = files_in(Path::new(&place));
    let arguments = import(&first);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    assert_eq!(failure(&arguments), ("feed_file_older".to_owned(), Some(1)));
    assert_eq!(files_in(Path::new(&place)), before, "nothing has changed");
    // Two heads later, parts of the first one are gone.
    let third = path("third.tar");
    plane.posted("/v1/revocations", &json!({ "sub": "carol" })).await;
    export(&plane, &key, &third).await;
    imported(&third);
    let bases = |files: &BTreeMap<String, Vec<u8>>| {
        files.keys().filter(|name| name.starts_with("bases/")).count()
    };
    assert_eq!(bases(&files_in(Path::new(&place))), 2);
    // The folder is a feed as files: it can be exported again.
    let (head, again) = (format!("file://{place}/head"), path("again.tar"));
    let (copied, exit) =
        offline(&["snapshot", "export", "--head", &head, "--key", &key, "--to", &again]);
    assert_eq!((&copied["position"], exit), (&imported(&third).0["position"], Some(0)));
    assert_eq!(
        failure(&["snapshot", "import", &first, "--into", &place, "--key", &"A".repeat(43)]).0,
        "invalid_key"
    );
}

// P09: a reader of any file finds a way in the next one, also while the base lags behind what is revoked.
#[tokio::test]
async fn files_made_in_a_row_lead_from_one_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (plane, key) = plane_in(&folder).await;
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, place) = (path("feed.tar"), path("place"));
    for round in 0..5 {
        plane.posted("/v1/revocations", &json!({ "sub": format!("user-{round}") })).await;
        let made = export(&plane, &key, &file).await;
        let (put, exit) = offline(&["snapshot", "import", &file, "--into", &place, "--key", &key]);
        assert_eq!((&put["position"], exit), (&made["position"], Some(0)), "{round}: {put}");
    }
}

// P09: people see what a file holds.
#[tokio::test]
async fn people_see_what_a_feed_file_holds() {
    let folder = tempfile::tempdir().unwrap();
    let (plane, key) = plane_in(&folder).await;
    plane.posted("/v1/revocations", &json!({ "sub": "alice" })).await;
    let file = folder.path().join("feed.tar").to_str().unwrap().to_owned();
    let wrote = done(&plane, &["snapshot", "export", "--key", &key, "--to", &file], "").await;
    assert!(
        wrote.starts_with(&format!("wrote {file}\nfeed                 {}\n", plane.issuer())),
        "{wrote}"
    );
    let shown: Ended = run_with(&["snapshot", "verify", &file, "--key", &key], &[], "");
    for line in ["tokens and sessions  0", "users and claims     1", "dead keys            0"] {
        assert!(shown.out.lines().any(|one| one == line), "{line}: {}", shown.out);
    }
    assert!(shown.out.contains(" s ago\nvalid until          20"), "{}", shown.out);
}

// P09: why an export fails is said with a code, and nothing is written.
#[tokio::test]
async fn an_export_that_fails_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (plane, key) = plane_in(&folder).await;
    let file = folder.path().join("feed.tar");
    let to = file.to_str().unwrap();
    let other = public_key(&signer("https://feed.example", 9));
    let export = ["snapshot", "export", "--to", to, "--json"];
    let with = |more: &[&'static str]| [&export[..], more].concat();
    let code = |ended: Ended| {
        let printed: Value = serde_json::from_str(&ended.err).unwrap();
        (printed["code"].as_str().unwrap().to_owned(), ended.code)
    };
    let wrong_key = [&export[..], &["--key", &other]].concat();
    assert_eq!(
        code(asked(&plane, &wrong_key, "").await),
        ("snapshot_unknown_key".to_owned(), Some(1))
    );
    let url = format!("http://127.0.0.1:{}", plane.port());
    let (own, nothing) = (format!("{url}/v1/feed/head"), format!("{url}/nothing/head"));
    let without = [&export[..], &["--key", &key, "--head", &own]].concat();
    assert_eq!(code(run_with(&without, &[], "")), ("missing_api_key".to_owned(), Some(1)));
    let nobody = [&export[..], &["--key", &key, "--head", "http://127.0.0.1:9/head"]].concat();
    assert_eq!(code(run_with(&nobody, &[], "")), ("feed_unreachable".to_owned(), Some(3)));
    let page = [&export[..], &["--key", &key, "--head", &nothing]].concat();
    let (_, exit) = code(run_with(&page, &[], ""));
    assert!(exit == Some(1) || exit == Some(3));
    for wrong in
        [with(&[]), with(&["--key", "short"]), with(&["--key", "x", "--head", "ftp://a/head"])]
    {
        assert_eq!(run_with(&wrong, &[], "").code, Some(2), "{wrong:?}");
    }
    let no_folder = [&export[..], &["--key", &key, "--head", "file:///nowhere/head"]].concat();
    assert_eq!(code(run_with(&no_folder, &[], "")), ("file_unreadable".to_owned(), Some(2)));
    assert!(!file.exists());
}

fn signer(feed: &str, byte: u8) -> SnapshotSigner {
    SnapshotSigner::new(feed, vec![SigningKey::from_bytes(&[byte; 32])])
}

fn public_key(signer: &SnapshotSigner) -> String {
    use base64ct::{Base64UrlUnpadded, Encoding};
    Base64UrlUnpadded::encode_string(signer.feed_keys()[0].public_key())
}

/// A feed that signs what a test needs.
struct Made {
    /// What its heads say.
    feed: &'static str,
    signer: SnapshotSigner,
    /// What the chain hashes of its positions begin with.
    history: u8,
    issued_at: u64,
    valid_until: u64,
}

impl Made {
    fn new(feed: &'static str) -> Self {
        let issued_at = now() - 5;
        Self { feed, signer: signer(feed, 7), history: 1, issued_at, valid_until: issued_at + 600 }
    }

    fn at(&self, seq: u64) -> Floor {
        let mut chain = [self.history; 32];
        chain[1] = u8::try_from(seq).unwrap();
        Floor { position: Position { era: 5, seq }, chain: ChainHash(chain) }
    }

    fn signed(&self, from: u64, to: u64) -> Vec<u8> {
        let from = if from == 0 {
            Floor { position: Position { era: 5, seq: 0 }, ..Floor::default() }
        } else {
            self.at(from)
        };
        self.signer.sign(&Content {
            from,
            to: self.at(to),
            issued_at: self.issued_at,
            valid_until: self.valid_until,
            salt: Salt([1; 16]),
            issuers: vec![],
            dead_keys: vec![],
            denied: &[3],
            cutoffs: &[],
        })
    }

    /// The files of a head at `to`, with a base at `base` and these deltas.
    fn files(&self, base: u64, deltas: &[(u64, u64)], to: u64) -> Vec<(String, Vec<u8>)> {
        let bytes = self.signed(0, base);
        let position = self.at(base).position;
        let base = HeadBase { position, digest: BaseDigest::of(&bytes), bytes: bytes.len() as u64 };
        let parts = deltas.iter().map(|(from, to)| {
            let (from, to, bytes) =
                (self.at(*from).position, self.at(*to).position, self.signed(*from, *to));
            (HeadDelta { from, to, bytes: bytes.len() as u64 }, bytes)
        });
        let parts: Vec<_> = parts.collect();
        let head = FeedHead {
            format: 1,
            feed: self.feed.to_owned(),
            position: self.at(to).position,
            heartbeat: FeedHead::heartbeat_text(&self.signed(to, to)),
            base: base.clone(),
            deltas: parts.iter().map(|(delta, _)| delta.clone()).collect(),
            on_demand: false,
        };
        let mut files = vec![
            ("head".to_owned(), serde_json::to_vec(&head).unwrap()),
            (base.part().to_string(), bytes),
        ];
        files.extend(
            parts
                .into_iter()
                .map(|(delta, bytes)| (format!("deltas/{}_{}", delta.from, delta.to), bytes)),
        );
        files
    }
}

/// The bytes of a feed file with these files.
fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    archive.into_inner().unwrap()
}

// P09: each way in which a file can be bad has its code, and changes nothing in the folder.
#[test]
fn a_bad_feed_file_is_refused_by_code_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("place").to_str().unwrap().to_owned();
    let write = |bytes: &[u8]| {
        let path = folder.path().join("feed.tar");
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let made = Made::new(FEED);
    let key = public_key(&made.signer);
    let import = |bytes: &[u8]| {
        offline(&["snapshot", "import", &write(bytes), "--into", &place, "--key", &key])
    };
    let files = made.files(2, &[(2, 3)], 3);
    let good = archive(&files);
    let without = |name: &str| {
        archive(
            &files.iter().filter(|(one, _)| !one.starts_with(name)).cloned().collect::<Vec<_>>(),
        )
    };
    let with = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut files = files.clone();
        change(&mut files.iter_mut().find(|(one, _)| one.starts_with(name)).unwrap().1);
        archive(&files)
    };
    let flip = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
    let replaced = |name: &str, by: &str, from: &str| {
        let text = files.iter().find(|(one, _)| one == name).unwrap().1.clone();
        let text = String::from_utf8(text).unwrap().replace(from, by);
        with(name, &|bytes| *bytes = text.clone().into_bytes())
    };
    let mut expired = Made::new(FEED);
    (expired.issued_at, expired.valid_until) = (now() - 700, now() - 100);
    let mut future = Made::new(FEED);
    (future.issued_at, future.valid_until) = (now() + 1_000, now() + 2_000);
    let other = Made { signer: signer(FEED, 8), ..Made::new(FEED) };
    let foreign = Made { signer: signer("https://other.example", 7), ..Made::new(FEED) };
    let zeros = vec![0; 10_240];
    let refused = |bytes: &[u8], code: &str| {
        let file = write(bytes);
        let found = failure(&["snapshot", "verify", &file, "--key", &key]);
        assert_eq!((found.0.as_str(), found.1), (code, Some(1)));
        let (answer, exit) = import(bytes);
        assert_eq!((answer["code"].as_str(), exit), (Some(code), Some(1)), "{answer}");
    };
    let bad: [(&[u8], &str); 19] = [
        (b"", "feed_file_malformed"),
        (b"<!doctype html><title>502</title>", "feed_file_malformed"),
        (&zeros, "feed_file_malformed"),
        (&files[1].1, "feed_file_malformed"),
        (&good[..700], "feed_file_malformed"),
        (&good[..1_400], "feed_file_malformed"),
        (&without("head"), "feed_file_malformed"),
        (&without("bases/"), "feed_file_incomplete"),
        (&without("deltas/"), "feed_file_incomplete"),
        (&with("head", &|bytes| bytes.truncate(40)), "feed_file_malformed"),
        (&replaced("head", "5.9", "5.3"), "snapshot_malformed"),
        (&replaced("head", r#""format":2"#, r#""format":1"#), "head_malformed"),
        (&with("bases/", &flip), "snapshot_bad_signature"),
        (&with("deltas/", &|bytes| *bytes = made.signed(2, 4)), "feed_file_malformed"),
        (&archive(&made.files(2, &[], 3)), "feed_file_unreachable"),
        (&archive(&expired.files(2, &[(2, 3)], 3)), "feed_file_expired"),
        (&archive(&future.files(2, &[(2, 3)], 3)), "snapshot_from_the_future"),
        (&archive(&other.files(2, &[(2, 3)], 3)), "snapshot_unknown_key"),
        (&archive(&foreign.files(2, &[(2, 3)], 3)), "snapshot_malformed"),
    ];
    for (bytes, code) in bad {
        refused(bytes, code);
        assert!(!Path::new(&place).exists(), "{code}: nothing is made for a bad file");
    }
    assert_eq!(import(&good).1, Some(0));
    let before = files_in(Path::new(&place));
    for (bytes, code) in bad {
        let (answer, _) = import(bytes);
        assert_eq!(answer["code"], code);
    }
    let mut earlier = Made::new(FEED);
    earlier.issued_at = made.issued_at - 1;
    let forked = Made { history: 2, ..Made::new(FEED) };
    let mut renewed = Made::new(FEED);
    renewed.issued_at = made.issued_at + 1;
    let cases = [
        (archive(&made.files(2, &[], 2)), "feed_file_older"),
        (archive(&earlier.files(3, &[], 3)), "feed_file_older"),
        (archive(&forked.files(3, &[], 3)), "feed_fork"),
        (archive(&Made::new("https://other.example").files(9, &[], 9)), "feed_folder_unknown"),
        // A reader at 3 finds no way to 5 in it.
        (archive(&made.files(2, &[(2, 5)], 5)), "feed_file_unreachable"),
    ];
    for (bytes, code) in cases {
        let (answer, exit) = import(&bytes);
        assert_eq!((answer["code"].as_str(), exit), (Some(code), Some(1)), "{answer}");
        assert_eq!(files_in(Path::new(&place)), before, "{code}");
    }
    // The same position, signed again later, is news.
    assert_eq!(import(&archive(&renewed.files(3, &[], 3))).0["changed"], json!(true));
    assert_eq!(import(&archive(&renewed.files(5, &[], 5))).0["changed"], json!(true));
    // A head that the given keys do not prove is not written over.
    std::fs::write(Path::new(&place).join("head"), "{}").unwrap();
    assert_eq!(import(&archive(&renewed.files(6, &[], 6))).0["code"], "feed_folder_unknown");
}

// P09: `tar` makes such a file from a folder with a feed, and a file is never read twice into memory for what it declares.
#[test]
fn what_tar_makes_is_a_feed_file_and_a_declared_size_takes_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let made = Made::new(FEED);
    let key = public_key(&made.signer);
    let source = folder.path().join("feed");
    for (name, content) in made.files(2, &[(2, 3)], 3) {
        let path = source.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let file = folder.path().join("feed.tar").to_str().unwrap().to_owned();
    let tar = ["-cf", &file, "-C", source.to_str().unwrap(), "."];
    assert!(std::process::Command::new("tar").args(tar).status().unwrap().success());
    assert_eq!(offline(&["snapshot", "verify", &file, "--key", &key]).1, Some(0));
    // An entry that claims to have eight gigabytes.
    let mut header = tar::Header::new_ustar();
    header.set_path("head").unwrap();
    header.set_size(8 << 30);
    header.set_cksum();
    std::fs::write(&file, header.as_bytes()).unwrap();
    assert_eq!(failure(&["snapshot", "verify", &file, "--key", &key]).0, "feed_file_malformed");
}

const FEED: &str = "https://feed.example";
