//! The keys that a receipt may be signed with.

use std::path::Path;

use offswitch_snapshot::FeedKey;
use serde_json::Value;

use crate::command_line::{Connection, Failure, Kind, feed_key, read_text};

/// The given keys; without any, those that the control plane names.
pub(super) async fn trusted(
    keys: &[String],
    file: Option<&Path>,
    connection: &Connection,
) -> Result<Vec<FeedKey>, Failure> {
    let mut trusted = keys.iter().map(|key| feed_key(key)).collect::<Result<Vec<_>, _>>()?;
    if let Some(file) = file {
        let text = read_text(file, FILE_BYTES)?;
        trusted.extend(published(&serde_json::from_str(&text).unwrap_or_default())?);
    }
    if trusted.is_empty() {
        trusted = published(&connection.open()?.get("/v1/keys").await?)?;
    }
    Ok(trusted)
}

/// The public keys in an answer of `GET /v1/keys`.
fn published(answer: &Value) -> Result<Vec<FeedKey>, Failure> {
    let keys = answer.get("feed_public_keys").and_then(Value::as_array);
    let keys: Vec<&str> = keys.into_iter().flatten().filter_map(Value::as_str).collect();
    if keys.is_empty() {
        let detail = "expected an object with feed_public_keys, as GET /v1/keys answers";
        return Err(Failure::new(Kind::InvalidInput, detail));
    }
    keys.into_iter().map(feed_key).collect()
}

const FILE_BYTES: usize = 256 * 1024;
