//! `POST /oauth/revoke` (RFC 7009). The holder of a token may revoke it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use offswitch_core::record::HOLDER;

use super::{Form, OauthError, TokenForm};
use crate::credential::{Credential, CredentialKind};
use crate::plane::Plane;

/// Revokes an access token, or, for a refresh token, its whole session. A token that is unknown,
/// expired or already revoked, also if its signing key was revoked, is not an error.
#[utoipa::path(
    post, path = "/oauth/revoke", tag = "oauth", operation_id = "revokeToken",
    summary = "Revoke a token that the caller holds",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded",
                 example = json!({ "token": "{access_token}" })),
    responses((status = 200, description = "Revoked, or never good"),
              (status = 400, description = "Refused", body = OauthError), (status = 503, description = "The store does not answer", body = OauthError))
)]
pub(in crate::http) async fn revoke(
    State(plane): State<Arc<Plane>>,
    form: Form,
) -> Result<StatusCode, OauthError> {
    let token = form.need("token", "missing_token")?;
    let now = plane.now();
    let credential = Credential::parse(token, CredentialKind::RefreshToken, plane.master());
    if let Some(credential) = credential {
        // RFC 7009 section 2.1: the access tokens of the same grant are revoked too.
        plane.end_once(&[credential.session], HOLDER, "RFC 7009", now).await?;
    } else if let Some(own) = plane.own_token(token, now).filter(|own| own.exp > now) {
        plane.revoke_held(own, now).await?;
    }
    Ok(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use offswitch_core::limits::REQUEST_MEMORY;
    use offswitch_core::record::{Record, Revocation};

    use super::*;
    use crate::clock::unix_seconds;
    use crate::config::Config;
    use crate::master_key::MasterKey;
    use crate::plane::Loading;
    use crate::store::{EmbeddedStore, Request};

    async fn plane() -> (Arc<Plane>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(&folder.path().join("store"), 1).unwrap();
        let master = MasterKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8").unwrap();
        let settings = Config::load(None, []).ok().unwrap().settings;
        let (now, loading) = (unix_seconds(), Loading::default());
        (Plane::start(settings, Arc::new(store), master, now, &loading).await.unwrap(), folder)
    }

    /// A token as made by a thief of the signing key.
    fn forged(plane: &Plane, jti: &str, sid: &str, exp: u64) -> String {
        let claims = json!({ "iss": plane.settings().issuer, "jti": jti, "sid": sid, "exp": exp });
        plane.keyring().token_keys()[0].sign("at+jwt", &claims.to_string())
    }

    async fn revoked(plane: &Arc<Plane>, token: String) -> bool {
        let before = plane.position();
        let form = Form::of(HashMap::from([("token".to_owned(), token)]));
        assert_eq!(revoke(State(plane.clone()), form).await, Ok(StatusCode::OK));
        plane.catch_up().await.unwrap();
        plane.position() != before
    }

    // D05: neither claims that no token of ours can have nor a dead key can fill the log.
    #[tokio::test]
    async fn a_token_that_we_cannot_have_signed_is_no_credential() {
        let (plane, _folder) = plane().await;
        let exp = plane.now() + 600;
        assert!(revoked(&plane, forged(&plane, "good", "s", exp)).await);
        let long = "x".repeat(8000);
        assert!(!revoked(&plane, forged(&plane, "a", "s", u64::MAX)).await);
        assert!(!revoked(&plane, forged(&plane, "a", "s", exp + 90_000)).await);
        assert!(!revoked(&plane, forged(&plane, "a", "s", exp - 700)).await);
        assert!(!revoked(&plane, forged(&plane, &long, "s", exp)).await);
        assert!(!revoked(&plane, forged(&plane, "a", &long, exp)).await);
        assert!(!revoked(&plane, forged(&plane, "", "s", exp)).await);

        let kid = plane.keyring().token_keys()[0].kid().to_owned();
        let revocations = vec![Revocation::Key { issuer: None, kid }];
        let record = Record { at: plane.now(), by: HOLDER.to_owned(), reason: None, revocations };
        let request = Request { id: "dead".to_owned(), digest: [0; 32], memory: REQUEST_MEMORY };
        plane.revoke(&request, &record).await.unwrap();
        plane.catch_up().await.unwrap();
        let again = forged(&plane, "after", "s", exp);
        assert!(plane.own_token(&again, plane.now()).is_none());
        for number in 0..10 {
            let session = format!("s{number}");
            assert!(!revoked(&plane, forged(&plane, "after", &session, exp)).await);
        }
    }
}
