//! The feeds: that of the file's top level, and one for each table `[[feeds]]`. A table has the keys of the top level,
//! without `feed_` in their names, so that both are read and checked by the same lines.

use std::path::PathBuf;
use std::sync::LazyLock;

use offswitch_client::{FeedAddress, FeedOptions, Follow, Issuer, Keys, Options};
use offswitch_server::settings::{Key, Table, Values};
use zeroize::Zeroizing;

use super::keys::{FEED_API_KEY, KEYS};
use super::tables::IssuerTable;
use super::values::read_tables;

/// One feed that is followed, checked.
pub struct Feed {
    /// The id that it is signed with.
    pub id: String,
    /// What its verifier is made with.
    pub options: Options,
    /// How old its newest statement may be, in seconds.
    pub max_staleness_seconds: u64,
    /// What `options` were made of.
    trust: Trust,
    issuers: Vec<String>,
}

/// Everything that a verifier is made of.
#[derive(PartialEq)]
struct Trust {
    settings: Settings,
    issuers: Option<toml::Value>,
    context: Context,
}

/// The settings of one feed. It is never printed: it has the API key.
#[derive(PartialEq)]
struct Settings {
    urls: Vec<String>,
    public_keys: Vec<String>,
    id: String,
    name: String,
    api_key: Option<Zeroizing<String>>,
    follow: Follow,
    data_dir: Option<PathBuf>,
    max_staleness_seconds: u64,
}

/// `[[issuers]]` of one feed.
#[derive(Default)]
pub(super) struct Issuers {
    read: Vec<Issuer>,
    given: Option<toml::Value>,
}

/// What of the whole configuration counts for a feed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Context {
    pub(super) remembered_tokens: usize,
    pub(super) dpop_max_age_seconds: u64,
    pub(super) level: Level,
}

/// At which level of the file a feed is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// In a table `[[feeds]]`.
    Table,
    /// At the top, and in the environment. Only this feed is relayed.
    Top { is_checking: bool, is_relay: bool },
}

impl Feed {
    /// True if the verifier of `other` has everything that this feed asks of one.
    pub(crate) fn trusts_as(&self, other: &Self) -> bool {
        self.trust == other.trust
    }

    /// What only one of the two may have.
    fn shared_with(&self, other: &Self) -> Vec<String> {
        let is_shared = |issuer: &&String| other.issuers.contains(*issuer);
        let issuers = self.issuers.iter().filter(is_shared);
        let mut shared: Vec<_> =
            issuers.map(|issuer| format!("issuers: {issuer:?} is an issuer")).collect();
        if self.id == other.id && !self.id.is_empty() {
            shared.push(format!("id: {:?} is the feed", self.id));
        }
        let data_dir = |feed: &Self| feed.trust.settings.data_dir.clone();
        if data_dir(self).is_some() && data_dir(self) == data_dir(other) {
            shared.push("data_dir: is the folder".to_owned());
        }
        shared
    }
}

impl Issuers {
    pub(super) fn read(values: &mut Values, name: &str, value: toml::Value) -> Self {
        let read = |table: IssuerTable| table.read().map_err(|problem| vec![problem]);
        let given = Some(value.clone());
        Self { read: read_tables(values, name, value, read), given }
    }
}

/// The feeds of all tables `[[feeds]]`. A problem names the table by its place, from 0.
pub(super) fn further(
    values: &mut Values,
    given: toml::Value,
    context: Context,
) -> Vec<(usize, Feed)> {
    let toml::Value::Array(tables) = given else {
        values.problem(FEEDS, "must be tables: [[feeds]]");
        return Vec::new();
    };
    if tables.len() > MOST_TABLES {
        let problem = format!("must be at most {MOST_TABLES}, found {}", tables.len());
        values.problem(FEEDS, &problem);
        return Vec::new();
    }
    let mut feeds = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let toml::Value::Table(table) = table else {
            values.problem(FEEDS, &format!("{index}: must be a table: [[feeds]]"));
            continue;
        };
        let (of_table, feed) = further_one(table, context);
        for problem in of_table.problems {
            values.problem(FEEDS, &format!("{index}: {problem}"));
        }
        let warnings = of_table.warnings.into_iter();
        values.warnings.extend(warnings.map(|warning| format!("{FEEDS}: {index}: {warning}")));
        feeds.extend(feed.map(|feed| (index, feed)));
    }
    feeds
}

fn further_one(table: toml::Table, context: Context) -> (Values, Option<Feed>) {
    let mut values = Values::new(Table {
        keys: &KEYS_OF_TABLE,
        prefix: "",
        elsewhere: &[],
        command: "offswitch guard",
    });
    let mut issuers = Issuers::default();
    for (name, value) in table {
        let short = name.strip_prefix(PREFIX).unwrap_or(&name);
        let is_of_top_level = short != name && KEYS_OF_TABLE.iter().any(|key| key.name == short);
        match name.as_str() {
            "issuers" if !value.is_array() => {
                values.problem(&name, "must be tables: [[feeds.issuers]]");
            }
            "issuers" => issuers = Issuers::read(&mut values, &name, value),
            "api_key" | FEED_API_KEY => values.problem(&name, "must come from api_key_file"),
            _ if is_of_top_level => {
                values.problem(&name, &format!("is named {short} in this table"));
            }
            _ => set(&mut values, name, value),
        }
    }
    let feed = read(&mut values, issuers, context);
    (values, feed)
}

/// Sets a key to its value in the file. Addresses and public keys may be arrays.
pub(super) fn set(values: &mut Values, name: String, value: toml::Value) {
    let is_list = LISTS.contains(&name.strip_prefix(PREFIX).unwrap_or(&name));
    let texts = match &value {
        toml::Value::Array(all) if is_list => all.iter().map(toml::Value::as_str).collect(),
        _ => None::<Vec<&str>>,
    };
    let value = texts.map(|texts| toml::Value::String(texts.join(","))).unwrap_or(value);
    values.set_from_file(name, value);
}

/// One feed; none if it has no address or no key.
pub(super) fn read(values: &mut Values, issuers: Issuers, context: Context) -> Option<Feed> {
    let settings = Settings::read(values, context.level.prefix());
    if settings.urls.is_empty() || settings.public_keys.is_empty() {
        return None;
    }
    let Issuers { read: all, given } = issuers;
    let names: Vec<String> = all.iter().map(|one| one.name().to_owned()).collect();
    let id = match settings.id.is_empty() {
        true => names.first().cloned().unwrap_or_default(),
        false => settings.id.clone(),
    };
    let mut options = Options::new(settings.feed(context.level))
        .remembered_tokens(context.remembered_tokens)
        .dpop_max_age_seconds(context.dpop_max_age_seconds);
    if context.level == Level::Table && !id.is_empty() {
        options = options.metrics_label(&id);
    }
    options = all.into_iter().fold(options, Options::issuer);
    if context.level.only_relays() && names.is_empty() {
        options = options.issuer(settings.issuer_of_relay());
    }
    for problem in options.problems() {
        values.problem("verifier", &problem);
    }
    let max_staleness_seconds = settings.max_staleness_seconds;
    let trust = Trust { settings, issuers: given, context };
    Some(Feed { id, options, max_staleness_seconds, trust, issuers: names })
}

/// Notes what the feed of a table has that another feed has already.
pub(super) fn compare(values: &mut Values, first: Option<&Feed>, tables: &[(usize, Feed)]) {
    for (at, (index, feed)) in tables.iter().enumerate() {
        let before =
            tables.iter().take(at).map(|(index, other)| (format!("{FEEDS}: {index}"), other));
        for (place, other) in
            first.map(|other| ("the top level".to_owned(), other)).into_iter().chain(before)
        {
            for shared in feed.shared_with(other) {
                values.problem(FEEDS, &format!("{index}: {shared} of {place} already"));
            }
        }
    }
}

impl Level {
    /// What the names of a feed's keys begin with.
    fn prefix(self) -> &'static str {
        match self {
            Self::Table => "",
            Self::Top { .. } => PREFIX,
        }
    }

    fn only_relays(self) -> bool {
        matches!(self, Self::Top { is_checking: false, .. })
    }

    fn is_relayed(self) -> bool {
        matches!(self, Self::Top { is_relay: true, .. })
    }
}

impl Settings {
    fn read(values: &mut Values, prefix: &str) -> Self {
        let name_of = |key: &str| format!("{prefix}{key}");
        let api_key = api_key(values, &name_of("api_key"));
        let mut list = |key: &str, most_bytes: usize| {
            let all = list(&values.text(&name_of(key), 0..=most_bytes));
            if all.is_empty() {
                values.problem(&name_of(key), "must name at least one");
            }
            all
        };
        let (urls, public_keys) = (list("urls", 4096), list("public_keys", 1024));
        let expected = "must be stream, long-poll or poll";
        let follow = values.parse(&name_of("follow"), expected, |text| match text {
            "long-poll" => Some(Follow::LongPoll),
            "poll" => Some(Follow::Poll),
            "stream" => Some(Follow::Stream),
            _ => None,
        });
        let data_dir = values.text("data_dir", 0..=4096);
        Self {
            urls,
            public_keys,
            id: values.text(&name_of("id"), 0..=512),
            name: values.text(&name_of("name"), 0..=64),
            api_key,
            follow: follow.unwrap_or_default(),
            data_dir: (!data_dir.is_empty()).then(|| PathBuf::from(data_dir)),
            max_staleness_seconds: values.number("max_staleness_seconds", 1..=86_400),
        }
    }

    fn feed(&self, level: Level) -> FeedOptions {
        let mut addresses = self.urls.iter().map(|url| feed_address(url));
        let mut keys = self.public_keys.iter();
        // There is at least one of each.
        let first = addresses.next().unwrap_or_else(|| FeedAddress::new(""));
        let mut feed = FeedOptions::at(first, keys.next().map_or("", String::as_str))
            .max_staleness_seconds(self.max_staleness_seconds)
            .follow(self.follow);
        feed = addresses.fold(feed, FeedOptions::address);
        feed = keys.fold(feed, |feed, key| feed.public_key(key));
        if !self.id.is_empty() {
            feed = feed.id(&self.id);
        }
        if !self.name.is_empty() {
            feed = feed.name(&self.name);
        }
        if level.is_relayed() {
            feed = feed.relay();
        }
        if let Some(data_dir) = &self.data_dir {
            feed = feed.store(data_dir);
        }
        if let Some(api_key) = &self.api_key {
            feed = feed.api_key(api_key);
        }
        feed
    }

    /// A relay judges no token, but a verifier is made for an issuer with keys.
    fn issuer_of_relay(&self) -> Issuer {
        let key = self.public_keys.first().map_or("", String::as_str);
        let keys =
            format!("{{\"keys\":[{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{key}\"}}]}}");
        Issuer::without_audience(&self.id).keys(Keys::jwks(&keys))
    }
}

/// An API key from the environment or from its file.
pub(super) fn api_key(values: &mut Values, name: &str) -> Option<Zeroizing<String>> {
    let file = format!("{name}_file");
    let path = values.text(&file, 0..=4096);
    let given = values.take(name);
    let key = match (given, path.is_empty()) {
        (Some(_), false) => {
            values.problem(&file, &format!("cannot be set together with {name}"));
            return None;
        }
        (given, true) => given?,
        (None, false) => values.secret_file(&file, &path, MAX_KEY_BYTES)?,
    };
    let is_key =
        (1..=MAX_KEY_BYTES).contains(&key.len()) && key.bytes().all(|one| one.is_ascii_graphic());
    if !is_key {
        values.problem(name, "must have 1 to 512 visible ASCII characters");
    }
    is_key.then_some(key)
}

/// An address whose last part is `head` is the head of a feed that is published as files.
fn feed_address(url: &str) -> FeedAddress {
    if url.ends_with("/head") { FeedAddress::head(url) } else { FeedAddress::new(url) }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

/// The keys of a table: those of one feed at the top level, by their names without `feed_`. An API key comes from a file.
static KEYS_OF_TABLE: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let is_of_feed = |key: &&Key| key.name.starts_with(PREFIX) || OF_FEED.contains(&key.name);
    let of_feed = KEYS.iter().filter(is_of_feed).filter(|key| key.name != FEED_API_KEY);
    of_feed
        .map(|key| Key { name: key.name.strip_prefix(PREFIX).unwrap_or(key.name), ..*key })
        .collect()
});
/// The keys of one feed whose names do not say so.
const OF_FEED: [&str; 2] = ["data_dir", "max_staleness_seconds"];
/// The keys that may be arrays.
const LISTS: [&str; 2] = ["urls", "public_keys"];
const PREFIX: &str = "feed_";
const FEEDS: &str = "feeds";
/// With that of the top level a guard follows 16 feeds, as the edge worker does.
const MOST_TABLES: usize = 15;
const MAX_KEY_BYTES: usize = 512;

#[cfg(test)]
mod tests;
