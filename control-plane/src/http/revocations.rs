//! `POST /v1/revocations` and `GET /v1/revocations`.

use std::sync::Arc;

use axum::extract::{FromRequest, Request as HttpRequest, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use offswitch_verifier::snapshot::Position;
use offswitch_verifier::{Jws, VerifyingKey};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::extract::{Body, Params, idempotency, is_of_type};
use super::problem::{Problem, ProblemDocument};
use super::{refresh_denylist, revocation_stream};
use crate::config::LONGEST_ACCESS_TOKEN_SECONDS;
use crate::credential::{Credential, CredentialKind};
use crate::keyring::TokenKey;
use crate::plane::{Plane, PlaneError, Revoked};
use crate::record::{Record, Revocation};
use crate::store::Durability;

/// What to revoke: one entry, or up to 100,000 in `revocations`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    /// An access token of this control plane; its claims are what is revoked.
    token: Option<String>,
    /// A token's id; needs `exp`.
    jti: Option<String>,
    /// The token's `exp`, unix seconds.
    exp: Option<u64>,
    /// A session, with all its tokens.
    session_id: Option<String>,
    /// A user, with all tokens held now.
    #[schema(example = "alice")]
    sub: Option<String>,
    /// A refresh token: its session cannot be refreshed any more, but its access tokens live on.
    refresh_token: Option<String>,
    /// A signing key.
    kid: Option<String>,
    /// Whose; this control plane by default.
    issuer: Option<String>,
    /// Many entries at once: all are accepted, or none.
    revocations: Option<Vec<Entry>>,
    /// Why, at most 500 bytes.
    reason: Option<String>,
}

/// One of `token`, `jti` with `exp`, `session_id`, `sub`, `refresh_token` or `kid`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    token: Option<String>,
    jti: Option<String>,
    exp: Option<u64>,
    session_id: Option<String>,
    sub: Option<String>,
    refresh_token: Option<String>,
    kid: Option<String>,
    issuer: Option<String>,
}

/// A revocation was recorded.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Accepted {
    /// A verifier at this position or beyond refuses.
    #[schema(value_type = String, example = "1763942400.17")]
    position: Position,
    /// What the record survives: `memory`, `written` or `synced`; of a streamed bulk, what all of its
    /// records do.
    #[schema(value_type = String, example = "synced")]
    durability: Durability,
    /// True if this request had been accepted before; of a streamed bulk, all of it.
    repeated: bool,
}

/// Of a streamed bulk.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeQuery {
    /// Why, at most 500 bytes; for `application/x-ndjson` only.
    reason: Option<String>,
}

/// Which revocations to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// `access` (the default) for the log, `refresh` for what only a refresh consults.
    kind: Option<ListKind>,
    /// For `kind=refresh`: `next` of the page before.
    cursor: Option<String>,
    /// How many requests at most, 1 to 100; 20 by default.
    limit: Option<u64>,
    /// Only requests before this seq: `next` of the page before.
    before: Option<u64>,
}

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ListKind {
    Access,
    Refresh,
}

/// A page of what was revoked, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Listing {
    requests: Vec<Listed>,
    /// Ask for more with `before=` this; absent on the last page.
    next: Option<u64>,
}

/// One accepted request.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Listed {
    #[schema(value_type = String)]
    position: Position,
    /// When, unix seconds.
    at: u64,
    /// The id of the API key that asked.
    by: String,
    reason: Option<String>,
    /// How many entries the request had.
    count: usize,
    /// Its first 100 entries.
    #[schema(value_type = Vec<Object>)]
    revocations: Vec<Shown>,
}

/// A revocation as it is shown.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Shown {
    Epoch { epoch: u64 },
    Key { issuer: String, kid: String },
    Refresh { session_id: String },
    Session { issuer: String, session_id: String, exp: u64 },
    Sessions { version: u64 },
    Token { issuer: String, jti: String, exp: u64 },
    User { issuer: String, sub: String, version: u64 },
}

/// Revokes a token, a session, a user, a key, or many of them at once: up to 100,000 in
/// `revocations`, all or none.
///
/// As `application/x-ndjson` the body is one entry a line, up to 10,000,000 lines, appended a
/// thousand at a time as they come. The answer has `accepted` too; a problem has `accepted`, the number
/// of entries before `line`, which stay revoked, and `line`, where to go on: what comes after it may be
/// revoked or not.
#[utoipa::path(
    post, path = "/v1/revocations", tag = "revocations", request_body(content((Revoke = "application/json"), (Entry = "application/x-ndjson"))),
    params(RevokeQuery, ("idempotency-key" = Option<String>, Header, description = "Repeating is harmless")),
    security(("api_key" = ["revocations:write"])),
    responses((status = 200, body = Accepted), (status = "4XX", body = ProblemDocument),
              (status = 503, body = ProblemDocument),
              (status = 507, description = "too_many_entries: until some expire, see max_entries",
               body = ProblemDocument))
)]
pub(super) async fn revoke(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    Params(query): Params<RevokeQuery>,
    request: HttpRequest,
) -> Result<Response, Problem> {
    check_reason(query.reason.as_deref())?;
    let headers = request.headers().clone();
    if is_of_type(&headers, "application/x-ndjson") {
        let limits = request.extensions().get().copied().unwrap_or_default();
        let (reason, body) = (query.reason, request.into_body());
        return revocation_stream::revoke(plane, caller.id, headers, limits, reason, body).await;
    }
    if query.reason.is_some() {
        let detail = "reason: stands in the body, unless that is application/x-ndjson";
        return Err(Problem::bad_request("invalid_query", detail));
    }
    let body = Body::<Revoke>::from_request(request, &()).await?;
    let request = idempotency(&headers, &caller.id, "/v1/revocations", &body.bytes)?;
    let now = plane.now();
    let record = body.value.record_apart(&plane, caller.id, now).await?;
    let count = u64::try_from(record.revocations.len()).unwrap_or(u64::MAX);
    let revoked = plane.revoke_allowed(&request, &record).await?;
    metrics::counter!("offswitch_revocations_total").increment(count);
    Ok(Json(Accepted::from(revoked)).into_response())
}

/// The claims of a token whose signature is the control plane's own. It may have expired,
/// and its key may be dead.
pub(super) fn own_token(plane: &Plane, token: &str) -> Option<Claims> {
    let jws = Jws::parse(token).ok()?;
    let keyring = plane.keyring();
    let named = |key: &&TokenKey| Some(key.kid()) == jws.kid();
    let key = keyring.token_keys().iter().find(named)?;
    let key = VerifyingKey::from_jwk(key.jwk().to_string().as_bytes()).ok()?;
    let claims: Claims = serde_json::from_slice(&jws.verify(&key).ok()?).ok()?;
    (claims.iss == plane.settings().issuer).then_some(claims)
}

/// Lists what was revoked, by which API key, why and when. Requests are gone when all of their entries
/// expired long ago, and may be gone when they are a week old.
/// With `kind=refresh` it is the refresh denylist instead: spent and revoked refresh tokens.
#[utoipa::path(
    get, path = "/v1/revocations", tag = "revocations", params(ListQuery),
    security(("api_key" = ["revocations:read"])),
    responses((status = 200, body = Listing), (status = "4XX", body = ProblemDocument),
              (status = 503, body = ProblemDocument))
)]
pub(super) async fn list(
    State(plane): State<Arc<Plane>>,
    Params(query): Params<ListQuery>,
) -> Result<Response, Problem> {
    if query.kind == Some(ListKind::Refresh) {
        if query.limit.is_some() || query.before.is_some() {
            let detail = "kind=refresh takes cursor, neither limit nor before";
            return Err(Problem::bad_request("invalid_query", detail));
        }
        let page = refresh_denylist::page(&plane, query.cursor.as_deref()).await?;
        return Ok(Json(page).into_response());
    }
    if query.cursor.is_some() {
        return Err(Problem::bad_request("invalid_query", "cursor: is for kind=refresh"));
    }
    let limit = query.limit.unwrap_or(20);
    if !(1..=100).contains(&limit) {
        return Err(Problem::bad_request("invalid_query", "limit: must be between 1 and 100"));
    }
    plane.catch_up().await?;
    let end = query.before.unwrap_or(u64::MAX).min(plane.position().seq.saturating_add(1));
    let after = end.saturating_sub(limit).saturating_sub(1);
    let wanted = end.saturating_sub(after).saturating_sub(1);
    let page = plane
        .store()
        .read(after, usize::try_from(wanted).unwrap_or(0))
        .await
        .map_err(PlaneError::from)?;
    let issuer = &plane.settings().issuer;
    let mut requests = Vec::new();
    for (seq, bytes) in page.records.iter().rev().filter(|(seq, _)| *seq < end) {
        let record = Record::decode(bytes)
            .map_err(|_| PlaneError::Fold(crate::fold::FoldError::Damaged { seq: *seq }))?;
        let position = Position { era: page.era, seq: *seq };
        requests.push(Listed::new(record, position, issuer));
    }
    let oldest = requests.last().map(|request| request.position.seq);
    let next = oldest.filter(|seq| seq.saturating_sub(1) > page.checkpoint.seq);
    Ok(Json(Listing { requests, next }).into_response())
}

impl Revoke {
    /// [`record`](Self::record), apart from other requests where it may take long: each token's
    /// signature is verified.
    async fn record_apart(
        self,
        plane: &Arc<Plane>,
        by: String,
        now: u64,
    ) -> Result<Record, Problem> {
        let entries = self.revocations.as_ref().map_or(1, Vec::len);
        if entries <= FEW_ENTRIES {
            return self.record(plane, by, now);
        }
        let plane = plane.clone();
        let checked = tokio::task::spawn_blocking(move || self.record(&plane, by, now)).await;
        checked.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
    }

    fn record(self, plane: &Plane, by: String, now: u64) -> Result<Record, Problem> {
        check_reason(self.reason.as_deref())?;
        let single = Entry {
            token: self.token,
            jti: self.jti,
            exp: self.exp,
            session_id: self.session_id,
            sub: self.sub,
            refresh_token: self.refresh_token,
            kid: self.kid,
            issuer: self.issuer,
        };
        let (revocations, reason) = (self.revocations, self.reason);
        let revocations = match revocations {
            None => vec![single.check(plane, now).map_err(|problem| invalid(&problem))?],
            Some(_) if !single.is_empty() => {
                return Err(invalid("revocations: must stand alone, beside reason only"));
            }
            Some(entries) if !(1..=MAX_ENTRIES).contains(&entries.len()) => {
                return Err(Problem::bad_request(
                    "too_many_revocations",
                    "revocations: must have 1 to 100000 entries",
                ));
            }
            Some(entries) => entries
                .into_iter()
                .enumerate()
                .map(|(index, entry)| {
                    let place = |problem| invalid(&format!("revocations[{index}].{problem}"));
                    entry.check(plane, now).map_err(place)
                })
                .collect::<Result<_, _>>()?,
        };
        Ok(Record { at: now, by, reason, revocations })
    }
}

impl Entry {
    fn is_empty(&self) -> bool {
        self.token.is_none()
            && self.jti.is_none()
            && self.exp.is_none()
            && self.session_id.is_none()
            && self.sub.is_none()
            && self.refresh_token.is_none()
            && self.kid.is_none()
            && self.issuer.is_none()
    }

    /// The one thing that the entry names, or what is wrong with it, beginning with the field.
    pub(super) fn check(self, plane: &Plane, now: u64) -> Result<Revocation, String> {
        let settings = plane.settings();
        let Self { token, jti, session_id, sub, refresh_token, kid, .. } = &self;
        let named = [token, jti, session_id, sub, refresh_token, kid];
        if named.iter().filter(|name| name.is_some()).count() != 1 {
            let names = "token, jti, session_id, sub, refresh_token and kid";
            return Err(format!("jti: name exactly one of {names}"));
        }
        let issuer = self.issuer.filter(|issuer| *issuer != settings.issuer);
        bounded("issuer", issuer.as_deref(), 512)?;
        let longest = match issuer {
            None => LONGEST_ACCESS_TOKEN_SECONDS,
            Some(_) => settings.foreign_token_seconds,
        };
        let latest = now.saturating_add(longest);
        let exp = self.exp.unwrap_or(latest);
        if exp > now.saturating_add(settings.max_revocation_seconds) {
            return Err("exp: lies too far in the future".to_owned());
        }
        if let Some(token) = self.token {
            if issuer.is_some() || self.exp.is_some() {
                return Err("token: must stand alone".to_owned());
            }
            let own = own_token(plane, &token);
            let own = own.ok_or("token: is not an access token of this control plane")?;
            return Ok(Revocation::Token { issuer: None, jti: own.jti, exp: own.exp });
        }
        let has_exp = self.exp.is_some();
        if let Some(token) = self.refresh_token {
            if issuer.is_some() || has_exp {
                return Err("refresh_token: must stand alone".to_owned());
            }
            let own = Credential::parse(&token, CredentialKind::RefreshToken, plane.master());
            let own = own.ok_or("refresh_token: is not a refresh token of this control plane")?;
            return Ok(Revocation::Refresh { sid: own.session.to_string(), exp: latest });
        }
        // One token's exp says nothing of the others of its session or user.
        let own = issuer.is_none();
        let outlasting = |exp: u64| if own { exp.max(latest) } else { exp };
        if let Some(jti) = self.jti {
            bounded("jti", Some(&jti), MAX_ID_BYTES)?;
            if !has_exp {
                return Err("exp: is missing: a jti is kept until its token expires".to_owned());
            }
            return Ok(Revocation::Token { issuer, jti, exp });
        }
        if let Some(sid) = self.session_id {
            bounded("session_id", Some(&sid), MAX_ID_BYTES)?;
            return Ok(Revocation::Session { issuer, sid, exp: outlasting(exp) });
        }
        if let Some(sub) = self.sub {
            bounded("sub", Some(&sub), MAX_ID_BYTES)?;
            return Ok(Revocation::User { issuer, sub, exp: outlasting(exp) });
        }
        let kid = self.kid.unwrap_or_default();
        bounded("kid", Some(&kid), MAX_ID_BYTES)?;
        let known = |kid: &str| plane.keyring().token_keys().iter().any(|key| key.kid() == kid);
        if has_exp {
            return Err("exp: a key is dead for good".to_owned());
        }
        if issuer.is_none() && !known(&kid) {
            return Err("kid: this control plane has no such key".to_owned());
        }
        Ok(Revocation::Key { issuer, kid })
    }
}

impl From<Revoked> for Accepted {
    fn from(revoked: Revoked) -> Self {
        let Revoked { position, durability, repeated } = revoked;
        Self { position, durability, repeated }
    }
}

impl Listed {
    fn new(record: Record, position: Position, own: &str) -> Self {
        let count = record.revocations.len();
        let shown = record.revocations.into_iter().take(MAX_SHOWN);
        let revocations = shown.map(|one| Shown::new(one, position.seq, own)).collect();
        let Record { at, by, reason, .. } = record;
        Self { position, at, by, reason, count, revocations }
    }
}

impl Shown {
    fn new(revocation: Revocation, seq: u64, own: &str) -> Self {
        let name = |issuer: Option<String>| issuer.unwrap_or_else(|| own.to_owned());
        match revocation {
            Revocation::Epoch { epoch } => Self::Epoch { epoch },
            Revocation::Key { issuer, kid } => Self::Key { issuer: name(issuer), kid },
            Revocation::Refresh { sid, .. } => Self::Refresh { session_id: sid },
            Revocation::Sessions => Self::Sessions { version: seq },
            Revocation::Session { issuer, sid, exp } => {
                Self::Session { issuer: name(issuer), session_id: sid, exp }
            }
            Revocation::Token { issuer, jti, exp } => {
                Self::Token { issuer: name(issuer), jti, exp }
            }
            Revocation::User { issuer, sub, .. } => {
                Self::User { issuer: name(issuer), sub, version: seq }
            }
        }
    }
}

/// What a revocation needs of an own token.
#[derive(Deserialize)]
pub(super) struct Claims {
    iss: String,
    pub(super) jti: String,
    pub(super) sid: String,
    pub(super) exp: u64,
}

fn bounded(field: &str, text: Option<&str>, limit: usize) -> Result<(), String> {
    match text {
        Some(text) if text.is_empty() || text.len() > limit => {
            Err(format!("{field}: must have 1 to {limit} bytes"))
        }
        _ => Ok(()),
    }
}

fn check_reason(reason: Option<&str>) -> Result<(), Problem> {
    match reason {
        Some(reason) if reason.len() > 500 => Err(invalid("reason: must have at most 500 bytes")),
        _ => Ok(()),
    }
}

fn invalid(detail: &str) -> Problem {
    Problem::bad_request("invalid_revocation", detail)
}

/// Stands in the log for whoever held a token and switched it off.
pub(super) const HOLDER: &str = "holder";
const MAX_ENTRIES: usize = 100_000;
const MAX_ID_BYTES: usize = 256;
/// Checked within a few milliseconds.
const FEW_ENTRIES: usize = 100;
const MAX_SHOWN: usize = 100;
