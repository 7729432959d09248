//! `POST /oauth/revoke` (RFC 7009). The holder of a token may revoke it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use offswitch_core::limits::REQUEST_MEMORY;
use offswitch_core::record::{HOLDER, Record};
use offswitch_core::revoking::{Named, RefusedKind};

use super::{Form, OauthError, TokenForm};
use crate::api_keys::Scope;
use crate::credential::CredentialKind;
use crate::http::access;
use crate::plane::Plane;
use crate::store::Request;

/// Revokes an access token, or, for a refresh token, its whole session. A token that is unknown,
/// expired or already revoked, also if its signing key was revoked, is not an error.
///
/// A JWT of a registered issuer is revoked by its id if the request has an API key with the scope
/// `revocations:write`: this control plane does not hold the keys that could prove who holds it.
#[utoipa::path(
    post, path = "/oauth/revoke", tag = "oauth", operation_id = "revokeToken",
    summary = "Revoke a token that the caller holds",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded",
                 example = json!({ "token": "{access_token}" })),
    responses((status = 200, description = "Revoked, or not valid before"),
              (status = 400, description = "Refused", body = OauthError), (status = 503, description = "The store does not answer", body = OauthError))
)]
pub(in crate::http) async fn revoke(
    State(plane): State<Arc<Plane>>,
    headers: HeaderMap,
    form: Form,
) -> Result<StatusCode, OauthError> {
    let token = form.need("token", "missing_token")?;
    let now = plane.now();
    let credential = plane.sessions.credential(token, CredentialKind::RefreshToken);
    if let Some(credential) = credential {
        // RFC 7009 section 2.1: the access tokens of the same grant are revoked too.
        plane.sessions.end_once(&[credential.session], HOLDER, "RFC 7009", now).await?;
    } else if let Some(own) = plane.signing.own_token(token, now).filter(|own| own.exp > now) {
        plane.sessions.revoke_held(own, now).await?;
    } else {
        revoke_foreign(&plane, &headers, token, now).await?;
    }
    Ok(StatusCode::OK)
}

/// RFC 7009 section 2.2: a token that is not known, or not valid any more, is answered with 200 too. One of a
/// registered issuer that cannot be revoked by an id is refused (section 2.2.1).
async fn revoke_foreign(
    plane: &Plane,
    headers: &HeaderMap,
    token: &str,
    now: u64,
) -> Result<(), OauthError> {
    let rules = plane.revocation_rules();
    let Some(named) = Named::of_foreign_token(token, &rules.issuers) else { return Ok(()) };
    let caller = access::caller(plane, headers, Some(Scope::RevocationsWrite), now)
        .map_err(|problem| OauthError::invalid_client(problem.code()))?;
    let revocation = match named.and_then(|named| named.check(&rules, now)) {
        Ok(revocation) => revocation,
        Err(refused) if refused.kind == RefusedKind::AlreadyExpired => return Ok(()),
        // The caller would believe that the token is revoked.
        Err(_) => {
            let code = "invalid_revocation";
            return Err(OauthError::bad_request("unsupported_token_type", code));
        }
    };
    let (by, reason) = (caller.id, Some("RFC 7009".to_owned()));
    let record = Record { at: now, by, reason, revocations: vec![revocation] };
    let digest = *blake3::hash(token.as_bytes()).as_bytes();
    let id = format!("{}:revoke:{}", record.by, blake3::hash(token.as_bytes()).to_hex());
    let request = Request { id, digest, memory: REQUEST_MEMORY };
    plane.log.revoke_allowed(&request, &record).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use offswitch_core::record::Revocation;

    use super::*;
    use crate::clock::unix_seconds;
    use crate::config::Config;
    use crate::keyring::{DeadKeys, Keyring, TokenKey};
    use crate::master_key::MasterKey;
    use crate::plane::Loading;
    use crate::sealing::SealedStore;
    use crate::store::EmbeddedStore;

    /// A plane, and its signing key as a thief has it.
    async fn plane() -> (Arc<Plane>, TokenKey, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(EmbeddedStore::open(&folder.path().join("store"), 1).unwrap());
        let master = MasterKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8").unwrap();
        let settings = Config::load(None, []).ok().unwrap().settings;
        let policy = settings.signing.policy;
        let (now, loading) = (unix_seconds(), Loading::default());
        let plane = Plane::start(settings, store.clone(), master.clone(), now, &loading).await;
        let sealed = SealedStore::new(store, master.clone());
        let keyring =
            Keyring::load(&sealed, &master, policy, None, now, &DeadKeys::default()).await.unwrap();
        (plane.unwrap(), keyring.token_keys()[0].clone(), folder)
    }

    fn forged(key: &TokenKey, jti: &str, sid: &str, exp: u64) -> String {
        let issuer = Config::load(None, []).ok().unwrap().settings.issuer;
        let claims = json!({ "iss": issuer, "jti": jti, "sid": sid, "exp": exp });
        key.sign("at+jwt", &claims.to_string())
    }

    async fn revoked(plane: &Arc<Plane>, token: String) -> bool {
        let before = plane.log.position();
        let form = Form::of(HashMap::from([("token".to_owned(), token)]));
        assert_eq!(revoke(State(plane.clone()), HeaderMap::new(), form).await, Ok(StatusCode::OK));
        plane.log.catch_up().await.unwrap();
        plane.log.position() != before
    }

    // D05: neither claims that no token of ours can have nor a dead key can fill the log.
    #[tokio::test]
    async fn a_token_that_we_cannot_have_signed_is_no_credential() {
        let (plane, key, _folder) = plane().await;
        let exp = plane.now() + 600;
        assert!(revoked(&plane, forged(&key, "good", "s", exp)).await);
        let long = "x".repeat(8000);
        assert!(!revoked(&plane, forged(&key, "a", "s", u64::MAX)).await);
        assert!(!revoked(&plane, forged(&key, "a", "s", exp + 90_000)).await);
        assert!(!revoked(&plane, forged(&key, "a", "s", exp - 700)).await);
        assert!(!revoked(&plane, forged(&key, &long, "s", exp)).await);
        assert!(!revoked(&plane, forged(&key, "a", &long, exp)).await);
        assert!(!revoked(&plane, forged(&key, "", "s", exp)).await);

        let kid = key.kid().to_owned();
        let revocations = vec![Revocation::Key { issuer: None, kid }];
        let record = Record { at: plane.now(), by: HOLDER.to_owned(), reason: None, revocations };
        let request = Request { id: "dead".to_owned(), digest: [0; 32], memory: REQUEST_MEMORY };
        plane.log.revoke(&request, &record).await.unwrap();
        plane.log.catch_up().await.unwrap();
        let again = forged(&key, "after", "s", exp);
        assert!(plane.signing.own_token(&again, plane.now()).is_none());
        for number in 0..10 {
            let session = format!("s{number}");
            assert!(!revoked(&plane, forged(&key, "after", &session, exp)).await);
        }
    }
}
