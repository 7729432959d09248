//! `/v1/api-keys`: the keys of the API's callers, while the server runs.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::extract::{Body, IdInPath};
use crate::api_keys::{ApiKey, CreateError, DeleteError, Scope};
use crate::plane::{Plane, PlaneError};
use crate::problem::{Problem, ProblemDocument};

/// A request for a new key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateApiKey {
    /// A name for people, 1 to 100 characters.
    name: String,
    /// What it may do; no more than the key that creates it may do.
    #[schema(value_type = Vec<String>)]
    scopes: Vec<Scope>,
    /// When it expires, unix seconds; by default never.
    expires_at: Option<u64>,
}

/// A key that was just created.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedApiKey {
    /// The secret, shown only here.
    #[schema(example = "osk_…")]
    key: String,
    #[serde(flatten)]
    listed: ApiKeyListed,
}

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApiKeyListed {
    /// Identifies the key in the log of revocations.
    id: String,
    name: String,
    scopes: Vec<&'static str>,
    /// When it was created, unix seconds.
    created_at: u64,
    /// When it expires, unix seconds; absent if it never expires.
    expires_at: Option<u64>,
    /// True if it has expired.
    expired: bool,
}

/// All keys.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApiKeyList {
    /// Oldest first.
    api_keys: Vec<ApiKeyListed>,
}

/// Creates an API key. The response is the only place where its secret is shown.
#[utoipa::path(
    post, path = "/v1/api-keys", tag = "api-keys", operation_id = "createApiKey",
    summary = "Create an API key",
    request_body(content = CreateApiKey,
                 example = json!({ "name": "edge", "scopes": ["feed:read"] })),
    responses((status = 201, description = "The key, with its secret", body = CreatedApiKey),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn create(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    body: Body<CreateApiKey>,
) -> Result<(StatusCode, Json<CreatedApiKey>), Problem> {
    let now = plane.now();
    let CreateApiKey { name, mut scopes, expires_at } = body.value;
    if !(1..=MAX_NAME_CHARS).contains(&name.chars().count()) || name.contains(char::is_control) {
        let detail =
            format!("must have 1 to {MAX_NAME_CHARS} characters, and no control characters");
        return Err(invalid("name", &detail));
    }
    scopes.sort();
    scopes.dedup();
    if scopes.is_empty() {
        return Err(invalid("scopes", "must name at least one"));
    }
    for scope in &scopes {
        caller.need(*scope, "scopes: giving a scope to another key")?;
    }
    if expires_at.is_some_and(|at| at <= now) {
        let detail = format!("must be in the future, in unix seconds; now is {now}");
        return Err(invalid("expires_at", &detail));
    }
    if let Some(own) = caller.expires_at
        && expires_at.is_none_or(|at| at > own)
    {
        let detail = format!("must be at most {own}, the expiry of the key in the request");
        return Err(invalid("expires_at", &detail));
    }
    let fresh = plane.api_keys.create(&name, &scopes, expires_at, now).await;
    let fresh = fresh.map_err(|error| match error {
        CreateError::TooMany => {
            Problem::new(StatusCode::CONFLICT, "too_many_api_keys", error.to_string())
        }
        CreateError::Store(error) => PlaneError::from(error).into(),
    })?;
    plane.api_keys.reload().await?;
    tracing::info!(id = fresh.stored.id, by = caller.id, "an API key was created");
    let created =
        CreatedApiKey { key: fresh.key.to_string(), listed: ApiKeyListed::new(fresh.stored, now) };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Lists the API keys, without their secrets.
#[utoipa::path(
    get, path = "/v1/api-keys", tag = "api-keys", operation_id = "listApiKeys",
    summary = "List the API keys",
    responses((status = 200, description = "The keys", body = ApiKeyList),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn list(State(plane): State<Arc<Plane>>) -> Result<Json<ApiKeyList>, Problem> {
    plane.api_keys.reload().await?;
    let (keys, now) = (plane.api_keys.list(), plane.now());
    let api_keys = keys.into_iter().map(|key| ApiKeyListed::new(key, now)).collect();
    Ok(Json(ApiKeyList { api_keys }))
}

/// Deletes an API key. Every process refuses it within five seconds, this one immediately. The last
/// valid key with the scope `api-keys:write` cannot be deleted, and no key can delete one that has
/// a scope which it lacks itself.
#[utoipa::path(
    delete, path = "/v1/api-keys/{id}", tag = "api-keys", operation_id = "deleteApiKey",
    summary = "Delete an API key",
    params(("id" = String, Path, description = "The key's id", example = "{id}")),
    responses((status = 200, description = "Deleted", body = ApiKeyListed),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn delete(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    IdInPath(id): IdInPath,
) -> Result<Json<ApiKeyListed>, Problem> {
    let now = plane.now();
    plane.api_keys.reload().await?;
    let unknown = || {
        let detail = "there is no API key with this id; see GET /v1/api-keys";
        Problem::new(StatusCode::NOT_FOUND, "unknown_api_key_id", detail)
    };
    for scope in plane.api_keys.named(&id).ok_or_else(unknown)?.scopes {
        caller.need(scope, "deleting a key that has it")?;
    }
    let deleted = plane.api_keys.delete(&id, now).await.map_err(|error| match error {
        DeleteError::Last => Problem::new(StatusCode::CONFLICT, "last_api_key", error.to_string()),
        DeleteError::Store(error) => PlaneError::from(error).into(),
        DeleteError::Unknown => unknown(),
    })?;
    plane.api_keys.reload().await?;
    tracing::info!(id = deleted.id, by = caller.id, "an API key was deleted");
    Ok(Json(ApiKeyListed::new(deleted, now)))
}

impl ApiKeyListed {
    fn new(key: ApiKey, now: u64) -> Self {
        Self {
            expired: key.is_expired(now),
            id: key.id,
            name: key.name,
            scopes: key.scopes.iter().map(|scope| scope.name()).collect(),
            created_at: key.created_at,
            expires_at: key.expires_at,
        }
    }
}

fn invalid(field: &str, detail: &str) -> Problem {
    Problem::of_field("invalid_api_key", field, detail)
}

const MAX_NAME_CHARS: usize = 100;
