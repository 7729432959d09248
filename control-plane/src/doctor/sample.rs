//! A sample token: explained, and revoked if it may be sacrificed.

use std::time::{Duration, Instant};

use axum::http::{Request, header};
use http_body_util::Full;
use offswitch_core::doctor::{self, Finding, Outcome, OwnRules};
use offswitch_snapshot::Horizons;
use offswitch_verifier::{Algorithm, IssuerConfig, Jws, KeySet, Presentation, UserRule};
use serde_json::json;
use tokio::time::sleep;
use url::Url;

use super::system::{Followed, Known};
use crate::clock::unix_seconds;
use crate::remote::{Remote, TIME, bearer};

/// A token, which is never shown.
pub(super) struct Sample<'a> {
    pub(super) token: &'a str,
    pub(super) known: &'a Known,
}

impl Sample<'_> {
    /// Says what verifiers say about the token; false if they refuse it.
    pub(super) fn explain(
        &self,
        feed: Option<Followed>,
        key_sets: Vec<(String, Option<KeySet>)>,
        findings: &mut Vec<Finding>,
    ) -> bool {
        let claims = doctor::unverified_claims(self.token);
        let Known { issuer: own, registered } = self.known;
        let whose =
            doctor::issuer_of_token(claims.as_ref().map_err(String::as_str), own, registered);
        let is_known = whose.result == Outcome::Ok;
        findings.push(whose);
        let (true, Ok(claims)) = (is_known, claims) else { return false };
        let iss = claims.get("iss").and_then(|iss| iss.as_str()).unwrap_or_default();
        let registration = registered.iter().find(|one| one.issuer == iss);
        let rules = registration.map_or_else(OwnRules::own, OwnRules::of);
        let algorithms = registration.map(|one| &one.algorithms);
        let keys =
            key_sets.into_iter().find(|(issuer, _)| issuer == iss).and_then(|(_, keys)| keys);
        let (token, horizons) = match (feed, keys) {
            (Some(feed), Some(keys)) => self.judge(feed, keys, iss, algorithms),
            (None, _) => {
                let detail = "the feed of its verifiers could not be followed";
                (Finding::skipped(TOKEN, detail), None)
            }
            (_, None) => {
                let detail = "the keys of its issuer were not asked for, or are not there";
                (Finding::skipped(TOKEN, detail), None)
            }
        };
        let is_good = matches!(token.result, Outcome::Ok | Outcome::Warning);
        findings.push(token);
        findings.extend(doctor::id_claims(&rules, &claims));
        findings.push(doctor::horizon(horizons.as_ref(), &claims));
        is_good
    }

    fn judge(
        &self,
        feed: Followed,
        keys: KeySet,
        iss: &str,
        algorithms: Option<&Vec<String>>,
    ) -> (Finding, Option<Horizons>) {
        let token = Jws::parse(self.token);
        let mut rules = IssuerConfig::offswitch(iss, "unchecked");
        if let Some(algorithms) = algorithms {
            // The feed has the horizon of the issuer. Types and audience are those of each verifier.
            let names = algorithms.iter().filter_map(|name| Algorithm::from_name(name));
            let typ = token.as_ref().ok().and_then(Jws::typ).filter(|typ| !typ.is_empty());
            rules = IssuerConfig {
                algorithms: names.collect(),
                required_claims: vec!["exp".to_owned()],
                types: vec![typ.map(str::to_owned)],
                max_lifetime_seconds: LONGEST_HORIZON_SECONDS,
                user_rule: UserRule::IssuedAt,
                ..rules
            };
        }
        match feed.verifier(rules, keys) {
            Ok(verifier) => {
                let steps = verifier.explain(token, Presentation::Bearer, unix_seconds());
                let listed = verifier.feed().rules_of(iss);
                (doctor::explained(&steps), listed.map(|rules| rules.horizons.clone()))
            }
            Err(error) => (Finding::skipped(TOKEN, error), None),
        }
    }

    /// Revokes the token if the edge lets it pass, and measures how long it takes until the edge refuses it.
    pub(super) async fn sacrifice(
        &self,
        remote: &Remote,
        edge: &Url,
        is_good: bool,
        findings: &mut Vec<Finding>,
    ) {
        if !is_good {
            findings
                .push(Finding::skipped("edge_before", "the token is not valid: none was revoked"));
            return;
        }
        let before = self.shown_at(remote, edge, TIME).await;
        let before = doctor::edge_accepts(before.as_ref().map_err(String::as_str).copied());
        let is_accepted = before.result == Outcome::Ok;
        findings.push(before);
        if !is_accepted {
            let detail = "the token was not revoked, since the edge does not accept it";
            findings.push(Finding::skipped("revocation", detail));
            return;
        }
        let begun = Instant::now();
        let body = json!({ "token": self.token, "reason": "offswitch doctor" });
        let answer = remote.post("/v1/revocations", &body).await;
        let body = answer.as_ref().ok().and_then(|answer| answer.json());
        let status = answer.as_ref().map(|answer| (answer.status(), body.as_ref()));
        let revoked = doctor::revocation(status.map_err(String::as_str));
        let is_revoked = revoked.result == Outcome::Ok;
        findings.push(revoked);
        if is_revoked {
            let refused = self.until_refused(remote, edge, begun).await;
            let refused = refused.as_ref().map_err(String::as_str).copied();
            findings.push(doctor::edge_refuses(refused, PATIENCE.as_secs()));
        }
    }

    /// Milliseconds since `begun`, or what the edge answered last.
    async fn until_refused(
        &self,
        remote: &Remote,
        edge: &Url,
        begun: Instant,
    ) -> Result<u64, String> {
        let mut last = "it was not asked".to_owned();
        loop {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(last);
            }
            match self.shown_at(remote, edge, left.min(TIME)).await {
                Ok(401) => {
                    return Ok(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
                }
                Ok(status) => last = format!("it answers {status}"),
                Err(error) => last = error,
            }
            sleep(BETWEEN).await;
        }
    }

    async fn shown_at(&self, remote: &Remote, edge: &Url, time: Duration) -> Result<u16, String> {
        let token = bearer(self.token)?;
        let request = Request::get(edge.as_str())
            .header(header::AUTHORIZATION, token)
            .header(header::CACHE_CONTROL, "no-cache")
            .body(Full::default());
        let request = request.map_err(|error| format!("{edge}: {error}"))?;
        let status = remote.client.status(request, time).await;
        Ok(status.map_err(|error| format!("{edge}: {error}"))?.as_u16())
    }
}

const TOKEN: &str = "token";
/// The longest that an issuer can be registered with.
const LONGEST_HORIZON_SECONDS: u64 = 31_536_000;
/// From the revocation until the edge must have refused the token.
const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN: Duration = Duration::from_millis(20);
