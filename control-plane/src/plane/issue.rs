//! Signing access tokens (RFC 9068).

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{Plane, PlaneError};
use crate::keyring::KeyringError;
use crate::master_key::random_bytes;
use crate::session::{Grant, Session, SessionId};

/// What a session gives out.
#[derive(Debug)]
pub struct Issued {
    /// The session.
    pub session: SessionId,
    /// The access token.
    pub access_token: String,
    /// The access token's `jti`.
    pub token_id: String,
    /// When the access token expires, unix seconds.
    pub expires_at: u64,
    /// The scope of the access token.
    pub scope: Option<String>,
    /// The refresh token or the handle; absent where its holder has it already.
    pub credential: Option<Zeroizing<String>>,
    /// When the session is over at the latest, unix seconds.
    pub session_expires_at: u64,
}

impl Plane {
    /// Signs an access token of `session`, with its own scope if `scope` is absent.
    pub(super) async fn issue(
        &self,
        session: &Session,
        scope: Option<&str>,
        now: u64,
    ) -> Result<Issued, PlaneError> {
        if self.active_kid().is_none() {
            self.reload_keyring().await?;
        }
        // The epoch of a red button lies one second ahead of it.
        let issued_at = now.max(self.fold().epoch());
        let session_expires_at = session.absolute_end(&self.settings.lifetimes);
        let lives_until = issued_at.saturating_add(self.settings.access_token_seconds);
        let expires_at = lives_until.min(session_expires_at);
        let token_id = random_id();
        let Grant { client_id, audience, claims, scope: granted, .. } = &session.grant;
        let scope = scope.map(str::to_owned).or_else(|| granted.clone());
        let own = json!({
            "iss": self.settings.issuer,
            "sub": session.sub,
            "aud": audience,
            "client_id": client_id,
            "iat": issued_at,
            "exp": expires_at,
            "jti": token_id,
            "sid": session.id.to_string(),
            "ver": session.version,
        });
        let mut all: Map<String, Value> = serde_json::from_str(claims).unwrap_or_default();
        all.extend(own.as_object().cloned().unwrap_or_default());
        all.extend(scope.clone().map(|scope| ("scope".to_owned(), scope.into())));
        let keyring = self.keyring.load_full();
        let is_dead = |kid: &str| self.fold().is_dead(kid);
        let key = keyring.active(now, is_dead).ok_or(KeyringError::Unreadable)?;
        let access_token = key.sign("at+jwt", &Value::Object(all));
        Ok(Issued {
            session: session.id,
            access_token,
            token_id,
            expires_at,
            scope,
            credential: None,
            session_expires_at,
        })
    }
}

/// 128 random bits, so that ids neither collide nor can be guessed.
fn random_id() -> String {
    Base64UrlUnpadded::encode_string(&random_bytes::<16>())
}

/// The claims that only the control plane sets.
pub const RESERVED_CLAIMS: [&str; 11] =
    ["aud", "client_id", "exp", "iat", "iss", "jti", "nbf", "scope", "sid", "sub", "ver"];
