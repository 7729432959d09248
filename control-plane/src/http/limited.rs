//! The answer to requests beyond the limits (RFC 6585 section 4), and its place in the description of the API.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::PathItem;
use utoipa::openapi::{Content, Ref, ResponseBuilder};

use super::access::Access;
use super::oauth::OauthError;
use crate::api_keys::Scope;
use crate::problem::Problem;
use crate::request_limits::RequestLimiter;

/// How the requests of a route are limited.
pub(super) struct Limited {
    limiter: Arc<RequestLimiter>,
    answer: Answer,
}

/// What an answer beyond the limits looks like: as the other errors of the route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Oauth,
    Problem,
}

impl Limited {
    /// The limits of the route at `path`.
    pub(super) fn at(path: &str, limiter: &Arc<RequestLimiter>) -> Self {
        Self { limiter: limiter.clone(), answer: Answer::at(path) }
    }

    /// Counts a request with the key of this id; false if it is to be refused. Followers of the feed are not
    /// counted: many share a key, and would have to refuse tokens if they could not follow.
    pub(super) fn admits_key(&self, access: Access, id: &str) -> bool {
        access == Access::Scope(Scope::FeedRead) || self.limiter.admits_key(id)
    }

    /// Counts a request that no key is counted for; false if it is to be refused.
    pub(super) fn admits_source(&self, address: Option<IpAddr>) -> bool {
        self.limiter.admits_source(address)
    }

    /// The answer to a request beyond the limits. After a second there is room for at least one.
    pub(super) fn refusal(&self) -> Response {
        match self.answer {
            Answer::Problem => problem().into_response(),
            Answer::Oauth => {
                let error = OauthError::unavailable(CODE);
                error.with_status(StatusCode::TOO_MANY_REQUESTS).into_response()
            }
        }
    }
}

impl Answer {
    fn at(path: &str) -> Self {
        let is_oauth = path.split('/').nth(1) == Some("oauth");
        match is_oauth || path.ends_with("/backchannel-logout") {
            true => Self::Oauth,
            false => Self::Problem,
        }
    }
}

/// Limits what is served to anyone at no route of the API: the page, and its description.
pub(super) async fn by_source(
    State(limiter): State<Arc<RequestLimiter>>,
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    match limiter.admits_source(peer.map(|ConnectInfo(address)| address.ip())) {
        true => next.run(request).await,
        false => problem().into_response(),
    }
}

/// Adds the answer to the description of the operations at `path`, unless they describe it themselves.
pub(super) fn describe(path: &str, item: &mut PathItem) {
    let schema = match Answer::at(path) {
        Answer::Oauth => "OauthError",
        Answer::Problem => "Problem",
    };
    let content = Content::new(Some(Ref::from_schema_name(schema)));
    let description =
        "Too many requests of this API key or of this source: repeat it after Retry-After";
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/json", content)
        .build();
    let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete];
    for operation in operations.into_iter().flatten() {
        let responses = &mut operation.responses.responses;
        responses.entry("429".to_owned()).or_insert_with(|| response.clone().into());
    }
}

fn problem() -> Problem {
    let detail = "there are too many requests of this API key, or without one of this source; repeat the \
                  request after Retry-After";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, CODE, detail)
}

const CODE: &str = "too_many_requests";
