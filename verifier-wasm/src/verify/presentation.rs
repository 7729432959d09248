//! How a token is presented, and whether its binding allows that. The verdict on the token itself
//! is separate: a caller that asks about a token which is not presented needs no proof.

use crate::dpop::{DpopRequest, Entry, ProofMemory};
use crate::json::{Object, Value};
use crate::snapshot::base64url;
use crate::verify::defect::Defect;
use crate::verify::refusal::{Objection, Refusal};
use crate::verify::standing::Standing;

/// How a token is presented. There is no default: a caller that forgets it does not compile, and
/// [`Verifier::verify`](crate::Verifier::verify) treats every token as a bearer token.
#[derive(Debug)]
pub enum Presentation<'a> {
    /// As a bearer token (RFC 6750): every client that has it may present it, so a token that is
    /// bound to a key is refused.
    Bearer,
    /// With a proof of the key that it is bound to (RFC 9449). The proof is remembered once the
    /// token is valid with it.
    Dpop(DpopRequest<'a>, &'a mut ProofMemory),
    /// No client presents it now. For introspection, for revocation, and for a connection whose
    /// token was presented when it was opened.
    NotShown,
}

impl Presentation<'_> {
    /// Whether a token with this `standing` may be presented like that at `now` (unix seconds).
    /// Returns the proof to [`remember`](Self::remember) if everything else is valid too.
    pub(crate) fn check(
        &mut self,
        standing: &Standing,
        max_age_seconds: u64,
        now: u64,
    ) -> Result<Option<Entry>, Objection> {
        match (self, &standing.binding) {
            (Self::Bearer, Binding::None) | (Self::NotShown, _) => Ok(None),
            (Self::Dpop(..), Binding::None) => Err(Refusal::UnboundToken.into()),
            (Self::Dpop(request, memory), Binding::Key(thumbprint)) => {
                let entry = request.check(thumbprint, max_age_seconds, now)?;
                memory.check(&entry, now)?;
                Ok(Some(entry))
            }
            _ => Err(Refusal::SenderConstrained.into()),
        }
    }

    pub(crate) fn remember(self, entry: Option<Entry>) {
        if let (Self::Dpop(_, memory), Some(entry)) = (self, entry) {
            memory.enter(entry);
        }
    }
}

/// What the holder of a token must prove to possess: its `cnf` (RFC 7800).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Binding {
    /// Nothing.
    #[default]
    None,
    /// The private key with this thumbprint (`jkt`, RFC 9449 section 6.1). In a box: most tokens
    /// have none, and thousands of standings are kept.
    Key(Box<[u8; 32]>),
    /// Something that cannot be proved here, such as a certificate (RFC 8705).
    Other,
}

impl Binding {
    pub(crate) fn read(cnf: &Value<'_>) -> Result<Self, Refusal> {
        let Value::Object(cnf) = cnf else { return Err(wrong("cnf", cnf, "an object")) };
        match cnf.get("jkt") {
            None => Ok(Self::Other),
            Some(jkt) => {
                let thumbprint = jkt.as_text().and_then(base64url::decode);
                let thumbprint = thumbprint.and_then(|bytes| bytes.try_into().ok());
                let expected = "a SHA-256 thumbprint in base64url";
                let thumbprint = thumbprint.ok_or_else(|| wrong("/cnf/jkt", jkt, expected))?;
                Ok(if is_key_alone(cnf) { Self::Key(Box::new(thumbprint)) } else { Self::Other })
            }
        }
    }
}

/// False if the token is bound to a certificate too, which nothing here can check.
fn is_key_alone(cnf: &Object<'_>) -> bool {
    !cnf.contains("x5t#S256")
}

#[cold]
fn wrong(name: &'static str, value: &Value<'_>, expected: &'static str) -> Refusal {
    Defect::Claim { name: name.into(), found: value.kind(), expected }.into()
}
