//! The registered relying parties: one document in the store, as all processes read it.

use offswitch_core::relying_parties::{MAX_RELYING_PARTIES, Place, RelyingParty};
use serde::{Deserialize, Serialize};

use crate::audit;
use crate::master_key::random_id;
use crate::store::{Store, StoreError};

/// A relying party under its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Its name.
    pub name: String,
    /// Tells this registration from an earlier one under the same name. It stays when the relying party
    /// is changed.
    pub id: String,
    /// When it was registered, unix seconds.
    pub created_at: u64,
    /// It hears of what is recorded after this place.
    pub since: Place,
    /// What was registered.
    pub party: RelyingParty,
}

/// All relying parties, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelyingParties {
    all: Vec<Registered>,
    /// False if the store has no document: nothing was ever registered, or the store lost it.
    is_stored: bool,
}

/// Why a relying party was not registered or removed.
#[derive(Debug, thiserror::Error)]
pub enum RelyingPartyError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There are already [`MAX_RELYING_PARTIES`].
    #[error(
        "there are {MAX_RELYING_PARTIES} relying parties, which is the limit; remove one first"
    )]
    TooMany,
    /// None has this name.
    #[error("no relying party is registered under this name; see GET /v1/relying-parties")]
    Unknown,
}

impl RelyingParties {
    /// Reads all of them.
    ///
    /// # Errors
    ///
    /// As the store.
    pub async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(read(store).await?.1)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Registered> {
        self.all.iter()
    }

    /// The one with this name.
    pub fn named(&self, name: &str) -> Option<&Registered> {
        self.all.iter().find(|one| one.name == name)
    }

    /// The registration with this id.
    pub fn find(&self, id: &str) -> Option<&Registered> {
        self.all.iter().find(|one| one.id == id)
    }

    /// True if this was read from a store that has lost what `known` has.
    pub fn has_lost(&self, known: &Self) -> bool {
        !self.is_stored && known.is_stored
    }

    /// Writes all of them to a store that has none.
    ///
    /// # Errors
    ///
    /// As the store.
    pub async fn restore(&self, store: &dyn Store) -> Result<(), StoreError> {
        store.swap(DOCUMENT, &[], &self.encode(), None).await.map(drop)
    }

    /// Registers `party` under a name, or changes it, on behalf of `by`. A new one hears of what is
    /// recorded after `since`. Returns it, and whether anything changed.
    ///
    /// # Errors
    ///
    /// See [`RelyingPartyError`].
    pub async fn register(
        store: &dyn Store,
        name: &str,
        party: &RelyingParty,
        by: &str,
        since: Place,
        now: u64,
    ) -> Result<(Registered, bool), RelyingPartyError> {
        loop {
            let (held, mut parties) = read(store).await?;
            let registered = match parties.named(name) {
                Some(known) if known.party == *party => return Ok((known.clone(), false)),
                Some(known) => Registered { party: party.clone(), ..known.clone() },
                None if parties.all.len() >= MAX_RELYING_PARTIES => {
                    return Err(RelyingPartyError::TooMany);
                }
                None => Registered {
                    name: name.to_owned(),
                    id: random_id(),
                    created_at: now,
                    since,
                    party: party.clone(),
                },
            };
            parties.all.retain(|one| one.name != name);
            parties.all.push(registered.clone());
            parties.all.sort_by(|one, next| one.name.cmp(&next.name));
            if store.swap(DOCUMENT, &held, &parties.encode(), None).await? {
                audit::relying_party("relying_party_registered", by, name);
                return Ok((registered, true));
            }
        }
    }

    /// Removes the one with this name on behalf of `by`.
    ///
    /// # Errors
    ///
    /// See [`RelyingPartyError`].
    pub async fn remove(
        store: &dyn Store,
        name: &str,
        by: &str,
    ) -> Result<Registered, RelyingPartyError> {
        loop {
            let (held, mut parties) = read(store).await?;
            let removed = parties.named(name).ok_or(RelyingPartyError::Unknown)?.clone();
            parties.all.retain(|one| one.name != name);
            if store.swap(DOCUMENT, &held, &parties.encode(), None).await? {
                audit::relying_party("relying_party_removed", by, name);
                return Ok(removed);
            }
        }
    }

    fn encode(&self) -> Vec<u8> {
        // Also without any: a document that is not there is one that was lost.
        serde_json::to_vec(&self.all).expect("plain data is always encoded")
    }
}

/// The document as it is stored, and what is in it.
async fn read(store: &dyn Store) -> Result<(Vec<u8>, RelyingParties), StoreError> {
    let bytes = store.load(DOCUMENT).await?;
    if bytes.is_empty() {
        return Ok((bytes, RelyingParties::default()));
    }
    let all = serde_json::from_slice(&bytes)
        .map_err(|_| StoreError::Damaged("the relying parties cannot be read".to_owned()))?;
    Ok((bytes, RelyingParties { all, is_stored: true }))
}

/// The document's name in the store.
pub(crate) const DOCUMENT: &str = "relying-parties";

#[cfg(test)]
mod tests {
    use offswitch_core::relying_parties::RelyingPartyDefinition;

    use super::*;
    use crate::store::EmbeddedStore;

    fn party(audience: &str) -> RelyingParty {
        let definition = RelyingPartyDefinition {
            audience: audience.to_owned(),
            endpoint_url: Some("https://app.example/".to_owned()),
            ..RelyingPartyDefinition::default()
        };
        definition.check("a").unwrap()
    }

    // L01: a change keeps the place in the log; a new registration under an old name begins on its own.
    #[tokio::test]
    async fn a_changed_relying_party_keeps_its_place_and_a_new_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(&folder.path().join("store"), 1).unwrap();
        let put = async |name: &str, audience: &str, seq| {
            let since = Place::after(1, seq);
            RelyingParties::register(&store, name, &party(audience), "key_1", since, seq).await
        };
        let (first, is_new) = put("shop", "one", 5).await.unwrap();
        assert!(is_new);
        assert!(!put("shop", "one", 6).await.unwrap().1);
        let (changed, is_new) = put("shop", "two", 7).await.unwrap();
        assert!(is_new);
        assert_eq!((changed.since, &changed.id), (Place::after(1, 5), &first.id));
        assert_eq!(RelyingParties::remove(&store, "shop", "key_1").await.unwrap(), changed);
        let gone = RelyingParties::remove(&store, "shop", "key_1").await;
        assert!(matches!(gone, Err(RelyingPartyError::Unknown)));
        let (again, _) = put("shop", "one", 8).await.unwrap();
        assert_ne!(again.id, first.id);
        for number in 1..MAX_RELYING_PARTIES {
            put(&format!("n{number}"), "one", 9).await.unwrap();
        }
        assert!(matches!(put("more", "one", 9).await, Err(RelyingPartyError::TooMany)));
    }

    // L05: a store that came back empty gets them back; one where all were removed does not.
    #[tokio::test]
    async fn relying_parties_are_restored_to_a_store_that_lost_them() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| EmbeddedStore::open(&folder.path().join(name), 1).unwrap();
        let (store, empty) = (open("a"), open("b"));
        RelyingParties::register(&store, "a", &party("x"), "k", Place::default(), 1).await.unwrap();
        let known = RelyingParties::load(&store).await.unwrap();
        assert!(RelyingParties::load(&empty).await.unwrap().has_lost(&known));
        known.restore(&empty).await.unwrap();
        assert_eq!(RelyingParties::load(&empty).await.unwrap(), known);
        RelyingParties::remove(&empty, "a", "k").await.unwrap();
        assert!(!RelyingParties::load(&empty).await.unwrap().has_lost(&known));
    }
}
