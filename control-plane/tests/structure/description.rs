//! The committed description of the API, from which clients are generated.

use std::fs;
use std::path::Path;

// D32: a change of the API shows in the commit that makes it.
#[test]
fn the_committed_description_is_the_one_that_is_served() {
    let mut served = serde_json::to_value(offswitch::http::description()).unwrap();
    // An example that can be sent unchanged has a day in the future.
    let example = "/paths/~1v1~1revocations/post/requestBody/content/application~1json/examples/jti\
                   /value/exp";
    *served.pointer_mut(example).unwrap() = 0.into();
    let served = serde_json::to_string_pretty(&served).unwrap() + "\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(&file, &served).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let advice = "run UPDATE_OPENAPI=1 cargo test --all-features --test structure, and commit \
                  control-plane/openapi.json";
    assert!(committed == served, "{advice}");
}
