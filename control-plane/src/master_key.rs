//! The master key: it is kept outside the store, seals the store's content, and derives the
//! peppers.
//!
//! A process may have two: while the master key is being replaced, both are accepted. The keyring
//! in the store shows which one is in use, by being sealed under it.

mod command;
mod secrets;

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_core::session::UserKey;
use offswitch_snapshot::Salt;
use zeroize::Zeroizing;

use self::secrets::{Origin, Secrets};
use crate::server::secret_file::{SecretFile, SecretFileError};

pub use self::secrets::KeyId;

/// The master keys that a process accepts, wiped from memory when dropped and never printed.
#[derive(Clone)]
pub struct MasterKey {
    /// The configured key, then the other accepted key, if any.
    keys: Arc<[Arc<Secrets>]>,
    /// Shared by all clones.
    in_use: Arc<ArcSwap<InUse>>,
}

/// The key that new documents and proofs are made with.
struct InUse {
    key: Arc<Secrets>,
    origin: Origin,
    /// True once the keyring in the store has named the key: the origin stays from then on.
    is_settled: bool,
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
    /// The command that prints it failed.
    #[error("the master key command: {problem}")]
    Command {
        /// What is wrong; never the command's output.
        problem: String,
    },
    /// Anyone may write to the file.
    #[error(
        "other users may write to the master key file {path}; make sure that the key in it is \
         yours, then run: chmod 600 {path}"
    )]
    Writable {
        /// The file.
        path: String,
    },
    /// Sealed under a master key that this process does not have, or damaged.
    #[error("the store was sealed under another master key, or is damaged")]
    OtherKey,
    /// A sealed document was changed since, or moved to another name.
    #[error("what is stored was changed by something other than the control plane")]
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
        let secret = Zeroizing::new(secret);
        let key = Arc::new(Secrets::new(&secret));
        let in_use = InUse { key: key.clone(), origin: key.origin(), is_settled: false };
        Self { keys: Arc::new([key]), in_use: Arc::new(ArcSwap::from_pointee(in_use)) }
    }

    /// Reads the key from the output of a command, which is run once and without a shell.
    ///
    /// # Errors
    ///
    /// [`MasterKeyError::Command`] and [`MasterKeyError::Malformed`].
    pub fn from_command(line: &str) -> Result<Self, MasterKeyError> {
        Self::parse(&command::output(line)?)
    }

    /// Also accepts `other`: the next master key before a replacement, the previous one after it.
    #[must_use]
    pub fn accepting(self, other: &Self) -> Self {
        let is_new = |one: &&Arc<Secrets>| self.keys.iter().all(|known| known.id() != one.id());
        let others: Vec<_> = other.keys.iter().filter(is_new).cloned().collect();
        let keys = self.keys.iter().cloned().chain(others).collect();
        Self { keys, ..self }
    }

    /// Reads the key from `path`; if the file does not exist, it is created with `fresh` bytes,
    /// readable only by its owner.
    ///
    /// # Errors
    ///
    /// See [`MasterKeyError`].
    pub fn from_file(path: &Path, fresh: [u8; 32]) -> Result<Self, MasterKeyError> {
        let name = path.display().to_string();
        let failed = |source| MasterKeyError::File { path: name.clone(), source };
        match SecretFile::read(path, MAX_BYTES) {
            Ok(SecretFile { text, is_exposed }) => {
                if is_exposed {
                    tracing::warn!(path = name, "other users can read the master key file");
                }
                Self::parse(&text)
            }
            Err(SecretFileError::Writable) => Err(MasterKeyError::Writable { path: name }),
            Err(SecretFileError::TooLarge(_)) => Err(MasterKeyError::Malformed),
            Err(SecretFileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                let text = Zeroizing::new(Base64UrlUnpadded::encode_string(&fresh));
                write_private(path, text.as_bytes()).map_err(failed)?;
                Ok(Self::new(fresh))
            }
            Err(SecretFileError::Io(error)) => Err(failed(error)),
        }
    }

    /// Reads the key from `path`, which must exist.
    ///
    /// # Errors
    ///
    /// See [`MasterKeyError`].
    pub fn from_existing_file(path: &Path) -> Result<Self, MasterKeyError> {
        let is_there = fs::metadata(path);
        let failed = |source| MasterKeyError::File { path: path.display().to_string(), source };
        is_there.map_err(failed)?;
        Self::from_file(path, random_bytes())
    }

    /// Encrypts `content` so that only this key, and only under this `name`, opens it
    /// (XChaCha20-Poly1305). The same content is always sealed to the same bytes.
    ///
    /// # Errors
    ///
    /// [`MasterKeyError::Unsealing`] if the cipher fails, which does not happen for real inputs.
    pub fn seal(&self, name: &str, content: &[u8]) -> Result<Vec<u8>, MasterKeyError> {
        self.in_use.load().key.seal(name, content)
    }

    /// The same content, sealed under each accepted key that is not in use.
    pub fn seal_otherwise(&self, name: &str, content: &[u8]) -> Vec<Vec<u8>> {
        let in_use = self.id();
        let others = self.keys.iter().filter(|key| key.id() != in_use);
        others.filter_map(|key| key.seal(name, content).ok()).collect()
    }

    /// Opens a document that [`seal`](Self::seal) made under any accepted key.
    ///
    /// # Errors
    ///
    /// [`MasterKeyError::OtherKey`] and [`MasterKeyError::Unsealing`].
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
        let (id, sealed) = KeyId::split(sealed).ok_or(MasterKeyError::OtherKey)?;
        self.key(id).ok_or(MasterKeyError::OtherKey)?.open(name, sealed)
    }

    /// The id of the key that `sealed` claims to be sealed under.
    pub fn sealed_under(sealed: &[u8]) -> Option<KeyId> {
        KeyId::split(sealed).map(|(id, _)| id)
    }

    /// The id of the key in use.
    pub fn id(&self) -> KeyId {
        self.in_use.load().key.id()
    }

    /// The ids of all accepted keys, the configured one first.
    pub fn accepted(&self) -> Vec<KeyId> {
        self.keys.iter().map(|key| key.id()).collect()
    }

    /// Uses the key `id` from now on, with the permanent values derived from an earlier key. This
    /// applies to every clone. False, and nothing changes, if ids would then be found and hashed
    /// differently, or if the key is not accepted.
    pub fn use_key(&self, id: KeyId, origin: Option<&[u8; 32]>) -> bool {
        let Some(key) = self.key(id).cloned() else { return false };
        let origin = origin.map_or_else(|| key.origin(), Origin::new);
        let in_use = self.in_use.load();
        let is_same = in_use.origin.root() == origin.root();
        if is_same && in_use.is_settled && in_use.key.id() == id {
            return true;
        }
        let may_change = is_same || !in_use.is_settled;
        if may_change {
            self.in_use.store(Arc::new(InUse { key, origin, is_settled: true }));
        }
        may_change
    }

    /// What must be kept, sealed, when another master key replaces this one.
    pub fn origin(&self) -> Zeroizing<[u8; 32]> {
        self.in_use.load().origin.root().clone()
    }

    /// The key of the feed's fingerprints: the same in every process, after every restart, and
    /// after a replacement of the master key.
    pub fn salt(&self) -> Salt {
        self.in_use.load().origin.salt()
    }

    /// The hash under which an API key is stored.
    pub fn hash_api_key(&self, key: &str) -> [u8; 32] {
        self.in_use.load().origin.hash_api_key(key)
    }

    /// Proves that the owner of this master key made `message` for the use `context`.
    pub fn mac(&self, context: &str, message: &[u8]) -> blake3::Hash {
        self.in_use.load().key.mac(context, message)
    }

    /// As [`mac`](Self::mac), of the accepted key `id`; none if no accepted key has this id.
    pub fn mac_of(&self, id: KeyId, context: &str, message: &[u8]) -> Option<blake3::Hash> {
        self.key(id).map(|key| key.mac(context, message))
    }

    /// True if `mac` is a proof of any accepted key. The comparison takes constant time.
    pub fn is_mac(&self, context: &str, message: &[u8], mac: blake3::Hash) -> bool {
        self.keys.iter().any(|key| key.mac(context, message) == mac)
    }

    /// The key under which the sessions of `sub` are stored.
    pub fn user_key(&self, sub: &str) -> UserKey {
        self.in_use.load().origin.user_key(sub)
    }

    /// Replaces a request's id in the store: the id itself may reveal a user.
    pub fn request_name(&self, request: &str) -> [u8; 16] {
        self.in_use.load().origin.request_name(request)
    }

    fn key(&self, id: KeyId) -> Option<&Arc<Secrets>> {
        self.keys.iter().find(|key| key.id() == id)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MasterKey(…)")
    }
}

/// 128 random bits in base64url: ids neither collide nor can be guessed.
pub fn random_id() -> String {
    Base64UrlUnpadded::encode_string(&random_bytes::<16>())
}

/// `N` bytes from the operating system.
///
/// # Panics
///
/// If the operating system has no randomness: no secret can be made then.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        panic!("the operating system gives no randomness: {error}");
    }
    bytes
}

/// Writes a new file that only its owner can read. It gets its name only after it is complete and
/// flushed.
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

/// 43 characters and white space.
const MAX_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::MasterKey;

    #[test]
    fn a_sealed_value_opens_only_under_its_own_key_and_name() {
        let key = MasterKey::parse(&"A".repeat(43)).unwrap();
        let other = MasterKey::parse(&format!("{}E", "A".repeat(42))).unwrap();
        let sealed = key.seal("keys", b"secret").unwrap();
        assert_eq!(sealed, key.seal("keys", b"secret").unwrap(), "compared as they are");
        assert_ne!(sealed[8..32], key.seal("keys", b"secreT").unwrap()[8..32], "another nonce");
        assert_ne!(sealed[8..32], key.seal("key", b"ssecret").unwrap()[8..32]);
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

    // S13: both are accepted during the replacement; values derived from the old one stay.
    #[test]
    fn a_replaced_master_key_opens_what_the_old_one_sealed_and_finds_what_it_hashed() {
        let old = MasterKey::parse(&"A".repeat(43)).unwrap();
        // Clones always use the same key, so the accepting one is parsed separately.
        let new = || MasterKey::parse(&format!("{}E", "A".repeat(42))).unwrap();
        let (both, new) = (new().accepting(&old).accepting(&old), new());
        assert_eq!(both.accepted(), [new.id(), old.id()]);
        let sealed = old.seal("user:1", b"content").unwrap();
        let proof = old.mac("context", b"message");
        both.use_key(old.id(), None);
        assert_eq!(both.seal("user:1", b"content").unwrap(), sealed);
        let (salt, origin) = (old.salt(), both.origin());
        both.use_key(new.id(), Some(&origin));
        assert_eq!(both.open("user:1", &sealed).unwrap().as_slice(), b"content");
        assert_eq!(both.seal_otherwise("user:1", b"content"), [sealed]);
        assert_ne!(
            both.seal("user:1", b"content").unwrap(),
            both.seal_otherwise("user:1", b"content")[0]
        );
        assert!(both.is_mac("context", b"message", proof));
        assert!(!new.is_mac("context", b"message", proof));
        assert_eq!((both.salt(), both.user_key("a")), (salt, old.user_key("a")));
        assert_eq!(both.hash_api_key("k"), old.hash_api_key("k"));
        assert_ne!(new.salt(), salt);
    }

    // D108, O05: files as Kubernetes mounts them; a file that anyone can replace is refused.
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
