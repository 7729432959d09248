//! JSON as it was sent, before its members are checked.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_json::error::Category;

use super::Wrong;

/// A JSON value. The names of an object are unique.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
    /// The value of a query parameter, which may also be used as a number.
    Parameter(String),
}

impl Json {
    /// Parses one value; nothing may follow it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Wrong> {
        let reading = RefCell::new(Reading { values: 0, path: vec![], detail: None });
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let read = Reader { reading: &reading, depth: 0 }.deserialize(&mut deserializer);
        let read = read.and_then(|json| deserializer.end().map(|()| json));
        read.map_err(|error| {
            let Reading { path, detail, .. } = reading.into_inner();
            let place = || format!("line {} column {}", error.line(), error.column());
            let detail = detail.unwrap_or_else(|| match error.classify() {
                Category::Eof => "the JSON ends too early".to_owned(),
                _ => format!("is not valid JSON, at {}", place()),
            });
            Wrong { path, detail }
        })
    }

    /// The kind of value, for an error.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
            Self::Parameter(_) => "other text",
        }
    }
}

/// State that is shared while a whole body is read.
struct Reading {
    values: usize,
    /// The place of the error, innermost first.
    path: Vec<String>,
    /// The error, if it was not a syntax error.
    detail: Option<String>,
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    reading: &'a RefCell<Reading>,
    depth: usize,
}

impl Reader<'_> {
    fn deeper(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }

    fn refuse<E: serde::de::Error>(self, detail: String) -> E {
        self.reading.borrow_mut().detail = Some(detail);
        E::custom("")
    }

    /// Records the place of the error on the way out.
    fn note(self, place: impl Into<String>) {
        self.reading.borrow_mut().path.push(place.into());
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Json;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        if self.depth > MAX_DEPTH {
            let detail = format!("is nested too deeply, at most {MAX_DEPTH} levels are read");
            return Err(self.refuse(detail));
        }
        self.reading.borrow_mut().values += 1;
        if self.reading.borrow().values > MAX_VALUES {
            return Err(self.refuse(format!("has more than {MAX_VALUES} values")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        // The parser refuses numbers that are not finite.
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        loop {
            match elements.next_element_seed(self.deeper()) {
                Ok(Some(element)) => array.push(element),
                Ok(None) => return Ok(Json::Array(array)),
                Err(error) => {
                    self.note(array.len().to_string());
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object: Vec<(String, Json)> = Vec::new();
        // A few names are compared faster than they are hashed.
        let mut many: HashSet<String> = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            let is_known = if object.len() < FEW_MEMBERS {
                object.iter().any(|(known, _)| *known == name)
            } else {
                if many.is_empty() {
                    many.extend(object.iter().map(|(known, _)| known.clone()));
                }
                !many.insert(name.clone())
            };
            if is_known {
                self.note(name);
                return Err(self.refuse("occurs twice in its object".to_owned()));
            }
            match members.next_value_seed(self.deeper()) {
                Ok(value) => object.push((name, value)),
                Err(error) => {
                    self.note(name);
                    return Err(error);
                }
            }
        }
        Ok(Json::Object(object))
    }
}

/// Room for 100,000 entries with nine members each.
pub(super) const MAX_VALUES: usize = 1_000_000;
const MAX_DEPTH: usize = 32;
const FEW_MEMBERS: usize = 16;
