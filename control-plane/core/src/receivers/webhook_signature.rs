//! The signatures of webhooks: an HMAC-SHA256 over the bytes of the body, and mostly over a time.

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Refusal;

/// How the requests of a provider are authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp` and `webhook-signature`, or the same headers
    /// with `svix-`. Secrets are `whsec_…`.
    Standard,
    /// One header with time and signatures, `t=…,v1=…`: the HMAC of `{t}.{body}` in hexadecimal digits.
    Stamped {
        /// The header's name.
        header: String,
    },
    /// A header with the HMAC of the body.
    Hmac {
        /// The header's name.
        header: String,
        /// What is before the HMAC in the header, such as `sha256=`.
        #[serde(default)]
        prefix: String,
        /// How the HMAC is written.
        #[serde(default)]
        encoding: HmacEncoding,
        /// A header with unix seconds: then `{time}.{body}` is signed.
        #[serde(default)]
        timestamp_header: Option<String>,
    },
    /// A header with the secret itself, for providers that sign nothing. A request that was seen once can be
    /// made again by anyone who has seen it: use it over TLS only.
    Shared {
        /// The header's name.
        header: String,
        /// What is before the secret in the header, such as `Bearer `.
        #[serde(default)]
        prefix: String,
    },
}

/// How an HMAC is written as text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HmacEncoding {
    /// Hexadecimal digits.
    #[default]
    Hex,
    /// Base64 with padding.
    Base64,
}

/// A request that somebody with the secret has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genuine {
    /// The id of the event, if it is signed.
    pub id: Option<String>,
    /// When it was sent, unix seconds, if that is signed.
    pub at: Option<u64>,
}

impl Genuine {
    /// What tells the event from others. Two bodies may be equal, as when a user is banned a second time:
    /// then the signed time decides, so that no event is taken for one before it.
    pub fn event_id(&self, body: &[u8]) -> String {
        let of_body = || {
            let at = self.at.map(|at| at.to_string()).unwrap_or_default();
            format!("body {} {at}", Base64::encode_string(&Sha256::digest(body)))
        };
        self.id.clone().unwrap_or_else(of_body)
    }
}

impl Scheme {
    /// Checks a request at `now` (unix seconds). `header` has the one value of a header. Any of the
    /// `secrets` may have signed, so that they can be changed without a gap.
    ///
    /// # Errors
    ///
    /// `missing_signature`, `bad_signature`, and `too_old` or `not_yet_valid` for a time that is more than
    /// five minutes away.
    pub fn verify<'a>(
        &self,
        header: impl Fn(&str) -> Option<&'a str>,
        body: &[u8],
        secrets: &[&str],
        now: u64,
    ) -> Result<Genuine, Refusal> {
        let need = |name: &str| {
            let lacks =
                || Refusal::new("missing_signature", format!("{name} is missing, or twice"));
            header(name).ok_or_else(lacks)
        };
        if let Self::Shared { header: name, prefix } = self {
            let shown = need(name)?.strip_prefix(prefix.as_str()).unwrap_or_default();
            return self.verify_shared(shown, secrets);
        }
        let (signed, id, at, signatures) = match self {
            Self::Standard => {
                let prefix = if header("webhook-id").is_some() { "webhook" } else { "svix" };
                let id = need(&format!("{prefix}-id"))?;
                let time = need(&format!("{prefix}-timestamp"))?;
                let all = need(&format!("{prefix}-signature"))?;
                let v1 =
                    all.split(' ').take(MAX_SIGNATURES).filter_map(|one| one.strip_prefix("v1,"));
                let signatures: Vec<_> =
                    v1.filter_map(|one| Base64::decode_vec(one).ok()).collect();
                // Neither may bring its own separator: else two requests would sign as one.
                let id = Some(id).filter(|id| (1..=256).contains(&id.len()) && !id.contains('.'));
                let id = id.ok_or_else(|| Refusal::new("malformed", "the id of the request"))?;
                (format!("{id}.{time}."), Some(id), Some(seconds(time, 1)?), signatures)
            }
            Self::Stamped { header } => {
                let all = need(header)?;
                let parts = || all.split(',').map(str::trim).take(MAX_SIGNATURES);
                let time = parts().find_map(|part| part.strip_prefix("t="));
                let time =
                    time.ok_or_else(|| Refusal::new("missing_signature", "t= is missing"))?;
                let v1 = parts().filter_map(|part| part.strip_prefix("v1="));
                // Stripe counts seconds, WorkOS milliseconds.
                let unit = if time.len() > 11 { 1000 } else { 1 };
                let at = Some(seconds(time, unit)?);
                (format!("{time}."), None, at, v1.filter_map(from_hex).collect())
            }
            Self::Hmac { header, prefix, encoding, timestamp_header } => {
                let text = need(header)?.strip_prefix(prefix.as_str()).unwrap_or_default();
                let signature = match encoding {
                    HmacEncoding::Hex => from_hex(text),
                    HmacEncoding::Base64 => Base64::decode_vec(text).ok(),
                };
                let time = timestamp_header.as_deref().map(need).transpose()?;
                let at = time.map(|time| seconds(time, 1)).transpose()?;
                let signed = time.map(|time| format!("{time}.")).unwrap_or_default();
                (signed, None, at, signature.into_iter().collect())
            }
            Self::Shared { .. } => (String::new(), None, None, vec![]),
        };
        let is_signed = secrets.iter().filter_map(|secret| self.key(secret)).any(|key| {
            let Ok(mac) = Hmac::<Sha256>::new_from_slice(&key) else { return false };
            let mac = mac.chain_update(signed.as_bytes()).chain_update(body);
            // Each comparison takes the same time for all bytes.
            signatures.iter().any(|one| mac.clone().verify_slice(one).is_ok())
        });
        if !is_signed {
            return Err(Refusal::new("bad_signature", "no secret has made this signature"));
        }
        at.map_or(Ok(()), |at| check_time(at, now))?;
        Ok(Genuine { id: id.map(str::to_owned), at })
    }

    /// Both are compared by their HMAC: it takes the same time for all bytes.
    fn verify_shared(&self, shown: &str, secrets: &[&str]) -> Result<Genuine, Refusal> {
        let is_same = |key: Vec<u8>| {
            let Ok(mac) = Hmac::<Sha256>::new_from_slice(&key) else { return false };
            let expected = mac.clone().chain_update(&key).finalize().into_bytes();
            mac.chain_update(shown).verify_slice(&expected).is_ok()
        };
        if !secrets.iter().filter_map(|secret| self.key(secret)).any(is_same) {
            return Err(Refusal::new("bad_signature", "the header has none of the secrets"));
        }
        Ok(Genuine { id: None, at: None })
    }

    /// The bytes of a secret; none if it is not one of this scheme.
    pub fn key(&self, secret: &str) -> Option<Vec<u8>> {
        let key = match self {
            Self::Standard => Base64::decode_vec(secret.strip_prefix("whsec_")?).ok()?,
            Self::Stamped { .. } | Self::Hmac { .. } | Self::Shared { .. } => {
                secret.as_bytes().to_vec()
            }
        };
        (key.len() >= LEAST_KEY_BYTES).then_some(key)
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        let is_header = |name: &str| {
            (1..=MAX_HEADER_BYTES).contains(&name.len())
                && name.bytes().all(|byte| byte == b'-' || byte.is_ascii_alphanumeric())
        };
        match self {
            Self::Standard => Ok(()),
            Self::Stamped { header } if is_header(header) => Ok(()),
            Self::Shared { header, prefix } if is_header(header) && prefix.len() <= 32 => Ok(()),
            Self::Hmac { header, prefix, timestamp_header, .. }
                if is_header(header)
                    && timestamp_header.as_deref().is_none_or(is_header)
                    && prefix.len() <= 32 =>
            {
                Ok(())
            }
            _ => Err("must name headers, and a prefix of at most 32 bytes"),
        }
    }
}

/// That a request was sent at about `now`, both in unix seconds.
fn check_time(at: u64, now: u64) -> Result<(), Refusal> {
    let detail = || format!("sent at {at}, now is {now}: at most {TOLERANCE_SECONDS} s");
    if at.saturating_add(TOLERANCE_SECONDS) < now {
        return Err(Refusal::new("too_old", detail()));
    }
    if at > now.saturating_add(TOLERANCE_SECONDS) {
        return Err(Refusal::new("not_yet_valid", detail()));
    }
    Ok(())
}

/// Unix seconds, written in digits and counted in the `unit`-th part of a second.
fn seconds(text: &str, unit: u64) -> Result<u64, Refusal> {
    let is_plain = (1..=16).contains(&text.len()) && text.bytes().all(|one| one.is_ascii_digit());
    let number = Some(text).filter(|_| is_plain).and_then(|text| text.parse::<u64>().ok());
    number
        .map(|number| number / unit)
        .ok_or_else(|| Refusal::new("malformed", "the time is no number"))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let is_plain = text.len() == 64 && text.bytes().all(|one| one.is_ascii_hexdigit());
    is_plain.then(|| digits.map(byte).collect()).flatten()
}

/// As Standard Webhooks recommends.
pub(super) const TOLERANCE_SECONDS: u64 = 300;
pub(super) const MAX_HEADER_BYTES: usize = 64;
/// While a secret is changed, two are sent.
const MAX_SIGNATURES: usize = 16;
/// Shorter secrets can be guessed from one request.
const LEAST_KEY_BYTES: usize = 16;
