//! The signature of what an identity provider sends, checked with the keys of its issuer.

use offswitch_verifier::{Jws, KeySet, Refusal as TokenRefusal, Shown, read_object};
use serde_json::{Map, Value};

use super::{Refusal, Sender};

/// A statement that its issuer has signed. Whether it is meant for us, and what it says, is not
/// judged yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Signed {
    /// The media type of the header, in lower case and without `application/`.
    pub(super) typ: Option<String>,
    /// The name of the key that has signed, which the token need not name.
    pub kid: Option<String>,
    pub(super) claims: Map<String, Value>,
}

/// Checks the signature of `token` with the `keys` of its sender.
///
/// # Errors
///
/// `malformed`, `unsupported_algorithm`, `bad_signature` or `unknown_key`: then a newer key set may
/// have the key.
pub fn open(token: &str, keys: &KeySet, sender: &Sender) -> Result<Signed, Refusal> {
    let refused = |refusal: TokenRefusal| Refusal::new(refusal.code(), refusal.to_string());
    let jws = Jws::parse(token).map_err(refused)?;
    let (algorithm, kid) = (jws.algorithm(), jws.kid());
    // The issuer's registration says which; a key of the set may allow more.
    if algorithm.is_symmetric() || !sender.algorithms.contains(&algorithm) {
        let found = algorithm.name();
        let detail = format!("alg is {found}, the issuer is registered with other algorithms");
        return Err(Refusal::new("unsupported_algorithm", detail));
    }
    let Some((_, key)) = keys.find(kid, algorithm) else {
        if let Some(other) = keys.keys().iter().find(|key| kid.is_some() && key.kid() == kid) {
            let (found, expected) = (algorithm.name(), other.algorithm().name());
            let detail = format!("alg is {found}, expected {expected}, the algorithm of that key");
            return Err(Refusal::new("unsupported_algorithm", detail));
        }
        let kid = kid.map_or("missing".to_owned(), |kid| Shown::new(kid).into());
        let detail = format!("kid is {kid}, the issuer's key set has no such key");
        return Err(Refusal::new(UNKNOWN_KEY, detail));
    };
    let payload = jws.verify(key).map_err(refused)?;
    let not_object = || Refusal::new("malformed", "the payload is not one JSON object");
    let claims = read_object(&payload).ok_or_else(not_object)?;
    Ok(Signed { typ: jws.typ().map(short_type), kid: key.kid().map(str::to_owned), claims })
}

impl Signed {
    /// That the issuer names itself, and one of these audiences.
    pub(super) fn check_parties(&self, issuer: &str, audiences: &[String]) -> Result<(), Refusal> {
        match self.claims.get("iss").and_then(Value::as_str) {
            Some(iss) if iss == issuer => {}
            Some(iss) => {
                let (iss, expected) = (Shown::new(iss), Shown::new(issuer));
                let detail = format!("iss is {iss}, expected {expected}");
                return Err(Refusal::new("wrong_issuer", detail));
            }
            None => return Err(self.lacks("iss")),
        }
        let found: Vec<&str> = match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => return Err(self.lacks("aud")),
        };
        if found.iter().any(|name| audiences.iter().any(|known| known == name)) {
            return Ok(());
        }
        let first = found.first().map_or("empty".to_owned(), |name| Shown::new(name).into());
        let detail = format!("aud is {first}, which is not registered for this receiver");
        Err(Refusal::new("wrong_audience", detail))
    }

    /// A claim that is a text of 1 to 256 bytes, if it is there.
    pub(super) fn id(&self, name: &'static str) -> Result<Option<&str>, Refusal> {
        match self.claims.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if crate::revoking::is_id(text) => Ok(Some(text)),
            Some(_) => Err(Refusal::new("malformed", format!("{name} must have 1 to 256 bytes"))),
        }
    }

    /// A time in unix seconds (RFC 7519 section 2, without its fraction), if it is there.
    pub(super) fn time(&self, name: &'static str) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.claims.get(name) else { return Ok(None) };
        // Seconds beyond what a float holds exactly are no time.
        let seconds = value.as_f64().filter(|seconds| (0.0..9e15).contains(seconds));
        let wrong = || Refusal::new("malformed", format!("{name} must be unix seconds"));
        seconds.map(|seconds| Some(seconds as u64)).ok_or_else(wrong)
    }

    /// The `iat`, at most `max_age` seconds ago at `now`. `exp` may be missing: what is sent without it is
    /// bounded by `iat`.
    pub(super) fn check_times(&self, skew: u64, max_age: u64, now: u64) -> Result<u64, Refusal> {
        let leeway = skew.max(LEEWAY_SECONDS);
        let iat = self.time("iat")?.ok_or_else(|| self.lacks("iat"))?;
        if iat > now.saturating_add(leeway) {
            let detail = format!("iat is {iat}, now is {now}: is a clock wrong?");
            return Err(Refusal::new("not_yet_valid", detail));
        }
        if let Some(exp) = self.time("exp")?
            && exp.saturating_add(leeway) <= now
        {
            return Err(Refusal::new("expired", format!("exp is {exp}, now is {now}")));
        }
        if iat.saturating_add(max_age) < now {
            let detail = format!("iat is {iat}, now is {now}, accepted for {max_age} s");
            return Err(Refusal::new("too_old", detail));
        }
        Ok(iat)
    }

    /// The refusal of a statement without a claim that it needs, or with one of the wrong type.
    pub(super) fn lacks(&self, name: &'static str) -> Refusal {
        match self.claims.contains_key(name) {
            true => Refusal::new("malformed", format!("{name} has the wrong type")),
            false => Refusal::new("missing_claim", format!("{name} is missing")),
        }
    }
}

/// Media types compare without case, and `application/` may be left out (RFC 7515 section 4.1.9).
fn short_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    match typ.strip_prefix("application/") {
        Some(short) if !short.contains('/') => short.to_owned(),
        _ => typ,
    }
}

/// How far the clock of a provider may differ; a registration may allow more.
const LEEWAY_SECONDS: u64 = 60;
/// The code of a token whose key is not in the key set.
pub const UNKNOWN_KEY: &str = "unknown_key";
