//! A token that is revoked to see how soon it is refused.

use offswitch_verifier::Shown;
use serde_json::Value;

use super::Finding;

/// Whether the edge lets the token pass that is to be revoked.
pub fn edge_accepts(answer: Result<u16, &str>) -> Finding {
    let check = "edge_before";
    match answer {
        Ok(status @ 200..=299) => Finding::ok(check, format!("it answers {status} with the token")),
        Ok(status) => {
            let advice = match status {
                401 | 403 => {
                    "it refuses the token already; compare the settings of its verifier \
                              (issuer, audience, types, keys)"
                }
                503 => "its verifier cannot decide; see its feed and its key set",
                300..=399 => "it redirects, which is not followed; give the final address",
                _ => "give an address that answers 2xx with this token",
            };
            Finding::failed(check, format!("it answers {status}: {advice}"))
        }
        Err(error) => Finding::failed(check, format!("{error}; see the address of --edge")),
    }
}

/// What the control plane says to the revocation.
pub fn revocation(answer: Result<(u16, Option<&Value>), &str>) -> Finding {
    let check = "revocation";
    let (status, body) = match answer {
        Ok(answer) => answer,
        Err(error) => return Finding::failed(check, format!("{error}; it may have been revoked")),
    };
    let text = |name: &str| body.and_then(|body| body.get(name)).and_then(Value::as_str);
    let shown = |name: &str| Shown::new(text(name).unwrap_or("unknown"));
    if (200..300).contains(&status) {
        let (position, durability) = (shown("position"), shown("durability"));
        return Finding::ok(check, format!("recorded at the position {position}, {durability}"));
    }
    let (code, detail) = (shown("code"), shown("detail"));
    Finding::failed(check, format!("the token was not revoked: {status} {code}: {detail}"))
}

/// When the edge refused the token, in milliseconds after the revocation was sent; or what it
/// answered last until `limit_seconds` had passed.
pub fn edge_refuses(outcome: Result<u64, &str>, limit_seconds: u64) -> Finding {
    let check = "edge_refusal";
    match outcome {
        Ok(milliseconds) => {
            let detail = format!("401 came {milliseconds} ms after the revocation was sent");
            Finding { milliseconds: Some(milliseconds), ..Finding::ok(check, detail) }
        }
        Err(last) => {
            let detail = format!(
                "the token is revoked, and {limit_seconds} s later the edge does not refuse it \
                 ({last}); see the feed of its verifier, and caches in front of it"
            );
            Finding::failed(check, detail)
        }
    }
}
