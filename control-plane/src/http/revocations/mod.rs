//! `POST /v1/revocations`; related requests are in the modules below.

mod entry;
mod list;
mod refresh_denylist;
mod stream;

use std::sync::Arc;

use axum::extract::{FromRequest, Request as HttpRequest, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use offswitch_core::issuers::Issuers;
use offswitch_core::record::Record;
use offswitch_snapshot::Position;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::applied::Applied;
use super::extract::{Body, IdempotencyKey, Params, idempotency, is_of_type, unsupported};
use super::proof::{Prefer, ProofQuery, Wanted};
use crate::clock::unix_seconds;
use crate::plane::{Plane, Revoked};
use crate::problem::{Problem, ProblemDocument};
use crate::store::{Durability, Request};
use entry::{Entry, unknown_session};

pub(super) use entry::refused;
pub(super) use list::{__path_list, list};
pub use stream::UploadLimits;

/// What to revoke: exactly one of `token`, `jti`, `session_id`, `sub`, `claims`, `refresh_token` and
/// `kid`; or up to 100,000 such entries in `revocations`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Revocation)]
pub(super) struct Revoke {
    /// An access token of this control plane, or a JWT of a registered issuer, which names itself by
    /// its issuer's claim for token ids.
    token: Option<String>,
    /// A token's id, in the issuer's claim for it.
    jti: Option<String>,
    /// The latest `exp` of the tokens, unix seconds, if it is known; it must be in the future, and can
    /// only prolong the revocation.
    exp: Option<u64>,
    /// A session, with all its tokens.
    session_id: Option<String>,
    /// A user, with all tokens that the user has now. For a user of another issuer, tokens issued until
    /// this second plus the issuer's clock skew are refused, even if they are of a new login.
    sub: Option<String>,
    /// Tokens with all of these claims, up to four: by their names, or by JSON Pointers (RFC 6901) that
    /// begin with `/`. Values are strings, whole numbers or booleans; an array of strings in a token
    /// matches by any element.
    #[schema(value_type = Option<Object>)]
    claims: Option<Map<String, Value>>,
    /// With `claims`, or with `sub` of another issuer: only tokens issued before this instant, unix
    /// seconds. By default now, plus the issuer's clock skew.
    issued_before: Option<u64>,
    /// A refresh token: its session cannot be refreshed any more, but its access tokens stay valid
    /// until they expire.
    refresh_token: Option<String>,
    /// A signing key, permanently. A key of this control plane also needs the scope `keys:write`.
    kid: Option<String>,
    /// The exact `iss` of the tokens, which must be registered; by default this control plane.
    issuer: Option<String>,
    /// Many entries: all are accepted, or none.
    revocations: Option<Vec<Entry>>,
    /// The reason, at most 500 bytes.
    reason: Option<String>,
}

/// A revocation was recorded.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Accepted)]
pub(super) struct Accepted {
    /// A verifier at this position or a later one refuses.
    #[schema(value_type = String, example = "1763942400.17")]
    position: Position,
    /// Which failures the record survives: `memory`, `written`, `synced` or `replicated`; for a
    /// streamed bulk, the weakest of its records.
    #[schema(value_type = String, example = "synced")]
    durability: Durability,
    /// How many replicas of the store have the record; only with `replicated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<u32>,
    /// True if this request was accepted before; for a streamed bulk, if all of it was.
    repeated: bool,
    /// How many active sessions of this control plane it ended. Absent if that is not counted: for
    /// a repeated request, and for more than 100 entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions_ended: Option<u64>,
    /// Until when the revocation stays in the feed, unix seconds: until then every token that it matches
    /// has expired at every verifier. Only for a single entry that is not permanent.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    /// The claims by which verifiers look it up. Only for a single entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<Vec<String>>,
    /// A signed receipt, if one was asked for and can be made: a JWS of type `offswitch-receipt+jwt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
    /// What the followers hold; only with `wait=applied`.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<Applied>,
}

/// Query parameters of a revocation.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RevokeQuery {
    /// The reason, at most 500 bytes; for `application/x-ndjson` only.
    reason: Option<String>,
    /// Asks for a signed receipt, as the header `Prefer: receipt` does; not for `application/x-ndjson`.
    receipt: Option<bool>,
    /// `applied`: the answer comes once all followers hold the revocation, or at the end of `timeout`.
    #[param(example = "applied")]
    wait: Option<String>,
    /// How long it waits at most, seconds, 0 to 30; 2 by default.
    #[param(maximum = 30)]
    timeout: Option<u64>,
}

/// Revokes a token, a session, a user, a key, or up to 100,000 of them in `revocations`, all or
/// none.
///
/// With `application/x-ndjson` the body is one entry per line, up to 10,000,000 lines, appended in
/// groups of a thousand as they arrive. The response also has `accepted`. A problem has `accepted`,
/// the number of entries before `line`, which stay revoked, and `line`, where to continue; the
/// entries from there on may be revoked or not.
///
/// With `wait=applied` the response has `applied`: how many followers hold the revocation. It is durable before, and
/// stays so if not all of them hold it in time.
///
/// A revocation that no verifier would enforce is refused, and nothing is recorded:
/// `already_expired`, `unknown_session`, `unknown_issuer`, `too_many_selectors`.
#[utoipa::path(
    post, path = "/v1/revocations", tag = "revocations", operation_id = "revoke",
    summary = "Revoke",
    request_body(content(
        (Revoke = "application/json", examples(
            ("token" = (summary = "An access token", value = json!({ "token": "{access_token}" }))),
            ("jti" = (summary = "A token by its id",
                      value = json!({ "jti": "n7Yc0h", "exp": tomorrow() }))),
            ("session" = (summary = "A session, with all its tokens",
                          value = json!({ "session_id": "{session_id}" }))),
            ("user" = (summary = "A user, with all tokens held now",
                       value = json!({ "sub": "alice", "reason": "lost phone" }))),
            ("foreign" = (summary = "A user of another issuer",
                          value = json!({ "sub": "alice", "issuer": "https://idp.example" }))),
            ("claims" = (summary = "A user's tokens of one client",
                         value = json!({ "claims": { "client_id": "app", "sub": "alice" } }))),
            ("refresh" = (summary = "A refresh token: no access token is revoked",
                          value = json!({ "refresh_token": "{refresh_token}" }))),
            ("key" = (summary = "A signing key of another issuer",
                      value = json!({ "kid": "2026-11", "issuer": "https://idp.example" }))),
            ("many" = (summary = "Many entries",
                       value = json!({ "revocations": [{ "sub": "bob" }, { "sub": "carol" }] })))
        )),
        (Entry = "application/x-ndjson", example = json!("{\"sub\":\"bob\"}\n{\"sub\":\"carol\"}\n"))
    )),
    params(RevokeQuery, IdempotencyKey, Prefer),
    responses((status = 200, description = "Recorded", body = Accepted),
              (status = "4XX", description = "Refused; nothing is recorded", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument),
              (status = 507, description = "too_many_entries: until some expire, see max_entries",
               body = ProblemDocument))
)]
pub(super) async fn revoke(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    Params(query): Params<RevokeQuery>,
    request: HttpRequest,
) -> Result<Response, Problem> {
    let RevokeQuery { reason, receipt, wait, timeout } = query;
    check_reason(reason.as_deref())?;
    let headers = request.headers().clone();
    let wanted = ProofQuery { receipt, wait, timeout }.read(&headers, &caller)?;
    if is_of_type(&headers, "application/x-ndjson") {
        if receipt == Some(true) {
            let detail = "receipt: a streamed bulk is many records, and has no receipt";
            return Err(Problem::bad_request("invalid_query", detail));
        }
        let limits = request.extensions().get().copied().unwrap_or_default();
        let whole = stream::revoke(&plane, caller, headers, limits, reason, request.into_body());
        return Ok(Json(whole.await?.applied(wanted.wait, &plane).await).into_response());
    }
    if headers.contains_key(header::CONTENT_TYPE) && !is_of_type(&headers, "application/json") {
        return Err(unsupported(&headers, "application/json or application/x-ndjson"));
    }
    if reason.is_some() {
        let detail = "reason: put it in the body; the query parameter is only for \
                      application/x-ndjson";
        return Err(Problem::bad_request("invalid_query", detail));
    }
    let body = Body::<Revoke>::from_request(request, &()).await?;
    let request = idempotency(&headers, &caller.id, "/v1/revocations", &body.bytes)?;
    let accepted = match accept(&plane, caller, body.value, &request).await {
        Ok(accepted) => accepted,
        // What was accepted before is not refused because time has passed since.
        Err(problem) => Accepted::from(plane.log.recall(&request).await?.ok_or(problem)?),
    };
    Ok(Json(accepted.proven(&plane, wanted).await).into_response())
}

async fn accept(
    plane: &Arc<Plane>,
    caller: Caller,
    body: Revoke,
    request: &Request,
) -> Result<Accepted, Problem> {
    let is_bulk = body.revocations.is_some();
    let now = plane.now();
    let record = body.record_apart(plane, caller, now).await?;
    let reached = plane.sessions.named_by(&record.revocations, now).await?;
    if let Some(index) = reached.unknown {
        let problem = unknown_session();
        return Err(if is_bulk { problem.within("revocations", index) } else { problem });
    }
    let revoked = plane.log.revoke_allowed(request, &record).await?;
    let count = u64::try_from(record.revocations.len()).unwrap_or(u64::MAX);
    metrics::counter!("offswitch_revocations_total").increment(count);
    let accepted = Accepted::new(revoked, reached.sessions);
    Ok(if is_bulk { accepted } else { accepted.with_entry(&record, &plane.log.issuers()) })
}

impl Revoke {
    /// Like [`record`](Self::record), but off the async threads if it may take long: the signature
    /// of each token is verified.
    async fn record_apart(
        self,
        plane: &Arc<Plane>,
        caller: Caller,
        now: u64,
    ) -> Result<Record, Problem> {
        let entries = self.revocations.as_ref().map_or(1, Vec::len);
        if entries <= FEW_ENTRIES {
            return self.record(plane, caller, now);
        }
        let plane = plane.clone();
        let checked = tokio::task::spawn_blocking(move || self.record(&plane, caller, now)).await;
        checked.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
    }

    fn record(self, plane: &Plane, caller: Caller, now: u64) -> Result<Record, Problem> {
        check_reason(self.reason.as_deref())?;
        let single = Entry {
            token: self.token,
            jti: self.jti,
            exp: self.exp,
            session_id: self.session_id,
            sub: self.sub,
            claims: self.claims,
            issued_before: self.issued_before,
            refresh_token: self.refresh_token,
            kid: self.kid,
            issuer: self.issuer,
        };
        let (revocations, reason) = (self.revocations, self.reason);
        let revocations = match revocations {
            None => vec![single.check(plane, &caller, now)?],
            Some(_) if !single.is_empty() => {
                return Err(invalid("revocations", "put the other members into its entries"));
            }
            Some(entries) if !(1..=MAX_ENTRIES).contains(&entries.len()) => {
                let detail = format!("must have 1 to {MAX_ENTRIES} entries");
                return Err(Problem::of_field("too_many_revocations", "revocations", detail));
            }
            Some(entries) => entries
                .into_iter()
                .enumerate()
                .map(|(index, entry)| {
                    let checked = entry.check(plane, &caller, now);
                    checked.map_err(|problem| problem.within("revocations", index))
                })
                .collect::<Result<_, _>>()?,
        };
        let by = caller.id;
        Ok(Record { at: now, by, reason, revocations })
    }
}

impl Accepted {
    /// The outcome of a request that ended that many sessions, if they were counted.
    pub(super) fn new(revoked: Revoked, sessions: Option<u64>) -> Self {
        let Revoked { position, durability, repeated } = revoked;
        let sessions_ended = sessions.filter(|_| !repeated);
        let replicas = durability.replicas();
        let (until, selector, receipt, applied) = (None, None, None, None);
        Self {
            position,
            durability,
            replicas,
            repeated,
            sessions_ended,
            until,
            selector,
            receipt,
            applied,
        }
    }

    /// Adds the proof that the caller wants.
    pub(super) async fn proven(self, plane: &Plane, wanted: Wanted) -> Self {
        let (receipt, applied) = wanted.of(plane, self.position, self.durability).await;
        Self { receipt, applied, ..self }
    }

    /// Adds what the record's only entry promises.
    fn with_entry(self, record: &Record, issuers: &Issuers) -> Self {
        let Some(entry) = record.revocations.first().filter(|one| one.is_entry()) else {
            return self;
        };
        let until = Some(entry.needed_until(record.at, issuers));
        let selector = entry.selector(issuers).map(|selector| selector.paths().to_vec());
        Self { until, selector, ..self }
    }
}

impl From<Revoked> for Accepted {
    fn from(revoked: Revoked) -> Self {
        Self::new(revoked, None)
    }
}

fn check_reason(reason: Option<&str>) -> Result<(), Problem> {
    match reason {
        Some(reason) if reason.len() > 500 => Err(invalid("reason", "must have at most 500 bytes")),
        _ => Ok(()),
    }
}

fn invalid(field: &str, detail: &str) -> Problem {
    Problem::of_field("invalid_revocation", field, detail)
}

/// Makes an example that can be sent unchanged.
fn tomorrow() -> u64 {
    unix_seconds().saturating_add(86_400)
}

const MAX_ENTRIES: usize = 100_000;
/// This many are checked within a few milliseconds.
const FEW_ENTRIES: usize = 100;
