//! Records what a command changes.

use anyhow::Context;
use offswitch::audit::{self, AuditLog, Origin, Outcome, Writers};
use offswitch::config::Config;

/// Carries out `work`, and writes a line of the audit log in the data folder. If nothing may be changed
/// without a record and none can be written, nothing is done.
pub(crate) async fn recorded<T>(
    config: &Config,
    operation: &str,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let mut settings = config.settings.audit.clone();
    settings.folder = Some(config.audit_folder());
    let log = AuditLog::open(settings, Writers::Command);
    let origin = Origin { kind: "command", request: None, source: None };
    let begun = log.begin(&operation.into(), origin, false);
    let shown = config.audit_folder();
    let begun = begun.with_context(|| format!("nothing was done ({})", shown.display()))?;
    let Some(change) = begun else { return work.await };
    // Which user of the machine; the key that the command needs is not one person's.
    let user = format!("command:uid={}", rustix::process::getuid().as_raw());
    let working = async {
        audit::by(&user);
        work.await
    };
    let done = change.collect(working).await;
    if change.finish(Outcome::of(done.is_ok())).is_err() {
        eprintln!("offswitch: the audit log in {} cannot be written", shown.display());
    }
    tokio::task::spawn_blocking(move || log.close()).await?;
    done
}
