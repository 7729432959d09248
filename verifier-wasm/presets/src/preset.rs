//! A preset, and what it makes of its parameters.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::parameters::{Kind, Parameter, Parameters, Value};

/// What is known about one provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Preset {
    /// The provider, for people.
    pub title: String,
    /// Which of its tokens these are.
    pub about: String,
    /// What else one should know.
    pub notes: String,
    /// Where the provider documents it.
    pub sources: Vec<String>,
    /// What has to be given, in the order in which defaults may name each other.
    #[serde(deserialize_with = "in_order")]
    pub parameters: Vec<(String, Parameter)>,
    issuer: String,
    jwks: String,
    audience: String,
    /// The algorithms of its tokens, at most one for each type of key.
    pub algorithms: Vec<String>,
    /// Accepted header types; `None` for a token without `typ`.
    pub types: Vec<Option<String>>,
    /// Claims that a token must have.
    pub required_claims: Vec<String>,
    #[serde(default)]
    required_values: BTreeMap<String, Value>,
    /// Which claims are ids.
    pub claims: ClaimNames,
    /// The claim with the scopes.
    pub scope: Option<String>,
    /// The default horizon.
    pub horizon_seconds: u64,
}

/// Which claims are the ids of tokens, sessions and users: names, or JSON Pointers (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimNames {
    /// The id of a token.
    pub token: Option<String>,
    /// The id of a session.
    pub session: Option<String>,
    /// The id of a user.
    pub user: Option<String>,
}

/// Who an issuer is, and where its keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The exact `iss`.
    pub issuer: String,
    /// The address of the JWK set.
    pub jwks_uri: String,
}

/// What a verifier is configured with for an issuer: as JSON, an issuer of its options but for the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// The exact `iss`.
    pub issuer: String,
    /// Which `aud` is accepted.
    pub audience: Audience,
    /// The accepted algorithms.
    pub algorithms: Vec<String>,
    /// Accepted header types; `None` for a token without `typ`.
    pub types: Vec<Option<String>>,
    /// Claims that a token must have.
    pub required_claims: Vec<String>,
    /// Claims that must have one of some values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub required_values: BTreeMap<String, Vec<String>>,
}

/// Which audiences are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// `"unchecked"`: for tokens without `aud`.
    Unchecked,
    /// At least one of these.
    #[serde(untagged)]
    AnyOf(Vec<String>),
}

/// Why there are no rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PresetError {
    /// Parameters are missing, unknown or of the wrong form; all of them.
    #[error("the preset {name}: {}", .problems.join("; "))]
    Invalid {
        /// The preset.
        name: String,
        /// One text for each parameter that is wrong.
        problems: Vec<String>,
    },
    /// There is no such preset.
    #[error("the preset is {name:?}, expected one of {}", names().collect::<Vec<_>>().join(", "))]
    Unknown {
        /// The name that was given.
        name: String,
    },
}

impl PresetError {
    /// The stable code string.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid_preset",
            Self::Unknown { .. } => "unknown_preset",
        }
    }
}

impl Preset {
    /// The preset of that name.
    ///
    /// # Errors
    ///
    /// [`PresetError::Unknown`].
    pub fn of(name: &str) -> Result<(&'static str, &'static Self), PresetError> {
        let found = TABLE.get_key_value(name).map(|(name, preset)| (name.as_str(), preset));
        found.ok_or_else(|| PresetError::Unknown { name: name.chars().take(80).collect() })
    }

    /// All presets, by name.
    pub fn all() -> impl Iterator<Item = (&'static str, &'static Self)> {
        TABLE.iter().map(|(name, preset)| (name.as_str(), preset))
    }

    /// The issuer that the parameters describe. Those of [`Kind::Text`], which tell a verifier what to accept, may
    /// be left out.
    ///
    /// # Errors
    ///
    /// [`PresetError::Invalid`].
    pub fn address(name: &str, parameters: &Parameters) -> Result<Address, PresetError> {
        let (name, preset) = Self::of(name)?;
        let values = preset.read(name, parameters, |kind| kind != Kind::Text)?;
        Ok(Address {
            issuer: filled(&preset.issuer, &values),
            jwks_uri: filled(&preset.jwks, &values),
        })
    }

    /// What a verifier is configured with for the issuer that the parameters describe.
    ///
    /// # Errors
    ///
    /// [`PresetError::Invalid`].
    pub fn rules(name: &str, parameters: &Parameters) -> Result<Rules, PresetError> {
        let (name, preset) = Self::of(name)?;
        let values = preset.read(name, parameters, |_| true)?;
        let value = |template: &Value| match template {
            Value::Many(texts) => Some(texts.clone()),
            Value::One(text) => match parameter_of(text) {
                Some(parameter) => values.get(parameter).map(texts),
                None => Some(vec![text.clone()]),
            },
        };
        let required = preset.required_values.iter();
        Ok(Rules {
            issuer: filled(&preset.issuer, &values),
            audience: preset.audience(&values),
            algorithms: preset.algorithms.clone(),
            types: preset.types.clone(),
            required_claims: preset.required_claims.clone(),
            required_values: required
                .filter_map(|(claim, template)| Some((claim.clone(), value(template)?)))
                .collect(),
        })
    }

    fn audience(&self, values: &Parameters) -> Audience {
        let given = parameter_of(&self.audience).and_then(|parameter| values.get(parameter));
        match given {
            Some(Value::Many(names)) => Audience::AnyOf(names.clone()),
            Some(Value::One(name)) if name != UNCHECKED => Audience::AnyOf(vec![name.clone()]),
            None if self.audience != UNCHECKED => Audience::AnyOf(vec![self.audience.clone()]),
            Some(Value::One(_)) | None => Audience::Unchecked,
        }
    }

    /// Checks the parameters, and adds those that have a default.
    fn read(
        &self,
        name: &str,
        given: &Parameters,
        is_needed: impl Fn(Kind) -> bool,
    ) -> Result<Parameters, PresetError> {
        let is_known = |name: &String| self.parameters.iter().any(|(known, _)| known == name);
        let unknown = given.keys().filter(|name| !is_known(name));
        let mut problems: Vec<String> =
            unknown.map(|name| format!("{name:?} is unknown")).collect();
        let mut values = Parameters::new();
        for (name, parameter) in &self.parameters {
            let expected = parameter.kind.expected();
            let value = match (given.get(name), &parameter.default) {
                (Some(value), _) if parameter.kind.accepts(value) => value.clone(),
                (Some(Value::One(text)), _) => {
                    let shown: String = text.chars().take(80).collect();
                    problems.push(format!("{name} is {shown:?}, it must be {expected}"));
                    continue;
                }
                (Some(Value::Many(_)), _) => {
                    problems.push(format!("{name} is an array, it must be {expected}"));
                    continue;
                }
                (None, Some(default)) => Value::One(filled(default, &values)),
                (None, None) => {
                    if !parameter.optional && is_needed(parameter.kind) {
                        problems.push(format!("{name} is missing: it must be {expected}"));
                    }
                    continue;
                }
            };
            values.insert(name.clone(), without_slash(value, parameter.kind));
        }
        match problems.is_empty() {
            true => Ok(values),
            false => Err(PresetError::Invalid { name: name.to_owned(), problems }),
        }
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    Preset::all().map(|(name, _)| name)
}

fn without_slash(value: Value, kind: Kind) -> Value {
    match value {
        Value::One(text) if kind == Kind::Url => {
            Value::One(text.strip_suffix('/').unwrap_or(&text).to_owned())
        }
        value => value,
    }
}

/// The template with the parameters in it.
fn filled(template: &str, values: &Parameters) -> String {
    let fill = |text: String, (name, value): (&String, &Value)| match value {
        Value::One(value) => text.replace(&format!("{{{name}}}"), value),
        Value::Many(_) => text,
    };
    values.iter().fold(template.to_owned(), fill)
}

/// The parameter that a template is, if it is one and nothing else.
fn parameter_of(template: &str) -> Option<&str> {
    let name = template.strip_prefix('{')?.strip_suffix('}')?;
    (!name.contains(['{', '}'])).then_some(name)
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::One(text) => vec![text.clone()],
        Value::Many(texts) => texts.clone(),
    }
}

fn in_order<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, Parameter)>, D::Error> {
    struct Members;
    impl<'de> serde::de::Visitor<'de> for Members {
        type Value = Vec<(String, Parameter)>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("parameters by name")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut members: A,
        ) -> Result<Self::Value, A::Error> {
            let mut all = vec![];
            while let Some(member) = members.next_entry()? {
                all.push(member);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_map(Members)
}

/// The word for an audience that is not checked.
const UNCHECKED: &str = "unchecked";

static TABLE: LazyLock<BTreeMap<String, Preset>> = LazyLock::new(|| {
    // A test reads it.
    serde_json::from_str(include_str!("../../presets.json")).unwrap_or_default()
});

#[cfg(test)]
mod tests {
    use super::{Preset, TABLE};

    #[test]
    fn the_table_is_read_and_each_default_names_only_parameters_before_it() {
        assert_eq!(TABLE.len(), 18);
        for (name, preset) in Preset::all() {
            for (at, (_, parameter)) in preset.parameters.iter().enumerate() {
                let Some(default) = &parameter.default else { continue };
                for (later, _) in preset.parameters.iter().skip(at) {
                    assert!(!default.contains(&format!("{{{later}}}")), "{name} {later}");
                }
            }
        }
    }
}
