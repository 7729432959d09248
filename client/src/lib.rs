//! Judges JSON Web Tokens from memory: follows the feed of revocations and the key sets of issuers.

pub mod http;
