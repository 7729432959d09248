//! Whether a caller wants a receipt for what it revokes.

use axum::http::HeaderMap;
use serde::Deserialize;
use utoipa::IntoParams;

/// The query of a request that can be answered with a receipt.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReceiptQuery {
    /// Asks for a signed receipt, as the header `Prefer: receipt` does.
    pub(super) receipt: Option<bool>,
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
pub(super) fn is_wanted(headers: &HeaderMap, query: Option<bool>) -> bool {
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
