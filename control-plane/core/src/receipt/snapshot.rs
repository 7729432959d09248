//! Whether a snapshot has what a receipt says.

use offswitch_snapshot::{ClaimValue, Cutoff, Fingerprint, Fingerprinter, Selector, Snapshot};
use serde_json::{Map, Value};

use super::Receipt;
use super::content::hex;

/// What a snapshot says about a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// It has each entry that snapshots have, and that is still needed.
    Contains {
        /// How many it has.
        found: usize,
        /// How many it has no more, because each of their tokens has expired.
        expired: usize,
        /// How many no snapshot has: sessions that cannot be refreshed.
        apart: usize,
    },
    /// It covers the position, and does not have an entry: the place in `revoked`.
    Lacks(usize),
    /// It is of the same position, and of another history.
    Forked,
    /// It is of another feed.
    OtherFeed,
    /// It does not cover the position: it ends before, or begins after it.
    Elsewhere,
}

/// One entry, in a snapshot that covers it.
enum Found {
    Apart,
    Expired,
    Here,
    Missing,
}

/// Looks for everything that `receipt` names in `snapshot`.
pub fn compare(receipt: &Receipt, snapshot: &Snapshot) -> Comparison {
    if snapshot.feed() != receipt.iss {
        return Comparison::OtherFeed;
    }
    let (position, to) = (receipt.position, snapshot.to());
    let is_before = !snapshot.is_base() && snapshot.from() >= position;
    // What leads on within a later era does not begin with what came before.
    if to < position || is_before || (!snapshot.is_base() && to.era != position.era) {
        return Comparison::Elsewhere;
    }
    let chain = receipt.chain.as_ref().filter(|_| to == position);
    if chain.is_some_and(|chain| *chain != hex(snapshot.chain_to())) {
        return Comparison::Forked;
    }
    let (mut found, mut expired, mut apart) = (0_usize, 0_usize, 0_usize);
    for (place, entry) in receipt.revoked.iter().enumerate() {
        let count = match find(entry, receipt, snapshot) {
            Found::Apart => &mut apart,
            Found::Expired => &mut expired,
            Found::Here => &mut found,
            Found::Missing => return Comparison::Lacks(place),
        };
        *count = count.saturating_add(1);
    }
    Comparison::Contains { found, expired, apart }
}

fn find(entry: &Map<String, Value>, receipt: &Receipt, snapshot: &Snapshot) -> Found {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let number = |name: &str| entry.get(name).and_then(Value::as_u64);
    let issuer = text("issuer").unwrap_or(&receipt.iss);
    let is_denied = |id: &str| {
        let print = print(entry, issuer, snapshot, &[ClaimValue::from(id)]);
        print.is_some_and(|print| snapshot.is_denied(print))
    };
    let is_here = match text("kind").unwrap_or_default() {
        "token" => text("jti").is_some_and(is_denied),
        "session" => text("session_id").is_some_and(is_denied),
        "user" => {
            let sub = text("sub").map(ClaimValue::from);
            is_cut(entry, receipt, snapshot, issuer, sub.as_slice())
        }
        "claims" => {
            let values = claims(entry).unwrap_or_default();
            is_cut(entry, receipt, snapshot, issuer, &values)
        }
        "epoch" => {
            let mut rules = snapshot.issuers().iter().filter(|rules| rules.issuer == issuer);
            rules.any(|rules| number("epoch").is_some_and(|epoch| rules.epoch >= epoch))
        }
        "key" => {
            let kid = text("kid").unwrap_or_default();
            snapshot.dead_keys().any(|dead| dead == (issuer, kid))
        }
        _ => return Found::Apart,
    };
    match (is_here, number("until")) {
        (true, _) => Found::Here,
        (false, Some(until)) if until < snapshot.issued_at() => Found::Expired,
        (false, _) => Found::Missing,
    }
}

/// True if tokens with these values are revoked up to the instant, or to the version, of the receipt.
fn is_cut(
    entry: &Map<String, Value>,
    receipt: &Receipt,
    snapshot: &Snapshot,
    issuer: &str,
    values: &[ClaimValue<'_>],
) -> bool {
    let print = print(entry, issuer, snapshot, values);
    let Some(Cutoff { minimum_version, not_before }) = print.and_then(|one| snapshot.cutoff(one))
    else {
        return false;
    };
    match entry.get("issued_before").and_then(Value::as_u64) {
        Some(issued_before) => not_before >= issued_before,
        None => minimum_version >= receipt.position.seq,
    }
}

fn print(
    entry: &Map<String, Value>,
    issuer: &str,
    snapshot: &Snapshot,
    values: &[ClaimValue<'_>],
) -> Option<Fingerprint> {
    let paths = entry.get("selector")?.as_array()?.iter().filter_map(Value::as_str);
    let selector = Selector::new(paths).ok()?;
    let is_whole = selector.paths().len() == values.len();
    is_whole.then(|| Fingerprinter::new(snapshot.salt(), issuer, &selector).of(values))
}

/// The values of the claims, in the order of the selector's paths: both are ascending.
fn claims(entry: &Map<String, Value>) -> Option<Vec<ClaimValue<'_>>> {
    let claims = entry.get("claims")?.as_object()?;
    let value = |value| match value {
        &Value::Bool(value) => Some(ClaimValue::Bool(value)),
        Value::Number(number) => number.as_i128().map(ClaimValue::Integer),
        Value::String(text) => Some(ClaimValue::from(text.as_str())),
        _ => None,
    };
    let mut named: Vec<_> = claims.iter().collect();
    named.sort_unstable_by_key(|(path, _)| *path);
    named.into_iter().map(|(_, one)| value(one)).collect()
}
