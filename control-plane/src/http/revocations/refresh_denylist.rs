//! `GET /v1/revocations?kind=refresh`: tokens that no refresh accepts any more and that verifiers
//! are not informed of. The list is stored in the sessions themselves and removed with them.

use offswitch_core::session::Session;
use serde::Serialize;
use utoipa::ToSchema;

use crate::plane::{Denial, Plane};
use crate::problem::Problem;

/// A page of the refresh denylist, unordered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RefreshDenylist {
    denied: Vec<Denied>,
    /// Request more with this value as `cursor`; absent on the last page.
    next: Option<String>,
}

/// The refresh tokens of one session that are not accepted any more.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RefreshDenied)]
pub(super) struct Denied {
    session_id: String,
    sub: String,
    /// `revoked`: all of them. `spent`: all but the current one.
    kind: &'static str,
    /// How many were used.
    spent: u32,
    /// When the session was revoked, unix seconds.
    at: Option<u64>,
    /// Who revoked it: the id of an API key, `holder` or `offswitch`.
    by: Option<String>,
    /// The reason.
    reason: Option<String>,
    /// When the entry is removed: from then on no refresh token of the session can be valid, unix
    /// seconds.
    until: u64,
}

/// The page that starts at `cursor`.
pub(super) async fn page(plane: &Plane, cursor: Option<&str>) -> Result<RefreshDenylist, Problem> {
    if cursor.is_some_and(|cursor| !is_cursor(cursor)) {
        return Err(Problem::bad_request("invalid_query", "cursor: must be a page's next"));
    }
    plane.sessions.carry_out_endings().await?;
    let stretch = plane.sessions.stored(cursor.unwrap_or_default()).await?;
    let now = plane.now();
    let denied = stretch.sessions.into_iter();
    let denied = denied.filter_map(|session| Denied::new(session, plane, now)).collect();
    Ok(RefreshDenylist { denied, next: stretch.next })
}

impl Denied {
    fn new(session: Session, plane: &Plane, now: u64) -> Option<Self> {
        let (denial, until) = plane.sessions.denied(&session, now)?;
        let kind = match denial {
            Denial::Revoked => "revoked",
            Denial::Spent => "spent",
        };
        Some(Self {
            session_id: session.id.to_string(),
            spent: session.spent(),
            sub: session.sub,
            kind,
            at: session.ended.as_ref().map(|ended| ended.at),
            by: session.ended.as_ref().map(|ended| ended.by.clone()),
            reason: session.ended.and_then(|ended| ended.reason),
            until,
        })
    }
}

/// True for a cursor of Redis or of the embedded store.
fn is_cursor(text: &str) -> bool {
    let is_number = text.parse::<u64>().is_ok();
    let is_name = |key: &str| key.len() == 16 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_number || text.strip_prefix("user:").is_some_and(is_name)
}
