//! What the parts of the plane report: each event that changes who has access. It becomes a log line
//! under the target `offswitch::audit`, and a fact of the change in progress, if there is one.
//!
//! A log line contains who did it (the id of the API key), what and how many, and the position in the
//! log of revocations: `GET /v1/revocations` shows the rest there. It contains no token, no secret
//! and no subject, so that the log may be kept longer, and read by more people, than that data. The audit
//! log, which its own scope opens, names what was revoked.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_core::audit::{Target, Targets};
use offswitch_core::record::{HOLDER, OWN_ACT, Record, Revocation};
use offswitch_core::session::SessionId;
use offswitch_snapshot::Position;

use super::change::{Origin, Outcome};
use super::{AuditLog, Change};
use crate::master_key::MasterKey;

/// What is known of the change in progress.
#[derive(Debug, Default)]
pub(super) struct Facts {
    by: Option<String>,
    targets: Targets,
    /// Of its last record.
    position: Option<Position>,
    records: u64,
    is_repeated: bool,
    is_preview: bool,
}

impl Facts {
    pub(super) fn is_empty(&self) -> bool {
        self.targets.count() == 0 && self.position.is_none()
    }

    pub(super) fn has_revoked(&self) -> bool {
        self.records > 0
    }

    /// True if no credential was recognised.
    pub(super) fn is_by_anyone(&self) -> bool {
        self.by.is_none()
    }

    /// As members of a line.
    pub(super) fn write(&self, members: &mut Vec<u8>) {
        if let Some(by) = &self.by {
            members.extend_from_slice(b",\"by\":");
            // The name of an issuer is part of it.
            let _ = serde_json::to_writer(&mut *members, by);
        }
        let _ = write!(
            members,
            r#","count":{},"targets":[{}]"#,
            self.targets.count(),
            self.targets.text()
        );
        if let Some(position) = self.position {
            let _ = write!(members, r#","position":"{position}""#);
        }
        if self.records > 1 {
            let _ = write!(members, r#","records":{}"#, self.records);
        }
        if self.is_repeated {
            members.extend_from_slice(b",\"repeated\":true");
        }
        if self.is_preview {
            members.extend_from_slice(b",\"preview\":true");
        }
    }

    fn by(&mut self, by: &str) {
        if self.by.is_none() {
            self.by = Some(by.to_owned());
        }
    }
}

tokio::task_local! {
    /// Of the change that this task carries out.
    static FACTS: Arc<Mutex<Facts>>;
}

/// Carries out `work`, whose facts are noted in `facts`.
pub(super) async fn scope<T>(facts: Arc<Mutex<Facts>>, work: impl Future<Output = T>) -> T {
    FACTS.scope(facts, work).await
}

fn note(change: impl FnOnce(&mut Facts)) {
    // A request that only reads has none.
    let _ =
        FACTS.try_with(|facts| change(&mut facts.lock().unwrap_or_else(PoisonError::into_inner)));
}

/// Carries out what the control plane does on its own, and writes a line if that changed anything.
pub async fn collect_own<T, E>(
    log: &Arc<AuditLog>,
    operation: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let origin = Origin { kind: "task", request: None, source: None };
    // It carries out what was decided before, so it is not refused.
    let Some(change) = Change::of_own(log, operation, origin) else { return work.await };
    let done = change.collect(work).await;
    let is_done = done.is_ok();
    change.collect(async { by(OWN_ACT) }).await;
    change.finish_if_any(Outcome::of(is_done));
    done
}

/// The caller is known: the id of an API key, or what else was recognised. The first one counts.
pub fn by(who: &str) {
    note(|facts| facts.by(who));
}

/// What the change is about.
pub fn target(target: &Target<'_>) {
    note(|facts| facts.targets.add(target));
}

/// Nothing is changed: the caller asked what would happen.
pub fn preview() {
    note(|facts| facts.is_preview = true);
}

/// A record was appended, or had been before: revocations, a logout, a theft or a red button.
pub fn revoked(record: &Record, position: Position, is_repeated: bool) {
    note(|facts| {
        facts.by(&record.by);
        facts.targets.add_all(&record.revocations);
        facts.position = facts.position.max(Some(position));
        facts.records += 1;
        facts.is_repeated |= is_repeated;
    });
    if is_repeated {
        return;
    }
    // The kinds of up to 100,000 entries.
    let kinds: BTreeSet<&str> = record.revocations.iter().map(kind).collect();
    let kinds: Vec<&str> = kinds.into_iter().collect();
    let (kinds, count) = (kinds.join(","), record.revocations.len());
    tracing::info!(target: AUDIT, event = "revoked", by = record.by, kinds, count, %position);
}

/// A session was opened, refreshed or handed over. Its id is logged as a keyed hash: log lines of one
/// session can be found together, but no reader learns an id that could be used to end it.
pub fn session(event: &'static str, who: &str, id: &SessionId, master: &MasterKey) {
    let text = id.to_string();
    let hash = master.mac(ID_CONTEXT, text.as_bytes());
    let session = Base64UrlUnpadded::encode_string(&hash.as_bytes()[..9]);
    tracing::info!(target: AUDIT, event, by = who, session);
    by(who);
    target(&Target::Session { issuer: None, session_id: &text });
}

/// A refresh of a genuine token was refused, for the reason that `code` names.
pub fn refused_refresh(code: &'static str) {
    tracing::info!(target: AUDIT, event = "refresh_refused", code);
    by(HOLDER);
}

/// An API key was made or deleted.
pub fn api_key(event: &'static str, id: &str, scopes: &str) {
    tracing::info!(target: AUDIT, event, id, scopes);
    target(&Target::ApiKey { id, scopes });
}

/// A feed key was made or dropped.
pub fn feed_key(event: &'static str, id: &str) {
    tracing::info!(target: AUDIT, event, id);
    target(&Target::FeedKey { id });
}

/// A relying party was registered, changed or removed on behalf of `who`.
pub fn relying_party(event: &'static str, who: &str, name: &str) {
    tracing::info!(target: AUDIT, event, by = who, name);
    by(who);
    target(&Target::RelyingParty { name });
}

/// A signing key was added on behalf of `who`.
pub fn signing_key(event: &'static str, who: &str, kid: &str) {
    tracing::info!(target: AUDIT, event, by = who, kid);
    by(who);
    target(&Target::Key { issuer: None, kid });
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
