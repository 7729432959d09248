//! Which proof a caller wants of what it revokes: a signed receipt, and that the followers hold it.

use std::time::Duration;

use axum::http::HeaderMap;
use offswitch_snapshot::Position;
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::Caller;
use super::applied::{Applied, WaitQuery};
use crate::plane::Plane;
use crate::problem::Problem;
use crate::store::Durability;

/// The query of a request that revokes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ProofQuery {
    /// Asks for a signed receipt, as the header `Prefer: receipt` does.
    pub(super) receipt: Option<bool>,
    /// `applied`: the answer comes once all followers hold it, or at the end of `timeout`.
    #[param(example = "applied")]
    pub(super) wait: Option<String>,
    /// How long it waits at most, seconds, 0 to 30; 2 by default.
    #[param(maximum = 30)]
    pub(super) timeout: Option<u64>,
}

/// The proof that a caller wants.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// For a receipt: the name of the caller's API key.
    pub(super) receipt_for: Option<String>,
    /// How long to wait for the followers.
    pub(super) wait: Option<Duration>,
}

impl Wanted {
    /// The receipt and the count of followers for a record that was acknowledged, as far as they are wanted.
    pub(super) async fn of(
        self,
        plane: &Plane,
        position: Position,
        durability: Durability,
    ) -> (Option<String>, Option<Applied>) {
        let applied = Applied::within(self.wait, plane, position).await;
        let receipt = match self.receipt_for {
            Some(name) => {
                let then = applied.as_ref().map(Applied::then);
                plane.receipt(position, durability, &name, then).await
            }
            None => None,
        };
        (receipt, applied)
    }
}

impl ProofQuery {
    /// What the request asks for.
    ///
    /// # Errors
    ///
    /// 400 `invalid_query`.
    pub(super) fn read(self, headers: &HeaderMap, caller: &Caller) -> Result<Wanted, Problem> {
        let Self { receipt, wait, timeout } = self;
        let receipt_for = is_wanted(headers, receipt).then(|| caller.name.clone());
        Ok(Wanted { receipt_for, wait: WaitQuery { wait, timeout }.read()? })
    }
}

/// The header that [`is_wanted`] reads, for the API's description.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header to the API's readers")]
pub(super) struct Prefer {
    /// `receipt` asks for a signed receipt (RFC 7240).
    #[param(example = "receipt")]
    prefer: Option<String>,
}

/// True if the query or the `Prefer` header (RFC 7240) asks for a receipt.
fn is_wanted(headers: &HeaderMap, query: Option<bool>) -> bool {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(','));
    query == Some(true)
        || preferences.any(|one| {
            let name = one.split(';').next().unwrap_or_default();
            name.trim().eq_ignore_ascii_case("receipt")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    // P03
    #[test]
    fn a_receipt_is_wanted_if_the_query_or_a_preference_says_so() {
        let prefer = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", value.parse().unwrap());
            is_wanted(&headers, None)
        };
        for wants in ["receipt", "wait=5, Receipt", "return=minimal;x=y,receipt ; a=b"] {
            assert!(prefer(wants), "{wants}");
        }
        for does_not in ["", "receipts", "wait=receipt", "receipt=false", "x;receipt"] {
            assert!(!prefer(does_not), "{does_not}");
        }
        let none = HeaderMap::new();
        let found = [None, Some(false), Some(true)].map(|query| is_wanted(&none, query));
        assert_eq!(found, [false, false, true]);
    }
}
