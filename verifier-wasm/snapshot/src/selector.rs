//! Which claims of a token a revocation names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One to four claim paths, ascending: the claims that a revocation names.
///
/// A path is the name of a top-level claim, or a JSON Pointer (RFC 6901) if it begins with `/`. A
/// pointer to a top-level claim is written as the name, so that one claim has one spelling.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Selector(Vec<String>);

/// Why paths are not a selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// No path, or more than [`MAX_PATHS`].
    #[error("a selector names 1 to 4 claims")]
    Count,
    /// A path is empty, longer than [`MAX_PATH_BYTES`], or a pointer that is not well-formed or has
    /// more than [`MAX_PATH_STEPS`] steps.
    #[error(
        "a claim path has 1 to 128 bytes; one that begins with / is a JSON Pointer with at most 8 \
         steps"
    )]
    Path,
    /// A path is there twice.
    #[error("a claim is named twice")]
    Repeated,
}

impl Selector {
    /// The selector of these paths, in any order.
    ///
    /// # Errors
    ///
    /// See [`SelectorError`].
    pub fn new<P: AsRef<str>>(paths: impl IntoIterator<Item = P>) -> Result<Self, SelectorError> {
        let mut own: Vec<String> = Vec::new();
        for path in paths {
            let path = canonical(path.as_ref()).ok_or(SelectorError::Path)?;
            match own.binary_search(&path) {
                Ok(_) => return Err(SelectorError::Repeated),
                Err(_) if own.len() >= MAX_PATHS => return Err(SelectorError::Count),
                Err(at) => own.insert(at, path),
            }
        }
        if own.is_empty() { Err(SelectorError::Count) } else { Ok(Self(own)) }
    }

    /// The paths, ascending.
    pub fn paths(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, path) in self.0.iter().enumerate() {
            let joint = if at == 0 { "" } else { " + " };
            formatter.write_str(joint)?;
            formatter.write_str(path)?;
        }
        Ok(())
    }
}

impl Selector {
    /// The selector of a snapshot. Its paths are as they were written: one that is no well-formed
    /// pointer names a claim that no token has.
    pub(crate) fn read(paths: Vec<String>) -> Option<Self> {
        let is_ascending = |pair: &[String]| matches!(pair, [one, other] if one < other);
        let has_length = |path: &String| (1..=MAX_PATH_BYTES).contains(&path.len());
        let is_good = (1..=MAX_PATHS).contains(&paths.len())
            && paths.windows(2).all(is_ascending)
            && paths.iter().all(has_length);
        is_good.then_some(Self(paths))
    }

    /// For each path, the names along it from the outermost object inwards.
    pub fn steps(&self) -> impl Iterator<Item = Vec<String>> {
        self.0.iter().map(|path| match path.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(unescape).collect(),
            None => vec![path.clone()],
        })
    }
}

/// The one spelling of a path.
fn canonical(path: &str) -> Option<String> {
    if path.is_empty() || path.len() > MAX_PATH_BYTES {
        return None;
    }
    let Some(pointer) = path.strip_prefix('/') else { return Some(path.to_owned()) };
    let is_escaped = |part: &str| part.split('~').skip(1).all(|tail| tail.starts_with(['0', '1']));
    let mut parts = pointer.split('/');
    if parts.clone().count() > MAX_PATH_STEPS || !parts.clone().all(is_escaped) {
        return None;
    }
    // A name that begins with a slash can only be written as a pointer.
    match (parts.next().map(unescape), parts.next()) {
        (Some(name), None) if name.is_empty() => None,
        (Some(name), None) if !name.starts_with('/') => Some(name),
        _ => Some(path.to_owned()),
    }
}

/// `~1` is a slash and `~0` a tilde (RFC 6901 section 4).
fn unescape(part: &str) -> String {
    let mut text = String::new();
    let mut left = part.chars();
    while let Some(one) = left.next() {
        text.push(match (one, left.as_str().as_bytes().first()) {
            ('~', Some(b'0')) => '~',
            ('~', Some(b'1')) => '/',
            _ => {
                text.push(one);
                continue;
            }
        });
        left.next();
    }
    text
}

/// How the revocations of one selector are looked up, and what a token that one of them matches is
/// called. A set of flags, which merge by union.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Uses(u8);

impl Uses {
    /// As a snapshot has them.
    pub(crate) const fn read(bits: u8) -> Self {
        Self(bits)
    }

    /// In the set of ids that are revoked regardless of their age.
    pub const EXACT: Self = Self(1);
    /// In the map of cut-offs.
    pub const CUTOFF: Self = Self(1 << 1);
    /// The claim is the id of a token.
    pub const TOKEN: Self = Self(1 << 2);
    /// The claim is the id of a session.
    pub const SESSION: Self = Self(1 << 3);
    /// The claim is the id of a user.
    pub const USER: Self = Self(1 << 4);
    const ALL: u8 = (1 << 5) - 1;

    /// These flags and those of `other`.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if all flags of `other` are here.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn is_known(self) -> bool {
        self.0 & !Self::ALL == 0
    }
}

/// The value of one claim, of the types that a revocation can name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ClaimValue<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number in `[-2^63, 2^64)`.
    Integer(i128),
    /// Text.
    Text(std::borrow::Cow<'a, str>),
}

impl<'a> From<&'a str> for ClaimValue<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

/// The most paths of a selector.
pub const MAX_PATHS: usize = 4;
/// The longest path, in bytes.
pub const MAX_PATH_BYTES: usize = 128;
/// The most names along a path.
pub const MAX_PATH_STEPS: usize = 8;

#[cfg(test)]
mod tests {
    use super::{Selector, SelectorError};

    #[test]
    fn one_claim_has_one_spelling() {
        let paths = |paths: &[&str]| Selector::new(paths).map(|selector| selector.0);
        assert_eq!(paths(&["sub", "client_id"]), Ok(vec!["client_id".into(), "sub".into()]));
        assert_eq!(paths(&["/client_id"]), Ok(vec!["client_id".into()]));
        assert_eq!(paths(&["/a~1b"]), Ok(vec!["a/b".into()]));
        assert_eq!(paths(&["/~1b"]), Ok(vec!["/~1b".into()]));
        assert_eq!(paths(&["/act/sub"]), Ok(vec!["/act/sub".into()]));
        assert_eq!(paths(&["sub", "/sub"]), Err(SelectorError::Repeated));
        assert_eq!(paths(&[]), Err(SelectorError::Count));
        assert_eq!(paths(&["a", "b", "c", "d", "e"]), Err(SelectorError::Count));
        for path in ["", "/", "/~", "/a~2", "/1/2/3/4/5/6/7/8/9", &"x".repeat(129)] {
            assert_eq!(paths(&[path]), Err(SelectorError::Path), "{path}");
        }
    }

    #[test]
    fn a_pointer_is_read_name_by_name() {
        let all = |path: &str| Selector(vec![path.to_owned()]).steps().collect::<Vec<_>>().concat();
        assert_eq!(all("sub"), ["sub"]);
        assert_eq!(all("/act/sub"), ["act", "sub"]);
        assert_eq!(all("/~1b"), ["/b"]);
        assert_eq!(all("/a~01/b~1c"), ["a~1", "b/c"]);
        assert_eq!(all("/a//b"), ["a", "", "b"]);
    }

    #[test]
    fn only_ascending_paths_are_read() {
        let read =
            |paths: &[&str]| Selector::read(paths.iter().map(|one| one.to_string()).collect());
        assert!(read(&["client_id", "sub"]).is_some());
        for wrong in
            [&["sub", "client_id"][..], &["a", "a"], &[], &[""], &["a", "b", "c", "d", "e"]]
        {
            assert!(read(wrong).is_none(), "{wrong:?}");
        }
    }
}
