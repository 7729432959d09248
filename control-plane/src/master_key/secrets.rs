//! The values derived from one master key: derived once, since every request needs some of them.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use offswitch_core::session::UserKey;
use offswitch_snapshot::Salt;
use zeroize::Zeroizing;

use super::MasterKeyError;

/// Identifies a master key without revealing anything of it. Everything sealed under it begins with
/// this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; ID_BYTES]);

/// The keys with which one master key seals and proves.
pub(super) struct Secrets {
    id: KeyId,
    secret: Zeroizing<[u8; 32]>,
    cipher: XChaCha20Poly1305,
    nonces: Zeroizing<[u8; 32]>,
}

/// What must stay the same when the master key is replaced: the keys that find and hash ids.
pub(super) struct Origin {
    root: Zeroizing<[u8; 32]>,
    salt: Salt,
    api_keys: Zeroizing<[u8; 32]>,
    users: Zeroizing<[u8; 32]>,
    requests: Zeroizing<[u8; 32]>,
}

impl Secrets {
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        let mut id = KeyId([0; ID_BYTES]);
        id.0.copy_from_slice(&derive(ID_CONTEXT, secret)[..ID_BYTES]);
        Self {
            id,
            cipher: XChaCha20Poly1305::new(&Key::from(*derive(SEALING_CONTEXT, secret))),
            nonces: derive(NONCE_CONTEXT, secret),
            secret: Zeroizing::new(*secret),
        }
    }

    pub(super) fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn origin(&self) -> Origin {
        Origin::new(&derive(ORIGIN_CONTEXT, &self.secret))
    }

    pub(super) fn mac(&self, context: &str, message: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&derive(context, &self.secret), message)
    }

    /// The key's id, the nonce, the ciphertext with its tag. The nonce is a MAC of name and
    /// content. So the same content is always sealed to the same bytes, as comparing stored bytes
    /// requires, and no nonce is used for two contents.
    pub(super) fn seal(&self, name: &str, content: &[u8]) -> Result<Vec<u8>, MasterKeyError> {
        let mut hasher = blake3::Hasher::new_keyed(&self.nonces);
        hasher.update(&u64::try_from(name.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(name.as_bytes()).update(content);
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&hasher.finalize().as_bytes()[..NONCE_BYTES]);
        let payload = Payload { msg: content, aad: name.as_bytes() };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| MasterKeyError::Unsealing)?;
        Ok([&self.id.0[..], &nonce, &sealed].concat())
    }

    /// Opens the output of [`seal`](Self::seal), without the key's id.
    pub(super) fn open(
        &self,
        name: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
        let (nonce, sealed) =
            sealed.split_first_chunk::<NONCE_BYTES>().ok_or(MasterKeyError::Unsealing)?;
        let payload = Payload { msg: sealed, aad: name.as_bytes() };
        let content = self.cipher.decrypt(&XNonce::from(*nonce), payload);
        content.map(Zeroizing::new).map_err(|_| MasterKeyError::Unsealing)
    }
}

impl Origin {
    pub(super) fn new(root: &[u8; 32]) -> Self {
        let mut salt = Salt::default();
        salt.0.copy_from_slice(&derive(SALT_CONTEXT, root)[..16]);
        Self {
            salt,
            api_keys: derive(API_KEY_CONTEXT, root),
            users: derive(USER_CONTEXT, root),
            requests: derive(REQUEST_CONTEXT, root),
            root: Zeroizing::new(*root),
        }
    }

    pub(super) fn root(&self) -> &Zeroizing<[u8; 32]> {
        &self.root
    }

    pub(super) fn salt(&self) -> Salt {
        self.salt
    }

    pub(super) fn hash_api_key(&self, key: &str) -> [u8; 32] {
        *blake3::keyed_hash(&self.api_keys, key.as_bytes()).as_bytes()
    }

    pub(super) fn user_key(&self, sub: &str) -> UserKey {
        let mut key = UserKey([0; 8]);
        let mac = blake3::keyed_hash(&self.users, sub.as_bytes());
        key.0.copy_from_slice(&mac.as_bytes()[..8]);
        key
    }

    pub(super) fn request_name(&self, request: &str) -> [u8; 16] {
        let mut name = [0; 16];
        let mac = blake3::keyed_hash(&self.requests, request.as_bytes());
        name.copy_from_slice(&mac.as_bytes()[..16]);
        name
    }
}

impl KeyId {
    /// The id's bytes, with which everything sealed under the key begins.
    pub fn bytes(self) -> [u8; ID_BYTES] {
        self.0
    }

    /// The id at the beginning of `sealed`, and the rest.
    pub(super) fn split(sealed: &[u8]) -> Option<(Self, &[u8])> {
        let (id, rest) = sealed.split_first_chunk()?;
        Some((Self(*id), rest))
    }
}

fn derive(context: &str, secret: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(blake3::derive_key(context, secret))
}

const ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const API_KEY_CONTEXT: &str = "offswitch 2026-11 api key hash v1";
const ID_CONTEXT: &str = "offswitch 2026-11 master key id v1";
const NONCE_CONTEXT: &str = "offswitch 2026-11 sealing nonce v1";
const ORIGIN_CONTEXT: &str = "offswitch 2026-11 origin v1";
const REQUEST_CONTEXT: &str = "offswitch 2026-11 request name v1";
const SALT_CONTEXT: &str = "offswitch 2026-11 feed salt v1";
const SEALING_CONTEXT: &str = "offswitch 2026-11 sealing v1";
const USER_CONTEXT: &str = "offswitch 2026-11 user key v1";
