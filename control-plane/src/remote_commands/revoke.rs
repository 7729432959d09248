//! `offswitch revoke`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{accepted, cell, without_session};
use crate::command_line::{
    Answer, Connection, EXIT_CODES, Failure, Kind, Outcome, fields, moment, read_token, scalar,
};

/// Revokes a token, a session, a user, tokens by their claims, a signing key, or everything.
///
/// A revocation that no verifier would enforce is refused: an unknown session, an issuer that is not
/// registered, a token that has expired.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Revoke {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Why, at most 500 bytes. It is recorded, and not published.
    #[arg(long, global = true)]
    reason: Option<String>,
    /// Asks for a signed receipt, and writes it to this file: `offswitch receipt verify` checks it.
    #[arg(long, global = true, value_name = "FILE")]
    receipt: Option<PathBuf>,
    #[command(subcommand)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Target {
    /// Every token there is: the red button. All sessions of the control plane end, and it signs with a new
    /// key.
    All {
        /// Only the tokens of this registered issuer, its exact `iss`.
        #[arg(long)]
        issuer: Option<String>,
        /// Keeps the sessions: their refresh tokens stay valid.
        #[arg(long, conflicts_with = "issuer")]
        keep_sessions: bool,
        /// Only reports what would be revoked.
        #[arg(long)]
        dry_run: bool,
        /// Confirms it; it cannot be undone.
        #[arg(long)]
        yes: bool,
    },
    /// Tokens issued so far that have all of these claims.
    Claims {
        /// The claims as a JSON object, such as `{"client_id": "app", "sub": "alice"}`.
        claims: String,
        #[command(flatten)]
        until: Until,
        #[command(flatten)]
        issued: Issued,
    },
    /// One token by its id.
    Jti {
        /// Its `jti`, or the issuer's claim for it.
        #[arg(allow_hyphen_values = true)]
        jti: String,
        #[command(flatten)]
        until: Until,
    },
    /// Every token that was signed by a key, permanently.
    Kid {
        /// The key's id.
        #[arg(allow_hyphen_values = true)]
        kid: String,
        /// The exact `iss` of a registered issuer; by default the control plane, which then needs a key
        /// with the scope keys:write.
        #[arg(long)]
        issuer: Option<String>,
        /// Confirms it; it cannot be undone.
        #[arg(long)]
        yes: bool,
    },
    /// Refreshing one session; its current access token stays valid until it expires.
    RefreshToken {
        /// A file with the refresh token; `-` reads the standard input.
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// One device: every token of a login.
    Session {
        /// The session's id.
        #[arg(allow_hyphen_values = true)]
        session_id: String,
        #[command(flatten)]
        until: Until,
    },
    /// One token.
    Token {
        /// A file with the token; `-` reads the standard input.
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// A user on all devices; the next login works immediately.
    User {
        /// The user's id, the `sub` of the tokens.
        #[arg(allow_hyphen_values = true)]
        sub: String,
        #[command(flatten)]
        until: Until,
        #[command(flatten)]
        issued: Issued,
    },
}

/// Whose tokens, and how long they live.
#[derive(Debug, Args)]
struct Until {
    /// The exact `iss` of a registered issuer; by default the control plane.
    #[arg(long)]
    issuer: Option<String>,
    /// The latest `exp` of the tokens, unix seconds, if it is known.
    #[arg(long)]
    exp: Option<u64>,
}

#[derive(Debug, Args)]
struct Issued {
    /// Only tokens issued before this time, unix seconds.
    #[arg(long)]
    issued_before: Option<u64>,
}

impl Revoke {
    pub(crate) async fn run(self) -> Outcome {
        let Self { connection, reason, receipt, target } = self;
        let query = if receipt.is_some() { "?receipt=true" } else { "" };
        if let Target::All { issuer, keep_sessions, dry_run, yes } = target {
            need_confirmation(
                yes || dry_run,
                "revoke all",
                "--dry-run shows what it would revoke",
            )?;
            let sessions = keep_sessions.then_some("keep");
            let body = body(json!({
                "issuer": issuer, "sessions": sessions, "dry_run": dry_run, "reason": reason,
            }));
            let answer =
                connection.open()?.post(&("/v1/red-button".to_owned() + query), &body).await?;
            keep_receipt(receipt.as_deref().filter(|_| !dry_run), &answer)?;
            return Ok(Answer::done(pressed(&answer), answer));
        }
        let is_of_own_user =
            matches!(&target, Target::User { until, .. } if until.issuer.is_none());
        let (did, mut named) = target.named()?;
        named["reason"] = json!(reason);
        let path = "/v1/revocations".to_owned() + query;
        let answer = connection.open()?.post(&path, &body(named)).await?;
        keep_receipt(receipt.as_deref(), &answer)?;
        let note = if is_of_own_user { without_session(&answer) } else { "" };
        Ok(Answer::done(accepted(&format!("revoked {did}"), &answer) + note, answer))
    }
}

impl Target {
    /// What is revoked, in words and as the API names it.
    fn named(self) -> Result<(String, Value), Failure> {
        Ok(match self {
            // Asked for at another route.
            Self::All { .. } => ("everything".to_owned(), json!({})),
            Self::Claims { claims, until, issued } => {
                let Ok(claims) = serde_json::from_str::<Map<String, Value>>(&claims) else {
                    let detail =
                        "the claims must be one JSON object, such as {\"client_id\": \"app\"}";
                    return Err(Failure::new(Kind::InvalidInput, detail));
                };
                let mut named = until.with("claims", claims);
                named["issued_before"] = json!(issued.issued_before);
                ("tokens by their claims".to_owned(), named)
            }
            Self::Jti { jti, until } => (format!("token {jti}"), until.with("jti", jti.clone())),
            Self::Kid { kid, issuer, yes } => {
                need_confirmation(yes, "revoke kid", "no token of this key is valid again")?;
                (format!("key {kid}"), json!({ "kid": kid, "issuer": issuer }))
            }
            Self::RefreshToken { file } => {
                let token = read_token(&file)?;
                ("the refresh token".to_owned(), json!({ "refresh_token": *token }))
            }
            Self::Session { session_id, until } => {
                (format!("session {session_id}"), until.with("session_id", session_id))
            }
            Self::Token { file } => {
                let token = read_token(&file)?;
                ("the token".to_owned(), json!({ "token": *token }))
            }
            Self::User { sub, until, issued } => {
                let mut named = until.with("sub", sub.clone());
                named["issued_before"] = json!(issued.issued_before);
                (format!("user {sub}"), named)
            }
        })
    }
}

impl Until {
    fn with(self, name: &str, value: impl Into<Value>) -> Value {
        json!({ name: value.into(), "issuer": self.issuer, "exp": self.exp })
    }
}

/// Writes the receipt of an answer to a file. What was revoked stays revoked if that fails.
fn keep_receipt(file: Option<&Path>, answer: &Value) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    let position = cell(&answer["position"]);
    let Some(receipt) = answer["receipt"].as_str() else {
        let detail = format!("it is revoked at the position {position}, and there is no receipt");
        return Err(Failure::new(Kind::UnexpectedAnswer, detail));
    };
    std::fs::write(file, format!("{receipt}\n")).map_err(|error| {
        let (file, detail) = (file.display(), "it is revoked at the position");
        let detail = format!("{detail} {position}; {file} cannot be written: {error}");
        Failure::new(Kind::FileUnreadable, detail)
    })
}

/// A body without the members that were not given.
fn body(mut named: Value) -> Value {
    if let Some(members) = named.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    named
}

fn need_confirmation(is_given: bool, command: &str, detail: &str) -> Result<(), Failure> {
    if is_given {
        return Ok(());
    }
    let detail = format!("`{command}` cannot be undone: add --yes; {detail}");
    Err(Failure::new(Kind::ConfirmationNeeded, detail))
}

/// What the red button did, or would do.
fn pressed(answer: &Value) -> String {
    let is_dry = answer["dry_run"] == true;
    let reach = &answer["reach"];
    let words = if is_dry { "would revoke" } else { "revoked" };
    format!("{words} every token issued before {}\n", moment(&answer["epoch"]).unwrap_or_default())
        + &fields([
            ("keys", scalar(&answer["dead_kids"])),
            ("sessions", Some(cell(&answer["sessions"])).filter(|text| !text.is_empty())),
            ("users reached", scalar(&reach["users"])),
            ("sessions reached", scalar(&reach["sessions"])),
            ("tokens reached", scalar(&reach["tokens"])),
            ("signs from now on", scalar(&answer["active_kid"])),
            ("position", scalar(&answer["position"])),
            ("durability", scalar(&answer["durability"])),
            ("replicas", scalar(&answer["replicas"])),
        ])
}
