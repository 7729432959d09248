//! Settings of a process: working defaults, overridden by a TOML file, overridden by the environment.
//! Each program has a table of its keys. All problems are reported together, each with the key's name
//! and never with a value, which may be a secret.

mod addresses;
mod names;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::ops::RangeInclusive;
use std::path::Path;

use zeroize::Zeroizing;

use self::names::Foreign;
use crate::secret_file::SecretFile;

pub use addresses::{is_issuer, resolve};

/// A key of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name in the file; in capitals and after the prefix, its environment variable.
    pub name: &'static str,
    /// What holds if it is not set; empty for nothing.
    pub default: &'static str,
    /// What it is for, in sentences.
    pub help: &'static str,
}

/// The keys of one program.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// All keys.
    pub keys: &'static [Key],
    /// What the names of its environment variables begin with.
    pub prefix: &'static str,
    /// Variables with this prefix that are not settings, but that the program reads elsewhere.
    pub elsewhere: &'static [&'static str],
    /// The command whose help lists them.
    pub command: &'static str,
}

/// One problem with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct Problem {
    /// The key's name.
    pub key: String,
    /// What is wrong. Never the value: it may be a secret.
    pub problem: String,
}

/// The configured values, and the problems found so far.
#[derive(Debug)]
pub struct Values {
    table: Table,
    set: BTreeMap<String, Zeroizing<String>>,
    /// The problems found so far.
    pub problems: Vec<Problem>,
    /// Warnings about ignored input. They never contain a value.
    pub warnings: Vec<String>,
}

impl Table {
    /// Explains every key, for `--help`.
    pub fn help(&self) -> String {
        let prefix = self.prefix;
        let mut text = format!(
            "Configuration: each key can be set in the TOML file given with --config, or as the\n\
             environment variable {prefix}<KEY>, in capitals; the environment wins over the file,\n\
             and an option of the command line over both.\n",
        );
        for Key { name, default, help } in self.keys {
            let default = if default.is_empty() { "none" } else { default };
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {name}  [default: {default}]\n      {help}\n");
        }
        text
    }

    fn has(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.name == name)
    }
}

impl Values {
    /// Nothing is set.
    pub fn new(table: Table) -> Self {
        Self { table, set: BTreeMap::new(), problems: Vec::new(), warnings: Vec::new() }
    }

    /// The tables of a TOML file; none, and a problem, if it is not TOML.
    pub fn read_toml(&mut self, text: &str) -> Option<toml::Table> {
        match text.parse() {
            Ok(table) => Some(table),
            Err(error) => {
                let error: toml::de::Error = error;
                let place =
                    error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
                self.problem("config file", &format!("is not TOML, line {place}"));
                None
            }
        }
    }

    /// Sets a key to its value in the file.
    pub fn set_from_file(&mut self, name: String, value: toml::Value) {
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            _ => return self.problem(&name, "must be a string or a whole number"),
        };
        if self.table.has(&name) {
            self.set.insert(name, Zeroizing::new(text));
        } else {
            let problem = names::unknown(&self.table, &name);
            self.problem(&name, &problem);
        }
    }

    /// A variable with a name like that of a setting is an error. Others that are not ours are ignored,
    /// with a warning: a Kubernetes Service named offswitch sets a dozen. No value is ever repeated in
    /// a message.
    pub fn read_environment(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        let mut foreign = Vec::new();
        for (variable, value) in variables {
            let Some(variable) = variable.to_str() else { continue };
            let Some(name) = variable.strip_prefix(self.table.prefix) else { continue };
            if self.table.elsewhere.contains(&variable) {
                continue;
            }
            let name = name.to_ascii_lowercase();
            if !self.table.has(&name) {
                foreign.push(variable.to_owned());
                continue;
            }
            match value.into_string() {
                Ok(text) => drop(self.set.insert(name, Zeroizing::new(text))),
                Err(_) => self.problem(&name, "the environment variable is not UTF-8"),
            }
        }
        for foreign in names::foreign(&self.table, foreign) {
            match foreign {
                Foreign::Ignored(warning) => self.warnings.push(warning),
                Foreign::Misspelled { variable, meant } => {
                    self.problem(&variable, &format!("unknown setting; did you mean {meant}?"));
                }
            }
        }
    }

    /// The secret in the file `path`, the value of the key `name`, of at most that many bytes. If it
    /// cannot be used, that is noted as a problem.
    pub fn secret_file(
        &mut self,
        name: &str,
        path: &str,
        most_bytes: usize,
    ) -> Option<Zeroizing<String>> {
        match SecretFile::read(Path::new(path), most_bytes) {
            Ok(SecretFile { text, is_exposed }) => {
                if is_exposed {
                    self.warnings
                        .push(format!("other users can read the file of {name}: chmod 600"));
                }
                Some(text)
            }
            Err(error) => {
                self.problem(name, &error.to_string());
                None
            }
        }
    }

    /// True if the key is set, and not to the empty text.
    pub fn is_set(&self, name: &str) -> bool {
        self.set.get(name).is_some_and(|text| !text.is_empty())
    }

    /// Takes a value out that is not to be kept here; none if it is empty.
    pub fn take(&mut self, name: &str) -> Option<Zeroizing<String>> {
        self.set.remove(name).filter(|text| !text.is_empty())
    }

    /// A text of that many bytes.
    pub fn text(&mut self, name: &str, length: RangeInclusive<usize>) -> String {
        let problem = format!("must have {} to {} bytes", length.start(), length.end());
        self.parse(name, &problem, |text| length.contains(&text.len()).then(|| text.to_owned()))
            .unwrap_or_default()
    }

    /// A whole number.
    pub fn number(&mut self, name: &str, range: RangeInclusive<u64>) -> u64 {
        let problem = format!("must be a whole number from {} to {}", range.start(), range.end());
        let parse = |text: &str| text.parse().ok().filter(|number| range.contains(number));
        self.parse(name, &problem, parse).unwrap_or(*range.start())
    }

    /// A whole number of things.
    pub fn count(&mut self, name: &str, range: RangeInclusive<u64>) -> usize {
        usize::try_from(self.number(name, range)).unwrap_or(usize::MAX)
    }

    /// A whole number, or 0 for none.
    pub fn number_or_zero(&mut self, name: &str, range: RangeInclusive<u64>) -> u64 {
        let (start, end) = (range.start(), range.end());
        let problem = format!("must be 0 or a whole number from {start} to {end}");
        let allowed = |number: &u64| *number == 0 || range.contains(number);
        self.parse(name, &problem, |text| text.parse().ok().filter(allowed)).unwrap_or_default()
    }

    /// What `parse` makes of the value, or of the default. If it makes nothing of it, notes
    /// `problem`.
    pub fn parse<T>(
        &mut self,
        name: &str,
        problem: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let default = self.table.keys.iter().find(|key| key.name == name);
        let default = default.map_or("", |key| key.default);
        let parsed = parse(self.set.get(name).map_or(default, |text| text.as_str()));
        if parsed.is_none() {
            self.problem(name, problem);
        }
        parsed
    }

    /// Notes that something is wrong with `key`.
    pub fn problem(&mut self, key: &str, problem: &str) {
        self.problems.push(Problem { key: key.to_owned(), problem: problem.to_owned() });
    }
}

/// Reads the file named on the command line.
///
/// # Errors
///
/// As a problem of the key `config file`.
pub fn read_file(path: &Path) -> Result<String, Vec<Problem>> {
    std::fs::read_to_string(path).map_err(|error| {
        let problem = format!("{} cannot be read: {error}", path.display());
        vec![Problem { key: "config file".to_owned(), problem }]
    })
}
