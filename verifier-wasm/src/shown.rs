//! Untrusted text in a message: bounded, and without characters that could be misread in a log, a
//! header or JSON.

use std::fmt;

/// A quoted text of at most `MAX_CHARS` characters, everything but printable ASCII escaped.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown(Box<str>);

impl Shown {
    /// Shows the beginning of `text`, and whether there was more.
    #[cold]
    pub fn new(text: &str) -> Self {
        let mut shown = "\"".to_owned();
        shown.extend(text.chars().take(MAX_CHARS).flat_map(char::escape_default));
        let more = if text.chars().nth(MAX_CHARS).is_some() { "...\"" } else { "\"" };
        Self((shown + more).into())
    }
}

impl From<Shown> for String {
    fn from(shown: Shown) -> Self {
        shown.0.into()
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Longer than nearly every name, type or key id.
const MAX_CHARS: usize = 80;
