//! One request, judged: is it clear what it asks for, which route is for it, and does it have what
//! the route needs.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, header};
use offswitch_client::{Authorization, Claims, Combined, Decision, Judge, Passed, Problem};
use tokio::time::timeout;

use crate::answer::{Answer, forbidden, unavailable};
use crate::claim_headers::{ClaimHeader, Forwarded, could_be_taken_for};
use crate::gateway::{Asked, DPOP, Fields, Gateway};
use crate::routes::{Access, ClearPath, Policy, Routes, is_clear_method};

/// What requests are judged by, apart from tokens.
#[derive(Debug, Clone)]
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
}

/// A request that got through, and stays open.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) token: String,
    /// The id that the gateway gave the request.
    pub(crate) id: String,
    pub(crate) longest: Duration,
}

impl Rules {
    /// Judges a request. If its connection is to be watched, says so.
    pub(crate) async fn judge<F: Fields>(
        &self,
        verifier: &Combined,
        asked: &Asked<'_, F>,
    ) -> (Answer<'_>, Option<Watched>) {
        match self.passed(verifier, asked).await {
            Ok((forwarded, code, watched)) => (Answer::Passed(forwarded, code), watched),
            Err(problem) => (Answer::Denied(problem), None),
        }
    }

    async fn passed<F: Fields>(
        &self,
        verifier: &Combined,
        asked: &Asked<'_, F>,
    ) -> Result<(Forwarded<'_>, &'static str, Option<Watched>), Box<Problem>> {
        let policy = self.policy(asked)?;
        let shown = asked.fields.shown();
        let claims = match policy.access {
            Access::Anonymous => None,
            Access::Optional | Access::Token => {
                self.claims(verifier, policy, asked, &shown).await?
            }
        };
        let forwarded = self.forwarded(claims.as_ref(), asked.fields)?;
        match claims {
            None => Ok((forwarded, "anonymous", None)),
            Some(_) => Ok((forwarded, VALID, watched(policy, &shown, asked)?)),
        }
    }

    /// The policy of the route that is for a request.
    fn policy<F: Fields>(&self, asked: &Asked<'_, F>) -> Result<&Policy, Box<Problem>> {
        if !is_clear_method(&asked.method) {
            return Err(forbidden(UNCLEAR, "expected a method in capital letters"));
        }
        let path = ClearPath::of_target(&asked.target)
            .map_err(|unclear| forbidden(UNCLEAR, unclear.to_string()))?;
        if asked.host.is_none() && self.routes.depend_on_hosts() {
            let detail = "expected the host from the gateway, since routes have hosts";
            return Err(unavailable("misconfigured", detail));
        }
        self.routes
            .policy(asked.host.as_deref(), &asked.method, &path)
            .ok_or_else(|| forbidden("no_route", "the guard has no route for this request"))
    }

    /// The claims of the token that a request shows; none for a request that gets through without one.
    async fn claims<F: Fields>(
        &self,
        verifier: &Combined,
        policy: &Policy,
        asked: &Asked<'_, F>,
        shown: &HeaderMap,
    ) -> Result<Option<Claims>, Box<Problem>> {
        // Only a proof names it.
        let url = match shown.contains_key(DPOP) {
            true => asked.url(self.public_url.as_deref()),
            false => String::new(),
        };
        let shown = offswitch_client::Asked { headers: shown, method: &asked.method, url: &url };
        let authorization = match verifier.authorize_now(shown, &policy.token) {
            Some(authorization) => authorization,
            None => searched(verifier, shown, &policy.token).await,
        };
        let verdict = match authorization {
            Authorization::Denied { problem, .. } => return Err(problem.into()),
            Authorization::Pass(Passed::Anonymous | Passed::Undecided(_)) => return Ok(None),
            Authorization::Pass(Passed::Verified(verdict)) => verdict,
        };
        let Decision::Valid(claims) = verdict.decision else { return Ok(None) };
        match policy.claims.iter().find(|one| !one.is_met_by(claims.payload())) {
            None => Ok(Some(claims)),
            Some(unmet) => {
                let path = unmet.path.shown();
                let detail = format!("the claim {path} has no value that the route accepts");
                Err(forbidden("insufficient_claims", detail))
            }
        }
    }

    /// The headers for the upstream. What a client sends under such a name, or under one that a
    /// server could read as such a name, never gets there.
    fn forwarded<F: Fields>(
        &self,
        claims: Option<&Claims>,
        fields: &F,
    ) -> Result<Forwarded<'_>, Box<Problem>> {
        let headers = &self.headers;
        if fields.any_name(|sent| headers.iter().any(|one| could_be_taken_for(sent, &one.name))) {
            return Err(forbidden(SPOOFED, "a header could be taken for one of the guard's"));
        }
        let forwarded = Forwarded::of(headers, claims).map_err(|error| {
            let detail = format!("the claim {} has no form as a header", error.claim);
            forbidden("claim_not_forwardable", detail)
        })?;
        // A gateway that sets headers may leave the client's where there is nothing to set.
        let is_left = |sent: &str| forwarded.absent.iter().any(|absent| sent == absent.as_str());
        if !self.gateway.removes_headers() && fields.any_name(is_left) {
            return Err(forbidden(SPOOFED, "a header has a name that only the guard may set"));
        }
        Ok(forwarded)
    }
}

/// Asks a key set or the feed first. The gateway waits too, and gives up: what can be said from memory
/// is said before that.
async fn searched(
    verifier: &Combined,
    shown: offswitch_client::Asked<'_>,
    policy: &offswitch_client::Policy,
) -> Authorization {
    match timeout(LONGEST_SEARCH, verifier.authorize(shown, policy)).await {
        Ok(authorization) => authorization,
        Err(_) => verifier.authorize_from_memory(shown, policy),
    }
}

/// What is to be watched of a request with a valid token.
fn watched<F: Fields>(
    policy: &Policy,
    shown: &HeaderMap,
    asked: &Asked<'_, F>,
) -> Result<Option<Watched>, Box<Problem>> {
    let Some(longest) = policy.watch else { return Ok(None) };
    let value = shown.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| Some(value.split_once(' ')?.1));
    let id = asked.id.as_deref().filter(|id| (1..=MAX_ID_BYTES).contains(&id.len()));
    match (token, id) {
        (Some(token), Some(id)) => {
            Ok(Some(Watched { token: token.to_owned(), id: id.to_owned(), longest }))
        }
        _ => {
            let detail =
                "expected an id of the request from the gateway, for a route that is watched";
            Err(unavailable("misconfigured", detail))
        }
    }
}

/// The code of a request that got through with a token.
pub(crate) const VALID: &str = "valid";
const UNCLEAR: &str = "unclear_request";
const SPOOFED: &str = "spoofed_header";
/// How long a verdict may wait for keys or for the feed.
const LONGEST_SEARCH: Duration = Duration::from_secs(3);
const MAX_ID_BYTES: usize = 256;
