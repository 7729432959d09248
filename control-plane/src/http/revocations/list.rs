//! `GET /v1/revocations`: what was revoked, by which API key, why and when.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use offswitch_core::audit::shown_claims;
use offswitch_core::issuers::Issuers;
use offswitch_core::record::{Record, Revocation};
use offswitch_snapshot::Position;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::refresh_denylist::{self, RefreshDenylist};
use crate::http::extract::Params;
use crate::plane::Plane;
use crate::problem::{Problem, ProblemDocument};

/// Which revocations to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ListQuery {
    /// `access` (the default) for the log, `refresh` for revocations that only affect refreshes.
    #[param(inline)]
    kind: Option<ListKind>,
    /// Only with `kind=refresh`: the `next` of the previous page.
    cursor: Option<String>,
    /// The maximum number of requests, 1 to 100; 20 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u64>,
    /// Only requests before this seq: the `next` of the previous page.
    before: Option<u64>,
    /// Only revocations of this user.
    sub: Option<String>,
    /// Only revocations of the token with this id.
    jti: Option<String>,
    /// Only revocations of this session.
    session_id: Option<String>,
    /// Only revocations of this signing key.
    kid: Option<String>,
    /// Only revocations of tokens with exactly this `iss`.
    issuer: Option<String>,
    /// Only requests at or after this time, unix seconds.
    since: Option<u64>,
    /// Only requests before this time, unix seconds.
    until: Option<u64>,
}

/// Which list to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ListKind {
    Access,
    Refresh,
}

/// A page of revocations, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RevocationList)]
pub(super) struct Listing {
    requests: Vec<Listed>,
    /// Request more with this value as `before`; absent on the last page. One request reads a
    /// limited part of the log: with a filter, a page may be short or empty although more pages
    /// follow.
    next: Option<u64>,
}

/// One accepted request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RevocationListed)]
pub(super) struct Listed {
    #[schema(value_type = String, example = "1763942400.17")]
    position: Position,
    /// When it was accepted, unix seconds.
    at: u64,
    /// The id of the API key that sent it.
    by: String,
    reason: Option<String>,
    /// The number of entries in the request.
    count: usize,
    /// The first 100 of its entries that match the filters. Each names its `kind` and, if it has
    /// one, its `issuer`.
    #[schema(value_type = Vec<Object>)]
    revocations: Vec<Shown>,
}

/// One of the two lists.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = RevocationPage)]
#[expect(dead_code, reason = "describes the answer to the API's readers")]
pub(super) enum Page {
    Access(Listing),
    Refresh(RefreshDenylist),
}

/// A revocation in a listing.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Shown {
    Claims {
        issuer: String,
        claims: Map<String, Value>,
        issued_before: u64,
        until: u64,
    },
    Epoch {
        issuer: String,
        epoch: u64,
    },
    Issuer {
        issuer: String,
        name: String,
        horizon_seconds: u64,
    },
    IssuerRemoved {
        name: String,
    },
    Key {
        issuer: String,
        kid: String,
    },
    Refresh {
        session_id: String,
    },
    Session {
        issuer: String,
        session_id: String,
        until: u64,
    },
    Sessions {
        version: u64,
    },
    Token {
        issuer: String,
        jti: String,
        until: u64,
    },
    User {
        issuer: String,
        sub: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        issued_before: Option<u64>,
        version: u64,
        until: u64,
    },
}

/// Lists what was revoked, by which API key, why and when, newest first. Requests are removed long
/// after all of their entries expired, and may be removed when they are a week old. With
/// `kind=refresh` it is the refresh denylist instead: used and revoked refresh tokens.
#[utoipa::path(
    get, path = "/v1/revocations", tag = "revocations", operation_id = "listRevocations",
    summary = "List revocations", params(ListQuery),
    responses((status = 200, description = "One page", body = Page),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(in crate::http) async fn list(
    State(plane): State<Arc<Plane>>,
    Params(query): Params<ListQuery>,
) -> Result<Response, Problem> {
    let wrong = |detail: &str| Err(Problem::bad_request("invalid_query", detail));
    if query.kind == Some(ListKind::Refresh) {
        let cursor = query.cursor.clone();
        if !(ListQuery { kind: None, cursor: None, ..query }).is_empty() {
            return wrong("kind: with kind=refresh only cursor is allowed");
        }
        let page = refresh_denylist::page(&plane, cursor.as_deref()).await?;
        return Ok(Json(page).into_response());
    }
    if query.cursor.is_some() {
        return wrong("cursor: only valid with kind=refresh; use before");
    }
    let limit = query.limit.unwrap_or(20);
    if !(1..=100).contains(&limit) {
        return wrong("limit: must be between 1 and 100");
    }
    let named = [&query.sub, &query.jti, &query.session_id, &query.kid];
    if named.into_iter().flatten().count() > 1 {
        return wrong("sub: give at most one of sub, jti, session_id, kid");
    }
    plane.log.catch_up().await?;
    Ok(Json(query.page(&plane, usize::try_from(limit).unwrap_or(1)).await?).into_response())
}

impl ListQuery {
    fn is_empty(&self) -> bool {
        let Self { kind, cursor, limit, before, sub, jti, session_id, kid, issuer, since, until } =
            self;
        let texts = [cursor, sub, jti, session_id, kid, issuer];
        let numbers = [limit, before, since, until];
        kind.is_none()
            && texts.into_iter().all(Option::is_none)
            && numbers.into_iter().all(Option::is_none)
    }

    /// At most `limit` requests from a bounded part of the log.
    async fn page(&self, plane: &Plane, limit: usize) -> Result<Listing, Problem> {
        let issuers = plane.log.issuers();
        let mut log = plane.log.backwards(self.before.unwrap_or(u64::MAX));
        let is_narrow = self.is_selective() || self.since.is_some() || self.until.is_some();
        let ahead = if is_narrow { usize::MAX } else { limit };
        let (mut requests, mut records, mut entries) = (Vec::new(), 0, 0);
        while requests.len() < limit && records < MOST_RECORDS && entries < MOST_ENTRIES {
            let Some((position, record)) = log.next(ahead).await? else {
                return Ok(Listing { requests, next: None });
            };
            records += 1;
            entries += record.revocations.len();
            let at = record.at;
            if self.since.is_some_and(|since| at.saturating_add(CLOCK_SECONDS) < since) {
                return Ok(Listing { requests, next: None });
            }
            let is_asked = self.since.is_none_or(|since| since <= at)
                && self.until.is_none_or(|until| at < until);
            if is_asked {
                requests.extend(Listed::new(record, position, &issuers, self));
            }
        }
        Ok(Listing { requests, next: log.more() })
    }

    /// True if a filter is set that not every entry matches.
    fn is_selective(&self) -> bool {
        let Self { sub, jti, session_id, kid, issuer, .. } = self;
        [sub, jti, session_id, kid, issuer].into_iter().any(Option::is_some)
    }

    fn asks_for(&self, revocation: &Revocation, own: &str) -> bool {
        let (sub, jti, session_id, kid) = match revocation {
            Revocation::Key { kid, .. } => (None, None, None, Some(kid)),
            Revocation::Refresh { sid, .. } | Revocation::Session { sid, .. } => {
                (None, None, Some(sid), None)
            }
            Revocation::Token { jti, .. } => (None, Some(jti), None, None),
            Revocation::User { sub, .. } => (Some(sub), None, None, None),
            Revocation::Claims { .. }
            | Revocation::Epoch { .. }
            | Revocation::Horizon { .. }
            | Revocation::Issuer { .. }
            | Revocation::IssuerRemoved { .. }
            | Revocation::Sessions => (None, None, None, None),
        };
        let meets = |asked: &Option<String>, found: Option<&String>| {
            asked.as_ref().is_none_or(|asked| found == Some(asked))
        };
        let issuer = revocation.issuer().unwrap_or(own);
        self.issuer.as_ref().is_none_or(|asked| asked == issuer)
            && meets(&self.sub, sub)
            && meets(&self.jti, jti)
            && meets(&self.session_id, session_id)
            && meets(&self.kid, kid)
    }
}

impl Listed {
    /// None if no entry of the record matches.
    fn new(
        record: Record,
        position: Position,
        issuers: &Issuers,
        query: &ListQuery,
    ) -> Option<Self> {
        let Record { at, by, reason, revocations } = record;
        // The horizon of own tokens follows the configuration: nothing was revoked.
        let is_horizon = |one: &&Revocation| matches!(one, Revocation::Horizon { .. });
        let count = revocations.len() - revocations.iter().filter(is_horizon).count();
        let asked = revocations.into_iter().filter(|one| query.asks_for(one, issuers.own()));
        let shown = asked.filter_map(|one| Shown::new(one, position.seq, at, issuers));
        let revocations: Vec<Shown> = shown.take(MAX_SHOWN).collect();
        let is_asked = !revocations.is_empty() || !query.is_selective();
        (is_asked && count > 0).then_some(Self { position, at, by, reason, count, revocations })
    }
}

impl Shown {
    /// None for what revokes nothing and concerns no issuer.
    fn new(revocation: Revocation, seq: u64, at: u64, issuers: &Issuers) -> Option<Self> {
        let until = revocation.needed_until(at, issuers);
        let issuer = revocation.issuer().unwrap_or(issuers.own()).to_owned();
        Some(match revocation {
            Revocation::Claims { claims, issued_before, .. } => {
                Self::Claims { issuer, claims: shown_claims(&claims), issued_before, until }
            }
            Revocation::Epoch { epoch, .. } => Self::Epoch { issuer, epoch },
            Revocation::Horizon { .. } => return None,
            Revocation::Issuer { name, registration } => {
                let horizon_seconds = registration.horizon_seconds;
                Self::Issuer { issuer, name, horizon_seconds }
            }
            Revocation::IssuerRemoved { name } => Self::IssuerRemoved { name },
            Revocation::Key { kid, .. } => Self::Key { issuer, kid },
            Revocation::Refresh { sid, .. } => Self::Refresh { session_id: sid },
            Revocation::Sessions => Self::Sessions { version: seq },
            Revocation::Session { sid, .. } => Self::Session { issuer, session_id: sid, until },
            Revocation::Token { jti, .. } => Self::Token { issuer, jti, until },
            Revocation::User { sub, issued_before, .. } => {
                Self::User { issuer, sub, issued_before, version: seq, until }
            }
        })
    }
}

const MAX_SHOWN: usize = 100;
/// How many records one request reads: a few milliseconds of work, and memory for a few pages.
const MOST_RECORDS: usize = 2000;
const MOST_ENTRIES: usize = 200_000;
/// By how much the times of two records may be out of order.
const CLOCK_SECONDS: u64 = 600;
