//! What a receipt says.

use offswitch_snapshot::{ChainHash, Position};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::audit::Target;
use crate::issuers::Issuers;
use crate::record::{Record, Revocation};

/// The claims of a receipt. Other members may be added: a reader ignores what it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The control plane that signs, which is also the id of its feed.
    pub iss: String,
    /// When it was signed, unix seconds.
    pub iat: u64,
    /// A verifier at this position or a later one refuses.
    pub position: Position,
    /// The chain hash at that position, in hexadecimal: snapshots have it too. Absent where the process that
    /// signs has not read the log that far, or has read on for long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// Which failures the record survives.
    pub durability: String,
    /// How many replicas of the store have it, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// When it was accepted, unix seconds.
    pub at: u64,
    /// Who asked for it.
    pub by: By,
    /// How many entries were revoked.
    pub entries: u64,
    /// The first of them, as many as there is room for: what was named, the claims by which verifiers look it
    /// up, and until when it stays in the feed.
    pub revoked: Vec<Map<String, Value>>,
    /// How many followers held it when this was signed, if the request has waited for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<AppliedThen>,
}

/// How many followers held a revocation when its receipt was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedThen {
    /// True if every follower of all processes held it.
    pub complete: bool,
    /// The followers that could decide then.
    pub followers: u64,
    /// Those of them that held it.
    pub holding: u64,
    /// Those of `followers` that were behind relays.
    pub behind_relays: u64,
    /// How many more were served at least that are not known.
    pub unidentified: u64,
    /// Whose followers these were: `all_processes`, `some_processes` or `this_process`.
    pub counted: String,
    /// How long the request had waited.
    pub milliseconds: u64,
    /// Within how many seconds those that did not hold it had to refuse without news, if that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refuse_within_seconds: Option<u64>,
}

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// Its id.
    pub id: String,
    /// What its operator calls it.
    pub name: String,
}

/// What the store has acknowledged, and what is known since.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// Where the record is.
    pub position: Position,
    /// The chain hash there, if it is known.
    pub chain: Option<ChainHash>,
    /// Which failures the record survives.
    pub durability: &'static str,
    /// How many replicas have it, if that is known.
    pub replicas: Option<u32>,
    /// How many followers hold it, if the request has waited for them.
    pub applied: Option<AppliedThen>,
}

impl Receipt {
    /// The receipt for a record of the log, to be signed at `now`. `name` is that of the API key.
    pub fn of(
        record: &Record,
        acknowledged: Acknowledged,
        issuers: &Issuers,
        name: &str,
        now: u64,
    ) -> Self {
        let Acknowledged { position, chain, durability, replicas, applied } = acknowledged;
        let (mut revoked, mut bytes) = (Vec::new(), 0_usize);
        for one in &record.revocations {
            let entry = entry(one, record.at, issuers);
            bytes = bytes.saturating_add(Value::Object(entry.clone()).to_string().len());
            if bytes > MOST_SHOWN_BYTES {
                break;
            }
            revoked.push(entry);
        }
        Self {
            iss: issuers.own().to_owned(),
            iat: now,
            position,
            chain: chain.map(hex),
            durability: durability.to_owned(),
            replicas,
            at: record.at,
            by: By { id: record.by.clone(), name: name.to_owned() },
            entries: u64::try_from(record.revocations.len()).unwrap_or(u64::MAX),
            revoked,
            applied,
        }
    }
}

/// What was revoked: as the audit log has it, and what is needed to find it in a snapshot.
fn entry(revocation: &Revocation, at: u64, issuers: &Issuers) -> Map<String, Value> {
    let target = serde_json::to_value(Target::from(revocation));
    let Ok(Value::Object(mut entry)) = target else { return Map::new() };
    let issued_before = match revocation {
        Revocation::Claims { issued_before, .. } => Some(*issued_before),
        // As the log is folded: those of this control plane are compared by their versions.
        Revocation::User { issuer, issued_before, .. } => {
            issued_before.or(issuer.as_ref().map(|_| at.saturating_add(1)))
        }
        _ => None,
    };
    if let Some(selector) = revocation.selector(issuers) {
        entry.insert("selector".to_owned(), selector.paths().into());
        entry.insert("until".to_owned(), revocation.needed_until(at, issuers).into());
    }
    if let Some(issued_before) = issued_before {
        entry.insert("issued_before".to_owned(), issued_before.into());
    }
    entry
}

pub(super) fn hex(chain: ChainHash) -> String {
    chain.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A receipt stays shorter than the longest token, also in base64url.
const MOST_SHOWN_BYTES: usize = 8 * 1024;
