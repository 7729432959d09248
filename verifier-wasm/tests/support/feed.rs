//! A control plane in miniature: a log of revocations, and the signed snapshots of its ranges.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::SigningKey;
use offswitch_verifier::Feed;
use offswitch_verifier::snapshot::{ChainHash, Content, Cutoff, DeadKey, Fingerprint, Floor};
use offswitch_verifier::snapshot::{IssuerRules, Position, Salt, Selector, SnapshotSigner, Uses};

use super::{ISSUER, Minter, NOW};

pub(crate) const FEED: &str = "feed-1";
/// The ids that tests revoke and look up.
pub(crate) const IDS: std::ops::Range<u8> = 0..16;
pub(crate) const SALT: Salt = Salt([7; 16]);

/// One revocation of the log; ids are numbers so that they can be generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Record {
    DeadKey(u8),
    Epoch(u64),
    Session(u8),
    Token(u8),
    /// Tokens of the user with a lower version.
    User(u8, u64),
    /// Tokens of the user issued before.
    UserBefore(u8, u64),
}

/// A log: its beginning (nothing, or the published state of the previous era) and its records.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) era: u64,
    pub(crate) salt: Salt,
    pub(crate) inherited: Vec<Record>,
    pub(crate) records: Vec<Record>,
}

/// The meaning of a set of records, stored in the simplest way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) dead_keys: BTreeSet<u8>,
    pub(crate) epoch: u64,
    pub(crate) sessions: BTreeSet<u8>,
    pub(crate) tokens: BTreeSet<u8>,
    pub(crate) users: BTreeMap<u8, Cutoff>,
}

impl History {
    pub(crate) fn new(era: u64, records: Vec<Record>) -> Self {
        Self { era, salt: SALT, inherited: vec![], records }
    }

    pub(crate) fn end(&self) -> usize {
        self.records.len()
    }

    /// The position after `seq` records, with its chain hash.
    pub(crate) fn floor(&self, seq: usize) -> Floor {
        let start = match self.era {
            1 => ChainHash::default(),
            era => ChainHash::default().then(&era.to_le_bytes()),
        };
        let chain = self.records[..seq]
            .iter()
            .fold(start, |chain, record| chain.then(format!("{record:?}").as_bytes()));
        Floor { position: Position { era: self.era, seq: seq as u64 }, chain }
    }

    /// The required content of a base at `seq`.
    pub(crate) fn model(&self, seq: usize) -> Model {
        let mut model = Model::default();
        self.inherited.iter().chain(&self.records[..seq]).for_each(|record| model.add(*record));
        model
    }

    pub(crate) fn base(&self, to: usize) -> Vec<u8> {
        self.range(0, to, NOW)
    }

    pub(crate) fn range(&self, from: usize, to: usize, issued_at: u64) -> Vec<u8> {
        self.range_signed(&signer(), from, to, issued_at)
    }

    /// The signed snapshot of `(from, to]`; with `from == to` (and not 0) a heartbeat.
    pub(crate) fn range_signed(
        &self,
        signer: &SnapshotSigner,
        from: usize,
        to: usize,
        issued_at: u64,
    ) -> Vec<u8> {
        let mut model = Model::default();
        if from == 0 {
            self.inherited.iter().for_each(|record| model.add(*record));
        }
        self.records[from..to].iter().for_each(|record| model.add(*record));
        let (denied, users) = (model.denied(self.salt), model.users(self.salt));
        signer.sign(&Content {
            from: self.floor(from),
            to: self.floor(to),
            issued_at,
            valid_until: issued_at + VALID_SECONDS,
            salt: self.salt,
            issuers: vec![rules(model.epoch)],
            dead_keys: model.dead_keys(),
            denied: &denied,
            cutoffs: &users,
        })
    }
}

impl Model {
    pub(crate) fn add(&mut self, record: Record) {
        match record {
            Record::DeadKey(key) => drop(self.dead_keys.insert(key)),
            Record::Epoch(epoch) => self.epoch = self.epoch.max(epoch),
            Record::Session(session) => drop(self.sessions.insert(session)),
            Record::Token(token) => drop(self.tokens.insert(token)),
            Record::User(user, minimum_version) => {
                self.revoke(user, Cutoff { minimum_version, not_before: 0 });
            }
            Record::UserBefore(user, not_before) => {
                self.revoke(user, Cutoff { minimum_version: 0, not_before });
            }
        }
    }

    fn revoke(&mut self, user: u8, cutoff: Cutoff) {
        let held = self.users.entry(user).or_default();
        *held = held.join(cutoff);
    }

    /// The answer of `feed` for every id in [`IDS`].
    pub(crate) fn of(feed: &Feed) -> Self {
        let denied = |claim, name: &str| {
            IDS.filter(|id| feed.is_denied(ISSUER, claim, &format!("{name}-{id}"))).collect()
        };
        Self {
            dead_keys: IDS.filter(|id| feed.is_dead(ISSUER, &format!("key-{id}"))).collect(),
            epoch: feed.rules_of(ISSUER).map_or(0, |rules| rules.epoch),
            sessions: denied("sid", "session"),
            tokens: denied("jti", "token"),
            users: IDS
                .filter_map(|id| Some((id, feed.cutoff(ISSUER, "sub", &format!("user-{id}"))?)))
                .collect(),
        }
    }

    /// True if everything that `other` revokes is revoked here.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.dead_keys.is_superset(&other.dead_keys)
            && self.epoch >= other.epoch
            && self.sessions.is_superset(&other.sessions)
            && self.tokens.is_superset(&other.tokens)
            && other.users.iter().all(|(user, floor)| {
                self.users.get(user).is_some_and(|held| held.join(*floor) == *held)
            })
    }

    fn denied(&self, salt: Salt) -> Vec<u64> {
        let tokens = self.tokens.iter().map(|id| ("jti", format!("token-{id}")));
        let sessions = self.sessions.iter().map(|id| ("sid", format!("session-{id}")));
        let ids = tokens.chain(sessions);
        Fingerprint::sorted(ids.map(|(claim, id)| Fingerprint::of_claim(salt, ISSUER, claim, &id)))
    }

    fn users(&self, salt: Salt) -> Vec<(u64, Cutoff)> {
        let print = |id| Fingerprint::of_claim(salt, ISSUER, "sub", &format!("user-{id}")).0;
        let mut users: Vec<_> = self.users.iter().map(|(id, floor)| (print(id), *floor)).collect();
        users.sort_unstable_by_key(|(print, _)| *print);
        users
    }

    fn dead_keys(&self) -> Vec<DeadKey> {
        let key = |id| DeadKey { issuer: ISSUER.to_owned(), kid: format!("key-{id}") };
        self.dead_keys.iter().map(key).collect()
    }
}

/// The usual selectors of [`ISSUER`], and no limit of a token's life.
pub(crate) fn rules(epoch: u64) -> IssuerRules {
    let mut rules = IssuerRules { epoch, ..IssuerRules::new(ISSUER) };
    rules.list(&selector(&["jti"]), Uses::EXACT.and(Uses::TOKEN));
    rules.list(&selector(&["sid"]), Uses::EXACT.and(Uses::SESSION));
    rules.list(&selector(&["sub"]), Uses::CUTOFF.and(Uses::USER));
    rules
}

pub(crate) fn selector(paths: &[&str]) -> Selector {
    Selector::new(paths).unwrap()
}

/// A verifier for `minter` that follows a feed on which nothing is revoked.
pub(crate) fn verifier(minter: &Minter) -> offswitch_verifier::Verifier {
    with_base(minter.cold_verifier(), vec![])
}

/// Applies a base with `records` at [`NOW`].
pub(crate) fn with_base(
    mut verifier: offswitch_verifier::Verifier,
    records: Vec<Record>,
) -> offswitch_verifier::Verifier {
    let history = History::new(1, records);
    verifier.apply(history.base(history.end()), NOW).unwrap();
    verifier
}

/// A follower of the feed that trusts key 1.
pub(crate) fn follower() -> Feed {
    Feed::new(FEED.to_owned(), signer().feed_keys())
}

pub(crate) fn signer() -> SnapshotSigner {
    SnapshotSigner::new(FEED, vec![signing_key(1)])
}

pub(crate) fn signing_key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

/// Where the body begins in a snapshot with this many signatures (FORMAT: 4 + 1 + 1 + 72 each).
pub(crate) fn body_at(signatures: usize) -> usize {
    6 + signatures * 72
}

/// Puts a signature of key 1 before any body.
pub(crate) fn seal(body: &[u8]) -> Vec<u8> {
    use ed25519_dalek::Signer;
    let key = signing_key(1);
    let id = blake3::hash(key.verifying_key().as_bytes());
    let message = [b"\0offswitch snapshot v2\0".as_slice(), blake3::hash(body).as_bytes()].concat();
    let signature = key.sign(&message).to_bytes();
    [b"OFSW\x02\x01".as_slice(), &id.as_bytes()[..8], &signature, body].concat()
}

pub(crate) const VALID_SECONDS: u64 = 120;
