//! Whether traces are wanted, by the standard variables of OpenTelemetry. The library reads the rest of them:
//! sampler, headers, compression, batches, attributes of the resource.

use std::time::Duration;

use crate::remote::address;

/// How traces are exported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The collector's address, for the log. It has no credentials: those are in headers.
    pub(super) shown: String,
    /// How many ended spans may wait.
    pub(super) queue: usize,
    /// How long one batch may take.
    pub(super) timeout: Duration,
    /// True if the environment names the service.
    pub(super) is_named: bool,
}

/// How traces are exported; absent if they are not wanted.
///
/// # Errors
///
/// What is wrong, without a value: headers have secrets, and addresses may.
pub(super) fn wanted(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Wanted>, String> {
    let set = |name: &str| {
        variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let of_traces = |end: &str| {
        let names =
            [format!("OTEL_EXPORTER_OTLP_TRACES_{end}"), format!("OTEL_EXPORTER_OTLP_{end}")];
        names.into_iter().find_map(|name| Some((set(&name)?, name)))
    };
    let is_off = set("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let exporter = set("OTEL_TRACES_EXPORTER");
    let Some((endpoint, name)) = of_traces("ENDPOINT") else { return Ok(None) };
    match exporter.as_deref() {
        _ if is_off => return Ok(None),
        Some("none") => return Ok(None),
        None | Some("otlp") => {}
        Some(_) => return Err("OTEL_TRACES_EXPORTER must be otlp or none".to_owned()),
    }
    let shown = address(&endpoint).map_err(|problem| format!("{name} {problem}"))?;
    if let Some((_, name)) = of_traces("PROTOCOL").filter(|(text, _)| text != "http/protobuf") {
        return Err(format!("{name} must be http/protobuf, whose port is 4318 in most collectors"));
    }
    let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok());
    let queue = number(set("OTEL_BSP_MAX_QUEUE_SIZE")).unwrap_or(QUEUE).clamp(1, LONGEST_QUEUE);
    let timeout = number(of_traces("TIMEOUT").map(|(text, _)| text)).unwrap_or(TIMEOUT);
    let attributes = set("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let is_named = set("OTEL_SERVICE_NAME").is_some()
        || attributes.split(',').any(|one| one.trim_start().starts_with("service.name="));
    Ok(Some(Wanted {
        shown: shown.as_str().to_owned(),
        queue: usize::try_from(queue).unwrap_or(usize::MAX),
        timeout: Duration::from_millis(timeout.clamp(1, LONGEST_TIMEOUT)),
        is_named,
    }))
}

/// False for a sampler that the library replaces by its default.
pub(super) fn is_known_sampler(variable: impl Fn(&str) -> Option<String>) -> bool {
    variable("OTEL_TRACES_SAMPLER").is_none_or(|name| SAMPLERS.contains(&name.as_str()))
}

const SAMPLERS: [&str; 6] = [
    "always_off",
    "always_on",
    "parentbased_always_off",
    "parentbased_always_on",
    "parentbased_traceidratio",
    "traceidratio",
];
/// The specification's default.
const QUEUE: u64 = 2048;
/// A span takes about a kilobyte.
const LONGEST_QUEUE: u64 = 65_536;
/// Milliseconds, the specification's default.
const TIMEOUT: u64 = 10_000;
const LONGEST_TIMEOUT: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(set: &[(&str, &str)]) -> Result<Option<Wanted>, String> {
        wanted(|name| set.iter().find(|(one, _)| *one == name).map(|(_, text)| (*text).to_owned()))
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

    // O04: nothing is exported unless an endpoint is configured, and the usual switches turn it off.
    #[test]
    fn traces_are_wanted_if_an_endpoint_is_named_and_nothing_turns_them_off() {
        for off in [
            &[][..],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
            &[("OTEL_SERVICE_NAME", "x"), ("OTEL_TRACES_SAMPLER", "always_on")],
            &[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")],
            &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            assert_eq!(of(off), Ok(None), "{off:?}");
        }
        let found = of(&[ENDPOINT]).unwrap().unwrap();
        let expected = Wanted {
            shown: "http://127.0.0.1:4318/".to_owned(),
            queue: 2048,
            timeout: Duration::from_secs(10),
            is_named: false,
        };
        assert_eq!(found, expected);
        let all = of(&[
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector.example/v1/traces"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_TRACES_EXPORTER", "otlp"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "99999999"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "500"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=edge"),
        ]);
        let all = all.unwrap().unwrap();
        assert_eq!((all.queue, all.timeout), (65_536, Duration::from_millis(500)));
        assert!(all.is_named && all.shown == "https://collector.example/v1/traces");
    }

    // O04: a mistake is named, and no value is repeated.
    #[test]
    fn a_wrong_variable_is_named_without_its_value() {
        for (set, name) in [
            (("OTEL_EXPORTER_OTLP_ENDPOINT", "secret"), "OTEL_EXPORTER_OTLP_ENDPOINT"),
            (("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:secret@b"), "OTEL_EXPORTER_OTLP_ENDPOINT"),
            (("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), "OTEL_EXPORTER_OTLP_PROTOCOL"),
            (("OTEL_TRACES_EXPORTER", "zipkin"), "OTEL_TRACES_EXPORTER"),
        ] {
            let problem = of(&[set, ENDPOINT]).unwrap_err();
            assert!(problem.contains(name) && !problem.contains("secret"), "{problem}");
        }
        assert!(is_known_sampler(|_| None) && !is_known_sampler(|_| Some("xray".to_owned())));
    }
}
