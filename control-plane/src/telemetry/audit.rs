//! One log line for every event that changes who has access, under the target `offswitch::audit`.
//!
//! A line contains who did it (the id of the API key), what and how many, and the position in the
//! log of revocations: `GET /v1/revocations` shows the rest there. It contains no token, no secret
//! and no subject, so that the log may be kept longer, and read by more people, than that data.

use std::collections::BTreeSet;

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_core::record::{Record, Revocation};
use offswitch_core::session::SessionId;
use offswitch_snapshot::Position;

use crate::master_key::MasterKey;

/// A record was appended: revocations, a logout, a theft or a red button.
pub fn revoked(record: &Record, position: Position) {
    // The kinds of up to 100,000 entries.
    let kinds: BTreeSet<&str> = record.revocations.iter().map(kind).collect();
    let kinds: Vec<&str> = kinds.into_iter().collect();
    let (kinds, count) = (kinds.join(","), record.revocations.len());
    tracing::info!(target: AUDIT, event = "revoked", by = record.by, kinds, count, %position);
}

/// A session was opened, refreshed or handed over. Its id is logged as a keyed hash: lines of one
/// session can be found together, but no reader learns an id that could be used to end it.
pub fn session(event: &'static str, by: &str, id: &SessionId, master: &MasterKey) {
    let hash = master.mac(ID_CONTEXT, id.to_string().as_bytes());
    let session = Base64UrlUnpadded::encode_string(&hash.as_bytes()[..9]);
    tracing::info!(target: AUDIT, event, by, session);
}

/// A refresh of a genuine token was refused, for the reason that `code` names.
pub fn refused_refresh(code: &'static str) {
    tracing::info!(target: AUDIT, event = "refresh_refused", code);
}

/// An API key was made or deleted.
pub fn api_key(event: &'static str, id: &str, scopes: &str) {
    tracing::info!(target: AUDIT, event, id, scopes);
}

/// A relying party was registered, changed or removed on behalf of `by`.
pub fn relying_party(event: &'static str, by: &str, name: &str) {
    tracing::info!(target: AUDIT, event, by, name);
}

/// A signing key was added on behalf of `by`.
pub fn signing_key(event: &'static str, by: &str, kid: &str) {
    tracing::info!(target: AUDIT, event, by, kid);
}

fn kind(revocation: &Revocation) -> &'static str {
    match revocation {
        Revocation::Claims { .. } => "claims",
        Revocation::Epoch { .. } => "epoch",
        Revocation::Horizon { .. } => "horizon",
        Revocation::Issuer { .. } => "issuer",
        Revocation::IssuerRemoved { .. } => "issuer_removed",
        Revocation::Key { .. } => "key",
        Revocation::Refresh { .. } => "refresh",
        Revocation::Session { .. } => "session",
        Revocation::Sessions => "sessions",
        Revocation::Token { .. } => "token",
        Revocation::User { .. } => "user",
    }
}

const AUDIT: &str = "offswitch::audit";
const ID_CONTEXT: &str = "offswitch 2026-11 audit id v1";
