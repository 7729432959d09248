//! Headers that need not be parsed again: all tokens of an issuer begin with the same one.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::token::jws::{Header, Jws};
use crate::verify::refusal::Refusal;

/// The headers of the last tokens with a known key, looked up by every character.
#[derive(Debug, Default)]
pub(crate) struct KnownHeaders(VecDeque<(String, Rc<Header>)>);

impl KnownHeaders {
    /// Reads a token's first segment, or returns the stored result for the same one.
    pub(crate) fn read(&self, segment: &str) -> Result<Rc<Header>, Refusal> {
        match self.0.iter().find(|(known, _)| known == segment) {
            Some((_, header)) => Ok(header.clone()),
            None => Header::read(segment).map(Rc::new),
        }
    }

    /// Stores a token's header for later tokens.
    pub(crate) fn keep(&mut self, jws: &Jws<'_>) {
        if self.0.iter().any(|(_, known)| Rc::ptr_eq(known, jws.header())) {
            return;
        }
        if let Some((segment, _)) = jws.signed().split_once('.') {
            self.0.truncate(MAX_HEADERS.saturating_sub(1));
            self.0.push_front((segment.to_owned(), jws.header().clone()));
        }
    }
}

/// Issuers rotate keys one by one: more headers than these are rarely in use at the same time.
const MAX_HEADERS: usize = 8;

#[cfg(test)]
mod tests {
    use super::{KnownHeaders, MAX_HEADERS};
    use crate::token::jws::Jws;

    // V17: a stored header is found by its exact encoding, and reads as it did the first time.
    #[test]
    fn a_header_is_found_by_every_character_and_the_oldest_is_forgotten() {
        let mut headers = KnownHeaders::default();
        let tokens: Vec<String> = (0..=MAX_HEADERS)
            .map(|number| token(&format!(r#"{{"alg":"EdDSA","kid":"key-{number}"}}"#)))
            .collect();
        for (number, token) in tokens.iter().enumerate() {
            let parse = |headers: &KnownHeaders| {
                let jws = Jws::parse_with(token, &mut |segment| headers.read(segment));
                jws.map(|jws| jws.kid().map(str::to_owned))
            };
            let first = parse(&headers);
            assert_eq!(first, Ok(Some(format!("key-{number}"))));
            if let Ok(jws) = Jws::parse_with(token, &mut |segment| headers.read(segment)) {
                headers.keep(&jws);
            }
            assert_eq!(parse(&headers), first);
        }
        assert_eq!(headers.0.len(), MAX_HEADERS);
        let segments: Vec<&str> = tokens.iter().filter_map(|one| one.split('.').next()).collect();
        for (segment, _) in &headers.0 {
            assert!(segments.iter().skip(1).any(|known| known == segment));
        }
        // The same header in another encoding is read separately, and a bad one is refused.
        for other in [r#"{"alg":"EdDSA","kid":"key-1" }"#, r#"{"kid":"key-1","alg":"EdDSA"}"#] {
            let found = headers.read(token(other).split('.').next().unwrap_or_default());
            assert!(found.is_ok_and(|found| {
                headers.0.iter().all(|(_, known)| !std::rc::Rc::ptr_eq(known, &found))
            }));
        }
        assert!(headers.read("eyJhbGciOiJFZERTQSIsImtpZCI6ImtleS0xIn1").is_err());
    }

    fn token(header: &str) -> String {
        use base64ct::Encoding;
        let header = base64ct::Base64UrlUnpadded::encode_string(header.as_bytes());
        format!("{header}.e30.e30")
    }
}
