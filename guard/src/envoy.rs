//! Envoy's ext_authz over gRPC (`envoy.service.auth.v3.Authorization`).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use envoy_types::ext_authz::v3::pb::{
    Authorization, AuthorizationServer, CheckRequest, CheckResponse, DeniedHttpResponse,
    HeaderValueOption, HttpResponse, HttpStatus, OkHttpResponse,
};
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest;
use envoy_types::pb::google::rpc::Status as RpcStatus;
use offswitch_client::Problem;
use tonic::{Code, Request, Response, Status};

use crate::answer::{Answer, VERDICT, unavailable};
use crate::checks::Checking;
use crate::claim_headers::Forwarded;
use crate::gateway::Asked;

/// The service as a whole; its requests are small.
pub(crate) fn service(checking: Arc<Checking>) -> AuthorizationServer<Envoy> {
    AuthorizationServer::new(Envoy(checking)).max_decoding_message_size(MAX_MESSAGE_BYTES)
}

/// Answers Envoy.
pub(crate) struct Envoy(Arc<Checking>);

#[tonic::async_trait]
impl Authorization for Envoy {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let attributes = request.into_inner().attributes.and_then(|all| all.request);
        let Some(http) = attributes.and_then(|request| request.http) else {
            return Ok(Response::new(response(not_http())));
        };
        let fields = fields_of(&http);
        let asked = asked(&http, &fields);
        Ok(Response::new(response(self.0.answer(&asked).await)))
    }
}

fn not_http() -> Answer<'static> {
    let detail =
        "expected the attributes of an HTTP request; ext_authz is a filter of HTTP connections";
    Answer::Denied(unavailable("misconfigured", detail))
}

fn asked<'a>(
    http: &'a HttpRequest,
    fields: &'a HashMap<String, String>,
) -> Asked<'a, HashMap<String, String>> {
    let some = |text: &'a str| (!text.is_empty()).then_some(Cow::Borrowed(text));
    Asked {
        method: Cow::Borrowed(&http.method),
        target: Cow::Borrowed(&http.path),
        host: some(&http.host),
        scheme: some(&http.scheme),
        id: some(&http.id),
        fields,
    }
}

/// The client's headers. With `encode_raw_headers` Envoy sends bytes, each header separately.
fn fields_of(http: &HttpRequest) -> Cow<'_, HashMap<String, String>> {
    let Some(raw) = http.header_map.as_ref().filter(|map| !map.headers.is_empty()) else {
        return Cow::Borrowed(&http.headers);
    };
    let mut fields: HashMap<String, String> = http.headers.clone();
    for core::HeaderValue { key, value, raw_value } in &raw.headers {
        let value = match raw_value.is_empty() {
            true => Cow::Borrowed(value.as_str()),
            // What is not UTF-8 becomes characters that no header may have here.
            false => String::from_utf8_lossy(raw_value),
        };
        match fields.get_mut(key) {
            Some(others) => {
                others.push(',');
                others.push_str(&value);
            }
            None => drop(fields.insert(key.clone(), value.into_owned())),
        }
    }
    Cow::Owned(fields)
}

fn response(answer: Answer<'_>) -> CheckResponse {
    let (code, http) = match answer {
        Answer::Passed(forwarded, _) => (Code::Ok, passed(forwarded)),
        Answer::Denied(problem) => (rpc_code(problem.status), denied(&problem)),
    };
    let status = RpcStatus { code: code.into(), ..RpcStatus::default() };
    CheckResponse { status: Some(status), http_response: Some(http), ..CheckResponse::default() }
}

fn passed(forwarded: Forwarded<'_>) -> HttpResponse {
    let set = forwarded.set.into_iter().map(|(name, value)| set(name, &value));
    HttpResponse::OkResponse(OkHttpResponse {
        headers: set.collect(),
        headers_to_remove: forwarded.absent.iter().map(|name| name.as_str().to_owned()).collect(),
        ..OkHttpResponse::default()
    })
}

fn denied(problem: &Problem) -> HttpResponse {
    let own = [
        (&VERDICT, HeaderValue::from_static(problem.code)),
        (&header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (&header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json")),
    ];
    let own = own.iter().map(|(name, value)| set(name, value));
    let headers = problem.headers.iter().map(|(name, value)| set(name, value)).chain(own);
    HttpResponse::DeniedResponse(DeniedHttpResponse {
        status: Some(HttpStatus { code: problem.status.as_u16().into() }),
        headers: headers.collect(),
        body: problem.body(),
    })
}

/// Replaces a header that the client, or a guard before this one, has set.
fn set(name: &HeaderName, value: &HeaderValue) -> HeaderValueOption {
    let value = core::HeaderValue {
        key: name.as_str().to_owned(),
        value: value.to_str().unwrap_or_default().to_owned(),
        ..core::HeaderValue::default()
    };
    let action = core::header_value_option::HeaderAppendAction::OverwriteIfExistsOrAdd;
    HeaderValueOption {
        header: Some(value),
        append_action: action.into(),
        ..HeaderValueOption::default()
    }
}

fn rpc_code(status: StatusCode) -> Code {
    match status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        _ => Code::PermissionDenied,
    }
}

/// The one method of the service.
pub(crate) const PATH: &str = "/envoy.service.auth.v3.Authorization/Check";
/// Headers of a client with a long token. The body of the client's request is not needed.
const MAX_MESSAGE_BYTES: usize = 256 * 1024;
