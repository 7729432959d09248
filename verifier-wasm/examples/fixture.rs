//! Signs snapshots for tests in other languages: one JSON object per line in, one per line out.
//!
//! In: `{feed, seed, era, from, to, issued_at, valid_until, epoch, horizons: [{issued_from,
//! seconds}], issuer, tokens, sessions, users: [{sub, minimum_version, not_before}], claims:
//! [{issuer, claims: {path: value}, not_before}], dead_keys: [{issuer, kid}], extra, extra_users,
//! extra_dead_keys, history, other_seeds, salt, surplus}`, each with a default. The rules of
//! `issuer` list `jti`, `sid` and `sub`, and the selectors of `claims`, which are revoked
//! regardless of their age without `not_before`; `more_issuers` are rules of other issuers in the
//! form of a snapshot. `extra` and its variants add that many entries that no token has; `history`
//! names a fork; `other_seeds` are further keys that sign; `surplus` is the number of extra bytes
//! in the body. Out: `{public_key, snapshot}` in base64url; the key is that of `seed`.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a program for tests may panic"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use offswitch_verifier::snapshot::{
    ChainHash, ClaimValue, Content, Cutoff, DeadKey, Fingerprint, Fingerprinter, Floor, Horizon,
    IssuerRules, Position, Salt, Selector, SnapshotSigner, Uses,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Order {
    claims: Vec<Claims>,
    dead_keys: Vec<DeadKey>,
    epoch: u64,
    era: u64,
    extra: u64,
    extra_dead_keys: u64,
    extra_users: u64,
    feed: String,
    from: u64,
    history: String,
    horizons: Vec<Horizon>,
    issued_at: u64,
    issuer: String,
    more_issuers: Vec<IssuerRules>,
    other_seeds: Vec<u8>,
    salt: u8,
    seed: u8,
    sessions: Vec<String>,
    surplus: usize,
    to: u64,
    tokens: Vec<String>,
    users: Vec<User>,
    valid_until: u64,
}

/// Tokens with these values, of `issuer` or of the order's issuer: texts, whole numbers, booleans.
#[derive(Deserialize)]
struct Claims {
    issuer: Option<String>,
    claims: BTreeMap<String, serde_json::Value>,
    not_before: Option<u64>,
}

#[derive(Deserialize)]
struct User {
    sub: String,
    minimum_version: u64,
    not_before: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let seeds = [&[order.seed], &order.other_seeds[..]].concat();
        let keys: Vec<_> = seeds.iter().map(|seed| SigningKey::from_bytes(&[*seed; 32])).collect();
        let public = keys.first().map(SigningKey::verifying_key).unwrap_or_default();
        let public = Base64UrlUnpadded::encode_string(public.as_bytes());
        let snapshot = match order.surplus {
            0 => order.sign(keys),
            surplus => extended(&order.sign(keys.clone()), surplus, &keys),
        };
        let snapshot = Base64UrlUnpadded::encode_string(&snapshot);
        writeln!(out, r#"{{"public_key":"{public}","snapshot":"{snapshot}"}}"#)?;
    }
    Ok(())
}

impl Order {
    fn sign(&self, keys: Vec<SigningKey>) -> Vec<u8> {
        let salt = Salt([self.salt; 16]);
        let id = |claim, id: &str| Fingerprint::of_claim(salt, &self.issuer, claim, id);
        let tokens = self.tokens.iter().map(|jti| id("jti", jti));
        let sessions = self.sessions.iter().map(|sid| id("sid", sid));
        let extra = names(self.extra).map(|name| id("jti", &name));
        let exact = self.claims.iter().filter(|one| one.not_before.is_none());
        let exact = exact.map(|one| self.print(one, salt));
        let denied = Fingerprint::sorted(tokens.chain(sessions).chain(extra).chain(exact));
        let named = self.users.iter().map(|user| {
            let User { minimum_version, not_before, .. } = *user;
            (id("sub", &user.sub).0, Cutoff { minimum_version, not_before })
        });
        let unnamed = names(self.extra_users).map(|name| (id("sub", &name).0, Cutoff::default()));
        let up_to = self.claims.iter().filter_map(|one| {
            let cutoff = Cutoff { minimum_version: 0, not_before: one.not_before? };
            Some((self.print(one, salt).0, cutoff))
        });
        let mut users: Vec<_> = named.chain(unnamed).chain(up_to).collect();
        users.sort_unstable_by_key(|(user, _)| *user);
        let dead = |kid| DeadKey { issuer: self.issuer.clone(), kid };
        let dead_keys = self.dead_keys.iter().cloned();
        SnapshotSigner::new(&self.feed, keys).sign(&Content {
            from: self.floor(self.from),
            to: self.floor(self.to),
            issued_at: self.issued_at,
            valid_until: self.valid_until,
            salt,
            issuers: self.rules(),
            dead_keys: dead_keys.chain(names(self.extra_dead_keys).map(dead)).collect(),
            denied: &denied,
            cutoffs: &users,
        })
    }

    fn print(&self, one: &Claims, salt: Salt) -> Fingerprint {
        let issuer = one.issuer.as_ref().unwrap_or(&self.issuer);
        let values: Vec<ClaimValue<'_>> = one.claims.values().map(claim_value).collect();
        Fingerprinter::new(salt, issuer, &one.selector()).of(&values)
    }

    fn rules(&self) -> Vec<IssuerRules> {
        let mut own = IssuerRules { epoch: self.epoch, ..IssuerRules::new(&self.issuer) };
        for (claim, uses) in [
            ("jti", Uses::EXACT.and(Uses::TOKEN)),
            ("sid", Uses::EXACT.and(Uses::SESSION)),
            ("sub", Uses::CUTOFF.and(Uses::USER)),
        ] {
            own.list(&Selector::new([claim]).expect("one claim"), uses);
        }
        self.horizons.iter().for_each(|step| own.horizons.add(*step));
        let mut all = [vec![own], self.more_issuers.clone()].concat();
        for one in &self.claims {
            let issuer = one.issuer.as_ref().unwrap_or(&self.issuer);
            let uses = one.not_before.map_or(Uses::EXACT, |_| Uses::CUTOFF);
            match all.iter_mut().find(|rules| rules.issuer == *issuer) {
                Some(rules) => drop(rules.list(&one.selector(), uses)),
                None => {
                    let mut rules = IssuerRules::new(issuer);
                    rules.list(&one.selector(), uses);
                    all.push(rules);
                }
            }
        }
        all
    }

    /// The position, with the chain hash of this order's history.
    fn floor(&self, seq: u64) -> Floor {
        let record = |index| format!("{} {} {index}", self.history, self.era);
        let chain = (1..=seq)
            .fold(ChainHash::default(), |chain, index| chain.then(record(index).as_bytes()));
        Floor { position: Position { era: self.era, seq }, chain }
    }
}

fn claim_value(value: &serde_json::Value) -> ClaimValue<'_> {
    let integer = || value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    match value {
        serde_json::Value::Bool(value) => ClaimValue::Bool(*value),
        serde_json::Value::String(text) => text.as_str().into(),
        _ => ClaimValue::Integer(integer().expect("a whole number")),
    }
}

impl Claims {
    fn selector(&self) -> Selector {
        Selector::new(self.claims.keys()).expect("claim paths")
    }
}

impl Default for Order {
    fn default() -> Self {
        Self {
            claims: vec![],
            dead_keys: vec![],
            epoch: 0,
            era: 1,
            extra: 0,
            extra_dead_keys: 0,
            extra_users: 0,
            feed: "feed".to_owned(),
            from: 0,
            history: "main".to_owned(),
            horizons: vec![],
            issued_at: 0,
            issuer: "https://issuer.test".to_owned(),
            more_issuers: vec![],
            other_seeds: vec![],
            salt: 5,
            seed: 7,
            sessions: vec![],
            surplus: 0,
            to: 0,
            tokens: vec![],
            users: vec![],
            valid_until: 0,
        }
    }
}

/// The snapshot with this many bytes after its body, signed again: the builder never writes that.
fn extended(snapshot: &[u8], surplus: usize, keys: &[SigningKey]) -> Vec<u8> {
    const SIGNATURE_BYTES: usize = 72;
    let (envelope, body) = snapshot.split_at(6 + SIGNATURE_BYTES * keys.len());
    let body = [body, &vec![0; surplus]].concat();
    let message = [b"\0offswitch snapshot v2\0", &blake3::hash(&body).as_bytes()[..]].concat();
    let mut envelope = envelope.to_vec();
    for (place, key) in envelope[6..].chunks_mut(SIGNATURE_BYTES).zip(keys) {
        place[8..].copy_from_slice(&key.sign(&message).to_bytes());
    }
    [envelope, body].concat()
}

fn names(count: u64) -> impl Iterator<Item = String> {
    (0..count).map(|index| format!("extra {index}"))
}
