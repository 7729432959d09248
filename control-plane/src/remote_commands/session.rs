//! `offswitch session`.

use axum::http::Method;
use clap::{Args, Subcommand};

use super::{accepted, cell, end, list, without_session};
use crate::command_line::{Answer, Connection, EXIT_CODES, Outcome, Table, path};

/// Lists and ends the sessions of a user.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct SessionCommands {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the active sessions of a user, newest first.
    List {
        /// The user's id.
        #[arg(allow_hyphen_values = true)]
        sub: String,
    },
    /// Logs a user out everywhere, or one session of the user.
    Logout {
        /// The user's id.
        #[arg(allow_hyphen_values = true)]
        sub: String,
        /// The session's id; by default all of them.
        #[arg(allow_hyphen_values = true)]
        session_id: Option<String>,
    },
}

impl SessionCommands {
    pub(crate) async fn run(self) -> Outcome {
        let plane = self.connection.open()?;
        match self.command {
            Command::List { sub } => {
                let answer = plane.get(&path(ROUTE, &[("sub", &sub)])).await?;
                let columns =
                    ["session", "device", "ip", "client", "opened", "last used", "expires"];
                let mut table = Table::new(&columns);
                for one in list(&answer, "sessions") {
                    table.row([
                        cell(&one["session_id"]),
                        cell(&one["device"]),
                        cell(&one["ip"]),
                        cell(&one["client_id"]),
                        end(&one["opened_at"]),
                        end(&one["last_used_at"]),
                        end(&one["expires_at"]),
                    ]);
                }
                Ok(Answer::done(table.to_string(), answer))
            }
            Command::Logout { sub, session_id } => {
                let mut query = vec![("sub", sub.as_str())];
                query.extend(session_id.as_deref().map(|session_id| ("session_id", session_id)));
                let answer = plane.ask(Method::DELETE, &path(ROUTE, &query), None).await?;
                let did = match &session_id {
                    Some(session_id) => format!("logged out session {session_id} of {sub}"),
                    None => format!("logged out {sub}"),
                };
                Ok(Answer::done(accepted(&did, &answer) + without_session(&answer), answer))
            }
        }
    }
}

const ROUTE: &[&str] = &["v1", "sessions"];
