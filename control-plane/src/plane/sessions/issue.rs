//! Signing access tokens (RFC 9068).

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_core::session::{Grant, Session, SessionId};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::keyring::KeyringError;
use crate::master_key::random_bytes;
use crate::plane::{Plane, PlaneError};

/// The tokens that were issued for a session.
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
    /// The refresh token or the handle; absent if the holder has it already.
    pub credential: Option<Zeroizing<String>>,
    /// When the session ends at the latest, unix seconds.
    pub session_expires_at: u64,
}

impl Plane {
    /// Signs an access token of `session`; if `scope` is absent, with the session's scope.
    ///
    /// # Errors
    ///
    /// [`PlaneError::SessionOver`] if the log has ended the session; see [`PlaneError`] for the
    /// rest.
    pub(in crate::plane) async fn issue(
        &self,
        session: &Session,
        scope: Option<&str>,
        now: u64,
    ) -> Result<Issued, PlaneError> {
        if self.active_kid().is_none() {
            self.reload_keyring().await?;
        }
        let keyring = self.keyring.load_full();
        // One consistent view of the log for all checks. Otherwise a token of a session that a red
        // button has ended could be dated after the button and signed with the new key, and nothing
        // would stop it.
        let (key, issued_at) = {
            let fold = self.fold();
            let Session { id, sub, version, .. } = session;
            if fold.is_session_over(&id.to_string(), sub, *version) {
                return Err(PlaneError::SessionOver);
            }
            let key = keyring.active(now, |kid| fold.is_dead(kid));
            // The epoch of a red button is one second ahead of it.
            (key.ok_or(KeyringError::Unreadable)?, now.max(fold.epoch()))
        };
        let session_expires_at = session.absolute_end(&self.settings.lifetimes);
        let lives_until = issued_at.saturating_add(self.settings.access_token_seconds);
        let expires_at = lives_until.min(session_expires_at);
        let token_id = random_id();
        let Grant { client_id, audience, claims, scope: granted, .. } = &session.grant;
        let scope = scope.map(str::to_owned).or_else(|| granted.clone());
        let own = OwnClaims {
            iss: &self.settings.issuer,
            sub: &session.sub,
            aud: audience,
            client_id,
            iat: issued_at,
            exp: expires_at,
            jti: &token_id,
            sid: &session.id.to_string(),
            ver: session.version,
            scope: scope.as_deref(),
        };
        let access_token = key.sign("at+jwt", &own.with(claims));
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

/// The claims that the control plane sets in an access token (RFC 9068 section 2.2).
#[derive(Serialize)]
struct OwnClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    client_id: &'a str,
    iat: u64,
    exp: u64,
    jti: &'a str,
    sid: &'a str,
    ver: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
}

impl OwnClaims<'_> {
    /// Merges these claims and the application's own into one JSON object. The application cannot
    /// use any of these names, see [`RESERVED_CLAIMS`].
    fn with(&self, claims: &str) -> String {
        let mut text = serde_json::to_string(self).expect("plain data is always encoded");
        if let Some(members) = claims.strip_prefix('{') {
            text.pop();
            text.push(',');
            text.push_str(members);
        }
        text
    }
}

/// 128 random bits: ids neither collide nor can be guessed.
fn random_id() -> String {
    Base64UrlUnpadded::encode_string(&random_bytes::<16>())
}

/// The claims that only the control plane sets.
pub const RESERVED_CLAIMS: [&str; 11] =
    ["aud", "client_id", "exp", "iat", "iss", "jti", "nbf", "scope", "sid", "sub", "ver"];
