//! Patterns of paths: `/api/*/items`, `/static/**`, `/reports/*.pdf`.

use std::str::FromStr;

use super::path::ClearPath;

/// Which paths a route is for. Compared with decoded segments; upper and lower case differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    segments: Vec<Piece>,
    /// Ends with `/**`: any more segments may follow, or none.
    is_open: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// `*` within a segment: anything between the two texts.
    Between(String, String),
    Exact(String),
}

/// A pattern that is not understood, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WrongPattern(&'static str);

impl Pattern {
    /// True if the route of this pattern is for `path`.
    pub fn matches(&self, path: &ClearPath<'_>) -> bool {
        let segments = path.segments();
        let is_long_enough = match self.is_open {
            true => segments.len() >= self.segments.len(),
            false => segments.len() == self.segments.len(),
        };
        is_long_enough && self.segments.iter().zip(segments).all(|(piece, one)| piece.matches(one))
    }
}

impl Piece {
    fn matches(&self, segment: &str) -> bool {
        match self {
            Self::Exact(text) => text == segment,
            Self::Between(begin, end) => {
                segment.len() >= begin.len() + end.len()
                    && segment.starts_with(begin.as_str())
                    && segment.ends_with(end.as_str())
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = WrongPattern;

    fn from_str(text: &str) -> Result<Self, WrongPattern> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(WrongPattern("must begin with /"));
        };
        if text.contains("//") {
            return Err(WrongPattern("must not have empty segments"));
        }
        let (rest, is_open) = match rest {
            "**" => ("", true),
            _ => rest.strip_suffix("/**").map_or((rest, false), |rest| (rest, true)),
        };
        // As in requests, a slash at the end does not count.
        let rest = if is_open { rest } else { rest.strip_suffix('/').unwrap_or(rest) };
        let pieces = rest.split('/').filter(|_| !rest.is_empty());
        let segments = pieces.map(piece).collect::<Result<_, _>>()?;
        Ok(Self { segments, is_open })
    }
}

fn piece(text: &str) -> Result<Piece, WrongPattern> {
    match text {
        "." | ".." => return Err(WrongPattern("must not have dot segments")),
        "**" => return Err(WrongPattern("may have ** only as its last segment")),
        _ => {}
    }
    if text.contains(['?', '#', ';', '\\', '%']) || text.contains(char::is_control) {
        return Err(WrongPattern(
            "is compared with the decoded path: write it without %, ?, #, ; and \\",
        ));
    }
    match text.split_once('*') {
        None => Ok(Piece::Exact(text.to_owned())),
        Some((_, end)) if end.contains('*') => Err(WrongPattern("may have one * in each segment")),
        Some((begin, end)) => Ok(Piece::Between(begin.to_owned(), end.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_for_the_paths_that_it_describes_and_for_no_other() {
        for (pattern, paths, others) in [
            ("/", &["/", "/?a"][..], &["/a"][..]),
            ("/**", &["/", "/a", "/a/b/c"], &[]),
            ("/api", &["/api", "/api/", "/%61pi"], &["/apis", "/api/a", "/API", "/"]),
            ("/api/", &["/api", "/api/"], &["/api/a"]),
            ("/api/**", &["/api", "/api/", "/api/a", "/api/a/b"], &["/apis", "/", "/b/api"]),
            ("/api/*", &["/api/a", "/api/a/"], &["/api", "/api/a/b"]),
            ("/*/items", &["/a/items"], &["/items", "/a/b/items"]),
            ("/v*/a", &["/v1/a", "/v/a"], &["/w1/a"]),
            ("/*.pdf", &["/a.pdf", "/.pdf"], &["/a.pdf.exe", "/pdf", "/a/b.pdf"]),
            ("/a*a", &["/aa", "/aba"], &["/a"]),
            ("/a b/é", &["/a%20b/%c3%a9"], &["/a+b/e"]),
        ] {
            let pattern: Pattern = pattern.parse().unwrap();
            let matches = |path: &&str| pattern.matches(&ClearPath::of_target(path).unwrap());
            assert!(paths.iter().all(matches), "{pattern:?} {paths:?}");
            assert!(!others.iter().any(matches), "{pattern:?} {others:?}");
        }
    }

    #[test]
    fn a_pattern_that_could_match_no_clear_path_is_refused() {
        for text in [
            "", "api", "*", "//", "//**", "/a//b", "/a/../b", "/a/**/b", "/a**", "/*a*", "/a%20b",
            "/a?b", "/a;b",
        ] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
