//! `POST /oauth/introspect` (RFC 7662): the edge's verdict, from the same code.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use offswitch_verifier::Decision;
use serde_json::{Value, json};

use super::{Form, OauthError, TokenForm};
use crate::credential::CredentialKind;
use crate::plane::Plane;

/// Reports whether a token is valid now, and if so, its claims. The header `offswitch-verdict` has
/// the code of the verdict; the body for a token that is not valid contains nothing else (RFC 7662
/// section 2.2).
#[utoipa::path(
    post, path = "/oauth/introspect", tag = "oauth", operation_id = "introspectToken",
    summary = "Ask whether a token is valid",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded",
                 example = json!({ "token": "{access_token}" })),
    responses((status = 200, description = "The claims of a valid token", body = serde_json::Value), (status = 400, description = "Refused", body = OauthError),
              (status = 503, description = "The store does not answer", body = OauthError))
)]
pub(in crate::http) async fn introspect(
    State(plane): State<Arc<Plane>>,
    form: Form,
) -> Result<Response, OauthError> {
    let token = form.need("token", "missing_token")?;
    let now = plane.now();
    if token.starts_with(CredentialKind::RefreshToken.prefix()) {
        return refresh_token(&plane, token, now).await;
    }
    let verdict = plane.introspection.judge(token, now).await?;
    let code = verdict.code();
    match verdict.decision {
        Decision::Refused(_) => Ok(answer(json!({ "active": false }), code)),
        Decision::Undecided(_) => Err(OauthError::unavailable(code)),
        Decision::Valid(claims) => {
            let mut found = claims.payload();
            found.insert("active".to_owned(), true.into());
            // RFC 9449 section 6.2.
            let is_bound = found.get("cnf").is_some_and(|cnf| cnf.get("jkt").is_some());
            let token_type = if is_bound { "DPoP" } else { "Bearer" };
            found.insert("token_type".to_owned(), token_type.into());
            Ok(answer(Value::Object(found), code))
        }
    }
}

async fn refresh_token(plane: &Plane, token: &str, now: u64) -> Result<Response, OauthError> {
    let credential = plane.sessions.credential(token, CredentialKind::RefreshToken);
    let session = match credential {
        Some(credential) => plane.sessions.peek_refresh(credential, now).await?,
        None => None,
    };
    let Some(session) = session else {
        return Ok(answer(json!({ "active": false }), "session_ended"));
    };
    let mut found = json!({
        "active": true,
        "token_type": "refresh_token",
        "iss": plane.issuer(),
        "sub": session.sub,
        "client_id": session.grant.client_id,
        "sid": session.id.to_string(),
        "iat": session.opened_at,
        "exp": plane.sessions.expires_at(&session),
    });
    if let Some(scope) = session.grant.scope {
        found["scope"] = scope.into();
    }
    Ok(answer(found, "valid"))
}

fn answer(body: Value, code: &'static str) -> Response {
    let mut response = Json(body).into_response();
    response.headers_mut().insert("offswitch-verdict", HeaderValue::from_static(code));
    response
}
