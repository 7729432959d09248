//! `offswitch doctor`: checks a running control plane and its issuers end to end, over HTTP as an
//! operator's machine does. Needs no store and no configuration.

mod report;

use std::path::PathBuf;

use clap::Args;
use offswitch::doctor::Examination;
use offswitch::remote::address;

use crate::command_line::{Connection, EXIT_CODES, Failure, Kind, Outcome, read_token};

/// Checks a control plane and its issuers end to end: keys, feed, clocks, receivers, a sample token.
///
/// The API key needs the scopes `feed:read` and, without `--feed-key`, `keys:read`. It exits with 1 if a
/// check failed, and with 3 if nothing could be checked; warnings are no failures, unless `--strict` is given.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Checks only the issuer that is registered under this name; all if absent.
    #[arg(long)]
    issuer: Option<String>,
    /// A public key of the feed that your verifiers trust; by default those that the control plane
    /// names. Can be repeated.
    #[arg(long = "feed-key", allow_hyphen_values = true)]
    feed_keys: Vec<String>,
    /// A file with a token, which is explained; `-` reads the standard input.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// Revokes the token, and measures how soon the edge refuses it. The API key needs the scope
    /// `revocations:write`.
    #[arg(long, requires_all = ["edge", "token_file"])]
    sacrifice: bool,
    /// An address at the edge that answers 2xx with the token.
    #[arg(long, requires = "sacrifice")]
    edge: Option<String>,
    /// Exits with 1 for warnings too.
    #[arg(long)]
    strict: bool,
}

impl Doctor {
    pub(crate) async fn run(self) -> Outcome {
        let (mut findings, is_strict) = (Vec::new(), self.strict);
        self.examination()?.run(&mut findings).await;
        Ok(report::answer(&findings, is_strict))
    }

    fn examination(self) -> Result<Examination, Failure> {
        let remote = self.connection.open()?.into_remote();
        let edge = self.edge.as_deref().map(address).transpose();
        let edge =
            edge.map_err(|problem| Failure::new(Kind::WrongUsage, format!("--edge {problem}")))?;
        let token = self.token_file.as_deref().map(read_token).transpose()?;
        Ok(Examination { remote, issuer: self.issuer, feed_keys: self.feed_keys, token, edge })
    }
}
