//! What an image is made from: the commit, and its time in place of the time of the build, so that two builds have the same
//! bytes.

use std::collections::HashMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, SecondsFormat};
use oci_spec::image::{
    ANNOTATION_CREATED, ANNOTATION_DESCRIPTION, ANNOTATION_DOCUMENTATION, ANNOTATION_LICENSES,
    ANNOTATION_REVISION, ANNOTATION_SOURCE, ANNOTATION_TITLE, ANNOTATION_VERSION,
};

use super::{NAME, VERSION};
use crate::tools::root;

/// The sources of the workspace.
pub(crate) struct Source {
    /// Unix seconds: `SOURCE_DATE_EPOCH`, or the time of the commit.
    pub(crate) seconds: u64,
    /// The same as RFC 3339.
    pub(super) created: String,
    /// The commit, with `-dirty` if files differ from it.
    revision: String,
}

impl Source {
    /// Asks git, which must know the sources unless `SOURCE_DATE_EPOCH` is set.
    pub(crate) fn of_workspace() -> Result<Self> {
        let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(seconds) => seconds,
            Err(_) => git(&["log", "-1", "--format=%ct"])
                .context("without git, set SOURCE_DATE_EPOCH to the time of the sources")?,
        };
        let seconds = seconds.parse().context("SOURCE_DATE_EPOCH is not a number of seconds")?;
        let revision = git(&["describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]);
        let time = i64::try_from(seconds).ok().and_then(|time| DateTime::from_timestamp(time, 0));
        let time = time.context("SOURCE_DATE_EPOCH is too large")?;
        Ok(Self {
            seconds,
            created: time.to_rfc3339_opts(SecondsFormat::Secs, true),
            revision: revision.unwrap_or_else(|_| "unknown".to_owned()),
        })
    }

    /// `org.opencontainers.image.*`
    pub(super) fn labels(&self) -> HashMap<String, String> {
        let repository = env!("CARGO_PKG_REPOSITORY");
        let documents = format!("{repository}/blob/main/docs/README.md");
        let labels = [
            (ANNOTATION_CREATED, self.created.as_str()),
            (ANNOTATION_DESCRIPTION, DESCRIPTION),
            (ANNOTATION_DOCUMENTATION, &documents),
            (ANNOTATION_LICENSES, env!("CARGO_PKG_LICENSE")),
            (ANNOTATION_REVISION, &self.revision),
            (ANNOTATION_SOURCE, repository),
            (ANNOTATION_TITLE, NAME),
            (ANNOTATION_VERSION, VERSION),
        ];
        labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }
}

fn git(arguments: &[&str]) -> Result<String> {
    let found = Command::new("git").args(arguments).current_dir(root()).output()?;
    ensure!(found.status.success(), "git {}: {}", arguments.join(" "), found.status);
    Ok(String::from_utf8(found.stdout)?.trim().to_owned())
}

const DESCRIPTION: &str = "The off-switch for JSON Web Tokens: the control plane, the guard for gateways, and their tools";
