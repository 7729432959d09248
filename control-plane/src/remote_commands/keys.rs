//! `offswitch keys`: the keys that sign tokens and the feed.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{cell, end, list};
use crate::command_line::{
    Answer, Connection, EXIT_CODES, Outcome, Table, fields, moment, path, scalar,
};

/// Lists and rotates the keys that sign tokens and the feed. `revoke kid` and `revoke all` revoke them.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct KeysCommands {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stops signing with a feed key: verifiers that trust no other key accept no snapshot any more.
    DropFeed {
        /// Its id, as `keys list` and `keys rotate-feed` show it.
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
    /// Lists the token keys and the feed keys.
    List,
    /// Makes a new token-signing key, which signs after `key_publish_seconds`.
    Rotate,
    /// Makes a new feed key, which signs together with the old ones, and prints what verifiers must trust.
    RotateFeed,
}

impl KeysCommands {
    pub(crate) async fn run(self) -> Outcome {
        let plane = self.connection.open()?;
        match self.command {
            Command::DropFeed { id } => {
                let path = path(&["v1", "feed-keys", &id, "drop"], &[]);
                let answer = plane.post(&path, &json!({})).await?;
                let did =
                    if answer["dropped"] == true { "is dropped" } else { "was dropped before" };
                Ok(Answer::done(format!("feed key {} {did}\n", cell(&answer["id"])), answer))
            }
            Command::List => {
                let answer = plane.get("/v1/keys").await?;
                let mut tokens =
                    Table::new(&["token key", "alg", "state", "signs from", "retires"]);
                for key in list(&answer, "token_keys") {
                    tokens.row([
                        cell(&key["kid"]),
                        cell(&key["alg"]),
                        cell(&key["state"]),
                        end(&key["signs_from"]),
                        moment(&key["retires_at"]).unwrap_or_default(),
                    ]);
                }
                let mut feed = Table::new(&["feed key", "state", "created", "public key"]);
                for key in list(&answer, "feed_keys") {
                    feed.row([
                        cell(&key["id"]),
                        cell(&key["state"]),
                        end(&key["created_at"]),
                        cell(&key["public_key"]),
                    ]);
                }
                Ok(Answer::done(format!("{tokens}\n{feed}"), answer))
            }
            Command::Rotate => {
                let answer = plane.post("/v1/keys/rotate", &json!({})).await?;
                let text = fields([
                    ("token key", scalar(&answer["kid"])),
                    ("alg", scalar(&answer["alg"])),
                    ("signs from", moment(&answer["signs_from"])),
                    ("pending before", scalar(&answer["repeated"]).filter(|one| one == "true")),
                ]);
                Ok(Answer::done(text, answer))
            }
            Command::RotateFeed => {
                let answer = plane.post("/v1/feed-keys/rotate", &json!({})).await?;
                let text = fields([
                    ("feed key", scalar(&answer["id"])),
                    ("public key", scalar(&answer["public_key"])),
                    ("state", scalar(&answer["state"])),
                ]);
                let next = "configure every verifier with this key, then drop the old one\n";
                Ok(Answer::done(text + next, answer))
            }
        }
    }
}
