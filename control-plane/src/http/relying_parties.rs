//! `/v1/relying-parties`: the applications that are notified of ended sessions.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use offswitch_core::relying_parties::{Delivery, Failure, Progress, RelyingPartyDefinition};
use offswitch_core::revoking::Refused;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::extract::{Body, IdInPath};
use crate::plane::{Plane, PlaneError};
use crate::problem::{Problem, ProblemDocument};
use crate::relying_parties::{Registered, RelyingPartyError};

/// A relying party that is notified when a session ends. Exactly one of the two addresses is set: https, or
/// http on this machine.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RelyingPartyDocument {
    /// The `aud` of what it is sent: its `client_id`.
    audience: String,
    /// Where it takes logout tokens (OpenID Connect Back-Channel Logout 1.0).
    backchannel_logout_uri: Option<String>,
    /// True if it finds sessions by `sid`: logout tokens then have a `sid` and no `sub`.
    backchannel_logout_session_required: bool,
    /// Where it takes security event tokens by push (RFC 8935): `session-revoked` of CAEP.
    endpoint_url: Option<String>,
}

/// A registered relying party, and what is known about its notices.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RelyingPartyListed {
    name: String,
    /// The `aud` of what it is sent.
    audience: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    backchannel_logout_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backchannel_logout_session_required: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_url: Option<String>,
    /// When it was registered, unix seconds: it hears of sessions that ended since.
    created_at: u64,
    /// How many notices it has accepted.
    delivered: u64,
    /// How many it has refused with 400; they are not sent again.
    refused: u64,
    /// How many were given up: a day old, or failed again and again while others were accepted.
    given_up: u64,
    /// When it last accepted a notice, unix seconds; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered_at: Option<u64>,
    /// Why the last attempt failed that did; absent if none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<NoticeError>,
    /// When the session ended whose notice waits for longest, unix seconds; absent if none waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_since: Option<u64>,
}

/// Why a notice was not accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NoticeError {
    /// When, unix seconds.
    at: u64,
    /// The stable code: `no_answer`, `other_endpoint`, `refused` or `unexpected_status`.
    code: String,
    /// What was found, in words.
    detail: String,
}

/// All relying parties.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RelyingPartyList {
    /// By name.
    relying_parties: Vec<RelyingPartyListed>,
}

/// Lists the relying parties, with the state of their notices.
#[utoipa::path(
    get, path = "/v1/relying-parties", tag = "relying-parties", operation_id = "listRelyingParties",
    summary = "List the relying parties",
    responses((status = 200, description = "The relying parties", body = RelyingPartyList),
              (status = "4XX", description = "Refused", body = ProblemDocument))
)]
pub(super) async fn list(State(plane): State<Arc<Plane>>) -> Json<RelyingPartyList> {
    Json(RelyingPartyList { relying_parties: RelyingPartyListed::all(&plane) })
}

/// Registers a relying party under a name, or changes it. It is notified of every session that ends from
/// then on; a change keeps what was not delivered yet.
#[utoipa::path(
    put, path = "/v1/relying-parties/{name}", tag = "relying-parties",
    operation_id = "putRelyingParty", summary = "Register a relying party, or change it",
    request_body(content = RelyingPartyDocument, examples(
        ("logout" = (summary = "By back-channel logout", value = json!({
            "audience": "shop", "backchannel_logout_uri": "https://shop.example/backchannel-logout",
            "backchannel_logout_session_required": true }))),
        ("push" = (summary = "By security events", value = json!({
            "audience": "https://crm.example", "endpoint_url": "https://crm.example/events" })))
    )),
    params(("name" = String, Path, description = "A name for it", example = "shop")),
    responses((status = 200, description = "Registered", body = RelyingPartyListed),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn put(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    IdInPath(name): IdInPath,
    body: Body<RelyingPartyDocument>,
) -> Result<Json<RelyingPartyListed>, Problem> {
    let party = body.value.into_definition().check(&name).map_err(refused)?;
    plane.outgoing.register(&name, &party, &caller.id, plane.now()).await?;
    let mut all = RelyingPartyListed::all(&plane).into_iter();
    // Another request may have removed it since.
    let listed = all.find(|one| one.name == name).ok_or(RelyingPartyError::Unknown)?;
    Ok(Json(listed))
}

/// Removes a relying party. What it was not sent yet is dropped.
#[utoipa::path(
    delete, path = "/v1/relying-parties/{name}", tag = "relying-parties",
    operation_id = "deleteRelyingParty", summary = "Remove a relying party",
    params(("name" = String, Path, description = "Its name", example = "shop")),
    responses((status = 204, description = "Removed"),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn delete(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    IdInPath(name): IdInPath,
) -> Result<StatusCode, Problem> {
    plane.outgoing.remove(&name, &caller.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl RelyingPartyDocument {
    fn into_definition(self) -> RelyingPartyDefinition {
        RelyingPartyDefinition {
            audience: self.audience,
            backchannel_logout_uri: self.backchannel_logout_uri,
            backchannel_logout_session_required: self.backchannel_logout_session_required,
            endpoint_url: self.endpoint_url,
        }
    }
}

impl RelyingPartyListed {
    /// All relying parties, by name.
    pub(super) fn all(plane: &Plane) -> Vec<Self> {
        let all = plane.outgoing.list().into_iter();
        all.map(|(registered, progress)| Self::new(registered, progress)).collect()
    }

    fn new(registered: Registered, progress: Progress) -> Self {
        let (uri, session_required, endpoint_url) = match registered.party.delivery {
            Delivery::BackchannelLogout { uri, session_required } => {
                (Some(uri), Some(session_required), None)
            }
            Delivery::Push { endpoint_url } => (None, None, Some(endpoint_url)),
        };
        let error = |Failure { at, code, detail }| NoticeError { at, code, detail };
        Self {
            name: registered.name,
            audience: registered.party.audience,
            backchannel_logout_uri: uri,
            backchannel_logout_session_required: session_required,
            endpoint_url,
            created_at: registered.created_at,
            delivered: progress.delivered,
            refused: progress.refused,
            given_up: progress.given_up,
            delivered_at: progress.delivered_at,
            last_error: progress.last_error.map(error),
            waiting_since: progress.waiting_since,
        }
    }
}

impl From<RelyingPartyError> for Problem {
    fn from(error: RelyingPartyError) -> Self {
        let (status, code) = match error {
            RelyingPartyError::Store(error) => return PlaneError::from(error).into(),
            RelyingPartyError::TooMany => (StatusCode::CONFLICT, "too_many_relying_parties"),
            RelyingPartyError::Unknown => (StatusCode::NOT_FOUND, "unknown_relying_party"),
        };
        Self::new(status, code, error.to_string())
    }
}

fn refused(refused: Refused) -> Problem {
    let Refused { field, detail, .. } = refused;
    Problem::of_field("invalid_relying_party", field, detail)
}
