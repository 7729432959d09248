//! A client of the OAuth endpoints.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::process::ControlPlane;

/// Status and body of an answer.
pub(crate) type Answer = (StatusCode, Value);

impl ControlPlane {
    /// Opens a session for `sub`.
    pub(crate) async fn login(&self, sub: &str) -> Value {
        self.posted("/v1/sessions", &json!({ "sub": sub })).await
    }

    /// Posts a form without a key.
    pub(crate) async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.request(Method::POST, path).form(fields).send().await.unwrap()
    }

    /// Refreshes with `token`.
    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        answer(self.form("/oauth/token", &fields).await).await
    }

    /// Refreshes and insists on success.
    pub(crate) async fn refreshed(&self, token: &str) -> Value {
        let (status, body) = self.refresh(token).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// Refreshes and insists on `invalid_grant` with `code`.
    pub(crate) async fn not_refreshed(&self, token: &str, code: &str) {
        let (status, body) = self.refresh(token).await;
        let expected = json!({ "error": "invalid_grant", "error_description": code });
        assert_eq!((status, body), (StatusCode::BAD_REQUEST, expected));
    }

    /// Introspects a token: the verdict's code and the body.
    pub(crate) async fn introspected(&self, token: &str) -> (String, Value) {
        let request = self.admin(Method::POST, "/oauth/introspect").form(&[("token", token)]);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let code = response.headers()["offswitch-verdict"].to_str().unwrap().to_owned();
        (code, response.json().await.unwrap())
    }

    /// Deletes with the admin key.
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        answer(self.admin(Method::DELETE, path).send().await.unwrap()).await
    }

    /// The devices of `sub`.
    pub(crate) async fn devices(&self, sub: &str) -> Vec<Value> {
        let listed = self.got(&format!("/v1/users/{sub}/sessions")).await;
        listed["sessions"].as_array().unwrap().clone()
    }
}

/// The text of a member.
pub(crate) fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}"))
}

pub(crate) async fn answer(response: Response) -> Answer {
    let status = response.status();
    let body = response.text().await.unwrap();
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}
