//! `offswitch issuers`: the identity providers whose tokens can be revoked.

use std::path::PathBuf;

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::{cell, end, list};
use crate::command_line::{
    Answer, Connection, EXIT_CODES, Failure, Kind, Outcome, Table, path, read_text,
};

/// Lists, registers and removes the issuers whose tokens can be revoked.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct IssuersCommands {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the registered issuers.
    List,
    /// Registers an issuer, or changes it.
    Put {
        /// What it is called in the API.
        #[arg(allow_hyphen_values = true)]
        name: String,
        /// A file with its definition, as `PUT /v1/issuers/{name}` takes it, in JSON; `-` reads the standard
        /// input.
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Removes an issuer: nothing of it can be revoked any more. What was revoked stays so until it has
    /// expired.
    Remove {
        /// What it is called in the API.
        #[arg(allow_hyphen_values = true)]
        name: String,
    },
}

impl IssuersCommands {
    pub(crate) async fn run(self) -> Outcome {
        let plane = self.connection.open()?;
        match self.command {
            Command::List => {
                let answer = plane.get("/v1/issuers").await?;
                Ok(Answer::done(table(list(&answer, "issuers")), answer))
            }
            Command::Put { name, file } => {
                let text = read_text(&file, DEFINITION_BYTES)?;
                let definition = serde_json::from_str::<Map<String, Value>>(&text);
                let definition = definition.map_err(|error| {
                    let place = format!("line {}, column {}", error.line(), error.column());
                    let detail = format!("the definition must be one JSON object ({place})");
                    Failure::new(Kind::InvalidInput, detail)
                })?;
                let path = path(&["v1", "issuers", &name], &[]);
                let body = Value::Object(definition);
                let answer = plane.ask(Method::PUT, &path, Some(&body)).await?;
                Ok(Answer::done(changed("registered", &answer), answer))
            }
            Command::Remove { name } => {
                let path = path(&["v1", "issuers", &name], &[]);
                let answer = plane.ask(Method::DELETE, &path, None).await?;
                Ok(Answer::done(changed("removed", &answer), answer))
            }
        }
    }
}

fn changed(did: &str, answer: &Value) -> String {
    let position = format!("verifiers know it from position {} on\n", cell(&answer["position"]));
    format!("{did}\n{}{position}", table([answer]))
}

fn table<'a>(issuers: impl IntoIterator<Item = &'a Value>) -> String {
    let columns = ["name", "issuer", "keys", "algorithms", "horizon", "revoked before"];
    let mut table = Table::new(&columns);
    for one in issuers {
        let keys =
            if one["jwks_uri"].is_string() { &one["jwks_uri"] } else { &one["discovery_uri"] };
        let epoch = &one["epoch"];
        table.row([
            cell(&one["name"]),
            cell(&one["issuer"]),
            cell(keys),
            cell(&one["algorithms"]),
            format!("{} s", cell(&one["horizon_seconds"])),
            if *epoch == 0 { String::new() } else { end(epoch) },
        ]);
    }
    table.to_string()
}

/// As the API takes it.
const DEFINITION_BYTES: usize = 64 * 1024;
