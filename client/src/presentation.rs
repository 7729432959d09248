//! How a token is shown.

/// How a token is shown. There is no default: a caller that forgets to say it does not compile.
#[derive(Debug, Clone, Copy)]
pub enum Presentation<'a> {
    /// As a bearer token (RFC 6750): a token that is bound to a key is refused.
    Bearer,
    /// With a proof of the key that it is bound to (RFC 9449). A proof is good once.
    Dpop {
        /// The request's only `DPoP` header.
        proof: &'a str,
        /// The request's method.
        method: &'a str,
        /// The URL that the client has asked for; query and fragment do not count.
        url: &'a str,
    },
    /// No client shows it now: for a connection whose token was shown when it was opened.
    NotShown,
}
