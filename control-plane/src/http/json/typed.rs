//! Converts JSON into the type that an endpoint expects.

use std::fmt;

use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::Wrong;
use super::tree::Json;

impl Json {
    fn unlike(&self, expected: &str) -> Wrong {
        Wrong::new(format!("must be {expected}, found {}", self.kind()))
    }

    fn visit_whole<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let expected = "a whole number from 0 to 2^64-1";
        let whole = match &self {
            Self::Number(number) => number.as_u64().ok_or("another number"),
            Self::Parameter(text) if is_digits(text) => text.parse().map_err(|_| "another number"),
            other => Err(other.kind()),
        };
        match whole {
            Ok(whole) => visitor.visit_u64(whole),
            Err(found) => Err(Wrong::new(format!("must be {expected}, found {found}"))),
        }
    }
}

impl<'de> Deserializer<'de> for Json {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or_default()),
            },
            Self::Parameter(text) | Self::Text(text) => visitor.visit_string(text),
            Self::Array(_) => self.deserialize_seq(visitor),
            Self::Object(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self {
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Parameter(text) if text == "true" => visitor.visit_bool(true),
            Self::Parameter(text) if text == "false" => visitor.visit_bool(false),
            other => Err(other.unlike("true or false")),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.visit_whole(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self {
            Self::Parameter(text) | Self::Text(text) => visitor.visit_string(text),
            other => Err(other.unlike("a string")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self {
            Self::Null => visitor.visit_none(),
            other => visitor.visit_some(other),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self {
            Self::Array(elements) => {
                visitor.visit_seq(Elements { left: elements.into_iter(), index: 0 })
            }
            other => Err(other.unlike("an array")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self {
            Self::Object(members) => {
                visitor.visit_map(Members { left: members.into_iter(), next: None })
            }
            other => Err(other.unlike("an object")),
        }
    }

    // A derived type also accepts an array of its members: not here.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match self {
            Self::Parameter(text) | Self::Text(text) => {
                let text: StringDeserializer<Wrong> = text.into_deserializer();
                visitor.visit_enum(text)
            }
            other => Err(other.unlike("a string")),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char bytes byte_buf unit unit_struct
        newtype_struct tuple tuple_struct identifier ignored_any
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

struct Elements {
    left: std::vec::IntoIter<Json>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Elements {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Wrong> {
        let Some(element) = self.left.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(element).map(Some).map_err(|wrong| wrong.within(index.to_string()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}

struct Members {
    left: std::vec::IntoIter<(String, Json)>,
    next: Option<(String, Json)>,
}

impl<'de> MapAccess<'de> for Members {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        let Some((name, value)) = self.left.next() else { return Ok(None) };
        let key: StrDeserializer<'_, Wrong> = name.as_str().into_deserializer();
        let key = seed.deserialize(key).map_err(|wrong| wrong.within(name.as_str()))?;
        self.next = Some((name, value));
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let Some((name, value)) = self.next.take() else {
            return Err(Wrong::new("has no value"));
        };
        seed.deserialize(value).map_err(|wrong| wrong.within(name))
    }
}

/// The error of a type about a value that it does not accept. It sees the value, but must not quote
/// it.
impl de::Error for Wrong {
    fn custom<T: fmt::Display>(detail: T) -> Self {
        Self::new(detail.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("must be {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("must be {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("must be one of {}", expected.join(", ")))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("unknown member; known are {}", expected.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new("is missing").within(field)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.detail)
    }
}

impl std::error::Error for Wrong {}
