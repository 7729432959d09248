//! Signing access tokens (RFC 9068).

use offswitch_core::session::{Grant, Session, SessionId};
use serde::Serialize;
use zeroize::Zeroizing;

use super::Sessions;
use crate::keyring::{DeadKeys, KeyringError};
use crate::master_key::random_id;
use crate::plane::PlaneError;

/// The tokens that were issued for a session: an access token, and the credential `C` (a refresh
/// token or a handle) unless the holder has it already.
#[derive(Debug)]
pub struct Issued<C = ()> {
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
    /// The refresh token or the handle.
    pub credential: C,
    /// When the session ends at the latest, unix seconds.
    pub session_expires_at: u64,
}

/// An access token, and the refresh token or handle that is exchanged for the next one.
pub type TokenPair = Issued<Zeroizing<String>>;

impl Issued {
    /// The same with the credential that the holder gets with it.
    pub(super) fn with<C>(self, credential: C) -> Issued<C> {
        let Self { session, access_token, token_id, expires_at, scope, session_expires_at, .. } =
            self;
        Issued {
            session,
            access_token,
            token_id,
            expires_at,
            scope,
            credential,
            session_expires_at,
        }
    }
}

impl Sessions {
    /// Signs an access token of `session`; if `scope` is absent, with the session's scope.
    ///
    /// # Errors
    ///
    /// [`PlaneError::SessionOver`] if the log has ended the session; see [`PlaneError`] for the
    /// rest.
    pub(super) async fn issue(
        &self,
        session: &Session,
        scope: Option<&str>,
        now: u64,
    ) -> Result<Issued, PlaneError> {
        self.publisher.need_active_key().await?;
        let keyring = self.signing.keyring();
        // One consistent view of the log for all checks. Otherwise a token of a session that a red
        // button has ended could be dated after the button and signed with the new key, and nothing
        // would stop it.
        let (key, issued_at, limit) = {
            let fold = self.folded.lock();
            let Session { id, sub, version, .. } = session;
            if fold.is_session_over(&id.to_string(), sub, *version) {
                return Err(PlaneError::SessionOver);
            }
            let key = keyring.active(now, &DeadKeys::from(&*fold));
            // The epoch of a red button is one second ahead of it.
            let issued_at = now.max(fold.epoch());
            // Verifiers refuse what lives longer, also if another process has set the limit.
            let seconds = fold.issuers().own_limit_at(issued_at);
            (key.ok_or(KeyringError::Unreadable)?, issued_at, seconds)
        };
        let session_expires_at = session.absolute_end(&self.settings.lifetimes);
        let lives_until = issued_at.saturating_add(self.settings.access_token_seconds.min(limit));
        let expires_at = lives_until.min(session_expires_at);
        let token_id = random_id();
        let Grant { client_id, audience, claims, scope: granted, .. } = &session.grant;
        let scope = scope.map(str::to_owned).or_else(|| granted.clone());
        let own = OwnClaims {
            iss: &self.issuer,
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
            credential: (),
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

/// The claims that only the control plane sets. It sets no `cnf`: a token is bound to a key only by an
/// issuer that has seen a proof of that key.
pub const RESERVED_CLAIMS: [&str; 12] =
    ["aud", "client_id", "cnf", "exp", "iat", "iss", "jti", "nbf", "scope", "sid", "sub", "ver"];
