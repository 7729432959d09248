//! Extractors for axum.

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::Request;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::service::url_of;
use crate::authorize::{Asked, Authorization, Judge, Passed, Policy, Problem};
use crate::claims::Claims;
use crate::verdict::Decision;
use crate::verifier::Verifier;

/// The claims of a request that a [`GuardLayer`](super::GuardLayer) has let through. Without the layer, and for a
/// request that went through without a token, it answers 401.
impl<S: Sync> FromRequestParts<S> for Claims {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::missing_token)
    }
}

/// None for a request that went through without a token.
impl<S: Sync> OptionalFromRequestParts<S> for Claims {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}

/// The claims of a request whose token is good now, judged here: for services without a layer. The
/// [`Verifier`] is a part of the router's state. A handler that takes it is guarded, by the default [`Policy`].
#[derive(Debug, Clone)]
pub struct Verified(pub Claims);

impl<S> FromRequestParts<S> for Verified
where
    S: Send + Sync,
    Verifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let verifier = Verifier::from_ref(state);
        let request = Request::from_parts(parts.clone(), ());
        let url = url_of(&request, verifier.public_url());
        let asked = Asked { headers: &parts.headers, method: parts.method.as_str(), url: &url };
        match verifier.authorize(asked, &Policy::new()).await {
            Authorization::Denied { problem, .. } => Err(problem),
            Authorization::Pass(Passed::Verified(verdict)) => match verdict.decision {
                Decision::Valid(claims) => Ok(Self(claims)),
                Decision::Refused(_) | Decision::Undecided(_) => Err(Problem::missing_token()),
            },
            Authorization::Pass(_) => Err(Problem::missing_token()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        Self::into_response(self)
    }
}
