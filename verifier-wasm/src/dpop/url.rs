//! URLs in proofs.

/// An http(s) URL without query and fragment, in the normal form of RFC 3986 sections 6.2.2 and
/// 6.2.3, except for dot segments, which clients and servers remove earlier. `None` for any other
/// text.
pub(super) fn normal_form(url: &str) -> Option<Vec<u8>> {
    let url = url.as_bytes();
    if url.len() > MAX_URL_BYTES || !url.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let url = before(url, |byte| matches!(byte, b'?' | b'#'))?.0;
    let (scheme, rest) = before(url, |byte| byte == b':')?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port: &[u8] = match &*scheme {
        b"http" => b":80",
        b"https" => b":443",
        _ => return None,
    };
    let (authority, path) = before(rest.strip_prefix(b"://")?, |byte| byte == b'/')?;
    if authority.is_empty() || authority.contains(&b'@') {
        return None;
    }
    let host = authority.to_ascii_lowercase();
    let host = host.strip_suffix(default_port).or(host.strip_suffix(b":")).unwrap_or(&host);
    let mut normal = [&*scheme, b"://", host].concat();
    let mut rest = if path.is_empty() { b"/" } else { path };
    while let [first, after @ ..] = rest {
        rest = after;
        let [high, low, further @ ..] = after else {
            normal.push(*first);
            continue;
        };
        match (first, digit(*high), digit(*low)) {
            (b'%', Some(upper), Some(lower)) => {
                rest = further;
                let byte = upper << 4 | lower;
                if is_unreserved(byte) {
                    normal.push(byte);
                } else {
                    normal.extend([b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
                }
            }
            _ => normal.push(*first),
        }
    }
    Some(normal)
}

/// The text before the first byte that `ends` it, and the rest.
fn before(bytes: &[u8], ends: fn(u8) -> bool) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| ends(*byte)).unwrap_or(bytes.len());
    bytes.split_at_checked(at)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// As long as a proof may be, because the proof contains the URL.
const MAX_URL_BYTES: usize = super::MAX_PROOF_BYTES;

#[cfg(test)]
mod tests {
    use super::normal_form;

    // I14: two spellings of one URL, and two URLs.
    #[test]
    fn urls_are_the_same_in_every_spelling_and_differ_otherwise() {
        let normal =
            |url| normal_form(url).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        for (one, other) in [
            ("https://api.example/a", "HTTPS://API.example:443/a?b=c#d"),
            ("https://api.example/", "https://api.example"),
            ("https://api.example/", "https://api.example?x"),
            ("http://api.example/", "http://api.example:80/"),
            ("http://api.example:443/", "http://api.example:443"),
            ("http://[::1]/a", "http://[::1]:80/a"),
            ("https://api.example/~a/%2F", "https://api.example/%7ea/%2f"),
            ("https://api.example/100%", "https://api.example/100%"),
        ] {
            assert_eq!(normal(one), normal(other), "{other}");
            assert!(normal(one).is_some(), "{one}");
        }
        for (one, other) in [
            ("https://api.example/a", "https://api.example/A"),
            ("https://api.example/a", "https://api.example/a/"),
            ("https://api.example/a", "http://api.example/a"),
            ("https://api.example/a", "https://api.example:8443/a"),
            ("https://api.example/a/b", "https://api.example/a%2Fb"),
            ("https://api.example/a", "https://api.example.evil/a"),
        ] {
            assert_ne!(normal(one), normal(other), "{other}");
        }
        for none in [
            "",
            "/a",
            "api.example/a",
            "https:/api.example",
            "https://",
            "https:///a",
            "https://?x",
            "ftp://api.example/",
            "https://user@api.example/",
            "https://api.example/a b",
            "https://api.example/\u{e9}",
        ] {
            assert_eq!(normal(none), None, "{none}");
        }
        assert_eq!(normal_form(&format!("https://a/{}", "a".repeat(9000))), None);
    }
}
