//! How a follower introduces itself: one header with its id, what it is, and the name that its operator chose.

use std::fmt;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};

use crate::problem::Problem;

/// The id of one running follower, which it draws at random. Only the follower and the server know it, so it is
/// shown to people in part only: the whole id lets its holder speak for the follower.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FollowerId([u8; ID_BYTES]);

/// What a follower says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// Its id.
    pub id: FollowerId,
    /// The software and its version, such as `js/0.1.0`.
    pub software: String,
    /// After how long without news it refuses to decide; none if it goes on for ever.
    pub staleness: Option<Duration>,
    /// True if it serves the feed to others, and reports for them.
    pub is_relay: bool,
    /// The name that its operator chose.
    pub name: Option<String>,
}

impl FollowerId {
    /// Enough of it to tell followers apart.
    pub fn shown(&self) -> String {
        self.0[..SHOWN_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// All of it.
    pub(super) fn bytes(self) -> [u8; ID_BYTES] {
        self.0
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 2 * ID_BYTES {
            return None;
        }
        let mut id = [0; ID_BYTES];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |one: u8| match one {
                b'0'..=b'9' => Some(one - b'0'),
                b'a'..=b'f' => Some(one - b'a' + 10),
                _ => None,
            };
            *byte = digit(pair[0])? * 16 + digit(pair[1])?;
        }
        Some(Self(id))
    }
}

impl fmt::Debug for FollowerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FollowerId({}…)", self.shown())
    }
}

impl Introduction {
    /// What the request says about its follower; nothing where it has no such header.
    ///
    /// # Errors
    ///
    /// 400 `invalid_follower`, if the header is not what a follower sends.
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(FOLLOWER_HEADER).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            let is_absent = !headers.contains_key(FOLLOWER_HEADER);
            return if is_absent { Ok(None) } else { Err(wrong()) };
        };
        let text = value.to_str().ok().filter(|text| text.len() <= MAX_HEADER_BYTES);
        text.and_then(Self::parse).map(Some).ok_or_else(wrong)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let id = FollowerId::parse(parts.next()?)?;
        let mut introduction =
            Self { id, software: String::new(), staleness: None, is_relay: false, name: None };
        for part in parts {
            match part.split_once('=') {
                None if part == "relay" => introduction.is_relay = true,
                Some(("software", text)) if is_word(text) => {
                    introduction.software = text.to_owned()
                }
                Some(("name", text)) if is_word(text) => introduction.name = Some(text.to_owned()),
                Some(("staleness", text)) => {
                    let seconds = text.parse().ok().filter(|one| (1..=MAX_STALENESS).contains(one));
                    introduction.staleness = Some(Duration::from_secs(seconds?));
                }
                _ => return None,
            }
        }
        Some(introduction)
    }
}

/// True for a name of a follower or of its software.
fn is_word(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/@".contains(&byte);
    (1..=MAX_WORD_BYTES).contains(&text.len()) && text.bytes().all(is_plain)
}

fn wrong() -> Problem {
    let detail = "offswitch-follower: must be 32 hexadecimal digits, then software, staleness, relay and name, \
                  separated by semicolons";
    Problem::bad_request("invalid_follower", detail)
}

/// The header of every request with which a follower polls, follows a stream or answers.
pub const FOLLOWER_HEADER: HeaderName = HeaderName::from_static("offswitch-follower");
const ID_BYTES: usize = 16;
/// 96 bits of the id stay unknown to those who see it.
const SHOWN_BYTES: usize = 4;
const MAX_WORD_BYTES: usize = 64;
const MAX_HEADER_BYTES: usize = 256;
/// A verifier's `maxStaleness` cannot be more.
const MAX_STALENESS: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00112233445566778899aabbccddeeff";

    fn read(values: &[&str]) -> Result<Option<Introduction>, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(FOLLOWER_HEADER, value.parse().unwrap());
        }
        Introduction::read(&headers)
    }

    // P01: what a follower says about itself is read strictly, and its id is not shown as a whole.
    #[test]
    fn an_introduction_is_read_as_a_follower_writes_it_and_in_no_other_way() {
        let text = format!("{ID};software=js/0.1.0;staleness=60;relay;name=edge-1.paris");
        let read_one = read(&[&text]).unwrap().unwrap();
        assert_eq!((read_one.software.as_str(), read_one.is_relay), ("js/0.1.0", true));
        assert_eq!(read_one.staleness, Some(Duration::from_secs(60)));
        assert_eq!(read_one.name.as_deref(), Some("edge-1.paris"));
        assert_eq!((read_one.id.shown(), read(&[]).unwrap()), ("00112233".to_owned(), None));
        assert!(!format!("{read_one:?}").contains(&ID[8..]));
        assert!(read(&[ID]).unwrap().unwrap().staleness.is_none());
        for wrong in [
            "",
            "0011",
            &ID.to_uppercase(),
            &format!("{ID}0"),
            &format!("{ID};name="),
            &format!("{ID};name=two words"),
            &format!("{ID};name=<b>"),
            &format!("{ID};name={}", "n".repeat(65)),
            &format!("{ID};staleness=0"),
            &format!("{ID};staleness=86401"),
            &format!("{ID};colour=red"),
            &format!("{ID};software=js/{}", "1".repeat(300)),
        ] {
            assert!(read(&[wrong]).is_err(), "{wrong}");
        }
        assert!(read(&[ID, ID]).is_err(), "two headers");
    }
}
