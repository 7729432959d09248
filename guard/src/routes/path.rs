//! The path of a request, as far as every server reads it in the same way. A path that an upstream
//! could take for another one is refused: the guard would judge one resource, and the upstream serve
//! another.

use std::borrow::Cow;

/// A path, taken apart at its slashes and decoded. A slash at its end does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearPath<'a>(Vec<Cow<'a, str>>);

/// Why it is not clear which resource a request target means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnclearPath {
    /// A `.` or `..` as a segment, also with `%2e`: some servers resolve them.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `%2f`, `%5c`, `%3f`, `%23` or a control character: some servers decode them before they look for the resource.
    #[error("the path has an encoded delimiter or control character")]
    EncodedDelimiter,
    /// `//`: some servers merge slashes.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// A `%` that two hexadecimal digits do not follow, or what is encoded twice or not UTF-8.
    #[error("the path is not encoded correctly")]
    Encoding,
    /// It does not begin with a slash, or has a character that RFC 3986 section 3.3 does not allow.
    #[error("the request target is not a path")]
    NotAPath,
    /// `;`: some servers remove the parameters of a segment.
    #[error("the path has a parameter")]
    Parameter,
    /// More segments than any rule can name.
    #[error("the path has too many segments")]
    TooLong,
}

impl<'a> ClearPath<'a> {
    /// Reads the path of a request target in origin form (RFC 9112 section 3.2.1); its query may say
    /// anything.
    ///
    /// # Errors
    ///
    /// See [`UnclearPath`].
    pub fn of_target(target: &'a str) -> Result<Self, UnclearPath> {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        let segments = path.strip_prefix('/').ok_or(UnclearPath::NotAPath)?;
        if !segments.bytes().all(is_of_path) {
            return Err(UnclearPath::NotAPath);
        }
        let segments = segments.strip_suffix('/').unwrap_or(segments);
        if segments.is_empty() {
            return match path.len() {
                1 => Ok(Self(Vec::new())),
                _ => Err(UnclearPath::EmptySegment),
            };
        }
        let mut clear = Vec::new();
        for raw in segments.split('/') {
            if clear.len() == MAX_SEGMENTS {
                return Err(UnclearPath::TooLong);
            }
            clear.push(segment(raw)?);
        }
        Ok(Self(clear))
    }

    /// The decoded segments.
    pub fn segments(&self) -> &[Cow<'a, str>] {
        &self.0
    }
}

fn segment(raw: &str) -> Result<Cow<'_, str>, UnclearPath> {
    let decoded = match raw.contains('%') {
        true => Cow::Owned(decode(raw)?),
        false => Cow::Borrowed(raw),
    };
    if decoded.contains(';') {
        return Err(UnclearPath::Parameter);
    }
    match &*decoded {
        "" => Err(UnclearPath::EmptySegment),
        "." | ".." => Err(UnclearPath::DotSegment),
        _ => Ok(decoded),
    }
}

fn decode(raw: &str) -> Result<String, UnclearPath> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(UnclearPath::Encoding) };
        match u8::try_from(high * 16 + low) {
            Ok(b'/' | b'\\' | b'?' | b'#' | 0..=0x1f | 0x7f) => {
                return Err(UnclearPath::EncodedDelimiter);
            }
            Ok(decoded) => bytes.push(decoded),
            Err(_) => return Err(UnclearPath::Encoding),
        }
    }
    let decoded = String::from_utf8(bytes).map_err(|_| UnclearPath::Encoding)?;
    if is_encoded(&decoded) { Err(UnclearPath::Encoding) } else { Ok(decoded) }
}

/// True if what was decoded would decode again.
fn is_encoded(decoded: &str) -> bool {
    let is_hex =
        |rest: &[u8]| rest.get(1..3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    let bytes = decoded.as_bytes();
    (0..bytes.len()).any(|at| bytes[at] == b'%' && is_hex(&bytes[at..]))
}

/// The characters of a path (RFC 3986 section 3.3), and the few that browsers leave as they are (URL
/// standard, path percent-encode set). No backslash, which the URL standard reads as a slash.
fn is_of_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:@[]|".contains(&byte)
}

const MAX_SEGMENTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clear_path_is_taken_apart_and_decoded() {
        for (target, segments) in [
            ("/", vec![]),
            ("/?a=//../", vec![]),
            ("/a", vec!["a"]),
            ("/a/", vec!["a"]),
            ("/a/b.c?x", vec!["a", "b.c"]),
            ("/%61dmin", vec!["admin"]),
            ("/a%20b/%C3%A9", vec!["a b", "é"]),
            ("/...", vec!["..."]),
            ("/50%25", vec!["50%"]),
            ("/50%25zz", vec!["50%zz"]),
        ] {
            assert_eq!(ClearPath::of_target(target).unwrap().segments(), segments, "{target}");
        }
    }

    // G02: what some upstream reads in another way than the guard is refused.
    #[test]
    fn a_path_that_servers_read_differently_is_refused() {
        for (target, why) in [
            ("", UnclearPath::NotAPath),
            ("*", UnclearPath::NotAPath),
            ("a/b", UnclearPath::NotAPath),
            ("http://a/b", UnclearPath::NotAPath),
            ("example.com:443", UnclearPath::NotAPath),
            ("/a\\b", UnclearPath::NotAPath),
            ("/a#b", UnclearPath::NotAPath),
            ("/a b", UnclearPath::NotAPath),
            ("/a\tb", UnclearPath::NotAPath),
            ("/é", UnclearPath::NotAPath),
            ("//", UnclearPath::EmptySegment),
            ("//a", UnclearPath::EmptySegment),
            ("/a//b", UnclearPath::EmptySegment),
            ("/a//", UnclearPath::EmptySegment),
            ("/.", UnclearPath::DotSegment),
            ("/a/../b", UnclearPath::DotSegment),
            ("/a/..", UnclearPath::DotSegment),
            ("/a/%2e%2E/b", UnclearPath::DotSegment),
            ("/a/.%2e", UnclearPath::DotSegment),
            ("/a/..;/b", UnclearPath::Parameter),
            ("/a;x=1", UnclearPath::Parameter),
            ("/a%3bx", UnclearPath::Parameter),
            ("/a%2fb", UnclearPath::EncodedDelimiter),
            ("/a%5Cb", UnclearPath::EncodedDelimiter),
            ("/a%3Fb", UnclearPath::EncodedDelimiter),
            ("/a%23", UnclearPath::EncodedDelimiter),
            ("/a%00", UnclearPath::EncodedDelimiter),
            ("/a%0d%0a", UnclearPath::EncodedDelimiter),
            ("/a%252fb", UnclearPath::Encoding),
            ("/a%25%32%66b", UnclearPath::Encoding),
            ("/a%", UnclearPath::Encoding),
            ("/a%4", UnclearPath::Encoding),
            ("/a%zz", UnclearPath::Encoding),
            ("/a%+1", UnclearPath::Encoding),
            ("/a%ff", UnclearPath::Encoding),
            ("/a%C0%AF", UnclearPath::Encoding),
            (&"/a".repeat(65), UnclearPath::TooLong),
        ] {
            assert_eq!(ClearPath::of_target(target), Err(why), "{target}");
        }
    }
}
