//! The options with which a running control plane is asked, and its answers.

use std::env::VarError;
use std::path::PathBuf;

use axum::http::{Method, StatusCode};
use clap::Args;
use offswitch::remote::{Remote, address};
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use super::input::{KEY_BYTES, read_secret};
use super::outcome::{Exit, Failure, Kind};

/// How a running control plane is asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct Connection {
    /// The address of the control plane, such as https://auth.example.
    #[arg(long, global = true, env = "OFFSWITCH_URL", hide_env_values = true)]
    url: Option<String>,
    /// A file with an API key; `-` reads the standard input. Without it the key itself is read from the
    /// environment variable `OFFSWITCH_API_KEY`.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "OFFSWITCH_API_KEY_FILE",
        hide_env_values = true
    )]
    key_file: Option<PathBuf>,
    /// Prints JSON: to the standard output what the control plane answers, to the standard error
    /// `{"code", "detail"}`.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// A control plane that can be asked.
pub(crate) struct ControlPlane {
    remote: Remote,
    key: Zeroizing<String>,
}

impl Connection {
    /// The control plane of the options and of the environment. Nothing is sent yet.
    pub(crate) fn open(&self) -> Result<ControlPlane, Failure> {
        let usage = |detail: &str| Failure::new(Kind::WrongUsage, detail);
        let url = self.url.as_deref().filter(|url| !url.is_empty());
        let url = url.ok_or_else(|| {
            usage("give the address of the control plane: --url or OFFSWITCH_URL")
        })?;
        let url = address(url).map_err(|problem| usage(&format!("--url {problem}")))?;
        let key = self.key()?;
        let remote = Remote::at(&url, &key).map_err(|problem| usage(&problem))?;
        Ok(ControlPlane { remote, key })
    }

    fn key(&self) -> Result<Zeroizing<String>, Failure> {
        let missing = || {
            let detail =
                format!("give an API key: --key-file, OFFSWITCH_API_KEY_FILE or {API_KEY}");
            Failure::new(Kind::WrongUsage, detail)
        };
        let key = match self.key_file.as_deref().filter(|file| !file.as_os_str().is_empty()) {
            Some(file) => read_secret(file, KEY_BYTES)?,
            None => match std::env::var(API_KEY) {
                Ok(key) => Zeroizing::new(key.trim().to_owned()),
                Err(VarError::NotPresent) => return Err(missing()),
                Err(VarError::NotUnicode(_)) => {
                    return Err(Failure::new(Kind::WrongUsage, format!("{API_KEY} is not UTF-8")));
                }
            },
        };
        if key.is_empty() { Err(missing()) } else { Ok(key) }
    }
}

impl ControlPlane {
    /// Its address, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        self.remote.url()
    }

    /// The API key, for a client that follows the feed.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// As a client that only asks it.
    pub(crate) fn into_remote(self) -> Remote {
        self.remote
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// The JSON of an answer with a status of 200 to 299.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let (status, answer) = self.answer(method, path, body).await?;
        match answer {
            Some(answer) if status.is_success() => Ok(answer),
            answer => {
                let asked = format!("{}{path}", self.url());
                Err(refused(&asked, status, answer.as_ref(), Kind::UnexpectedAnswer))
            }
        }
    }

    /// The status of an answer, and its JSON.
    pub(crate) async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Option<Value>), Failure> {
        let answer = self.remote.request(method, path, body).await;
        let answer = answer.map_err(|error| Failure::new(Kind::ControlPlaneUnreachable, error))?;
        Ok((answer.status, serde_json::from_slice(&answer.body).ok()))
    }
}

/// What a problem document says (RFC 9457); `otherwise` if the answer is none. `asked` is the address that has answered.
pub(crate) fn refused(
    asked: &str,
    status: StatusCode,
    answer: Option<&Value>,
    otherwise: Kind,
) -> Failure {
    let text = |name: &str| answer.and_then(|answer| answer.get(name)?.as_str());
    let is_code = |code: &&str| {
        code.len() <= 64 && code.bytes().all(|one| one == b'_' || one.is_ascii_lowercase())
    };
    let exit = match status.as_u16() {
        408 | 429 | 500.. => Exit::Undecided,
        _ => Exit::Refused,
    };
    let (Some(code), Some(detail)) = (text("code").filter(is_code), text("detail")) else {
        let number = status.as_u16();
        let what = match otherwise {
            Kind::FeedUnreachable => "is it the head of a feed?",
            _ => "is it the address of a control plane?",
        };
        let detail = format!("{asked} answers {number} without a reason: {what}");
        return Failure { status: Some(number), ..Failure::new(otherwise, detail) };
    };
    let pointer = text("pointer").map(str::to_owned);
    Failure { status: Some(status.as_u16()), pointer, ..Failure::refused(exit, code, detail) }
}

/// A path of these segments and this query, encoded.
pub(crate) fn path(segments: &[&str], query: &[(&str, &str)]) -> String {
    let Ok(mut url) = Url::parse("http://offswitch.invalid") else { return String::new() };
    if let Ok(mut path) = url.path_segments_mut() {
        path.extend(segments);
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}{query}", url.path())
}

const API_KEY: &str = "OFFSWITCH_API_KEY";

#[cfg(test)]
mod tests {
    use super::path;

    // O07: an id is sent as it is, whatever its characters.
    #[test]
    fn ids_are_encoded_in_paths_and_queries() {
        for (segments, query, expected) in [
            (&["v1", "keys"][..], &[][..], "/v1/keys"),
            (&["v1", "issuers", "a/b?c#d%"], &[], "/v1/issuers/a%2Fb%3Fc%23d%25"),
            (&["v1", "sessions"], &[("sub", "a&b=c/é")], "/v1/sessions?sub=a%26b%3Dc%2F%C3%A9"),
        ] {
            assert_eq!(path(segments, query), expected);
        }
    }
}
