//! The outermost bytes: magic, version, signatures, body. Nothing inside is read before the
//! signature was checked.

use crate::ed25519::PublicKey;

/// A public key whose signature under a snapshot is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedKey {
    id: FeedKeyId,
    key: PublicKey,
}

/// Names a public key in a snapshot: the first eight bytes of the key's BLAKE3 hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedKeyId(pub [u8; KEY_ID_BYTES]);

impl FeedKey {
    /// Reads a key.
    ///
    /// # Errors
    ///
    /// [`WeakKey`].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, WeakKey> {
        let mut id = [0; KEY_ID_BYTES];
        let hash = blake3::hash(bytes);
        for (to, from) in id.iter_mut().zip(hash.as_bytes()) {
            *to = *from;
        }
        Ok(Self { id: FeedKeyId(id), key: PublicKey::from_bytes(bytes).ok_or(WeakKey)? })
    }

    /// The public key's 32 bytes.
    pub fn public_key(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// What names it in a snapshot.
    pub fn id(&self) -> FeedKeyId {
        self.id
    }
}

/// The bytes are not a public key of Ed25519, or one that other implementations would judge otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key is weak")]
pub struct WeakKey;

/// Why bytes are not a snapshot of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A signature of a trusted key is wrong.
    #[error("a signature of the snapshot is wrong")]
    BadSignature,
    /// The bytes break the format.
    #[error("the snapshot is malformed: {0}")]
    Malformed(&'static str),
    /// No signature is by a trusted key.
    #[error(
        "the snapshot is signed by no key of feed.publicKeys; GET /v1/keys lists the feed's public keys"
    )]
    UnknownKey,
    /// Written in a version of the format that this reader does not know.
    #[error("the snapshot has format version {0}, expected 2")]
    UnknownVersion(u8),
}

impl OpenError {
    /// The stable code string.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadSignature => "snapshot_bad_signature",
            Self::Malformed(_) => "snapshot_malformed",
            Self::UnknownKey => "snapshot_unknown_key",
            Self::UnknownVersion(_) => "snapshot_unknown_version",
        }
    }
}

/// Checks the signatures and returns where the body begins.
///
/// At least one signature must be by a trusted key, and every signature by a trusted key must be
/// right. Signatures by other keys are ignored, so that a feed can change its key.
pub(crate) fn open(bytes: &[u8], trusted: &[FeedKey]) -> Result<usize, OpenError> {
    let (signatures, body) = promising(bytes, trusted)?;
    check(signatures, trusted, &blake3::Hasher::new().update(body).finalize())?;
    Ok(bytes.len().saturating_sub(body.len()))
}

/// Parses the beginning of a snapshot that a trusted key may have signed. Nothing is proved
/// yet: a key's id is public.
pub(crate) fn promising<'a>(
    head: &'a [u8],
    trusted: &[FeedKey],
) -> Result<(&'a [u8], &'a [u8]), OpenError> {
    let (signatures, body) = split(head)?;
    if !entries(signatures).any(|(id, _)| find(trusted, id).is_some()) {
        return Err(OpenError::UnknownKey);
    }
    Ok((signatures, body))
}

/// Checks every signature by a trusted key against the hash of the body.
pub(crate) fn check(
    signatures: &[u8],
    trusted: &[FeedKey],
    body: &blake3::Hash,
) -> Result<(), OpenError> {
    let message = message(body);
    for (id, signature) in entries(signatures) {
        let Some(key) = find(trusted, id) else { continue };
        if !key.key.accepts(signature, &message) {
            return Err(OpenError::BadSignature);
        }
    }
    Ok(())
}

/// Parses the envelope: its signatures, and the body.
pub(crate) fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), OpenError> {
    let header = bytes.first_chunk::<HEADER_BYTES>().ok_or(OpenError::Malformed("too short"))?;
    let [magic @ .., version, count] = header;
    if magic != MAGIC {
        return Err(OpenError::Malformed("not a snapshot"));
    }
    if *version != VERSION {
        return Err(OpenError::UnknownVersion(*version));
    }
    let count = usize::from(*count);
    if count == 0 || count > MAX_SIGNATURES {
        return Err(OpenError::Malformed("the number of signatures"));
    }
    let at = HEADER_BYTES.saturating_add(count.saturating_mul(SIGNATURE_ENTRY_BYTES));
    let signatures = bytes.get(HEADER_BYTES..at).ok_or(OpenError::Malformed("too short"))?;
    Ok((signatures, bytes.get(at..).unwrap_or_default()))
}

/// Each signature, with the id of the key that claims to have made it.
pub(crate) fn entries(signatures: &[u8]) -> impl Iterator<Item = (FeedKeyId, &[u8])> {
    let entries = signatures.chunks(SIGNATURE_ENTRY_BYTES);
    entries.filter_map(|entry| {
        let (id, signature) = entry.split_first_chunk::<KEY_ID_BYTES>()?;
        Some((FeedKeyId(*id), signature))
    })
}

/// The signed message: a prefix that no other signed message begins with, and the BLAKE3 of the
/// body.
pub(crate) fn message(body: &blake3::Hash) -> Vec<u8> {
    [SIGNING_PREFIX, body.as_bytes()].concat()
}

fn find(trusted: &[FeedKey], id: FeedKeyId) -> Option<&FeedKey> {
    trusted.iter().find(|key| key.id == id)
}

pub(crate) const MAGIC: &[u8; 4] = b"OFSW";
pub(crate) const VERSION: u8 = 2;
pub(crate) const MAX_SIGNATURES: usize = 8;

/// Separates a snapshot's signature from those of other messages under the same key: a JWS's
/// signing input is base64url text and cannot begin with these bytes.
pub(crate) const SIGNING_PREFIX: &[u8] = b"\0offswitch snapshot v2\0";
const KEY_ID_BYTES: usize = 8;
const SIGNATURE_ENTRY_BYTES: usize = KEY_ID_BYTES + 64;
const HEADER_BYTES: usize = MAGIC.len() + 2;
