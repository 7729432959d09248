//! Opening a session: one login on one device, with its first access token.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value, json};

use super::{Plane, PlaneError};
use crate::keyring::KeyringError;
use crate::master_key::random_bytes;

/// Who logs in, and what the token shall say.
#[derive(Debug, Clone, Default)]
pub struct SessionRequest {
    /// The user.
    pub sub: String,
    /// The `aud`, if not the configured one.
    pub audience: Option<String>,
    /// The `scope` (RFC 8693 section 4.2), if any.
    pub scope: Option<String>,
    /// The application's own claims; they cannot replace the control plane's.
    pub claims: Map<String, Value>,
}

/// A session, just opened.
#[derive(Debug, Clone)]
pub struct OpenedSession {
    /// The session's id, `sid`.
    pub session_id: String,
    /// The access token.
    pub access_token: String,
    /// The token's id, `jti`.
    pub token_id: String,
    /// When the token expires, unix seconds.
    pub expires_at: u64,
}

impl Plane {
    /// Opens a session and signs its first access token.
    ///
    /// The store is asked first how far the log is, and that seq is the token's `ver`: not below any
    /// revocation of the user so far, and below every later one, also after the user left the base.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn open_session(
        &self,
        request: SessionRequest,
        now: u64,
    ) -> Result<OpenedSession, PlaneError> {
        self.catch_up().await?;
        if self.active_kid().is_none() {
            self.reload_keyring().await?;
        }
        let keyring = self.keyring();
        let is_dead = |kid: &str| self.fold().is_dead(kid);
        let key = keyring.active(is_dead).ok_or(KeyringError::Unreadable)?;
        let (epoch, version) = {
            let fold = self.fold();
            (fold.epoch(), fold.reached().position.seq)
        };
        // The epoch of a red button lies one second ahead of it.
        let issued_at = now.max(epoch);
        let expires_at = issued_at.saturating_add(self.settings.access_token_seconds);
        let session_id = random_id();
        let token_id = random_id();
        let mut claims = request.claims;
        let audience = request.audience.as_deref().unwrap_or(&self.settings.audience);
        let own = json!({
            "iss": self.settings.issuer,
            "sub": request.sub,
            "aud": audience,
            "iat": issued_at,
            "exp": expires_at,
            "jti": token_id,
            "sid": session_id,
            "ver": version,
        });
        claims.extend(own.as_object().cloned().unwrap_or_default());
        claims.extend(request.scope.map(|scope| ("scope".to_owned(), scope.into())));
        let access_token = key.sign("at+jwt", &Value::Object(claims));
        Ok(OpenedSession { session_id, access_token, token_id, expires_at })
    }
}

/// 128 random bits, so that ids neither collide nor can be guessed.
fn random_id() -> String {
    Base64UrlUnpadded::encode_string(&random_bytes::<16>())
}

/// The claims that only the control plane sets.
pub const RESERVED_CLAIMS: [&str; 10] =
    ["aud", "exp", "iat", "iss", "jti", "nbf", "scope", "sid", "sub", "ver"];
