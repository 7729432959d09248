//! `offswitch api-keys`: the keys of the API's callers.

use axum::http::Method;
use clap::{Args, Subcommand};
use offswitch::api_keys::Scope;
use offswitch::clock::unix_seconds;
use serde_json::json;

use super::{cell, end, list};
use crate::command_line::{Answer, Connection, EXIT_CODES, Outcome, Table, path};

/// Creates, lists and deletes API keys.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct ApiKeysCommands {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Creates an API key and prints it, once.
    Create(NewKey),
    /// Deletes an API key; every process refuses it within five seconds.
    Delete {
        /// Its id, `key_…`.
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
    /// Lists the API keys.
    List,
}

/// What a new API key may do.
#[derive(Debug, Args)]
pub(crate) struct NewKey {
    /// A name for the key.
    #[arg(long)]
    pub(crate) name: String,
    /// What it may do; can be repeated.
    #[arg(long = "scope", required = true)]
    pub(crate) scopes: Vec<Scope>,
    /// The number of days after which it expires; never if absent.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    expires_in_days: Option<u64>,
}

impl NewKey {
    /// When it expires, unix seconds, if ever.
    pub(crate) fn expires_at(&self, now: u64) -> Option<u64> {
        self.expires_in_days.map(|days| now + days * 86_400)
    }
}

impl ApiKeysCommands {
    pub(crate) async fn run(self) -> Outcome {
        let plane = self.connection.open()?;
        match self.command {
            Command::Create(new) => {
                let expires_at = new.expires_at(unix_seconds());
                let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.name()).collect();
                let body = json!({ "name": new.name, "scopes": scopes, "expires_at": expires_at });
                let answer = plane.post("/v1/api-keys", &body).await?;
                // Alone, for `$(…)` and for a file.
                Ok(Answer::done(format!("{}\n", cell(&answer["key"])), answer))
            }
            Command::Delete { id } => {
                let path = path(&["v1", "api-keys", &id], &[]);
                let answer = plane.ask(Method::DELETE, &path, None).await?;
                let mut table = Table::new(&["deleted", "name"]);
                table.row([cell(&answer["id"]), cell(&answer["name"])]);
                Ok(Answer::done(table.to_string(), answer))
            }
            Command::List => {
                let answer = plane.get("/v1/api-keys").await?;
                let mut table = Table::new(&["id", "name", "created", "expires", "scopes"]);
                for key in list(&answer, "api_keys") {
                    let expired = if key["expired"] == true { " (expired)" } else { "" };
                    table.row([
                        cell(&key["id"]),
                        cell(&key["name"]),
                        end(&key["created_at"]),
                        format!("{}{expired}", end(&key["expires_at"])),
                        cell(&key["scopes"]),
                    ]);
                }
                Ok(Answer::done(table.to_string(), answer))
            }
        }
    }
}
