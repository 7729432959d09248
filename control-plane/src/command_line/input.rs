//! What commands read from files and from the standard input: tokens, keys and documents, each bounded.

use std::fs::File;
use std::io::{IsTerminal, Read, stdin};
use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch::server::secret_file::{SecretFile, SecretFileError, read_bounded};
use offswitch_snapshot::FeedKey;
use offswitch_verifier::MAX_TOKEN_BYTES;
use zeroize::Zeroizing;

use super::outcome::{Failure, Kind};

/// Reads a token; `-` is the standard input.
pub(crate) fn read_token(file: &Path) -> Result<Zeroizing<String>, Failure> {
    if is_standard_input(file) && stdin().is_terminal() {
        eprintln!("paste the token, then press Enter and Ctrl-D");
    }
    let token = read_text(file, TOKEN_BYTES)?;
    if token.is_empty() {
        return Err(Failure::new(Kind::InvalidInput, format!("{} is empty", named(file))));
    }
    Ok(token)
}

/// Reads a text of at most that many bytes, without the white space around it; `-` is the standard
/// input.
pub(crate) fn read_text(file: &Path, most_bytes: usize) -> Result<Zeroizing<String>, Failure> {
    let source: Box<dyn Read> = match is_standard_input(file) {
        true => Box::new(stdin()),
        false => Box::new(File::open(file).map_err(|error| unread(file, &error.into()))?),
    };
    read_bounded(source, most_bytes).map_err(|error| unread(file, &error))
}

/// Reads a file with a secret, to which others must not be able to write; `-` is the standard input.
pub(super) fn read_secret(file: &Path, most_bytes: usize) -> Result<Zeroizing<String>, Failure> {
    if is_standard_input(file) {
        return read_text(file, most_bytes);
    }
    let secret = SecretFile::read(file, most_bytes).map_err(|error| unread(file, &error))?;
    if secret.is_exposed {
        eprintln!("offswitch: other users can read {}: chmod 600", file.display());
    }
    Ok(secret.text)
}

/// Reads a public key of the feed, as `GET /v1/keys` shows it.
pub(crate) fn feed_key(text: &str) -> Result<FeedKey, Failure> {
    let bytes = Base64UrlUnpadded::decode_vec(text).ok();
    let bytes: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
    let invalid = |detail: &str| Failure::new(Kind::InvalidKey, format!("--key: {detail}"));
    let bytes = bytes.ok_or_else(|| invalid("must be 32 bytes in base64url"))?;
    FeedKey::from_bytes(&bytes).map_err(|_| invalid("is not a key that can be trusted"))
}

/// Reads at most the maximum size of a snapshot: a device file must not fill the memory.
pub(crate) fn read_snapshot(file: &Path) -> Result<Vec<u8>, Failure> {
    let failure = |kind, problem: &str| Failure::new(kind, format!("{} {problem}", named(file)));
    let unreadable =
        |error: std::io::Error| failure(Kind::FileUnreadable, &format!("cannot be read: {error}"));
    let source: Box<dyn Read> = match is_standard_input(file) {
        true => Box::new(stdin()),
        false => Box::new(File::open(file).map_err(unreadable)?),
    };
    let mut bytes = Vec::new();
    source.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(failure(Kind::FileTooLarge, "is larger than any snapshot"));
    }
    Ok(bytes)
}

fn unread(file: &Path, error: &SecretFileError) -> Failure {
    let kind = match error {
        SecretFileError::Io(_) => Kind::FileUnreadable,
        SecretFileError::TooLarge(_) => Kind::FileTooLarge,
        SecretFileError::Writable => Kind::FileWritable,
    };
    Failure::new(kind, format!("{} {error}", named(file)))
}

fn named(file: &Path) -> String {
    match is_standard_input(file) {
        true => "the standard input".to_owned(),
        false => file.display().to_string(),
    }
}

fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// A token, and what an editor adds to it.
const TOKEN_BYTES: usize = MAX_TOKEN_BYTES + 2;
/// An API key.
pub(super) const KEY_BYTES: usize = 1024;
/// The largest snapshot, and more.
const MAX_FILE_BYTES: u64 = 4 << 30;
