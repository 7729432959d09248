//! `offswitch status`.

use axum::http::Method;
use clap::Args;
use serde_json::{Value, json};

use super::{cell, end, list};
use crate::command_line::{Answer, Connection, EXIT_CODES, Exit, Outcome, Table, fields, scalar};

/// Shows what a control plane says about itself: whether it is ready, its version, what the API key may
/// do, and what was heard from its issuers.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) connection: Connection,
}

impl Status {
    pub(crate) async fn run(self) -> Outcome {
        let plane = self.connection.open()?;
        let status = plane.get("/v1/status").await?;
        // It answers 503 with the same members.
        let (_, readiness) = plane.answer(Method::GET, "/readyz", None).await?;
        let readiness = readiness.unwrap_or_default();
        let exit = if readiness["ready"] == true { Exit::Done } else { Exit::Undecided };
        let text = as_text(&status, &readiness);
        let json = json!({ "status": status, "readiness": readiness });
        Ok(Answer { exit, text, json })
    }
}

fn as_text(status: &Value, readiness: &Value) -> String {
    let key = &status["key"];
    let mut text = fields([
        ("issuer", scalar(&status["issuer"])),
        ("version", scalar(&status["version"])),
        ("ready", Some(if readiness["ready"] == true { "yes" } else { "no" }.to_owned())),
        ("position", scalar(&readiness["position"])),
        ("durability", scalar(&status["durability"])),
        ("replicas", scalar(&status["replicas"])),
        ("API key", Some(format!("{} ({})", cell(&key["id"]), cell(&key["name"])))),
        ("expires", Some(end(&key["expires_at"]))),
        ("scopes", scalar(&key["scopes"])),
    ]);
    let mut findings = Table::new(&["finding", "detail"]);
    for finding in list(readiness, "findings") {
        findings.row([cell(&finding["code"]), cell(&finding["detail"])]);
    }
    add(&mut text, list(readiness, "findings").next(), &findings);
    let columns = ["issuer", "name", "receiver", "accepted", "failed", "last event", "last error"];
    let mut issuers = Table::new(&columns);
    for issuer in list(status, "issuers") {
        let named = || [cell(&issuer["issuer"]), cell(&issuer["name"])];
        if list(issuer, "receivers").next().is_none() {
            issuers.row(named());
        }
        for one in list(issuer, "receivers") {
            let [iss, name] = named();
            let at = &one["accepted_at"];
            issuers.row([
                iss,
                name,
                cell(&one["receiver"]),
                cell(&one["accepted"]),
                cell(&one["failed"]),
                if at.is_null() { String::new() } else { end(at) },
                cell(&one["last_error"]["code"]),
            ]);
        }
    }
    add(&mut text, list(status, "issuers").next(), &issuers);
    let mut parties = Table::new(&["relying party", "delivered", "given up", "last error"]);
    for one in list(status, "relying_parties") {
        parties.row([
            cell(&one["name"]),
            cell(&one["delivered"]),
            cell(&one["given_up"]),
            cell(&one["last_error"]["code"]),
        ]);
    }
    add(&mut text, list(status, "relying_parties").next(), &parties);
    text
}

/// Adds a table after an empty line, if it has a row.
fn add(text: &mut String, first: Option<&Value>, table: &Table) {
    if first.is_some() {
        *text += &format!("\n{table}");
    }
}
