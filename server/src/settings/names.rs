//! The messages about names that are not settings, in the environment and in the file.

use super::Table;

/// What to say about variables with our prefix that are no settings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    /// They are ignored, with this warning.
    Ignored(String),
    /// The variable is probably meant as another one, so ignoring it would do harm.
    Misspelled { variable: String, meant: String },
}

/// Judges unknown variables with our prefix. Those of a Kubernetes Service (`OFFSWITCH_PORT`,
/// `OFFSWITCH_SERVICE_HOST` and the like) are not anyone's mistake.
pub(super) fn foreign(table: &Table, mut variables: Vec<String>) -> Vec<Foreign> {
    variables.sort();
    variables.dedup();
    let (services, others): (Vec<_>, Vec<_>) =
        variables.into_iter().partition(|variable| is_of_a_service(variable));
    let mut found = Vec::new();
    if !services.is_empty() {
        let names = services.join(", ");
        let warning = format!("ignored, since a Kubernetes Service sets them: {names}");
        found.push(Foreign::Ignored(warning));
    }
    let mut unknown = Vec::new();
    for variable in others {
        let name = variable.strip_prefix(table.prefix).unwrap_or(&variable).to_ascii_lowercase();
        match closest(table, &name) {
            Some(known) => {
                let meant = format!("{}{}", table.prefix, known.to_ascii_uppercase());
                found.push(Foreign::Misspelled { variable, meant });
            }
            None => unknown.push(variable),
        }
    }
    if !unknown.is_empty() {
        let names = unknown.join(", ");
        let warning = format!("these environment variables are no settings, and ignored: {names}");
        found.push(Foreign::Ignored(warning));
    }
    found
}

/// The message about an unknown key of the file.
pub(super) fn unknown(table: &Table, name: &str) -> String {
    match closest(table, name) {
        Some(known) => format!("unknown setting; did you mean {known}?"),
        None => format!("unknown setting; `{} --help` lists them", table.command),
    }
}

/// True for `NAME_SERVICE_HOST`, `NAME_SERVICE_PORT[_…]`, `NAME_PORT` and
/// `NAME_PORT_<number>_<protocol>[_…]`.
fn is_of_a_service(variable: &str) -> bool {
    let is_number = |rest: &str| rest.starts_with(|first: char| first.is_ascii_digit());
    variable.ends_with("_SERVICE_HOST")
        || variable.contains("_SERVICE_PORT")
        || variable.ends_with("_PORT")
        || variable.split("_PORT_").skip(1).any(is_number)
}

/// The setting that differs from `name` by one or two typing errors.
fn closest(table: &Table, name: &str) -> Option<&'static str> {
    let distance = |known: &str| strsim::damerau_levenshtein(name, known);
    let known = table.keys.iter().map(|key| key.name).min_by_key(|known| distance(known))?;
    (distance(known) <= (known.len() / 4).clamp(1, 3)).then_some(known)
}
