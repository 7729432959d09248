//! The text that Prometheus reads.

use std::collections::{HashMap, HashSet};

use reqwest::Method;
use serde_json::json;

use crate::support::process::ControlPlane;

// D44: every series has a help text and a type; durations can be added up over processes.
#[tokio::test]
async fn every_series_has_help_and_type_and_durations_are_histograms() {
    let plane = ControlPlane::start().await;
    let session = plane.posted("/v1/sessions", &json!({ "sub": "alice" })).await;
    plane.posted("/v1/revocations", &json!({ "session_id": session["session_id"] })).await;
    plane.post("/v1/revocations", &json!({ "nothing": 1 })).await;
    let response = plane.admin(Method::GET, "/metrics").send().await.unwrap();
    let text = response.text().await.unwrap();
    let (mut help, mut types, mut names) = (HashMap::new(), HashMap::new(), HashSet::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, said) = rest.split_once(' ').unwrap();
            assert!(help.insert(name, said).is_none(), "{name} is described twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(types.insert(name, kind).is_none(), "{name} has two types");
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let ends = ["_bucket", "_sum", "_count"];
            let base = ends.iter().find_map(|end| name.strip_suffix(end));
            let is_part = base.is_some_and(|base| types.get(base) == Some(&"histogram"));
            names.insert(if is_part { base.unwrap() } else { name });
        }
    }
    assert!(names.len() > 10, "{text}");
    for name in names {
        assert!(help.get(name).is_some_and(|said| said.len() > 10), "{name} has no HELP");
        let kind = types.get(name).unwrap_or_else(|| panic!("{name} has no TYPE"));
        assert_ne!(*kind, "summary", "{name} cannot be added up");
        assert_eq!(name.ends_with("_total"), *kind == "counter", "{name} is a {kind}");
    }
    for name in ["offswitch_http_seconds", "offswitch_publish_seconds"] {
        assert_eq!(types.get(name), Some(&"histogram"));
    }
    assert!(!text.contains(plane.admin_key().trim()));
}
