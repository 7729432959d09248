//! The tables of further feeds, and what only one feed may have.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::KEYS_OF_TABLE;
use crate::config::Config;

const KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const ROUTES: &str = "[[routes]]\npaths = [\"/**\"]\n";

/// A configuration whose top level follows the feed `https://a.example` in the folder /a.
fn top_level() -> String {
    format!(
        "gateway = \"nginx\"\nfeed_urls = \"https://a.example/v1/feed\"\n\
         feed_public_keys = \"{KEY}\"\nfeed_id = \"https://a.example\"\ndata_dir = \"/a\"\n\
         [[issuers]]\nissuer = \"https://a.example\"\naudience = \"api\"\n{ROUTES}"
    )
}

/// A table with these members, and an issuer.
fn table(members: &str, issuer: &str) -> String {
    format!("[[feeds]]\n{members}\n[[feeds.issuers]]\nissuer = \"{issuer}\"\naudience = \"api\"\n")
}

/// What a feed needs at least.
fn needed() -> String {
    format!("urls = \"https://f.example/v1/feed\"\npublic_keys = \"{KEY}\"\n")
}

fn load(tables: &str) -> Result<Config, Vec<String>> {
    let file = top_level() + tables;
    Config::load(Some(&file), [])
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn problems(tables: &str) -> Vec<String> {
    load(tables).err().unwrap_or_default()
}

#[test]
fn a_table_is_a_feed_of_its_own_with_defaults_of_its_own() {
    let list = format!(
        "urls = [\"https://c.example/1\", \"https://c.example/head\"]\npublic_keys = [\"{KEY}\"]\nid = \"c\"\nmax_staleness_seconds = 5"
    );
    let tables = table(&needed(), "https://b.example") + &table(&list, "https://d.example");
    let config = load(&tables).unwrap_or_else(|problems| panic!("{problems:?}"));
    let found: Vec<_> =
        config.feeds.iter().map(|feed| (&*feed.id, feed.max_staleness_seconds)).collect();
    assert_eq!(found, [("https://a.example", 60), ("https://b.example", 60), ("c", 5)]);
}

// O05: the place of the table is named, and every problem of every table.
#[test]
fn each_problem_of_a_table_names_its_place() {
    let (good, b) = (needed(), "https://b.example");
    let with = |members: &str| table(&format!("{good}{members}"), b);
    let without = |name: &str| {
        let lines = good.lines().filter(|line| !line.starts_with(name));
        table(&lines.collect::<Vec<_>>().join("\n"), b)
    };
    for (tables, expected) in [
        (without("urls"), "feeds: 0: urls: must name at least one"),
        (without("public_keys"), "feeds: 0: public_keys: must name at least one"),
        (format!("[[feeds]]\n{good}id = \"c\""), "feeds: 0: verifier: issuers: must name 1 to 16"),
        (
            with("") + "[[feeds.issuers]]\nissuer = \"https://c.example\"",
            "feeds: 0: issuers: 1: audience: is missing",
        ),
        (
            with("") + "[[feeds.issuers]]\nissuer = \"https://c.example\"\ncolour = 1",
            "feeds: 0: issuers: 1: unknown field `colour`",
        ),
        (with("colour = 1"), "feeds: 0: colour: unknown setting"),
        (
            with("max_stalenes_seconds = 1"),
            "feeds: 0: max_stalenes_seconds: unknown setting; did you mean max_staleness_seconds?",
        ),
        (with("listen = \"127.0.0.1:1\""), "feeds: 0: listen: unknown setting"),
        (with("remembered_tokens = 1"), "feeds: 0: remembered_tokens: unknown setting"),
        (with("feed_name = \"n\""), "feeds: 0: feed_name: is named name in this table"),
        (with("follow = \"push\""), "feeds: 0: follow: must be stream"),
        (with("name = \"a b\""), "feeds: 0: verifier: feed.name must be"),
        (with("max_staleness_seconds = 0"), "feeds: 0: max_staleness_seconds: must be a whole"),
        (with("api_key_file = \"/none\""), "feeds: 0: api_key_file: "),
        (table(&good.replace("https://f", "ftp://f"), b), "feeds: 0: verifier: feed.url"),
        (table(&good.replace(KEY, "short"), b), "feeds: 0: verifier: feed.publicKeys"),
    ] {
        let found = problems(&tables);
        assert!(found.iter().any(|line| line.starts_with(expected)), "{expected}: {found:?}");
        assert_eq!(found.len(), 1, "{found:?}");
    }
    let both = with("colour = 1") + &table("follow = \"push\"", "https://c.example");
    let places: Vec<_> = problems(&both).iter().map(|line| line[..15].to_owned()).collect();
    assert_eq!(
        places,
        ["feeds: 0: colou", "feeds: 1: urls:", "feeds: 1: publi", "feeds: 1: follo"]
    );
    let wrong = problems(&format!("[[feeds]]\n{good}issuers = 1"));
    assert_eq!(wrong[0], "feeds: 0: issuers: must be tables: [[feeds.issuers]]");
    let file = format!("feeds = 1\n{}", top_level());
    let wrong = Config::load(Some(&file), []).err().unwrap();
    assert_eq!(wrong[0].to_string(), "feeds: must be tables: [[feeds]]");
    let file = format!("feeds = [1]\n{}", top_level());
    let problems = Config::load(Some(&file), []).err().unwrap();
    assert_eq!(problems[0].to_string(), "feeds: 0: must be a table: [[feeds]]");
}

#[test]
fn each_key_of_a_table_refuses_what_is_too_long_or_of_the_wrong_type() {
    assert_eq!(KEYS_OF_TABLE.len(), 8);
    for key in KEYS_OF_TABLE.iter() {
        for value in [format!("\"{}\"", "\u{e9}".repeat(5000)), "[1]".to_owned()] {
            let others = needed();
            let others = others.lines().filter(|line| !line.starts_with(key.name));
            let others = others.collect::<Vec<_>>().join("\n");
            let members = format!("{others}\n{} = {value}", key.name);
            let found = problems(&table(&members, "https://b.example"));
            let expected = format!("feeds: 0: {}: ", key.name);
            assert!(found.iter().any(|line| line.starts_with(&expected)), "{expected}: {found:?}");
            assert!(!found.concat().contains('\u{e9}'), "{found:?}");
        }
    }
}

// P07: an issuer has one feed, a feed is followed once, and a folder has the state of one feed.
#[test]
fn no_two_feeds_have_the_same_issuer_id_or_folder() {
    let b = table(&format!("{}data_dir = \"/b\"", needed()), "https://b.example");
    for (members, issuer, expected) in [
        (
            "id = \"c\"",
            "https://a.example",
            "issuers: \"https://a.example\" is an issuer of the top level already",
        ),
        (
            "id = \"c\"",
            "https://b.example",
            "issuers: \"https://b.example\" is an issuer of feeds: 0 already",
        ),
        (
            "id = \"https://a.example\"",
            "https://c.example",
            "id: \"https://a.example\" is the feed of the top level already",
        ),
        (
            "id = \"https://b.example\"",
            "https://c.example",
            "id: \"https://b.example\" is the feed of feeds: 0 already",
        ),
        (
            "data_dir = \"/a/\"",
            "https://c.example",
            "data_dir: is the folder of the top level already",
        ),
        ("data_dir = \"/b\"", "https://c.example", "data_dir: is the folder of feeds: 0 already"),
    ] {
        let tables = b.clone() + &table(&format!("{}{members}", needed()), issuer);
        assert_eq!(problems(&tables), [format!("feeds: 1: {expected}")]);
    }
    let twice = "[[feeds.issuers]]\nissuer = \"https://b.example\"\naudience = \"api\"";
    let found = problems(&(b + twice));
    assert!(found.concat().starts_with("feeds: 0: verifier: issuers[1].issuer"), "{found:?}");
}

#[test]
fn a_guard_follows_at_most_sixteen_feeds() {
    let tables = |count: usize| -> String {
        (0..count).map(|at| table(&needed(), &format!("https://{at}.example"))).collect()
    };
    assert_eq!(load(&tables(15)).ok().unwrap().feeds.len(), 16);
    assert_eq!(problems(&tables(16)), ["feeds: must be at most 15, found 16"]);
}

// A relay serves one feed; nothing would ask for the others.
#[test]
fn a_process_that_only_relays_follows_one_feed() {
    let file = top_level().replace("gateway = \"nginx\"", "relay_listen = \"127.0.0.1:1\"")
        + &table(&needed(), "https://b.example");
    let problems = Config::load(Some(&file), []).err().unwrap();
    let only = "feeds: a process that only relays has one feed, and serves that";
    assert_eq!(problems[0].to_string(), only);
    assert_eq!(problems.len(), 1, "{problems:?}");
}

// O05, A07: a key is in a file that others cannot write, and in no message.
#[test]
fn the_api_key_of_a_table_comes_from_a_file_that_others_cannot_write() {
    let folder = std::env::temp_dir().join(format!("offswitch-feeds-{}", std::process::id()));
    fs::write(&folder, "osk_secret\n").unwrap();
    let members = format!("{}api_key_file = \"{}\"", needed(), folder.display());
    let tables = table(&members, "https://b.example");
    for (mode, warnings) in [(0o400, 0), (0o440, 0), (0o644, 1)] {
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        let config = load(&tables).ok().unwrap();
        assert_eq!(config.warnings.len(), warnings, "{mode:o}");
        assert!(config.warnings.iter().all(|one| one.starts_with("feeds: 0: ")));
    }
    fs::set_permissions(&folder, Permissions::from_mode(0o666)).unwrap();
    let found = problems(&tables);
    assert!(found.concat().starts_with("feeds: 0: api_key_file: "), "{found:?}");
    fs::set_permissions(&folder, Permissions::from_mode(0o600)).unwrap();
    fs::write(&folder, "two words\n").unwrap();
    assert!(problems(&tables).concat().starts_with("feeds: 0: api_key: must have"));
    fs::remove_file(folder).unwrap();
    for name in ["api_key", "feed_api_key"] {
        let members = format!("{}{name} = \"osk_secret\"", needed());
        let found = problems(&table(&members, "https://b.example"));
        assert_eq!(found, [format!("feeds: 0: {name}: must come from api_key_file")]);
    }
}

// A reload keeps the verifier of a feed of which nothing has changed.
#[test]
fn a_feed_trusts_as_before_only_if_nothing_of_it_has_changed() {
    let config = |tables: &str| load(tables).unwrap_or_else(|problems| panic!("{problems:?}"));
    let tables = table(&format!("{}name = \"n\"", needed()), "https://b.example");
    let before = config(&tables);
    let same = config(&(table(&format!("{}id = \"c\"", needed()), "https://c.example") + &tables));
    assert!(same.feeds[0].trusts_as(&before.feeds[0]));
    assert!(same.feeds[2].trusts_as(&before.feeds[1]));
    assert!(!same.feeds[1].trusts_as(&before.feeds[1]));
    for (from, to) in [
        ("name = \"n\"", "name = \"m\""),
        ("https://f.example/", "https://g.example/"),
        ("[[feeds.issuers]]", "max_staleness_seconds = 61\n[[feeds.issuers]]"),
        ("[[feeds.issuers]]", "follow = \"poll\"\n[[feeds.issuers]]"),
        ("[[feeds.issuers]]", "data_dir = \"/b\"\n[[feeds.issuers]]"),
        ("[[feeds.issuers]]", "id = \"https://b.example/\"\n[[feeds.issuers]]"),
        ("audience = \"api\"", "audience = \"other\""),
    ] {
        let changed = config(&tables.replace(from, to));
        assert!(!changed.feeds[1].trusts_as(&before.feeds[1]), "{to}");
        assert!(changed.feeds[0].trusts_as(&before.feeds[0]), "{to}");
    }
    let file = format!("remembered_tokens = 1\n{}{tables}", top_level());
    let changed = Config::load(Some(&file), []).ok().unwrap();
    assert!(changed.feeds.iter().zip(&before.feeds).all(|(one, old)| !one.trusts_as(old)));
}
