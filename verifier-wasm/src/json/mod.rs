//! JSON as this crate reads it: one object, every member name once at every depth, nothing after
//! it. The values borrow from the text, so reading a token's claims allocates next to nothing.

mod reader;

use std::borrow::Cow;

use reader::Reader;

/// One value; text borrows from the input unless it had to be unescaped.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Array(Vec<Self>),
    Bool(bool),
    Float(f64),
    Integer(u64),
    Negative(i64),
    Null,
    Object(Object<'a>),
    Text(Cow<'a, str>),
}

/// The members of one object, in their order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Value<'a> {
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The type of a value, for messages.
    #[cold]
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Array(items) if items.iter().all(|item| item.as_text().is_some()) => "an array",
            Self::Array(_) => "an array with members that are not strings",
            Self::Bool(_) => "a boolean",
            Self::Negative(_) => "a negative number",
            Self::Float(number) if *number < 0.0 => "a negative number",
            Self::Float(number) if *number >= 9_007_199_254_740_992.0 => TOO_LARGE,
            Self::Float(_) => "a number with a fraction",
            Self::Integer(number) if *number >= 1 << 53 => TOO_LARGE,
            Self::Integer(_) => "a number",
            Self::Null => "null",
            Self::Object(_) => "an object",
            Self::Text(text) if text.is_empty() => "an empty string",
            Self::Text(_) => "a string",
        }
    }
}

const TOO_LARGE: &str = "a number of 2^53 or more";

impl<'a> Object<'a> {
    /// Parses `text` as one JSON object.
    ///
    /// Refuses a repeated member name at any depth (RFC 7515 section 4 leaves it to the reader, and
    /// an attacker can use readers that keep different ones), a byte order mark, 128 levels or
    /// more, numbers beyond the range of f64, and anything but white space after the object.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        match Reader::new(text).whole()? {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Removes a member and returns it.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Value<'a>> {
        let at = self.0.iter().position(|(found, _)| found == name)?;
        Some(self.0.remove(at).1)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    /// All members, in their order.
    pub(crate) fn into_members(self) -> impl Iterator<Item = (Cow<'a, str>, Value<'a>)> {
        self.0.into_iter()
    }
}

/// Reads one JSON object as strictly as the payload of a token: UTF-8, every member name once at
/// every depth, nothing after it. For signed statements that are not access tokens.
pub fn read_object(bytes: &[u8]) -> Option<serde_json::Map<String, serde_json::Value>> {
    let text = str::from_utf8(bytes).ok()?;
    Object::parse(text)?;
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod reference;

#[cfg(test)]
#[expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::{Object, Value, read_object, reference};

    // V07, X13
    #[test]
    fn a_repeated_name_is_refused_at_every_depth_and_in_every_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"o":{"a":1,"a":2}}"#,
            r#"{"l":[[{"a":1,"b":2,"a":3}]]}"#,
        ] {
            assert!(Object::parse(text).is_none(), "{text}");
        }
        assert!(Object::parse(r#"{"a":{"a":[{"a":1}]}}"#).is_some());
    }

    // V09
    #[test]
    fn only_one_object_is_read() {
        for text in [
            "[]",
            "1",
            "null",
            "\"a\"",
            "{}x",
            "{}{}",
            "{} \0",
            "\u{feff}{}",
            "{\0}\0",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":1e309}",
            "{\"a\":NaN}",
            "{'a':1}",
            "{\"a\":1,}",
            "{1:1}",
            "{null:1}",
            "",
        ] {
            assert!(Object::parse(text).is_none(), "{text:?}");
        }
        assert!(Object::parse(" \t\r\n{ } ").is_some());
    }

    #[test]
    fn members_are_found_as_they_were_written() {
        let text = r#"{"n":-1,"i":7,"f":0.5,"t":"A\"","b":true,"z":null,"l":[{"x":[]}]}"#;
        let mut object = Object::parse(text).unwrap_or_default();
        assert_eq!(object.get("n"), Some(&Value::Negative(-1)));
        assert_eq!(object.get("i"), Some(&Value::Integer(7)));
        assert_eq!(object.get("f"), Some(&Value::Float(0.5)));
        assert_eq!(object.get("t").and_then(Value::as_text), Some("A\""));
        assert_eq!(object.get("b"), Some(&Value::Bool(true)));
        assert_eq!(object.remove("z"), Some(Value::Null));
        assert!(!object.contains("z"));
        assert_eq!(object.names().collect::<Vec<_>>(), ["n", "i", "f", "t", "b", "l"]);
    }

    #[test]
    fn an_object_is_returned_only_if_it_is_valid_under_the_strict_rules() {
        let object = read_object(br#"{"events":{"a":{}},"n":1.5}"#).unwrap_or_default();
        assert_eq!(object.get("n").and_then(serde_json::Value::as_f64), Some(1.5));
        assert!(read_object(br#"{"events":{"a":{},"a":{}}}"#).is_none());
        assert!(read_object(b"{\"a\":\"\xff\"}").is_none() && read_object(b"{}{}").is_none());
    }

    // V12: as many members as a token has room for, none of them twice.
    #[test]
    fn thousands_of_members_are_read() {
        let members: Vec<_> = (0..3000).rev().map(|number| format!("\"{number}\":0")).collect();
        let text = format!("{{{}}}", members.join(","));
        assert!(Object::parse(&text).is_some());
        let repeated = format!("{{{},\"1500\":1}}", members.join(","));
        assert!(Object::parse(&repeated).is_none());
    }

    // X13: every text gets the same reading from serde_json with the rule about names.
    fn agrees(text: &str) {
        let (found, expected) = (Object::parse(text), reference::parse(text));
        assert!(reference::is_same(&found, &expected), "{text:?}: {found:?}, {expected:?}");
    }

    #[test]
    fn the_edges_of_the_grammar_are_read_as_by_serde_json() {
        let numbers = "0 -0 -1 01 -01 00 1. .5 1.5 -1.5 +1 1e1 1E+2 1e-2 1e 1e+ 1.e1 0e5 0e999 1e308 1e309 -1e309 \
            1e-400 -1.233445123444995e-308 -1e-310 1.7976931348623157e308 1.7976931348623159e308 \
            17976931348623157e292 0.00017976931348623157e312 \
            1e-400 123e-300 18446744073709551615 18446744073709551616 -9223372036854775808 \
            -9223372036854775809 99999999999999999999e3 0.000000000000000000000000000001 1e9999999999 \
            -1e9999999999 1e-9999999999 0.1e1 1.0 -0.0 1_0 0x1 NaN Infinity - -a 1a 1e1.5 \
            12345678901234567890123 0.12345678901234567890123 9007199254740993 9007199254740993.0";
        for number in numbers.split_whitespace() {
            agrees(&format!("{{\"n\":{number}}}"));
            agrees(&format!("{{\"n\":[{number} ]}}"));
        }
        // serde_json refuses this one, although it is nearer to the largest f64 than to the next step.
        assert!(Object::parse("{\"n\":1.7976931348623158e308}").is_some());
        assert!(Object::parse("{\"n\":1.79769313486231581e308}").is_none());
        let texts = [
            r"",
            r"\n\t\r\b\f\/\\\x22",
            r"\u0000",
            r"\u00e9",
            r"\uD83D\uDE00",
            r"\uD83D",
            r"\uDE00",
            r"\uD83Dx",
            r"\uD83D\n",
            r"\uD83D\uD83D",
            r"\uD83D\u0041",
            r"\u12",
            r"\u12G4",
            r"\U0041",
            r"\a",
            r"\",
            "\u{7f}",
            "\u{1f}",
            "\n",
            "é",
            "\u{1f600}",
            "\0",
            r"\u+123",
            r"\uABCd",
        ];
        for text in texts {
            agrees(&format!("{{\"t\":\"{text}\"}}"));
            agrees(&format!("{{\"{text}\":1,\"é\":2}}"));
        }
        for depth in [1, 60, 62, 63, 64, 65, 125, 126, 127, 128, 129, 1000, 200_000] {
            agrees(&format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth)));
            agrees(&format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)));
        }
        for text in [
            "{\"a\" : 1 , \"b\":[ ] }",
            "{\"a\":1,,}",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":[1,]}",
            "{\"a\":[,1]}",
            "{\"a\":[1 2]}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":tru}",
            "{\"a\":nulll}",
            "{\"a\":truefalse}",
            "{\"a\":1",
            "{",
            "{\"a",
            "\u{a0}{}",
            "{}\u{b}",
            "{\"a\":TRUE}",
            "[{}]",
            "{\"a\":[]]",
            "{\"a\":{}}}",
        ] {
            agrees(text);
        }
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("false".to_owned()),
            any::<i64>().prop_map(|number| number.to_string()),
            any::<u64>().prop_map(|number| number.to_string()),
            any::<f64>().prop_map(|number| format!("{number:e}")),
            ".{0,6}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4)
                    .prop_map(|all| format!("[{}]", all.join(", "))),
                prop::collection::vec(("[a-c\\\\]{0,2}", inner), 0..4).prop_map(|all| {
                    let member = |(name, value): &(String, String)| {
                        format!("{}:{value}", serde_json::to_string(name).unwrap())
                    };
                    format!("{{{}}}", all.iter().map(member).collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_by_serde_json(
            text in json(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, r#"[\[\]{}",:\\0-9eE.+\-u a]"#), 0..3),
        ) {
            agrees(&text);
            let mut edited: Vec<char> = format!("{{\"m\":{text}}}").chars().collect();
            agrees(&edited.iter().collect::<String>());
            for (at, kind, other) in edits {
                let (at, other) = (at.index(edited.len()), other.chars().next().unwrap());
                match kind {
                    0 => edited[at] = other,
                    1 => edited.insert(at, other),
                    _ => drop((edited.len() > 1).then(|| edited.remove(at))),
                }
                agrees(&edited.iter().collect::<String>());
            }
        }
    }
}
