//! The hashes of signature schemes.

use sha2::Digest;

/// A hash. Passed as a value: code for each of them would be a tenth of the wasm file.
#[derive(Clone, Copy)]
pub(super) struct Hash {
    /// The hash of all parts in order.
    pub(super) digest: fn(&[&[u8]]) -> Vec<u8>,
    /// The DER of its DigestInfo up to the hash itself (RFC 8017 section 9.2, note 1).
    pub(super) digest_info: &'static [u8],
    pub(super) size_bytes: usize,
}

impl Hash {
    pub(super) const SHA256: Self = Self {
        digest: sha256,
        digest_info:
            b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
        size_bytes: 32,
    };
    pub(super) const SHA384: Self = Self {
        digest: digest::<sha2::Sha384>,
        digest_info:
            b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
        size_bytes: 48,
    };
    pub(super) const SHA512: Self = Self {
        digest: digest::<sha2::Sha512>,
        digest_info:
            b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
        size_bytes: 64,
    };
}

/// SHA-256 of all parts in order.
pub(crate) fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    digest::<sha2::Sha256>(parts)
}

fn digest<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().fold(D::new(), |hasher, part| hasher.chain_update(part)).finalize().to_vec()
}
