//! The one file that touches `wasm_bindgen`: it converts and never decides.
//!
//! Only strings, numbers and bytes cross the boundary; structured answers are JSON text.

#![expect(unreachable_pub, reason = "wasm_bindgen exports public items only")]

use base64ct::{Base64UrlUnpadded, Encoding};
use js_sys::Uint8Array;
use serde::Serialize;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::claims::whole_seconds;
use crate::config::VerifierConfig;
use crate::keys::{KeySet, VerifyingKey};
use crate::snapshot::{ChainHash, Floor};
use crate::verdict::{Decision, Evidence};
use crate::verifier::Verifier;

/// A verifier in wasm; `offswitch`'s JavaScript wraps it.
#[wasm_bindgen(js_name = WasmVerifier)]
#[derive(Debug)]
pub struct WasmVerifier(Verifier);

#[wasm_bindgen(js_class = WasmVerifier)]
impl WasmVerifier {
    /// Reads a [`VerifierConfig`] from JSON; throws with every problem at once.
    #[wasm_bindgen(constructor)]
    pub fn new(config: &str) -> Result<Self, js_sys::Error> {
        VerifierConfig::from_json(config).and_then(Verifier::new).map(Self).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            js_sys::Error::new(&lines.join("; "))
        })
    }

    /// Replaces an issuer's keys with a JWK set; answers with the names of keys left out, as JSON.
    #[wasm_bindgen(js_name = setKeys)]
    pub fn set_keys(&mut self, issuer: &str, jwks: &str) -> Result<String, js_sys::Error> {
        let keys = KeySet::from_jwks(jwks.as_bytes()).map_err(error)?;
        let refused: Vec<_> = keys
            .refused()
            .iter()
            .map(|key| Refused { kid: key.kid.clone(), problem: key.problem.to_string() })
            .collect();
        if !self.0.set_keys(issuer, keys) {
            return Err(js_sys::Error::new("no such issuer is configured"));
        }
        serde_json::to_string(&refused).map_err(error)
    }

    /// Applies one snapshot at `now` (unix seconds); answers with what changed, as JSON.
    pub fn apply(&mut self, snapshot: &Uint8Array, now: f64) -> Result<String, js_sys::Error> {
        let answer = match self.0.apply(snapshot.to_vec(), clock(now)?) {
            Ok(applied) => Answer::Applied { applied: applied.code() },
            Err(problem) => Answer::Failed {
                error: problem.code(),
                detail: problem.to_string(),
                needs_base: problem.needs_base(),
            },
        };
        serde_json::to_string(&answer).map_err(error)
    }

    /// The position to ask the feed for more from, or undefined where a base is wanted.
    pub fn since(&self) -> Option<String> {
        self.0.feed().since().map(|position| position.to_string())
    }

    /// The newest position ever seen with its chain hash, to be remembered across restarts.
    pub fn floor(&self) -> String {
        let floor = self.0.feed().floor();
        format!("{}.{}", floor.position, Base64UrlUnpadded::encode_string(&floor.chain.0))
    }

    /// Resumes at a remembered floor.
    pub fn resume(&mut self, floor: &str) -> Result<(), js_sys::Error> {
        let wrong = || js_sys::Error::new("not a floor");
        let (position, chain) = floor.rsplit_once('.').ok_or_else(wrong)?;
        let position = position.parse().map_err(error)?;
        let chain = Base64UrlUnpadded::decode_vec(chain).map_err(|_| wrong())?;
        let chain = ChainHash(chain.try_into().map_err(|_| wrong())?);
        self.0.feed_mut().resume(Floor { position, chain });
        Ok(())
    }

    /// Judges a token at `now` (unix seconds); the verdict as JSON.
    pub fn verify(&self, token: &str, now: f64) -> Result<String, js_sys::Error> {
        let verdict = self.0.verify(token, clock(now)?);
        // The claims go out as they were signed: writing them anew would cost time and an eighth
        // of the wasm file.
        let (detail, claims) = match &verdict.decision {
            Decision::Refused(refusal) => (Some(refusal.to_string()), None),
            Decision::Undecided(undecided) => (Some(undecided.to_string()), None),
            Decision::Valid(claims) => (None, Some(claims.text())),
        };
        let outcome = verdict.decision.outcome();
        let answer = Judged { outcome, code: verdict.code(), detail, evidence: verdict.evidence };
        let mut text = serde_json::to_string(&answer).map_err(error)?;
        if let Some(claims) = claims {
            text.pop();
            text.extend([",\"claims\":", claims, "}"]);
        }
        Ok(text)
    }
}

/// A verdict without its claims.
#[derive(Serialize)]
struct Judged {
    outcome: &'static str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    evidence: Evidence,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Applied {
        applied: &'static str,
    },
    Failed {
        error: &'static str,
        detail: String,
        #[serde(rename = "needsBase")]
        needs_base: bool,
    },
}

#[derive(Serialize)]
struct Refused {
    kid: Option<String>,
    problem: String,
}

/// The signature layer alone: true if `signature` is the key's under `message`.
#[wasm_bindgen(js_name = verifySignature)]
pub fn verify_signature(
    jwk: &str,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, js_sys::Error> {
    let keys = KeySet::from_jwks(jwk.as_bytes()).map_err(error)?;
    Ok(keys.keys().iter().any(|key| key.accepts(signature, message)))
}

/// The JWS layer alone: the payload of `token` if one of the keys signed it.
#[wasm_bindgen(js_name = verifyJws)]
pub fn verify_jws(jwks: &str, token: &str) -> Result<Option<Vec<u8>>, js_sys::Error> {
    let keys = KeySet::from_jwks(jwks.as_bytes()).map_err(error)?;
    let verify = |key: &VerifyingKey| crate::verify_jws(token, key).ok();
    Ok(keys.keys().iter().find_map(verify))
}

fn clock(now: f64) -> Result<u64, js_sys::Error> {
    whole_seconds(now)
        .ok_or_else(|| js_sys::Error::new("now must be unix seconds, finite and >= 0"))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err asks for")]
fn error(error: impl ToString) -> js_sys::Error {
    js_sys::Error::new(&error.to_string())
}
