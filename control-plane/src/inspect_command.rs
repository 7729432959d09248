//! `offswitch inspect`: what is in a token. Asks no server.

use std::path::PathBuf;

use base64ct::{Base64UrlUnpadded, Encoding};
use clap::Args;
use offswitch::clock::unix_seconds;
use offswitch_verifier::{Jws, KeySet, read_object};
use serde_json::{Map, Value, json};

use crate::command_line::{
    Answer, EXIT_CODES, Exit, Failure, Kind, Outcome, fields, moment, plain, read_text, read_token,
    scalar,
};

/// Decodes a token on this machine: its header and its claims, without its signature.
///
/// With the issuer's keys the signature is checked, and nothing else: `offswitch verify` judges a token.
/// Without keys it is decoded as well, but then anyone may have made it: the first line says so, and the
/// exit code is 3.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Inspect {
    /// A file with the token; `-` reads the standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// A file with the issuer's keys: a JWK set.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Prints JSON, also for errors: `{"code", "detail"}`.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The parts of a token that are shown.
struct Decoded {
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl Inspect {
    pub(crate) fn run(&self) -> Outcome {
        let token = read_token(&self.file)?;
        let decoded = Decoded::read(&token)?;
        let verified_by = match &self.keys {
            Some(file) => {
                let keys = read_text(file, KEY_SET_BYTES)?;
                Some(verify(&token, keys.as_bytes())?)
            }
            None => None,
        };
        Ok(decoded.answer(verified_by.as_deref()))
    }
}

impl Decoded {
    fn read(token: &str) -> Result<Self, Failure> {
        let malformed = |detail: String| Failure::refused(Exit::Refused, "malformed", detail);
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, _signature] = &parts[..] else {
            let detail = match parts.len() {
                5 => "has five parts: an encrypted token cannot be decoded".to_owned(),
                count => format!("has {count} part(s), expected three with dots between them"),
            };
            return Err(malformed(detail));
        };
        let read = |name: &str, part: &str| {
            let bytes = Base64UrlUnpadded::decode_vec(part).ok();
            let object = bytes.and_then(|bytes| read_object(&bytes));
            let problem = || malformed(format!("the {name} is not a JSON object in base64url"));
            object.ok_or_else(problem)
        };
        Ok(Self { header: read("header", header)?, claims: read("payload", claims)? })
    }

    fn answer(self, verified_by: Option<&str>) -> Answer {
        let Self { header, claims } = self;
        let now = unix_seconds();
        let (exit, first) = match verified_by {
            Some(key) => (
                Exit::Done,
                format!(
                    "signature: verified, by key {}; times, audience and revocation are not checked",
                    plain(key)
                ),
            ),
            None => {
                (Exit::Undecided, "signature: NOT VERIFIED, anyone may have made it".to_owned())
            }
        };
        let rows = |object: &Map<String, Value>| {
            let rows = object.iter().map(|(name, value)| {
                let text = match value {
                    Value::String(_) => scalar(value),
                    other => Some(other.to_string()),
                };
                let at = TIMES.contains(&name.as_str()).then(|| relative(value, now)).flatten();
                let text = text.map(|text| text + &at.unwrap_or_default());
                (plain(name), text)
            });
            let rows: Vec<(String, Option<String>)> = rows.collect();
            fields(rows.iter().map(|(name, text)| (name.as_str(), text.clone())))
        };
        let text = format!("{first}\n\n{}\n{}", rows(&header), rows(&claims));
        let signature = if verified_by.is_some() { "verified" } else { "not_verified" };
        let json = json!({
            "signature": signature, "verified_by": verified_by, "header": header, "claims": claims,
        });
        Answer { exit, text, json }
    }
}

/// Checks the signature alone. Returns the id of the key, or what names it.
fn verify(token: &str, keys: &[u8]) -> Result<String, Failure> {
    let jws = Jws::parse(token).map_err(|refusal| refused(&refusal))?;
    let keys = KeySet::from_jwks(keys, &[jws.algorithm()]);
    let keys = keys.map_err(|error| Failure::new(Kind::InvalidKey, format!("--keys: {error}")))?;
    let Some((place, key)) = keys.find(jws.kid(), jws.algorithm()) else {
        let detail = "the set has no key with the token's kid and algorithm";
        return Err(Failure::refused(Exit::Refused, "unknown_key", detail));
    };
    jws.verify(key).map_err(|refusal| refused(&refusal))?;
    Ok(key.kid().map_or_else(|| format!("number {}", place + 1), str::to_owned))
}

fn refused(refusal: &offswitch_verifier::Refusal) -> Failure {
    Failure::refused(Exit::Refused, refusal.code(), refusal.to_string())
}

/// ` (2026-03-01T12:00:00Z, 5 s ago)`.
fn relative(value: &Value, now: u64) -> Option<String> {
    let at = value.as_u64()?;
    let distance = match at.checked_sub(now) {
        Some(ahead) => format!("in {ahead} s"),
        None => format!("{} s ago", now - at),
    };
    // A time beyond year 9999 is shown as it is.
    (at <= LAST_SECOND).then(|| format!(" ({}, {distance})", moment(value).unwrap_or_default()))
}

/// The claims that are times (RFC 7519 section 4.1, OpenID Connect Core 1.0 section 2).
const TIMES: [&str; 5] = ["auth_time", "exp", "iat", "nbf", "updated_at"];
const LAST_SECOND: u64 = 253_402_300_799;
const KEY_SET_BYTES: usize = 256 * 1024;
