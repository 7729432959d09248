//! `POST /v1/doctor`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::{Extension, Json};
use metrics_exporter_prometheus::PrometheusHandle;
use offswitch_core::doctor::Finding;
use offswitch_verifier::MAX_TOKEN_BYTES;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::timeout;
use url::Url;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::access::Caller;
use super::extract::Body;
use crate::api_keys::Scope;
use crate::doctor::{Examination, report};
use crate::plane::Plane;
use crate::problem::{Problem, ProblemDocument};
use crate::remote::{Remote, address};
use crate::request_limits::{RequestLimiter, RequestLimits};

/// What the route may do: one examination at a time, and which addresses at the edge it may ask.
#[derive(Debug, Default)]
pub struct Examiner {
    edges: Vec<Url>,
    turn: Mutex<()>,
}

/// What to examine. It has a token, so it is never shown.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Examine {
    /// Only the issuer that is registered under this name; all if absent.
    issuer: Option<String>,
    /// A sample token, which is explained.
    token: Option<String>,
    /// Revokes the token, and measures how soon the edge refuses it. Needs the scope
    /// `revocations:write`.
    #[serde(default)]
    sacrifice: bool,
    /// Where the edge answers 2xx with the token: one of `doctor_edges` in the configuration.
    edge: Option<String>,
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Examined {
    /// What all checks say together: `ok`, `warning` or `failed`; `skipped` if nothing could be checked.
    #[schema(example = "ok")]
    result: String,
    /// Each check, in the order in which it was done.
    checks: Vec<Check>,
}

/// What came of one check.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Check {
    /// Its stable name.
    #[schema(example = "key_set")]
    check: String,
    /// What was checked: the name of an issuer, or of a receiver.
    subject: Option<String>,
    /// `ok`, `warning`, `failed` or `skipped`.
    #[schema(example = "ok")]
    result: String,
    /// One sentence: what was found, and what to do.
    detail: String,
    /// For the check `token`: the checks of the verifier, in its order.
    #[schema(value_type = Option<Vec<Object>>)]
    steps: Option<Vec<()>>,
    /// For the check `edge_refusal`: how long it took.
    milliseconds: Option<u64>,
}

/// Checks this control plane and its issuers end to end, as `offswitch doctor --json` does: keys, feed,
/// clocks, receivers, and a sample token.
///
/// The checks use the API key of the request and need its scopes: `feed:read` and `keys:read`. They ask
/// the addresses of registered issuers, the control plane's own, and with `sacrifice` the given address at
/// the edge. One request at a time; it takes at most 50 s.
#[utoipa::path(
    post, path = "/v1/doctor", tag = "operations", operation_id = "examine",
    summary = "Check everything end to end",
    request_body(content = Examine, examples(
        ("all" = (summary = "Every issuer", value = json!({}))),
        ("token" = (summary = "One issuer, and a token of it",
                    value = json!({ "issuer": "idp", "token": "eyJ…" })))
    )),
    responses((status = 200, description = "What was found", body = Examined),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 429, description = "Too many requests, or another examination is in progress", body = ProblemDocument))
)]
pub(super) async fn examine(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    Extension(examiner): Extension<Arc<Examiner>>,
    Extension(metrics): Extension<PrometheusHandle>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    body: Body<Examine>,
) -> Result<Json<serde_json::Value>, Problem> {
    let edge = examiner.allowed(&body.value)?;
    if edge.is_some() {
        caller.need(Scope::RevocationsWrite, "sacrifice")?;
    }
    let Ok(_turn) = examiner.turn.try_lock() else {
        let detail = "another examination is in progress; try again when it is done";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "doctor_busy", detail));
    };
    // The guard of this route has found exactly one.
    let authorization = headers.get(header::AUTHORIZATION).cloned();
    let authorization = authorization.ok_or_else(|| {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "missing_api_key",
            "send `Authorization: Bearer osk_…`",
        )
    })?;
    // The examination was counted as one request.
    let unlimited = RequestLimiter::new(RequestLimits::default());
    let routes = super::router(plane, metrics, examiner.clone(), unlimited);
    let Examine { issuer, token, .. } = body.value;
    let examination = Examination {
        remote: Remote::inside(routes, authorization, peer.map(|Extension(peer)| peer)),
        issuer,
        feed_keys: vec![],
        token: token.map(Zeroizing::new),
        edge,
    };
    let mut findings = Vec::new();
    if timeout(LONGEST, examination.run(&mut findings)).await.is_err() {
        let seconds = LONGEST.as_secs();
        let detail =
            format!("the checks took {seconds} s, and the rest was left out: name one issuer");
        findings.push(Finding::failed("time", detail));
    }
    Ok(Json(report(&findings)))
}

impl Examiner {
    /// One that may show a token that is sacrificed to these addresses.
    pub fn new(edges: Vec<Url>) -> Self {
        Self { edges, turn: Mutex::default() }
    }

    /// The address at the edge, if a token is to be revoked. It is one of the configuration: a caller
    /// does not choose what this machine connects to.
    fn allowed(&self, asked: &Examine) -> Result<Option<Url>, Problem> {
        let wrong = |field, detail: &str| Problem::of_field("invalid_examination", field, detail);
        let Examine { token, sacrifice, edge, .. } = asked;
        if token.as_ref().is_some_and(|token| !(1..=MAX_TOKEN_BYTES).contains(&token.len())) {
            return Err(wrong("token", &format!("must have 1 to {MAX_TOKEN_BYTES} bytes")));
        }
        let (true, Some(edge)) = (*sacrifice, edge) else {
            return match (sacrifice, edge) {
                (false, None) => Ok(None),
                (true, _) => Err(wrong("sacrifice", "needs edge, an address that takes the token")),
                (false, Some(_)) => Err(wrong("edge", "needs sacrifice: the token is revoked")),
            };
        };
        if token.is_none() {
            return Err(wrong("sacrifice", "needs token"));
        }
        let url = address(edge).map_err(|problem| wrong("edge", problem))?;
        if !self.edges.contains(&url) {
            let detail = "is not one of doctor_edges in the configuration of this control plane";
            return Err(Problem::of_field("edge_not_configured", "edge", detail));
        }
        Ok(Some(url))
    }
}

/// Longer than the wait for an edge that does not refuse, and shorter than what clients and proxies wait.
const LONGEST: Duration = Duration::from_secs(50);
