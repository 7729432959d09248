//! Request bodies in JSON, read strictly and with error texts of our own.
//!
//! A member name occurs once in its object, at any depth. An object must be an object, never an
//! array of its members. An error names the place and what was expected, never the value that was
//! sent.

mod tree;
mod typed;

use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::problem::Problem;
use tree::Json;

/// Reads `bytes` as one JSON value of the type `T`. An empty body counts as `{}`.
///
/// # Errors
///
/// `invalid_body`, with the place as a JSON Pointer (RFC 6901).
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes };
    let read = Json::parse(bytes).and_then(|json| T::deserialize(json));
    read.map_err(Wrong::into_problem)
}

/// Reads a query string: each parameter once, form-urlencoded.
///
/// # Errors
///
/// `invalid_query`, with the parameter's name.
pub(super) fn read_query<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let read = parameters(query).and_then(|parameters| T::deserialize(Json::Object(parameters)));
    read.map_err(|wrong| {
        let (place, _) = wrong.place();
        let place = if place.is_empty() { "the query".to_owned() } else { place };
        let detail = wrong.detail.replace("unknown member", "unknown parameter");
        Problem::bad_request("invalid_query", format!("{place}: {detail}"))
    })
}

fn parameters(query: &str) -> Result<Vec<(String, Json)>, Wrong> {
    let mut parameters: Vec<(String, Json)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |text| form_decoded(text).map(|text| text.as_str().to_owned());
        let name =
            decoded(name).ok_or_else(|| Wrong::new("a name is not UTF-8 in the form encoding"))?;
        if parameters.iter().any(|(known, _)| *known == name) {
            return Err(Wrong::new("occurs twice").within(name));
        }
        let Some(value) = decoded(value) else {
            return Err(Wrong::new("is not UTF-8 in the form encoding").within(name));
        };
        parameters.push((name, Json::Parameter(value)));
    }
    Ok(parameters)
}

/// Decodes `application/x-www-form-urlencoded`; none if it is malformed or not UTF-8.
pub(super) fn form_decoded(text: &str) -> Option<Zeroizing<String>> {
    let mut bytes = text.bytes();
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    std::str::from_utf8(&decoded).ok().map(|text| Zeroizing::new(text.to_owned()))
}

/// What is wrong with a body, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wrong {
    /// Names and indices, the innermost first.
    path: Vec<String>,
    detail: String,
}

impl Wrong {
    fn new(detail: impl Into<String>) -> Self {
        Self { path: vec![], detail: detail.into() }
    }

    /// The same error, seen from the enclosing object or array.
    fn within(mut self, place: impl Into<String>) -> Self {
        self.path.push(place.into());
        self
    }

    /// The place in words, and as a JSON Pointer.
    fn place(&self) -> (String, String) {
        let (mut place, mut pointer) = (String::new(), String::new());
        for step in self.path.iter().rev() {
            let step: String = step.chars().take(MAX_SHOWN_CHARS).collect();
            pointer.push('/');
            pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
            if step.bytes().all(|byte| byte.is_ascii_digit()) {
                place.push_str(&format!("[{step}]"));
            } else {
                place.push_str(if place.is_empty() { "" } else { "." });
                place.push_str(&step);
            }
        }
        (place, pointer)
    }

    fn into_problem(self) -> Problem {
        let (place, pointer) = self.place();
        let place = if place.is_empty() { "the body".to_owned() } else { place };
        let problem = Problem::bad_request("invalid_body", format!("{place}: {}", self.detail));
        if pointer.is_empty() { problem } else { problem.at(pointer) }
    }
}

/// Limit for a member's name: it may be something that was pasted into the wrong place.
const MAX_SHOWN_CHARS: usize = 64;

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::problem::ProblemDocument;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        name: Option<String>,
        number: Option<u64>,
        #[serde(default)]
        flag: bool,
        inner: Option<Vec<Inner>>,
        choice: Option<Choice>,
        claims: Option<Map<String, Value>>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        id: String,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Choice {
        End,
        Keep,
    }

    fn problem(text: &str) -> (Option<String>, String) {
        let problem = read::<Outer>(text.as_bytes()).unwrap_err();
        assert_eq!(problem.code(), "invalid_body");
        let body = serde_json::to_value(ProblemDocument::from(problem)).unwrap();
        (body["pointer"].as_str().map(str::to_owned), body["detail"].as_str().unwrap().to_owned())
    }

    // D43: no error text of the JSON library; D20: objects only, each name once.
    #[test]
    fn a_problem_is_reported_with_its_place_and_in_our_own_words() {
        let names = "unknown member; known are name, number, flag, inner, choice, claims";
        for (text, pointer, detail) in [
            ("[]", None, "the body: must be an object, found an array"),
            ("7", None, "the body: must be an object, found a number"),
            (r#"{"name":7}"#, Some("/name"), "name: must be a string, found a number"),
            (
                r#"{"number":"7"}"#,
                Some("/number"),
                "number: must be a whole number from 0 to 2^64-1, found a string",
            ),
            (
                r#"{"number":-1}"#,
                Some("/number"),
                "number: must be a whole number from 0 to 2^64-1, found another number",
            ),
            (r#"{"flag":null}"#, Some("/flag"), "flag: must be true or false, found null"),
            (r#"{"inner":{}}"#, Some("/inner"), "inner: must be an array, found an object"),
            (
                r#"{"inner":[{"id":"a"},["b"]]}"#,
                Some("/inner/1"),
                "inner[1]: must be an object, found an array",
            ),
            (r#"{"inner":[{}]}"#, Some("/inner/0/id"), "inner[0].id: is missing"),
            (r#"{"choice":"stay"}"#, Some("/choice"), "choice: must be one of end, keep"),
            (r#"{"choice":["end"]}"#, Some("/choice"), "choice: must be a string, found an array"),
            (r#"{"claims":[]}"#, Some("/claims"), "claims: must be an object, found an array"),
            (r#"{"a/~b":1}"#, Some("/a~1~0b"), &format!("a/~b: {names}")),
            (r#"{"name":"a","name":"a"}"#, Some("/name"), "name: occurs twice in its object"),
            (
                r#"{"claims":{"a":[{"b":1,"b":2}]}}"#,
                Some("/claims/a/0/b"),
                "claims.a[0].b: occurs twice in its object",
            ),
            ("{", None, "the body: the JSON ends too early"),
            ("{}{}", None, "the body: is not valid JSON, at line 1 column 3"),
        ] {
            let found = problem(text);
            assert_eq!((found.0.as_deref(), found.1.as_str()), (pointer, detail), "{text}");
        }
        let surrogate = problem(r#"{"name":"\ud800"}"#).1;
        assert!(surrogate.starts_with("name: is not valid JSON, at line 1"), "{surrogate}");
        let deep = format!(r#"{{"claims":{{"a":{}"#, "[".repeat(100_000));
        assert!(problem(&deep).1.ends_with("is nested too deeply, at most 32 levels are read"));
        let long = "n".repeat(5000);
        assert!(problem(&format!(r#"{{"{long}":1}}"#)).1.len() < 300);
    }

    #[test]
    fn a_body_is_read_and_an_empty_one_is_an_empty_object() {
        for nothing in ["", " \n", "{}", r#"{"name":null}"#] {
            let read = read::<Outer>(nothing.as_bytes()).unwrap();
            assert_eq!((read.name, read.flag, read.inner), (None, false, None));
        }
        let text = r#"{"name":"a","number":18446744073709551615,"flag":true,"inner":[{"id":"b"}],
                       "choice":"keep","claims":{"x":[1,-2,0.1,null,true,"\u00fc",{}]}}"#;
        let read = read::<Outer>(text.as_bytes()).unwrap();
        assert_eq!((read.name.as_deref(), read.number), (Some("a"), Some(u64::MAX)));
        assert_eq!((read.flag, read.choice), (true, Some(Choice::Keep)));
        assert_eq!(read.inner, Some(vec![Inner { id: "b".to_owned() }]));
        assert_eq!(read.claims.unwrap()["x"], json!([1, -2, 0.1, null, true, "ü", {}]));
    }

    // D43: the same error texts for a query.
    #[test]
    fn a_query_is_read_strictly() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Query {
            sub: Option<String>,
            limit: Option<u64>,
        }
        let read = read_query::<Query>("sub=a%2Fb+c&limit=7&").unwrap();
        assert_eq!((read.sub.as_deref(), read.limit), (Some("a/b c"), Some(7)));
        let digits = "limit: must be a whole number from 0 to 2^64-1";
        for (query, detail) in [
            ("limit=x", format!("{digits}, found other text")),
            ("limit=+1", format!("{digits}, found other text")),
            ("limit=", format!("{digits}, found other text")),
            ("limit=99999999999999999999", format!("{digits}, found another number")),
            ("limit=1&limit=2", "limit: occurs twice".to_owned()),
            ("limi=1", "limi: unknown parameter; known are sub, limit".to_owned()),
            ("sub=%ff", "sub: is not UTF-8 in the form encoding".to_owned()),
            ("%f=a", "the query: a name is not UTF-8 in the form encoding".to_owned()),
        ] {
            let problem = read_query::<Query>(query).unwrap_err();
            assert_eq!(problem.code(), "invalid_query");
            assert_eq!(ProblemDocument::from(problem).detail(), detail, "{query}");
        }
    }

    #[test]
    fn form_encoding_is_undone_or_refused() {
        for (text, decoded) in [
            ("key_a-Z9", Some("key_a-Z9")),
            ("osk%5Fa%2dZ", Some("osk_a-Z")),
            ("a+b", Some("a b")),
            ("%C3%BC", Some("ü")),
            ("", Some("")),
            ("%3A", Some(":")),
            ("%", None),
            ("%4", None),
            ("%4g", None),
            ("%+1", None),
            ("%FF", None),
        ] {
            assert_eq!(form_decoded(text).as_deref().map(String::as_str), decoded, "{text}");
        }
    }

    // A body of 32 MiB may be `[[],[],…`: the number of values bounds the memory.
    #[test]
    fn a_body_of_too_many_values_is_refused() {
        let many = format!(r#"{{"claims":{{"a":[{}1]}}}}"#, "1,".repeat(tree::MAX_VALUES));
        assert!(problem(&many).1.ends_with("has more than 1000000 values"));
    }
}
