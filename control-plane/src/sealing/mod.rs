//! The store as the control plane uses it: every document sealed under the master key.
//!
//! An attacker who can write to the store can delete a document or restore an older one, but cannot
//! change its content. An attacker who can read the store learns only how long a document is.
//! Records of the log are not sealed; the keyring seals itself.

mod altered;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_core::limits::REQUEST_MEMORY;
use offswitch_core::log::{Checkpoint, End};
use offswitch_core::session::{Lifetimes, OPENING_DOCUMENTS, USER_DOCUMENTS, UserSessions};
use offswitch_snapshot::Position;

use self::altered::AlteredDocuments;
use crate::keyring;
use crate::master_key::MasterKey;
use crate::store::{
    Append, Appended, Batch, Durability, Finding, NotePlace, Older, Onto, Page, Request, Store,
    StoreError, Stretch, Swapped,
};

/// A store whose documents are sealed.
///
/// The same content is always sealed to the same bytes, so a swap can compare the stored bytes.
pub struct SealedStore {
    inner: Arc<dyn Store>,
    master: MasterKey,
    altered: AlteredDocuments,
}

impl SealedStore {
    /// Seals the documents of `inner` under `master`.
    pub fn new(inner: Arc<dyn Store>, master: MasterKey) -> Self {
        Self { inner, master, altered: AlteredDocuments::default() }
    }

    /// Seals every document again that is sealed under another key than the one in use, and returns
    /// their number. A document that changes meanwhile is left to the next call.
    ///
    /// # Errors
    ///
    /// As the store.
    pub async fn reseal(&self, lifetimes: &Lifetimes) -> Result<usize, StoreError> {
        let (mut count, mut cursor) = (0, String::new());
        loop {
            let stretch = self.inner.scan("", &cursor).await?;
            for (name, sealed) in stretch.documents {
                if !is_sealed_here(&name) || !self.is_outdated(&sealed) {
                    continue;
                }
                let Ok(content) = self.open(&name, &sealed) else { continue };
                let forget_at = forget_at(&name, &content, lifetimes, self.now());
                self.swap(&name, &content, &content, forget_at).await?;
                count += 1;
            }
            match stretch.next {
                Some(next) => cursor = next,
                None => return Ok(count),
            }
        }
    }

    fn is_outdated(&self, sealed: &[u8]) -> bool {
        let id = MasterKey::sealed_under(sealed);
        id.is_some_and(|id| id != self.master.id() && self.master.accepted().contains(&id))
    }

    /// Deletes the document `name` if the control plane did not write it. Only for documents that
    /// can be made again from the log.
    ///
    /// # Errors
    ///
    /// As the store.
    pub async fn discard_altered(&self, name: &str) -> Result<(), StoreError> {
        let sealed = self.inner.load(name).await?;
        if self.open(name, &sealed).is_err() {
            self.inner.swap(name, &sealed, &[], None).await?;
        }
        Ok(())
    }

    fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        if sealed.is_empty() || !is_sealed_here(name) {
            self.altered.is_well(name);
            return Ok(sealed.to_vec());
        }
        match self.master.open(name, sealed) {
            Ok(mut content) => {
                self.altered.is_well(name);
                Ok(std::mem::take(&mut *content))
            }
            Err(error) => {
                if self.altered.is_altered(name) {
                    tracing::error!(name, %error, "a document in the store is not accepted");
                }
                Err(StoreError::Altered(name.to_owned()))
            }
        }
    }

    fn seal(&self, name: &str, content: &[u8]) -> Result<Vec<u8>, StoreError> {
        if content.is_empty() || !is_sealed_here(name) {
            return Ok(content.to_vec());
        }
        let damaged = |_| StoreError::Damaged(format!("the document {name} cannot be sealed"));
        self.master.seal(name, content).map_err(damaged)
    }

    fn named(&self, request: &Request) -> Request {
        let id = Base64UrlUnpadded::encode_string(&self.master.request_name(&request.id));
        Request { id, ..request.clone() }
    }
}

#[async_trait]
impl Store for SealedStore {
    async fn append_all(&self, mut batch: Vec<Append>, onto: Onto) -> Result<Batch, StoreError> {
        for append in &mut batch {
            append.request = self.named(&append.request);
        }
        self.inner.append_all(batch, onto).await
    }

    async fn recall(&self, request: &Request) -> Result<Option<Appended>, StoreError> {
        self.inner.recall(&self.named(request)).await
    }

    async fn read(&self, after: u64, limit: usize) -> Result<Page, StoreError> {
        self.inner.read(after, limit).await
    }

    async fn read_back(&self, before: u64, limit: usize) -> Result<Older, StoreError> {
        self.inner.read_back(before, limit).await
    }

    async fn wait(&self, after: u64, timeout: Duration) -> Result<(), StoreError> {
        self.inner.wait(after, timeout).await
    }

    async fn trim(&self, era: u64, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.inner.trim(era, checkpoint).await
    }

    async fn end(&self) -> Result<End, StoreError> {
        self.inner.end().await
    }

    async fn start_era(
        &self,
        expected: End,
        era: u64,
        checkpoint: &Checkpoint,
    ) -> Result<bool, StoreError> {
        self.inner.start_era(expected, era, checkpoint).await
    }

    async fn load(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.open(name, &self.inner.load(name).await?)
    }

    /// While the master key is being replaced, the known document may be sealed under another key.
    async fn swap_at(
        &self,
        at: Option<Position>,
        name: &str,
        from: &[u8],
        to: &[u8],
        expires_at: Option<u64>,
    ) -> Result<Swapped, StoreError> {
        let (held, wanted) = (self.seal(name, from)?, self.seal(name, to)?);
        let mut swapped = self.inner.swap_at(at, name, &held, &wanted, expires_at).await?;
        if is_sealed_here(name) && !from.is_empty() {
            for held in self.master.seal_otherwise(name, from) {
                if swapped != Swapped::Changed {
                    break;
                }
                swapped = self.inner.swap_at(at, name, &held, &wanted, expires_at).await?;
            }
        }
        Ok(swapped)
    }

    /// Documents that are not accepted are skipped: one of them must not hide the others.
    async fn scan(&self, prefix: &str, cursor: &str) -> Result<Stretch, StoreError> {
        let Stretch { documents, next } = self.inner.scan(prefix, cursor).await?;
        let open = |(name, sealed): (String, Vec<u8>)| {
            let content = self.open(&name, &sealed).ok()?;
            Some((name, content))
        };
        Ok(Stretch { documents: documents.into_iter().filter_map(open).collect(), next })
    }

    fn now(&self) -> u64 {
        self.inner.now()
    }

    async fn findings(&self) -> Result<Vec<Finding>, StoreError> {
        let mut findings = self.inner.findings().await?;
        // A document that was deleted since would otherwise not be read again.
        for name in self.altered.names() {
            let _ = self.load(&name).await;
        }
        findings.extend(self.altered.finding());
        Ok(findings)
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn durability(&self) -> Option<Durability> {
        self.inner.durability()
    }

    async fn format_since(&self) -> Result<u64, StoreError> {
        self.inner.format_since().await
    }

    async fn leave_note(&self, note: &[u8]) -> Result<(), StoreError> {
        self.inner.leave_note(&self.seal(NOTES, note)?).await
    }

    /// A note that is not accepted is empty, so that the caller goes on after it.
    async fn notes(
        &self,
        after: NotePlace,
        timeout: Duration,
    ) -> Result<Vec<(NotePlace, Vec<u8>)>, StoreError> {
        let notes = self.inner.notes(after, timeout).await?;
        let open = |(place, sealed): (NotePlace, Vec<u8>)| {
            let mut content = self.master.open(NOTES, &sealed).unwrap_or_default();
            (place, std::mem::take(&mut *content))
        };
        Ok(notes.into_iter().map(open).collect())
    }
}

/// When a store may forget the document `name` with this `content`, unix seconds; never if absent.
pub fn forget_at(name: &str, content: &[u8], lifetimes: &Lifetimes, now: u64) -> Option<u64> {
    if name.starts_with(OPENING_DOCUMENTS) {
        Some(now.saturating_add(REQUEST_MEMORY.as_secs()))
    } else if name.starts_with(USER_DOCUMENTS) {
        UserSessions::decode(content).ok().and_then(|held| held.forget_at(lifetimes))
    } else {
        None
    }
}

/// The keyring seals itself: its private keys are never stored in clear, in any store.
fn is_sealed_here(name: &str) -> bool {
    name != keyring::DOCUMENT
}

/// The name under which notes are sealed: no document has it.
const NOTES: &str = "notes/";
