//! Reads a [`VerifierConfig`] from JSON. Written out rather than derived: it names every problem
//! at once, and the derived reader is several kilobytes of the wasm file.

use serde_json::{Map, Value};

use crate::algorithm::Algorithm;
use crate::config::{
    AudienceRule, ConfigProblem, FeedConfig, IssuerConfig, OnStale, UserRule, VerifierConfig,
    default_leeway_seconds, default_max_staleness_seconds, default_required_claims, default_types,
};
use crate::json;

/// Reads the shape; the values are judged by [`VerifierConfig::problems`].
pub(crate) fn read(text: &str) -> Result<VerifierConfig, Vec<ConfigProblem>> {
    let mut problems = Vec::new();
    let config = match json::parse_object(text.as_bytes()) {
        Some(object) => verifier(Fields::new("", object, &mut problems)),
        None => {
            problems.push(ConfigProblem::new("config", "must be one JSON object"));
            None
        }
    };
    config.filter(|_| problems.is_empty()).ok_or(problems)
}

fn verifier(mut fields: Fields<'_>) -> Option<VerifierConfig> {
    let issuers = fields.array("issuers");
    let issuers = issuers.into_iter().enumerate().filter_map(|(index, value)| {
        fields.object(value, &format!("issuers[{index}].")).and_then(issuer)
    });
    let issuers = issuers.collect();
    let feed = match fields.take("feed") {
        Some(value) => fields.object(value, "feed."),
        None => fields.missing("feed"),
    };
    let feed = feed.and_then(self::feed);
    fields.end();
    Some(VerifierConfig { issuers, feed: feed? })
}

fn issuer(mut fields: Fields<'_>) -> Option<IssuerConfig> {
    let config = IssuerConfig {
        issuer: fields.text("issuer"),
        audience: match fields.take("audience") {
            Some(Value::String(word)) if word == "unchecked" => AudienceRule::Unchecked,
            Some(value) => AudienceRule::AnyOf(fields.texts("audience", value)),
            None => fields.missing("audience").unwrap_or(AudienceRule::Unchecked),
        },
        algorithms: fields
            .array("algorithms")
            .iter()
            .filter_map(|name| fields.algorithm(name.as_str()))
            .collect(),
        required_claims: match fields.take("required_claims") {
            Some(value) => fields.texts("required_claims", value),
            None => default_required_claims(),
        },
        types: match fields.take("types") {
            Some(value) => fields.names("types", value, Some(&Value::Null)),
            None => default_types(),
        },
        leeway_seconds: fields.seconds("leeway_seconds", default_leeway_seconds()),
        user_rule: match fields.choice("user_rule", "issued_at", "version_else_issued_at") {
            Some(true) => UserRule::IssuedAt,
            Some(false) => UserRule::VersionElseIssuedAt,
            None => UserRule::default(),
        },
    };
    fields.end();
    Some(config)
}

fn feed(mut fields: Fields<'_>) -> Option<FeedConfig> {
    let config = FeedConfig {
        id: fields.text("id"),
        public_keys: match fields.take("public_keys") {
            Some(value) => fields.texts("public_keys", value),
            None => fields.missing("public_keys").unwrap_or_default(),
        },
        max_staleness_seconds: fields
            .seconds("max_staleness_seconds", default_max_staleness_seconds()),
        on_stale: match fields.choice("on_stale", "allow", "deny") {
            Some(true) => OnStale::Allow,
            Some(false) => OnStale::Deny,
            None => OnStale::default(),
        },
    };
    fields.end();
    Some(config)
}

/// The fields of one object, taken one by one; what is left at the end is unknown.
struct Fields<'p> {
    path: String,
    fields: Map<String, Value>,
    problems: &'p mut Vec<ConfigProblem>,
}

impl<'p> Fields<'p> {
    fn new(path: &str, fields: Map<String, Value>, problems: &'p mut Vec<ConfigProblem>) -> Self {
        Self { path: path.to_owned(), fields, problems }
    }

    fn problem(&mut self, name: &str, text: &str) {
        self.problems.push(ConfigProblem::new(&[&self.path, name].concat(), text));
    }

    fn missing<T>(&mut self, name: &str) -> Option<T> {
        self.problem(name, "is missing");
        None
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name)
    }

    fn object(&mut self, value: Value, path: &str) -> Option<Fields<'_>> {
        match value {
            Value::Object(fields) => Some(Fields::new(path, fields, self.problems)),
            _ => {
                self.problem(path.trim_end_matches('.'), "must be an object");
                None
            }
        }
    }

    fn array(&mut self, name: &str) -> Vec<Value> {
        match self.take(name) {
            Some(Value::Array(values)) => return values,
            Some(_) => self.problem(name, "must be an array"),
            None => self.problem(name, "is missing"),
        }
        Vec::new()
    }

    fn text(&mut self, name: &str) -> String {
        match self.take(name) {
            Some(Value::String(text)) => return text,
            Some(_) => self.problem(name, "must be a string"),
            None => self.problem(name, "is missing"),
        }
        String::new()
    }

    fn texts(&mut self, name: &str, value: Value) -> Vec<String> {
        self.names(name, value, None).into_iter().flatten().collect()
    }

    /// An array of strings, in which `other` may stand too.
    fn names(&mut self, name: &str, value: Value, other: Option<&Value>) -> Vec<Option<String>> {
        let name_of = |value| match value {
            Value::String(text) => Some(Some(text)),
            value => (Some(&value) == other).then_some(None),
        };
        let names = match value {
            Value::Array(values) => values.into_iter().map(name_of).collect(),
            _ => None,
        };
        names.unwrap_or_else(|| {
            self.problem(name, "must be an array of strings");
            Vec::new()
        })
    }

    fn algorithm(&mut self, name: Option<&str>) -> Option<Algorithm> {
        let algorithm = name.and_then(Algorithm::from_name);
        if algorithm.is_none() {
            self.problem("algorithms", "names one that is not supported");
        }
        algorithm
    }

    fn seconds(&mut self, name: &str, default: u64) -> u64 {
        match self.take(name) {
            None => default,
            Some(value) => value.as_u64().unwrap_or_else(|| {
                self.problem(name, "must be a whole number of seconds");
                default
            }),
        }
    }

    /// True for the word `yes`, false for the word `no`, none where the field is absent.
    fn choice(&mut self, name: &str, yes: &str, no: &str) -> Option<bool> {
        match self.take(name)? {
            Value::String(word) if word == yes => Some(true),
            Value::String(word) if word == no => Some(false),
            _ => {
                self.problem(name, &["must be ", yes, " or ", no].concat());
                None
            }
        }
    }

    fn end(self) {
        for name in self.fields.keys() {
            self.problems
                .push(ConfigProblem::new(&[self.path.as_str(), name].concat(), "is unknown"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{AudienceRule, FeedConfig, IssuerConfig, OnStale, VerifierConfig};

    // What is written is read back; what is left out takes its default.
    #[test]
    fn a_configuration_reads_as_it_was_written() {
        let mut config = VerifierConfig {
            issuers: vec![IssuerConfig::offswitch("https://issuer.example", "api")],
            feed: FeedConfig {
                id: "https://issuer.example".to_owned(),
                public_keys: vec!["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned()],
                max_staleness_seconds: 60,
                on_stale: OnStale::Allow,
            },
        };
        let read = |config: &VerifierConfig| {
            VerifierConfig::from_json(&serde_json::to_string(config).unwrap_or_default())
        };
        assert_eq!(read(&config), Ok(config.clone()));
        for issuer in &mut config.issuers {
            issuer.audience = AudienceRule::Unchecked;
            issuer.types = vec![None, Some("JWT".to_owned())];
        }
        assert_eq!(read(&config), Ok(config));
    }

    // V10, X16: every problem at once, each by its path; nothing is guessed.
    #[test]
    fn every_wrong_field_is_named() {
        let text = r#"{"feed":{"id":1,"public_keys":["a",2],"on_stale":"maybe","x":0},
            "issuers":[{"issuer":"i","algorithms":["none"],"types":[1],"leeway_seconds":1.5},3],
            "extra":{}}"#;
        let problems = VerifierConfig::from_json(text).err().unwrap_or_default();
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "issuers[0].audience",
                "issuers[0].algorithms",
                "issuers[0].types",
                "issuers[0].leeway_seconds",
                "issuers[1]",
                "feed.id",
                "feed.public_keys",
                "feed.on_stale",
                "feed.x",
                "extra",
            ]
        );
        assert!(VerifierConfig::from_json("[]").is_err());
    }
}
