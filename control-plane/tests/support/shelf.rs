//! A place to publish at, in memory: it can stop after so many writes, as if its writer was killed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::body::Bytes;
use offswitch::plane::{Place, PlaceError, PlaceVersion};
use offswitch_snapshot::{HEAD_NAME, Part};

use super::head_reader::Files;

/// What is there. A clone is another writer's or reader's access to the same files.
#[derive(Clone)]
pub(crate) struct Shelf {
    files: Arc<Mutex<BTreeMap<String, Bytes>>>,
    /// How many writes are carried out before this writer is dead.
    writes: Arc<Mutex<usize>>,
    compares: bool,
}

impl Shelf {
    /// An empty one, which compares the version of the head or not.
    pub(crate) fn new(compares: bool) -> Self {
        Self { files: Arc::default(), writes: Arc::new(Mutex::new(usize::MAX)), compares }
    }

    /// The same files for a writer that dies after so many writes.
    pub(crate) fn dying_after(&self, writes: usize) -> Self {
        Self { writes: Arc::new(Mutex::new(writes)), ..self.clone() }
    }

    /// This writer writes again.
    pub(crate) fn revive(&self) {
        *self.writes.lock().unwrap() = usize::MAX;
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.files.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) fn put(&self, name: &str, bytes: impl Into<Bytes>) {
        self.files.lock().unwrap().insert(name.to_owned(), bytes.into());
    }

    pub(crate) fn get(&self, name: &str) -> Option<Bytes> {
        self.files.lock().unwrap().get(name).cloned()
    }

    pub(crate) fn boxed(&self) -> Box<dyn Place> {
        Box::new(self.clone())
    }

    fn write(&self, name: &str, bytes: Bytes) -> Result<(), PlaceError> {
        let mut writes = self.writes.lock().unwrap();
        match writes.checked_sub(1) {
            None => return Err(PlaceError::Place("it was killed".to_owned())),
            Some(left) => *writes = left,
        }
        if name != HEAD_NAME
            && let Some(held) = self.get(name)
        {
            assert_eq!(held, bytes, "{name} was written over with other content");
        }
        self.put(name, bytes);
        Ok(())
    }
}

#[async_trait]
impl Place for Shelf {
    async fn head(&self) -> Result<Option<(Bytes, PlaceVersion)>, PlaceError> {
        tokio::task::yield_now().await;
        Ok(self.get(HEAD_NAME).map(|text| {
            let version = PlaceVersion { e_tag: Some(tag(&text)), version: None };
            (text, version)
        }))
    }

    async fn write_head(
        &self,
        text: Bytes,
        over: Option<&PlaceVersion>,
    ) -> Result<bool, PlaceError> {
        tokio::task::yield_now().await;
        let held = self.get(HEAD_NAME).map(|text| tag(&text));
        if self.compares && held != over.and_then(|over| over.e_tag.clone()) {
            return Ok(false);
        }
        self.write(HEAD_NAME, text).map(|()| true)
    }

    async fn write_part(&self, part: Part, bytes: Bytes) -> Result<(), PlaceError> {
        tokio::task::yield_now().await;
        self.write(&part.to_string(), bytes)
    }

    async fn parts(&self) -> Result<Vec<Part>, PlaceError> {
        Ok(self.names().iter().filter_map(|name| name.parse().ok()).collect())
    }

    async fn remove(&self, part: Part) -> Result<(), PlaceError> {
        self.files.lock().unwrap().remove(&part.to_string());
        Ok(())
    }
}

impl Files for Shelf {
    async fn file(&self, name: &str) -> Option<Vec<u8>> {
        self.get(name).map(|bytes| bytes.to_vec())
    }
}

impl fmt::Display for Shelf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a shelf")
    }
}

fn tag(text: &Bytes) -> String {
    blake3::hash(text).to_hex().to_string()
}
