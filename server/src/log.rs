//! The log: on standard error, as text or as one JSON object per line.

use std::io::{IsTerminal, stderr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// Starts the log with the events that pass `filter`; logs `warnings` first.
pub fn start_log(filter: EnvFilter, format: LogFormat, warnings: &[String]) {
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        // It would report errors of writing and end the task that wanted to log: a full disk must
        // not stop the task that follows the log.
        .log_internal_errors(false);
    match format {
        LogFormat::Json => log.json().init(),
        LogFormat::Text => log.init(),
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// Parses the filter `text`. A single word must be a level: tracing would take any other word for
/// the name of a target, and log everything of that target and nothing else.
pub fn filter(text: &str) -> Option<EnvFilter> {
    let directives = text.split(',').map(str::trim).filter(|directive| !directive.is_empty());
    let is_meant = |directive: &str| {
        directive.contains(['=', '[']) || directive.parse::<LevelFilter>().is_ok()
    };
    if !directives.into_iter().all(is_meant) {
        return None;
    }
    let filter: EnvFilter = text.parse().ok()?;
    // It warns about each stream that a client resets, which any client can do all day.
    if text.contains("h2=") { Some(filter) } else { Some(filter.add_directive(H2.parse().ok()?)) }
}

const H2: &str = "h2=error";

#[cfg(test)]
mod tests {
    use super::filter;

    // D20: events that strangers can cause without limit are not logged, unless configured.
    #[test]
    fn the_http2_library_warns_only_where_that_is_asked_for() {
        assert!(filter("info").unwrap().to_string().contains("h2=error"));
        assert!(filter("debug,h2=warn").unwrap().to_string().contains("h2=warn"));
        assert!(!filter("debug,h2=warn").unwrap().to_string().contains("h2=error"));
    }
}
