//! Remembers which documents could not be opened, for metrics and findings.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::store::Finding;

/// The documents that could not be opened when they were last read.
#[derive(Default)]
pub(super) struct AlteredDocuments {
    names: Mutex<BTreeSet<String>>,
    /// Their number; checked whenever a document is opened successfully.
    count: AtomicUsize,
}

impl AlteredDocuments {
    /// Notes that the document could not be opened. True if it could when it was last read.
    pub(super) fn is_altered(&self, name: &str) -> bool {
        metrics::counter!("offswitch_documents_altered_total").increment(1);
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = names.len() < MOST_REMEMBERED && names.insert(name.to_owned());
        self.count.store(names.len(), Ordering::Relaxed);
        is_new
    }

    pub(super) fn is_well(&self, name: &str) {
        if self.count.load(Ordering::Relaxed) > 0 {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.remove(name);
            self.count.store(names.len(), Ordering::Relaxed);
        }
    }

    /// Some of their names.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().take(MOST_NAMED).cloned().collect()
    }

    /// What an operator must know.
    pub(super) fn finding(&self) -> Option<Finding> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.is_empty() {
            return None;
        }
        let list: Vec<&str> = names.iter().map(String::as_str).take(MOST_NAMED).collect();
        let detail = format!(
            "{} document(s) were not written by this control plane, or were changed since ({}{}): \
             requests that need one are answered 503. Find out who can write to the store. Then put \
             them back from a backup, or delete them: users log in again, running processes write \
             keys back",
            names.len(),
            list.join(", "),
            if names.len() > list.len() { ", …" } else { "" },
        );
        Some(Finding { code: "document_altered", detail, fatal: false })
    }
}

const MOST_NAMED: usize = 8;
const MOST_REMEMBERED: usize = 1000;
