//! `/v1/issuers`: the identity providers whose tokens can be revoked.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use offswitch_core::issuers::{Definition, Issuers, KeySource, Registration};
use offswitch_core::receivers::Receivers;
use offswitch_core::record::{Record, Revocation};
use offswitch_core::revoking::{Refused, RefusedKind};
use offswitch_presets::Parameters;
use offswitch_snapshot::Position;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::extract::{Body, IdInPath, IdempotencyKey, idempotency};
use super::receivers::{ReceiverState, ReceiversDefinition};
use crate::plane::{Plane, Revoked};
use crate::problem::{Problem, ProblemDocument};
use crate::store::Durability;

/// An issuer whose tokens can be revoked. What is left out takes its default.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct IssuerDefinition {
    /// The exact `iss` of its tokens. A preset has it.
    issuer: String,
    /// The preset that has what is left out, by its name: see the reference of presets.
    preset: Option<String>,
    /// The parameters of the preset, by their names. Those that only verifiers need can be left out.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    parameters: Parameters,
    /// The address of its discovery document; by default `/.well-known/openid-configuration` at the
    /// issuer.
    discovery_uri: Option<String>,
    /// The address of its JWK set, instead of a discovery document.
    jwks_uri: Option<String>,
    /// The algorithms of its tokens; by default RS256, ES256 and EdDSA.
    algorithms: Option<Vec<String>>,
    /// The longest life of its tokens, from `iat` to `exp`, in seconds, 60 to 31536000; by default
    /// 86400. Verifiers refuse tokens that live longer, and a revocation stays as long as it asks for.
    horizon_seconds: Option<u64>,
    /// How far its clock may differ, in seconds, 0 to 300; by default 5.
    clock_skew_seconds: Option<u64>,
    /// The claim that is the id of a token; by default `jti`. Empty if its tokens have none.
    token_id_claim: Option<String>,
    /// The claim that is the id of a session; by default `sid`. Empty if its tokens have none.
    session_id_claim: Option<String>,
    /// The claim that is the id of a user; by default `sub`. Empty if its tokens have none.
    user_id_claim: Option<String>,
    /// Further combinations of claims that verifiers look up, each one to four claim paths. One that
    /// is not listed is added when something is revoked by it.
    selectors: Vec<Vec<String>>,
    /// Which of its events are accepted; by default none.
    #[schema(value_type = ReceiversDefinition)]
    receivers: Receivers,
}

/// A registered issuer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IssuerListed {
    name: String,
    /// The exact `iss` of its tokens.
    issuer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    discovery_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks_uri: Option<String>,
    algorithms: Vec<String>,
    horizon_seconds: u64,
    clock_skew_seconds: u64,
    /// Empty if its tokens have no id, as below.
    token_id_claim: String,
    session_id_claim: String,
    user_id_claim: String,
    /// The configured selectors.
    selectors: Vec<Vec<String>>,
    /// Which of its events are accepted.
    receivers: ReceiversDefinition,
    /// What the answering process has seen of its receivers since it started.
    receiver_status: Vec<ReceiverState>,
    /// All selectors that verifiers look up now.
    selectors_in_use: Vec<Vec<String>>,
    /// Tokens issued before it are revoked, unix seconds; 0 if its red button was never pressed.
    epoch: u64,
}

/// All registered issuers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IssuerList {
    /// By name.
    issuers: Vec<IssuerListed>,
}

/// An issuer was registered, changed or removed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IssuerChanged {
    #[serde(flatten)]
    listed: IssuerListed,
    /// Verifiers at this position or a later one know it.
    #[schema(value_type = String, example = "1763942400.17")]
    position: Position,
    /// Which failures the record survives.
    #[schema(value_type = String, example = "synced")]
    durability: Durability,
    /// How many replicas of the store have the record; only with `replicated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<u32>,
}

/// Lists the registered issuers.
#[utoipa::path(
    get, path = "/v1/issuers", tag = "issuers", operation_id = "listIssuers",
    summary = "List the issuers",
    responses((status = 200, description = "The issuers", body = IssuerList),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn list(State(plane): State<Arc<Plane>>) -> Result<Json<IssuerList>, Problem> {
    plane.log.catch_up().await?;
    let issuers = plane.log.issuers();
    let listed =
        |(name, one): (&str, &Registration)| IssuerListed::new(&plane, name, one, &issuers);
    Ok(Json(IssuerList { issuers: issuers.registered().map(listed).collect() }))
}

/// Registers an issuer under a name, or changes it. Its tokens can be revoked from then on.
///
/// A changed horizon holds for tokens that are issued from then on. Verifiers need no configuration
/// for it; they need the issuer's keys.
#[utoipa::path(
    put, path = "/v1/issuers/{name}", tag = "issuers", operation_id = "putIssuer",
    summary = "Register an issuer, or change it",
    request_body(content = IssuerDefinition, examples(
        ("defaults" = (summary = "With the defaults",
                       value = json!({ "issuer": "https://idp.example" }))),
        ("preset" = (summary = "By a preset", value = json!({
            "preset": "entra",
            "parameters": { "tenant": "9188040d-6c67-4c5b-b112-36a304b66dad" },
            "horizon_seconds": 7200 }))),
        ("members" = (summary = "With claims of its own", value = json!({
            "issuer": "https://sso.example", "jwks_uri": "https://sso.example/keys",
            "algorithms": ["RS256"], "session_id_claim": "", "user_id_claim": "oid" })))
    )),
    params(("name" = String, Path, description = "A name for it", example = "idp"), IdempotencyKey),
    responses((status = 200, description = "Registered", body = IssuerChanged),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn put(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    IdInPath(name): IdInPath,
    headers: HeaderMap,
    body: Body<IssuerDefinition>,
) -> Result<Json<IssuerChanged>, Problem> {
    let route = format!("/v1/issuers/{name}");
    let request = idempotency(&headers, &caller.id, &route, &body.bytes)?;
    let _turn = plane.log.change_issuers().await;
    plane.log.catch_up().await?;
    let checked = body.value.into_definition().check(&name, &plane.log.issuers());
    let registration = checked.map_err(refused)?;
    if plane.log.issuers().named(&name) == Some(&registration) {
        let durability = plane.log.durability().unwrap_or(Durability::Memory);
        let revoked = Revoked { position: plane.log.position(), durability, repeated: true };
        return Ok(Json(IssuerChanged::new(&plane, &name, &registration, revoked)));
    }
    let revocation =
        Revocation::Issuer { name: name.clone(), registration: Box::new(registration.clone()) };
    let record =
        Record { at: plane.now(), by: caller.id, reason: None, revocations: vec![revocation] };
    let revoked = plane.log.revoke(&request, &record).await?;
    Ok(Json(IssuerChanged::new(&plane, &name, &registration, revoked)))
}

/// Removes an issuer: nothing of it can be revoked any more. What was revoked stays so until it has
/// expired.
#[utoipa::path(
    delete, path = "/v1/issuers/{name}", tag = "issuers", operation_id = "deleteIssuer",
    summary = "Remove an issuer",
    params(("name" = String, Path, description = "Its name", example = "idp"), IdempotencyKey),
    responses((status = 200, description = "Removed", body = IssuerChanged),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn delete(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    IdInPath(name): IdInPath,
    headers: HeaderMap,
) -> Result<Json<IssuerChanged>, Problem> {
    let route = format!("/v1/issuers/{name}");
    let request = idempotency(&headers, &caller.id, &route, b"")?;
    let _turn = plane.log.change_issuers().await;
    plane.log.catch_up().await?;
    let issuers = plane.log.issuers();
    let Some(registration) = issuers.named(&name) else {
        let detail = "no issuer is registered under this name; see GET /v1/issuers";
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown_issuer_name", detail));
    };
    let revocations = vec![Revocation::IssuerRemoved { name: name.clone() }];
    let record = Record { at: plane.now(), by: caller.id, reason: None, revocations };
    let revoked = plane.log.revoke(&request, &record).await?;
    Ok(Json(IssuerChanged::new(&plane, &name, registration, revoked)))
}

impl IssuerDefinition {
    fn into_definition(self) -> Definition {
        Definition {
            issuer: self.issuer,
            preset: self.preset,
            parameters: self.parameters,
            discovery_uri: self.discovery_uri,
            jwks_uri: self.jwks_uri,
            algorithms: self.algorithms,
            horizon_seconds: self.horizon_seconds,
            clock_skew_seconds: self.clock_skew_seconds,
            token_id_claim: self.token_id_claim,
            session_id_claim: self.session_id_claim,
            user_id_claim: self.user_id_claim,
            selectors: self.selectors,
            receivers: self.receivers,
        }
    }
}

impl IssuerListed {
    fn new(plane: &Plane, name: &str, registration: &Registration, issuers: &Issuers) -> Self {
        let one = registration.clone();
        let (discovery_uri, jwks_uri) = match one.keys {
            KeySource::Discovery(uri) => (Some(uri), None),
            KeySource::Jwks(uri) => (None, Some(uri)),
        };
        let rules = issuers.rules_of(&one.issuer);
        let in_use = rules.iter().flat_map(|rules| &rules.selectors);
        Self {
            name: name.to_owned(),
            discovery_uri,
            jwks_uri,
            algorithms: one.algorithms,
            horizon_seconds: one.horizon_seconds,
            clock_skew_seconds: one.clock_skew_seconds,
            token_id_claim: one.token_claim.unwrap_or_default(),
            session_id_claim: one.session_claim.unwrap_or_default(),
            user_id_claim: one.user_claim.unwrap_or_default(),
            selectors: one.selectors.iter().map(|one| one.paths().to_vec()).collect(),
            receiver_status: ReceiverState::all(plane, name, &one.receivers),
            receivers: one.receivers.into(),
            selectors_in_use: in_use.map(|listed| listed.selector.paths().to_vec()).collect(),
            epoch: issuers.epoch_of(&one.issuer),
            issuer: one.issuer,
        }
    }
}

impl IssuerChanged {
    fn new(plane: &Plane, name: &str, registration: &Registration, revoked: Revoked) -> Self {
        let Revoked { position, durability, .. } = revoked;
        let listed = IssuerListed::new(plane, name, registration, &plane.log.issuers());
        Self { listed, position, durability, replicas: durability.replicas() }
    }
}

fn refused(refused: Refused) -> Problem {
    let Refused { kind, field, detail } = refused;
    let code = match kind {
        RefusedKind::TooManySelectors if field == "issuer" => "too_many_issuers",
        RefusedKind::TooManySelectors => "too_many_selectors",
        _ => "invalid_issuer",
    };
    let problem = Problem::of_field(code, field, detail);
    match kind {
        RefusedKind::TooManySelectors => problem.with_status(StatusCode::UNPROCESSABLE_ENTITY),
        _ => problem,
    }
}
