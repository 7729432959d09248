//! Reads a [`VerifierConfig`] from JSON. Written out rather than derived: it reports all
//! problems, and the derived reader is several kilobytes of the wasm file.

use std::borrow::Cow;

use crate::json::{Object, Value};
use crate::keys::algorithm::Algorithm;
use crate::verify::config::{
    AudienceRule, ConfigProblem, DpopConfig, FOREIGN_LIFETIME_SECONDS, FeedConfig, IssuerConfig,
    OWN_LIFETIME_SECONDS, OnStale, RequiredValue, UserRule, VerifierConfig, default_algorithms,
    default_leeway_seconds, default_max_staleness_seconds, default_required_claims, default_types,
};

impl VerifierConfig {
    /// Reads the configuration from JSON; unknown fields are refused.
    ///
    /// # Errors
    ///
    /// All problems.
    pub fn from_json(text: &str) -> Result<Self, Vec<ConfigProblem>> {
        let (config, mut problems) = read(text);
        let of_values = config.as_ref().map(Self::problems).unwrap_or_default();
        // A field of the wrong shape was read as its default.
        let is_new =
            |one: &ConfigProblem| problems.iter().all(|other| !one.field.starts_with(&other.field));
        problems.extend(of_values.into_iter().filter(is_new).collect::<Vec<_>>());
        config.filter(|_| problems.is_empty()).ok_or(problems)
    }
}

/// Reads the shape, and reports its problems; a wrong field keeps its default.
/// [`VerifierConfig::problems`] judges the values.
fn read(text: &str) -> (Option<VerifierConfig>, Vec<ConfigProblem>) {
    let mut problems = Vec::new();
    let config = match Object::parse(text) {
        Some(object) => verifier(Fields::new("", object, &mut problems)),
        None => {
            problems.push(ConfigProblem::new("config", "must be one JSON object"));
            None
        }
    };
    (config, problems)
}

fn verifier(mut fields: Fields<'_, '_>) -> Option<VerifierConfig> {
    let issuers = fields.array("issuers");
    let issuers = issuers.into_iter().enumerate().map(|(index, value)| {
        // A value without fields keeps its place, because the others are identified by their index.
        let no_issuer = || (IssuerConfig::offswitch("", ""), ByFeed::default());
        fields.object(value, &format!("issuers[{index}].")).map_or_else(no_issuer, issuer)
    });
    let issuers: Vec<(IssuerConfig, ByFeed)> = issuers.collect();
    let mut dpop = DpopConfig::default();
    let of_proofs = fields.take("dpop").and_then(|value| fields.object(value, "dpop."));
    if let Some(mut of_proofs) = of_proofs {
        dpop.max_age_seconds = of_proofs.seconds("maxAgeSeconds", dpop.max_age_seconds);
        of_proofs.end();
    }
    let feed = match fields.take("feed") {
        Some(value) => fields.object(value, "feed."),
        None => fields.missing("feed"),
    };
    // A feed is named after the issuer whose control plane signs it.
    let first = issuers.first().map(|(first, _)| first.issuer.clone());
    let feed = feed.map(|fields| self::feed(fields, first));
    fields.end();
    let feed = feed?;
    let with_defaults = |(config, by_feed): (IssuerConfig, ByFeed)| {
        let is_own = config.issuer == feed.id;
        // Only the feed's own control plane counts `ver` in the same way as the feed.
        let user_rule = if is_own { UserRule::VersionElseIssuedAt } else { UserRule::IssuedAt };
        let longest = if is_own { OWN_LIFETIME_SECONDS } else { FOREIGN_LIFETIME_SECONDS };
        IssuerConfig {
            user_rule: by_feed.user_rule.unwrap_or(user_rule),
            max_lifetime_seconds: by_feed.max_lifetime_seconds.unwrap_or(longest),
            ..config
        }
    };
    Some(VerifierConfig { issuers: issuers.into_iter().map(with_defaults).collect(), feed, dpop })
}

/// Rules whose default depends on whether the feed is the issuer's own.
#[derive(Default)]
struct ByFeed {
    max_lifetime_seconds: Option<u64>,
    user_rule: Option<UserRule>,
}

fn issuer(mut fields: Fields<'_, '_>) -> (IssuerConfig, ByFeed) {
    let rule = fields.choice("userRule", "issued_at", "version_else_issued_at");
    let user_rule = rule.map(|is_by_time| match is_by_time {
        true => UserRule::IssuedAt,
        false => UserRule::VersionElseIssuedAt,
    });
    let max_lifetime_seconds = fields.optional_seconds("maxLifetime");
    let (required_claims, mut required_values) = match fields.take("requiredClaims") {
        // Values alone keep the default names.
        Some(Value::Object(values)) => {
            (default_required_claims(), fields.values("requiredClaims", values))
        }
        Some(value) => (fields.texts("requiredClaims", value), vec![]),
        None => (default_required_claims(), vec![]),
    };
    match fields.take("requiredValues") {
        Some(Value::Object(values)) => {
            required_values.extend(fields.values("requiredValues", values));
        }
        Some(_) => fields.problem("requiredValues", VALUES),
        None => {}
    }
    let config = IssuerConfig {
        issuer: fields.text("issuer"),
        audience: match fields.take("audience") {
            Some(Value::Text(word)) if word == "unchecked" => AudienceRule::Unchecked,
            Some(Value::Text(audience)) => AudienceRule::AnyOf(vec![audience.into_owned()]),
            Some(value) => AudienceRule::AnyOf(fields.texts("audience", value)),
            None => fields.missing("audience").unwrap_or(AudienceRule::Unchecked),
        },
        algorithms: match fields.take("algorithms") {
            Some(value) => {
                let names = fields.texts("algorithms", value);
                names.iter().filter_map(|name| fields.algorithm(name)).collect()
            }
            None => default_algorithms(),
        },
        required_claims,
        required_values,
        types: match fields.take("types") {
            Some(value) => fields.names("types", value, Some(&Value::Null)),
            None => default_types(),
        },
        leeway_seconds: fields.seconds("leewaySeconds", default_leeway_seconds()),
        max_lifetime_seconds: FOREIGN_LIFETIME_SECONDS,
        user_rule: UserRule::default(),
    };
    fields.end();
    (config, ByFeed { max_lifetime_seconds, user_rule })
}

fn feed(mut fields: Fields<'_, '_>, first_issuer: Option<String>) -> FeedConfig {
    let id = match fields.take("id") {
        Some(Value::Text(id)) => id.into_owned(),
        Some(_) => fields.wrong("id", "must be a string"),
        None => first_issuer.unwrap_or_default(),
    };
    let config = FeedConfig {
        id,
        public_keys: match fields.take("publicKeys") {
            Some(value) => fields.texts("publicKeys", value),
            None => fields.missing("publicKeys").unwrap_or_default(),
        },
        max_staleness_seconds: fields.seconds("maxStaleness", default_max_staleness_seconds()),
        on_stale: match fields.choice("onStale", "allow", "deny") {
            Some(true) => OnStale::Allow,
            Some(false) => OnStale::Deny,
            None => OnStale::default(),
        },
    };
    fields.end();
    config
}

/// The fields of one object, removed one by one; those left at the end are unknown.
struct Fields<'p, 'a> {
    path: String,
    fields: Object<'a>,
    problems: &'p mut Vec<ConfigProblem>,
}

impl<'p, 'a> Fields<'p, 'a> {
    fn new(path: &str, fields: Object<'a>, problems: &'p mut Vec<ConfigProblem>) -> Self {
        Self { path: path.to_owned(), fields, problems }
    }

    #[cold]
    fn problem(&mut self, name: &str, text: &str) {
        self.problems.push(ConfigProblem::new(&[&self.path, name].concat(), text));
    }

    #[cold]
    fn wrong<T: Default>(&mut self, name: &str, text: &str) -> T {
        self.problem(name, text);
        T::default()
    }

    #[cold]
    fn missing<T>(&mut self, name: &str) -> Option<T> {
        self.problem(name, "is missing");
        None
    }

    fn take(&mut self, name: &str) -> Option<Value<'a>> {
        self.fields.remove(name)
    }

    fn object<'v>(&mut self, value: Value<'v>, path: &str) -> Option<Fields<'_, 'v>> {
        match value {
            Value::Object(fields) => Some(Fields::new(path, fields, self.problems)),
            _ => {
                self.problem(path.trim_end_matches('.'), "must be an object");
                None
            }
        }
    }

    fn array(&mut self, name: &str) -> Vec<Value<'a>> {
        match self.take(name) {
            Some(Value::Array(values)) => return values,
            Some(_) => self.problem(name, "must be an array"),
            None => self.problem(name, "is missing"),
        }
        Vec::new()
    }

    fn text(&mut self, name: &str) -> String {
        match self.take(name) {
            Some(Value::Text(text)) => return text.into_owned(),
            Some(_) => self.problem(name, "must be a string"),
            None => self.problem(name, "is missing"),
        }
        String::new()
    }

    fn texts(&mut self, name: &str, value: Value<'_>) -> Vec<String> {
        self.names(name, value, None).into_iter().flatten().collect()
    }

    /// An array of strings, in which `other` may be too.
    fn names(
        &mut self,
        name: &str,
        value: Value<'_>,
        other: Option<&Value<'_>>,
    ) -> Vec<Option<String>> {
        let name_of = |value: Value<'_>| match value {
            Value::Text(text) => Some(Some(text.into_owned())),
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

    /// Claims by name, each with a string or several.
    fn values(&mut self, name: &str, values: Object<'_>) -> Vec<RequiredValue> {
        let one = |(claim, value): (Cow<'_, str>, Value<'_>)| {
            let any_of = match value {
                Value::Text(one) => Some(vec![one.into_owned()]),
                Value::Array(many) => {
                    many.iter().map(|one| one.as_text().map(str::to_owned)).collect()
                }
                _ => None,
            };
            Some(RequiredValue { claim: claim.into_owned(), any_of: any_of? })
        };
        let values: Option<Vec<_>> = values.into_members().map(one).collect();
        // An empty object requires nothing: JavaScript makes one from a Map, for example.
        values.filter(|values| !values.is_empty()).unwrap_or_else(|| {
            self.problem(name, VALUES);
            vec![]
        })
    }

    fn algorithm(&mut self, name: &str) -> Option<Algorithm> {
        let algorithm = Algorithm::from_name(name);
        if algorithm.is_none() {
            self.problem("algorithms", "names one that is not supported");
        }
        algorithm
    }

    fn seconds(&mut self, name: &str, default: u64) -> u64 {
        self.optional_seconds(name).unwrap_or(default)
    }

    fn optional_seconds(&mut self, name: &str) -> Option<u64> {
        match self.take(name)? {
            Value::Integer(seconds) => Some(seconds),
            _ => {
                self.problem(name, "must be a whole number of seconds");
                None
            }
        }
    }

    /// True for the word `yes`, false for the word `no`, none where the field is absent.
    fn choice(&mut self, name: &str, yes: &str, no: &str) -> Option<bool> {
        match self.take(name)? {
            Value::Text(word) if word == yes => Some(true),
            Value::Text(word) if word == no => Some(false),
            _ => {
                self.problem(name, &["must be ", yes, " or ", no].concat());
                None
            }
        }
    }

    fn end(self) {
        for name in self.fields.names() {
            self.problems
                .push(ConfigProblem::new(&[self.path.as_str(), name].concat(), "is unknown"));
        }
    }
}

const VALUES: &str = "must be an object of claims, each with a string or an array of strings";

#[cfg(test)]
mod tests {
    use crate::verify::config::{AudienceRule, DpopConfig, FeedConfig, IssuerConfig, OnStale};
    use crate::verify::config::{UserRule, VerifierConfig};

    // Users of the issuer that the feed is named after are judged by version, those of others by
    // time.
    #[test]
    fn a_missing_field_gets_its_default() {
        let text = r#"{"issuers":[{"issuer":"a","audience":"x"},{"issuer":"b","audience":["x"]}],
            "feed":{"publicKeys":["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"]}}"#;
        let config = VerifierConfig::from_json(text).ok();
        let rules = config.iter().flat_map(|config| &config.issuers).map(|one| one.user_rule);
        assert_eq!(rules.collect::<Vec<_>>(), [UserRule::VersionElseIssuedAt, UserRule::IssuedAt]);
        assert_eq!(config.map(|config| config.feed.id).as_deref(), Some("a"));
    }

    // A written configuration is read back unchanged.
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
            dpop: DpopConfig { max_age_seconds: 7 },
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

    // V10, X16: all problems, each by its path; nothing is guessed.
    #[test]
    fn every_wrong_field_is_named() {
        let text = r#"{"feed":{"id":1,"publicKeys":["a",2],"onStale":"maybe","x":0,"maxStaleness":0},
            "dpop":{"maxAgeSeconds":"1","y":0},
            "issuers":[{"issuer":"i","algorithms":["none"],"types":[1],"leewaySeconds":1.5},3],
            "extra":{}}"#;
        let problems = VerifierConfig::from_json(text).err().unwrap_or_default();
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "issuers[0].audience",
                "issuers[0].algorithms",
                "issuers[0].types",
                "issuers[0].leewaySeconds",
                "issuers[1]",
                "dpop.maxAgeSeconds",
                "dpop.y",
                "feed.id",
                "feed.publicKeys",
                "feed.onStale",
                "feed.x",
                "extra",
                "feed.maxStaleness",
            ]
        );
        assert!(VerifierConfig::from_json("[]").is_err());
    }
}
