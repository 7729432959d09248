//! The commands that ask a running control plane over its HTTP API, with an API key. `--json` prints what
//! the API answers, so that a program reads one format.

mod api_keys;
mod issuers;
mod keys;
mod revoke;
mod session;
mod status;
mod verify;

use offswitch::clock::utc;
use serde_json::Value;

use crate::command_line::{fields, moment, scalar};

pub(crate) use api_keys::{ApiKeysCommands, NewKey};
pub(crate) use issuers::IssuersCommands;
pub(crate) use keys::KeysCommands;
pub(crate) use revoke::Revoke;
pub(crate) use session::SessionCommands;
pub(crate) use status::Status;
pub(crate) use verify::Verify;

/// What the answer to a revocation says, for people.
fn accepted(did: &str, answer: &Value) -> String {
    let member = |name: &str| scalar(&answer[name]);
    let fields = fields([
        ("position", member("position")),
        ("durability", member("durability")),
        ("replicas", member("replicas")),
        ("sessions ended", member("sessions_ended")),
        ("looked up by", member("selector")),
        ("in the feed until", moment(&answer["until"])),
        ("repeated", member("repeated").filter(|repeated| repeated == "true")),
    ]);
    format!("{did}\n{fields}")
}

/// What to say about a user of whom no session has ended: a misspelled id looks the same.
fn without_session(answer: &Value) -> &'static str {
    match answer["sessions_ended"] == 0 && answer["repeated"] != true {
        true => "no active session of this user was found: check the spelling\n",
        false => "",
    }
}

/// When something ends, or `never`.
fn end(value: &Value) -> String {
    value.as_u64().map_or_else(|| "never".to_owned(), utc)
}

/// A member of an answer, empty if it is absent.
fn cell(value: &Value) -> String {
    scalar(value).unwrap_or_default()
}

/// The elements of a list in an answer.
fn list<'a>(answer: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    answer[name].as_array().into_iter().flatten()
}
