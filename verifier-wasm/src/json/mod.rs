//! JSON as this crate reads it: one object, every member name once at every depth, nothing after
//! it. The values borrow from the text, so reading a token's claims allocates next to nothing.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

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

    /// What it is, for messages.
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
    /// readers that keep different ones can be played against each other), a byte order mark, more
    /// than 128 levels and anything but white space after the object.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        match serde_json::from_str(text) {
            Ok(Value::Object(object)) => Some(object),
            _ => None,
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Takes a member out.
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

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Strict)
    }
}

/// Reads any value; `serde_json::Value` would keep the last of several members of one name.
struct Strict;

impl<'de> Visitor<'de> for Strict {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value without repeated member names")
    }

    fn visit_unit<E: Error>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(Value::Integer(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Value::Negative(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(Value::Float(value))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let mut members: Vec<(Cow<'de, str>, Value<'de>)> = Vec::with_capacity(USUAL_MEMBERS);
        // The places of further names, sorted by name: thousands of members must not take quadratic time.
        let mut by_name: Vec<usize> = Vec::new();
        while let Some(Value::Text(name)) = access.next_key()? {
            let first = members.iter().take(USUAL_MEMBERS);
            let name_at = |at: &usize| members.get(*at).map_or("", |(name, _)| &**name);
            let place = by_name.binary_search_by(|at| name_at(at).cmp(&name));
            match place {
                Err(place) if first.clone().all(|(found, _)| *found != name) => {
                    if members.len() >= USUAL_MEMBERS {
                        by_name.insert(place, members.len());
                    }
                }
                // What is left unread here makes serde_json refuse the whole. An error of our own
                // would bring its searches for line numbers into the wasm file, some kilobytes.
                _ => return Ok(Value::Null),
            }
            members.push((name, access.next_value()?));
        }
        Ok(Value::Object(Object(members)))
    }
}

/// Room for the claims of most tokens; this many names are compared one by one.
const USUAL_MEMBERS: usize = 12;

#[cfg(test)]
mod tests {
    use super::{Object, Value};

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

    // V12: as many members as a token has room for, none of them twice.
    #[test]
    fn thousands_of_members_are_read() {
        let members: Vec<_> = (0..3000).rev().map(|number| format!("\"{number}\":0")).collect();
        let text = format!("{{{}}}", members.join(","));
        assert!(Object::parse(&text).is_some());
        let repeated = format!("{{{},\"1500\":1}}", members.join(","));
        assert!(Object::parse(&repeated).is_none());
    }
}
