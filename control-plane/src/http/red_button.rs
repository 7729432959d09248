//! `POST /v1/red-button`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use offswitch_core::record::Record;
use offswitch_snapshot::Position;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::applied::Applied;
use super::extract::{Body, IdempotencyKey, Params, idempotency};
use super::proof::{Prefer, ProofQuery, Wanted};
use crate::audit;
use crate::plane::{Landing, Plane, Reach, RedButton, Revoked};
use crate::problem::{Problem, ProblemDocument};
use crate::store::Durability;

/// Presses the red button, or only previews it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Press {
    /// Only report what would happen.
    #[serde(default)]
    dry_run: bool,
    /// `end` (the default): every session ends. `keep`: refresh tokens stay valid, and clients
    /// refresh.
    #[serde(default)]
    sessions: Option<Landing>,
    /// The exact `iss` of a registered issuer: only its tokens are revoked, its keys stay. By default
    /// this control plane.
    issuer: Option<String>,
    /// The reason, at most 500 bytes.
    reason: Option<String>,
}

/// The effect that the red button had, or would have.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Pressed {
    dry_run: bool,
    /// The keys that were, or would be, revoked.
    dead_kids: Vec<String>,
    /// Tokens issued before this instant (unix seconds) are revoked.
    epoch: u64,
    /// What happens to the sessions.
    sessions: Landing,
    /// What would be affected; only present in a dry run.
    reach: Option<Reached>,
    /// The key that signs from now on; absent in a dry run.
    active_kid: Option<String>,
    /// A verifier at this position or a later one refuses; absent in a dry run.
    #[schema(value_type = Option<String>)]
    position: Option<Position>,
    /// Which failures the record survives; absent in a dry run.
    #[schema(value_type = Option<String>)]
    durability: Option<Durability>,
    /// How many replicas of the store have the record; only with `replicated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<u32>,
    /// A signed receipt, if one was asked for and can be made; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
    /// What the followers hold; only with `wait=applied`.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<Applied>,
}

/// What a red button would affect.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reached {
    /// Users with an active session.
    users: u64,
    /// Active sessions.
    sessions: u64,
    /// Signing keys.
    keys: usize,
    /// Sessions whose last access token has not expired.
    tokens: u64,
}

/// Revokes every token: all signing keys are revoked, a new key signs, and the epoch is raised. With
/// `issuer`, every token that this issuer has issued so far.
#[utoipa::path(
    post, path = "/v1/red-button", tag = "revocations", operation_id = "pressRedButton",
    summary = "Revoke every token",
    request_body(content = Press, examples(
        ("preview" = (summary = "Only report what would happen",
                      value = json!({ "dry_run": true }))),
        ("press" = (summary = "Press it", value = json!({ "reason": "key stolen" })))
    )),
    params(IdempotencyKey, Prefer, ProofQuery),
    responses((status = 200, description = "What was, or would be, revoked", body = Pressed), (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn press(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    Params(query): Params<ProofQuery>,
    headers: HeaderMap,
    body: Body<Press>,
) -> Result<Json<Pressed>, Problem> {
    let wanted = query.read(&headers, &caller)?;
    let Press { dry_run, sessions, issuer, reason } = body.value;
    if reason.as_ref().is_some_and(|reason| reason.len() > 500) {
        let detail = "reason: must have at most 500 bytes";
        return Err(Problem::bad_request("invalid_red_button", detail));
    }
    let request = idempotency(&headers, &caller.id, "/v1/red-button", &body.bytes)?;
    if dry_run {
        audit::preview();
    }
    let now = plane.now();
    if let Some(issuer) = issuer.filter(|issuer| issuer != plane.issuer()) {
        if sessions.is_some() {
            let detail = "sessions: leave it out: the sessions of another issuer are its own";
            return Err(Problem::bad_request("invalid_red_button", detail));
        }
        let issuers = plane.log.issuers();
        let known = offswitch_core::revoking::known(Some(issuer.clone()), &issuers);
        known.map_err(super::revocations::refused)?;
        if dry_run {
            let button = plane.red_button_of(&issuer, now);
            return Ok(Json(Pressed::would(button, None)));
        }
        let record = Record { at: now, by: caller.id, reason, revocations: vec![] };
        let (button, revoked) = plane.press_red_button_of(&issuer, &request, record).await?;
        tracing::warn!(epoch = button.epoch, issuer, "the red button of an issuer was pressed");
        let pressed = Pressed::after(button, None, revoked);
        return Ok(Json(pressed.proven(&plane, revoked, wanted).await));
    }
    let sessions = sessions.unwrap_or_default();
    if dry_run {
        let reach = plane.sessions.reach(now).await?;
        return Ok(Json(Pressed::would(plane.red_button(sessions, now), Some(reach))));
    }
    let record = Record { at: now, by: caller.id, reason, revocations: vec![] };
    let (button, revoked) = plane.press_red_button(&request, record, sessions).await?;
    tracing::warn!(epoch = button.epoch, ?sessions, "the red button was pressed");
    let pressed = Pressed::after(button, plane.signing.active_kid(), revoked);
    Ok(Json(pressed.proven(&plane, revoked, wanted).await))
}

impl Pressed {
    /// The effect that pressing had.
    fn after(button: RedButton, active_kid: Option<String>, revoked: Revoked) -> Self {
        let RedButton { dead_kids, epoch, sessions } = button;
        let (position, durability) = (Some(revoked.position), Some(revoked.durability));
        Self {
            dry_run: false,
            dead_kids,
            epoch,
            sessions,
            reach: None,
            active_kid,
            position,
            durability,
            replicas: revoked.durability.replicas(),
            receipt: None,
            applied: None,
        }
    }

    /// Adds the proof that the caller wants.
    async fn proven(self, plane: &Plane, of: Revoked, wanted: Wanted) -> Self {
        let (receipt, applied) = wanted.of(plane, of.position, of.durability).await;
        Self { receipt, applied, ..self }
    }

    /// The effect that pressing would have.
    fn would(button: RedButton, reach: Option<Reach>) -> Self {
        let keys = button.dead_kids.len();
        let reach = reach.map(|Reach { users, sessions, tokens }| Reached {
            users,
            sessions,
            keys,
            tokens,
        });
        Self {
            dry_run: true,
            dead_kids: button.dead_kids,
            epoch: button.epoch,
            sessions: button.sessions,
            reach,
            active_kid: None,
            position: None,
            durability: None,
            replicas: None,
            receipt: None,
            applied: None,
        }
    }
}
