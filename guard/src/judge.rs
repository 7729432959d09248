//! One request, judged: is it clear what it asks for, which route is for it, and does it have what
//! the route needs.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::HeaderName;
use offswitch_client::{Claims, Decision, Presentation, Verifier};
use tokio::time::timeout;

use crate::answer::{Answer, Denial};
use crate::claim_headers::{ClaimHeader, Forwarded, could_be_taken_for};
use crate::gateway::{Asked, Fields, Gateway, Single};
use crate::routes::{Access, ClearPath, Policy, Routes, WhenUndecided, is_clear_method};

/// What requests are judged by, apart from tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// The gateway that asks.
    pub gateway: Gateway,
    /// The origin under which clients see the gateway, for DPoP proofs.
    pub public_url: Option<String>,
    /// The header with the id that the gateway gives each request.
    pub watch_id_header: HeaderName,
    /// The routes.
    pub routes: Routes,
    /// The headers with claims for the upstream.
    pub headers: Vec<ClaimHeader>,
    /// After an event that refuses all tokens, clients get a time to come back between 1 and this
    /// many seconds later.
    pub retry_jitter_seconds: u64,
}

/// A request that got through, and stays open.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) token: String,
    /// The id that the gateway gave the request.
    pub(crate) id: String,
    pub(crate) longest: Duration,
}

/// What a request gets through with.
#[derive(Default)]
struct Shown<'a>(Option<(Cow<'a, str>, Claims)>);

/// How a client shows a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Dpop,
}

impl Rules {
    /// Judges a request. If its connection is to be watched, says so.
    pub(crate) async fn judge<F: Fields>(
        &self,
        verifier: &Verifier,
        asked: &Asked<'_, F>,
    ) -> (Answer<'_>, Option<Watched>) {
        match self.passed(verifier, asked).await {
            Ok((forwarded, code, watched)) => (Answer::Passed(forwarded, code), watched),
            Err(denial) => (Answer::Denied(denial), None),
        }
    }

    async fn passed<F: Fields>(
        &self,
        verifier: &Verifier,
        asked: &Asked<'_, F>,
    ) -> Result<(Forwarded<'_>, &'static str, Option<Watched>), Denial> {
        let policy = self.policy(asked)?;
        let shown = self.shown(verifier, policy, asked).await?;
        let claims = shown.0.as_ref().map(|(_, claims)| claims);
        let forwarded = self.forwarded(claims, asked.fields)?;
        let code = if claims.is_some() { "valid" } else { "anonymous" };
        Ok((forwarded, code, watched(policy, shown, asked)?))
    }

    /// The policy of the route that is for a request.
    fn policy<F: Fields>(&self, asked: &Asked<'_, F>) -> Result<&Policy, Denial> {
        if !is_clear_method(&asked.method) {
            let detail = "expected a method in capital letters";
            return Err(Denial::forbidden("unclear_request", detail));
        }
        let path = ClearPath::of_target(&asked.target)
            .map_err(|unclear| Denial::forbidden("unclear_request", unclear.to_string()))?;
        self.routes
            .policy(asked.host.as_deref(), &asked.method, &path)
            .ok_or_else(|| Denial::forbidden("no_route", "the guard has no route for this request"))
    }

    /// The token that a request shows, if it needs one and has a good one.
    async fn shown<'a, F: Fields>(
        &self,
        verifier: &Verifier,
        policy: &Policy,
        asked: &'a Asked<'_, F>,
    ) -> Result<Shown<'a>, Denial> {
        if policy.access == Access::Anonymous {
            return Ok(Shown::default());
        }
        let Some((scheme, token)) = shown_in(asked.fields)? else {
            return match policy.access {
                Access::Optional => Ok(Shown::default()),
                _ => Err(Denial::unauthorized("missing_token", EXPECTED_TOKEN, false)),
            };
        };
        let url;
        let proof = asked.fields.only("dpop").unwrap_or_default();
        let presentation = match scheme {
            Scheme::Bearer => Presentation::Bearer,
            Scheme::Dpop => {
                url = asked.url(self.public_url.as_deref());
                Presentation::Dpop { proof: &proof, method: &asked.method, url: &url }
            }
        };
        let verifying = verifier.verify(&token, presentation, policy.staleness);
        // The gateway waits too, and gives up: what can be said from memory is said before that.
        let decision = match timeout(LONGEST_SEARCH, verifying).await {
            Ok(verdict) => verdict.decision,
            Err(_) => verifier.check(&token, presentation, policy.staleness).decision,
        };
        match decision {
            Decision::Valid(claims) => {
                policy.allows(&claims, scheme)?;
                Ok(Shown(Some((token, claims))))
            }
            Decision::Undecided(_)
                if policy.access == Access::Optional
                    && policy.undecided == WhenUndecided::Anonymous =>
            {
                Ok(Shown::default())
            }
            Decision::Undecided(why) => Err(Denial::unavailable(why.code(), why.to_string())),
            Decision::Refused(why) => {
                let code = why.code();
                let is_of_proof = scheme == Scheme::Dpop || code == "sender_constrained";
                let denial = Denial::unauthorized(code, why.to_string(), is_of_proof);
                Err(Denial { retry_after: self.jitter(code), ..denial })
            }
        }
    }

    /// After a red button all clients want a new token at the same time. Each is given another time
    /// to come back.
    fn jitter(&self, code: &str) -> Option<u64> {
        let is_mass_event = matches!(code, "revoked_epoch" | "revoked_key" | "unknown_key");
        let jitter = self.retry_jitter_seconds;
        (is_mass_event && jitter > 0).then(|| fastrand::u64(1..=jitter))
    }

    /// The headers for the upstream. What a client sends under such a name, or under one that a
    /// server could read as such a name, never gets there.
    fn forwarded<F: Fields>(
        &self,
        claims: Option<&Claims>,
        fields: &F,
    ) -> Result<Forwarded<'_>, Denial> {
        let headers = &self.headers;
        if fields.any_name(|sent| headers.iter().any(|one| could_be_taken_for(sent, &one.name))) {
            return Err(Denial::forbidden(
                SPOOFED,
                "a header could be taken for one of the guard's",
            ));
        }
        let forwarded = Forwarded::of(headers, claims).map_err(|error| {
            let detail = format!("the claim {} has no form as a header", error.claim);
            Denial::forbidden("claim_not_forwardable", detail)
        })?;
        // A gateway that sets headers may leave the client's where there is nothing to set.
        let is_left = |sent: &str| forwarded.absent.iter().any(|absent| sent == absent.as_str());
        if !self.gateway.removes_headers() && fields.any_name(is_left) {
            return Err(Denial::forbidden(
                SPOOFED,
                "a header has a name that only the guard may set",
            ));
        }
        Ok(forwarded)
    }
}

impl Policy {
    /// Whether a valid token goes far enough.
    fn allows(&self, claims: &Claims, scheme: Scheme) -> Result<(), Denial> {
        let lacks = |scope: &&String| !claims.scopes().any(|given| given == scope.as_str());
        let missing: Vec<&str> = self.scopes.iter().filter(lacks).map(String::as_str).collect();
        let scheme = if scheme == Scheme::Dpop { "DPoP" } else { "Bearer" };
        if !missing.is_empty() {
            let (scopes, missing) = (self.scopes.join(" "), missing.join(" "));
            let detail =
                format!("expected a token with the scope {scopes}, found one without {missing}");
            let challenge = format!("{scheme} error=\"insufficient_scope\", scope=\"{scopes}\"");
            let denial = Denial::forbidden("insufficient_scope", detail);
            return Err(Denial { challenge: Some(challenge), ..denial });
        }
        match self.claims.iter().find(|one| !one.is_met_by(claims.payload())) {
            None => Ok(()),
            Some(unmet) => {
                let detail =
                    format!("the claim {} has no value that the route accepts", unmet.path.shown());
                Err(Denial::forbidden("insufficient_claims", detail))
            }
        }
    }
}

/// What is to be watched of a request that got through.
fn watched<F: Fields>(
    policy: &Policy,
    shown: Shown<'_>,
    asked: &Asked<'_, F>,
) -> Result<Option<Watched>, Denial> {
    let (Some(longest), Some((token, _))) = (policy.watch, shown.0) else { return Ok(None) };
    match &asked.id {
        Some(id) if (1..=MAX_ID_BYTES).contains(&id.len()) => {
            Ok(Some(Watched { token: token.into_owned(), id: id.clone().into_owned(), longest }))
        }
        _ => {
            let detail =
                "expected an id of the request from the gateway, for a route that is watched";
            Err(Denial::unavailable("misconfigured", detail))
        }
    }
}

/// What follows the scheme and exactly one space, as it is: the verifier finds blanks of any other
/// kind malformed. None for any other scheme, or without a token (RFC 6750 section 2.1, RFC 9449
/// section 7.1).
fn shown_in(fields: &impl Fields) -> Result<Option<(Scheme, Cow<'_, str>)>, Denial> {
    let value = match fields.single("authorization") {
        Single::None => return Ok(None),
        Single::One(value) => value,
        Single::Unclear => {
            let detail = "expected one header Authorization with visible characters";
            return Err(Denial::unauthorized("malformed", detail, false));
        }
    };
    let begins = |scheme: &str| {
        value.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    };
    let (scheme, length) = match () {
        () if begins("Bearer ") => (Scheme::Bearer, "Bearer ".len()),
        () if begins("DPoP ") => (Scheme::Dpop, "DPoP ".len()),
        () => return Ok(None),
    };
    Ok(Some((scheme, cut(value, length))))
}

fn cut(text: Cow<'_, str>, at: usize) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[at..]),
        Cow::Owned(text) => Cow::Owned(text[at..].to_owned()),
    }
}

const EXPECTED_TOKEN: &str = "expected the header Authorization: Bearer <token>";
const SPOOFED: &str = "spoofed_header";
/// How long a verdict may wait for keys or for the feed.
const LONGEST_SEARCH: Duration = Duration::from_secs(3);
const MAX_ID_BYTES: usize = 256;
