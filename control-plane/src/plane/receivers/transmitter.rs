//! Calls to a transmitter of events: bounded, without redirects, with the token of the configuration.

use std::sync::LazyLock;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use offswitch_core::receivers::{Refusal, TRANSMITTER_INVALID};
use serde_json::Value;

use crate::clock::unix_seconds;
use offswitch_client::http::{Answer, Client, Limits};

/// A client, made when the first transmitter is called.
pub(super) struct TransmitterClient(LazyLock<Client>);

/// Why a call did not bring what was asked for.
#[derive(Debug)]
pub(super) struct CallFailure {
    /// `transmitter_unavailable`, `transmitter_refused` or `transmitter_invalid`.
    pub(super) refusal: Refusal,
    /// What was answered, if anything was.
    pub(super) status: Option<StatusCode>,
    /// How long the transmitter asks to wait.
    pub(super) retry_after: Option<Duration>,
}

/// A call to a transmitter.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) address: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) body: Option<Value>,
    pub(super) limits: Limits,
}

impl TransmitterClient {
    pub(super) const fn new() -> Self {
        Self(LazyLock::new(Client::new))
    }

    /// The answer, whose status is one of success.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Answer, CallFailure> {
        let (method, address, limits) = (call.method.clone(), call.address, call.limits);
        let failed = |code, problem: &str| Refusal {
            code,
            detail: format!("{method} {address}: {problem}"),
        };
        let request = call.request().map_err(|problem| failed(TRANSMITTER_INVALID, &problem))?;
        let answer = self.0.answer(request, limits).await;
        let answer = answer.map_err(|problem| failed(UNAVAILABLE, &problem))?;
        let status = answer.status;
        if status.is_success() {
            return Ok(answer);
        }
        let code = match status {
            StatusCode::TOO_MANY_REQUESTS => UNAVAILABLE,
            status if status.is_server_error() => UNAVAILABLE,
            // A redirect as well: it would take the token to another address.
            _ => REFUSED,
        };
        // Not the body: it may repeat what was sent.
        let refusal = failed(code, &format!("answers {status}"));
        let retry_after = retry_after(&answer.headers, unix_seconds());
        Err(CallFailure { refusal, status: Some(status), retry_after })
    }

    /// The body of the answer, which is JSON.
    pub(super) async fn json(&self, call: Call<'_>) -> Result<Answer, CallFailure> {
        let (method, address) = (call.method.clone(), call.address);
        let answer = self.call(call).await?;
        let media_type = answer.headers.get(header::CONTENT_TYPE);
        let media_type = media_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            return Ok(answer);
        }
        let detail = format!("{method} {address}: the answer is not of the type application/json");
        let refusal = Refusal { code: TRANSMITTER_INVALID, detail };
        Err(CallFailure { status: Some(answer.status), ..refusal.into() })
    }
}

impl Call<'_> {
    fn request(self) -> Result<Request<Full<axum::body::Bytes>>, String> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.address)
            .header(header::ACCEPT, "application/json");
        if let Some(token) = self.token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| "the token is not one for a header".to_owned())?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let body = match self.body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                body.to_string().into()
            }
            None => axum::body::Bytes::new(),
        };
        request.body(Full::new(body)).map_err(|error| error.to_string())
    }
}

impl From<Refusal> for CallFailure {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, status: None, retry_after: None }
    }
}

/// In seconds, or until a date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap, now: u64) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let at = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(at.saturating_sub(Duration::from_secs(now)))
}

const UNAVAILABLE: &str = "transmitter_unavailable";
const REFUSED: &str = "transmitter_refused";

#[cfg(test)]
mod tests {
    use super::*;

    // I11: both forms, and nothing else, make us wait.
    #[test]
    fn a_transmitter_says_in_seconds_or_by_a_date_how_long_to_wait() {
        let wait = |text: &str| {
            let headers = [(header::RETRY_AFTER, HeaderValue::from_str(text).unwrap())];
            retry_after(&headers.into_iter().collect(), 784_111_777)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO));
        assert_eq!((wait("-1"), wait("soon")), (None, None));
    }
}
