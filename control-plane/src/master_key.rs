//! The master key: stays outside the store, seals what is secret in it, and derives the peppers.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use offswitch_verifier::snapshot::Salt;
use zeroize::Zeroizing;

use crate::private_files::{Exposure, exposure};
use crate::session::UserKey;

/// 32 secret bytes, wiped from memory when dropped and never printed.
#[derive(Clone)]
pub struct MasterKey {
    secret: Zeroizing<[u8; 32]>,
    /// Derived once: each request asks for it.
    api_keys: Zeroizing<[u8; 32]>,
}

/// Why there is no master key, or why something sealed does not open.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file cannot be read or written.
    #[error("the master key file {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// Not 32 bytes in base64url.
    #[error("the master key must be 32 bytes in base64url without padding")]
    Malformed,
    /// Anyone may write to the file.
    #[error(
        "other users may write to the master key file {path}; make sure that the key in it is \
         yours, then run: chmod 600 {path}"
    )]
    Writable {
        /// The file.
        path: String,
    },
    /// What was sealed does not open: another master key, or damaged.
    #[error("the store was sealed under another master key, or is damaged")]
    Unsealing,
}

impl MasterKey {
    /// Reads the key from its text form.
    ///
    /// # Errors
    ///
    /// [`MasterKeyError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, MasterKeyError> {
        let bytes = Base64UrlUnpadded::decode_vec(text.trim()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| MasterKeyError::Malformed)?;
        let bytes = bytes.as_slice().try_into().map_err(|_| MasterKeyError::Malformed)?;
        Ok(Self::new(bytes))
    }

    fn new(secret: [u8; 32]) -> Self {
        let api_keys = Zeroizing::new(blake3::derive_key(API_KEY_CONTEXT, &secret));
        Self { secret: Zeroizing::new(secret), api_keys }
    }

    /// Reads the key from `path`; a file that is not there is written with `fresh` bytes, readable
    /// by its owner alone.
    ///
    /// # Errors
    ///
    /// See [`MasterKeyError`].
    pub fn from_file(path: &Path, fresh: [u8; 32]) -> Result<Self, MasterKeyError> {
        let name = path.display().to_string();
        let failed = |source| MasterKeyError::File { path: name.clone(), source };
        match fs::File::open(path) {
            Ok(mut file) => {
                match exposure(&file).map_err(failed)? {
                    Exposure::Private => {}
                    Exposure::Readable => {
                        tracing::warn!(path = name, "other users can read the master key file");
                    }
                    Exposure::Writable => return Err(MasterKeyError::Writable { path: name }),
                }
                let mut text = Zeroizing::new(String::new());
                file.read_to_string(&mut text).map_err(failed)?;
                Self::parse(&text)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = Zeroizing::new(Base64UrlUnpadded::encode_string(&fresh));
                write_private(path, text.as_bytes()).map_err(failed)?;
                Ok(Self::new(fresh))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Encrypts `secret` so that only this key, and only under this `name`, opens it
    /// (XChaCha20-Poly1305; the nonce stands before the ciphertext).
    ///
    /// # Errors
    ///
    /// [`MasterKeyError::Unsealing`] where the cipher refuses, which no real input makes it do.
    pub fn seal(
        &self,
        name: &str,
        secret: &[u8],
        nonce: [u8; 24],
    ) -> Result<Vec<u8>, MasterKeyError> {
        let payload = Payload { msg: secret, aad: name.as_bytes() };
        let sealed = self.cipher().encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| MasterKeyError::Unsealing)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens what [`seal`](Self::seal) made.
    ///
    /// # Errors
    ///
    /// [`MasterKeyError::Unsealing`].
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
        let (nonce, sealed) = sealed.split_first_chunk().ok_or(MasterKeyError::Unsealing)?;
        let payload = Payload { msg: sealed, aad: name.as_bytes() };
        let secret = self.cipher().decrypt(&XNonce::from(*nonce), payload);
        secret.map(Zeroizing::new).map_err(|_| MasterKeyError::Unsealing)
    }

    /// The key of the feed's fingerprints: the same in every process and after every restart.
    pub fn salt(&self) -> Salt {
        let mut salt = Salt::default();
        let derived = self.derive(SALT_CONTEXT);
        salt.0.copy_from_slice(&derived[..16]);
        salt
    }

    /// The hash under which an API key is stored.
    pub fn hash_api_key(&self, key: &str) -> [u8; 32] {
        *blake3::keyed_hash(&self.api_keys, key.as_bytes()).as_bytes()
    }

    /// Proves that this master key's owner made `message` for the use that `context` names.
    pub fn mac(&self, context: &str, message: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.derive(context), message)
    }

    /// Where the sessions of `sub` are.
    pub fn user_key(&self, sub: &str) -> UserKey {
        let mut key = UserKey([0; 8]);
        key.0.copy_from_slice(&self.mac(USER_CONTEXT, sub.as_bytes()).as_bytes()[..8]);
        key
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.derive(SEALING_CONTEXT)))
    }

    fn derive(&self, context: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(context, self.secret.as_slice()))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MasterKey(…)")
    }
}

/// `N` bytes from the operating system.
///
/// # Panics
///
/// Where the operating system has no randomness: nothing secret can be made then.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        panic!("the operating system gives no randomness: {error}");
    }
    bytes
}

/// Writes a new file that only its owner can read, whole and flushed before it has its name.
///
/// # Errors
///
/// As the file system.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let draft = path.with_extension("draft");
    let mut file = options.open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(draft, path)
}

const API_KEY_CONTEXT: &str = "offswitch 2026-11 api key hash v1";
const USER_CONTEXT: &str = "offswitch 2026-11 user key v1";
const SALT_CONTEXT: &str = "offswitch 2026-11 feed salt v1";
const SEALING_CONTEXT: &str = "offswitch 2026-11 sealing v1";

#[cfg(test)]
mod tests {
    use super::MasterKey;

    #[test]
    fn what_is_sealed_opens_only_under_its_own_key_and_name() {
        let key = MasterKey::parse(&"A".repeat(43)).unwrap();
        let other = MasterKey::parse(&format!("{}E", "A".repeat(42))).unwrap();
        let sealed = key.seal("keys", b"secret", [7; 24]).unwrap();
        assert_eq!(key.open("keys", &sealed).unwrap().as_slice(), b"secret");
        assert!(key.open("other", &sealed).is_err());
        assert!(other.open("keys", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(key.open("keys", &damaged).is_err(), "byte {at}");
        }
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(format!("{key:?}"), "MasterKey(…)");
    }

    // D108, O05: as Kubernetes mounts them; what anyone can replace is nobody's key.
    #[test]
    fn a_master_key_file_that_others_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/master.key");
        MasterKey::from_file(&path, [9; 32]).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for (mode, works) in
            [(0o400, true), (0o440, true), (0o640, true), (0o444, true), (0o666, false)]
        {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let read = MasterKey::from_file(&path, [1; 32]);
            assert_eq!(read.is_ok(), works, "{mode:o}");
            if let Err(error) = read {
                assert!(error.to_string().contains("chmod 600"), "{error}");
            }
        }
    }
}
