//! The log: on standard error, as text or as one JSON object a line.

use std::io::{IsTerminal, stderr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Begins the log of what `filter` lets through, with `warnings` first.
pub fn start_log(filter: EnvFilter, format: LogFormat, warnings: &[String]) {
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        // It would say so where it could not write, and end the task that wanted to log: a full disk
        // must not end the following of the log.
        .log_internal_errors(false);
    match format {
        LogFormat::Json => log.json().init(),
        LogFormat::Text => log.init(),
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// The filter that `text` describes. A word alone must be a level: tracing would take any other one
/// for the name of a target, and log everything of that and nothing else.
pub fn filter(text: &str) -> Option<EnvFilter> {
    let directives = text.split(',').map(str::trim).filter(|directive| !directive.is_empty());
    let is_meant = |directive: &str| {
        directive.contains(['=', '[']) || directive.parse::<LevelFilter>().is_ok()
    };
    if !directives.into_iter().all(is_meant) {
        return None;
    }
    let filter: EnvFilter = text.parse().ok()?;
    // It warns of each stream that a stranger resets, which strangers can do all day.
    if text.contains("h2=") { Some(filter) } else { Some(filter.add_directive(H2.parse().ok()?)) }
}

const H2: &str = "h2=error";

#[cfg(test)]
mod tests {
    use super::filter;

    // D20: what strangers can cause without end is not logged, unless an operator asks for it.
    #[test]
    fn the_http2_library_warns_only_where_that_is_asked_for() {
        assert!(filter("info").unwrap().to_string().contains("h2=error"));
        assert!(filter("debug,h2=warn").unwrap().to_string().contains("h2=warn"));
        assert!(!filter("debug,h2=warn").unwrap().to_string().contains("h2=error"));
    }
}
