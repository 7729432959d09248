//! An axum service that asks the control plane about each bearer token (RFC 7662).

use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::FromRequestParts;
use axum::http::{StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use reqwest::{Client, redirect::Policy};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<()> {
    let control_plane = ControlPlane {
        // A request waits for the answer, so it must not take long.
        client: Client::builder()
            .timeout(Duration::from_secs(2))
            .redirect(Policy::none())
            .build()?,
        url: setting("OFFSWITCH_ISSUER")?,
        api_key: setting("OFFSWITCH_API_KEY")?,
    };
    let app = Router::new().route("/api/me", get(me)).with_state(control_plane);
    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let address = format!("127.0.0.1:{port}");
    let listener = TcpListener::bind(&address).await.context(address)?;
    Ok(axum::serve(listener, app).await?)
}

async fn me(Claims(claims): Claims) -> Json<Value> {
    Json(json!({ "sub": claims["sub"] }))
}

/// The claims of the request's token, which is active now. A handler that takes them is guarded.
struct Claims(Value);

impl FromRequestParts<ControlPlane> for Claims {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        control_plane: &ControlPlane,
    ) -> Result<Self, Response> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = match header.and_then(|value| value.split_once(' ')) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token,
            _ => return Err(refused("missing_token")),
        };
        let answer = control_plane.introspect(token).await.map_err(|error| undecided(&error))?;
        answer.map(Self).map_err(|code| refused(&code))
    }
}

#[derive(Clone)]
struct ControlPlane {
    client: Client,
    url: String,
    api_key: String,
}

impl ControlPlane {
    /// The token's claims, or the code of its refusal. An error if that cannot be said now.
    async fn introspect(&self, token: &str) -> reqwest::Result<Result<Value, String>> {
        let request = self.client.post(format!("{}/oauth/introspect", self.url));
        let request = request.bearer_auth(&self.api_key).form(&[("token", token)]);
        let response = request.send().await?.error_for_status()?;
        let verdict = response.headers().get("offswitch-verdict");
        let code = verdict.and_then(|code| code.to_str().ok()).unwrap_or("inactive").to_owned();
        let claims: Value = response.json().await?;
        if claims["active"] != true {
            return Ok(Err(code));
        }
        // Refresh tokens are active too, and so are tokens for other services.
        if claims["token_type"] != "Bearer" || claims["aud"] != "api" {
            return Ok(Err("wrong_audience".to_owned()));
        }
        Ok(Ok(claims))
    }
}

fn refused(code: &str) -> Response {
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, Json(json!({ "code": code }))).into_response()
}

/// Without an answer a token is neither refused nor accepted.
fn undecided(error: &reqwest::Error) -> Response {
    eprintln!("the control plane does not answer: {error}");
    let later = [(header::RETRY_AFTER, "1")];
    let body = Json(json!({ "code": "control_plane_unreachable" }));
    (StatusCode::SERVICE_UNAVAILABLE, later, body).into_response()
}

fn setting(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set; README.md says what it is"))
}
