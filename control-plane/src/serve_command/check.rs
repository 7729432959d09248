//! `offswitch serve --check`: tests whether the process would start.

use std::sync::Arc;

use offswitch::backup::refuse_unfinished;
use offswitch::clock::utc;
use offswitch::config::Config;
use offswitch::keyring::Keyring;
use offswitch::master_key::MasterKey;
use offswitch::plane::published_issuer;
use offswitch::server;
use offswitch::server::tls::Tls;
use offswitch::store::Store;

use super::{issuer, opening};
use crate::command_line::Answer;
use crate::report::Report;

/// Checks everything that a start needs, and serves nothing. The configuration has already been read.
pub(crate) async fn check(config: &Config) -> Answer {
    let mut report = Report::default();
    report.note("configuration", &Ok("every setting is understood".to_owned()));
    report.note("listen", &listen(config));
    if config.tls.is_some() {
        report.note("tls", &opening::tls(config).map_err(in_words).and_then(certificate));
    }
    if config.receiver_secrets_file.is_some() {
        let secrets = opening::receiver_secrets(config);
        let outcome = secrets.map(|_| "they are understood".to_owned());
        report.note("secrets of receivers", &outcome.map_err(in_words));
    }
    if config.relying_party_secrets_file.is_some() {
        let secrets = opening::relying_party_secrets(config);
        let outcome = secrets.map(|_| "they are understood".to_owned());
        report.note("credentials for relying parties", &outcome.map_err(in_words));
    }
    if let Some(to) = &config.settings.publication.to {
        let secrets = opening::publication_secrets(config).map_err(in_words);
        let opened = secrets.and_then(|secrets| to.open(&secrets));
        let place = match opened {
            Ok(place) => place.head().await.map_err(|error| error.to_string()),
            Err(error) => Err(error),
        };
        report.note("publication", &place.map(|_| format!("{to} answers")));
    }
    match opening::open_store(config).await {
        Err(error) => report.note("store", &Err(in_words(error))),
        Ok(store) => {
            report.note("store", &Ok("it answers".to_owned()));
            note_findings(&mut report, store.as_ref()).await;
            if let Err(error) = refuse_unfinished(store.as_ref()).await {
                report.note("restore", &Err(error.to_string()));
            }
            report.note("master key", &master_key(config, store.as_ref()).await);
            report.note("issuer", &issuer(config, &store).await);
        }
    }
    report.conclude("serve")
}

/// Until when the certificate is valid. That it is not any more is no reason not to start: it can be renewed then.
fn certificate(tls: Option<Tls>) -> Result<String, String> {
    let valid = tls.map(|tls| tls.validity()).transpose().map_err(|error| error.to_string())?;
    let until = valid.map(|valid| format!(", until {}", utc(valid.end))).unwrap_or_default();
    Ok(format!("the certificate and its key are understood{until}"))
}

async fn note_findings(report: &mut Report, store: &dyn Store) {
    match store.findings().await {
        Err(error) => report.note("store", &Err(error.to_string())),
        Ok(findings) => {
            for finding in findings {
                let text = format!("{}: {}", finding.code, finding.detail);
                let outcome = if finding.fatal { Err(text) } else { Ok(text) };
                report.note("store finding", &outcome);
            }
        }
    }
}

fn listen(config: &Config) -> Result<String, String> {
    match server::bind(config.listen) {
        Ok(_) => Ok(format!("{} is free", config.listen)),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Err(format!("{} is in use", config.listen))
        }
        Err(error) => Err(format!("{} cannot be used: {error}", config.listen)),
    }
}

/// Does not make a key: a check leaves nothing behind but an empty store.
async fn master_key(config: &Config, store: &dyn Store) -> Result<String, String> {
    let is_sealed = Keyring::is_in(store).await.map_err(|error| error.to_string())?;
    let is_elsewhere = config.master_key.is_some() || config.master_key_command.is_some();
    let is_made = !is_elsewhere && !config.master_key_file.exists();
    if is_made && !is_sealed {
        return Ok(format!("it will be made in {}", config.master_key_file.display()));
    }
    let master: MasterKey = opening::master_key(config, store).await.map_err(in_words)?;
    if !is_sealed {
        return Ok("it will seal the store".to_owned());
    }
    Keyring::opens(store, &master).await.map_err(|error| error.to_string())?;
    Ok("it opens the store".to_owned())
}

async fn issuer(config: &Config, store: &Arc<dyn Store>) -> Result<String, String> {
    let published = published_issuer(&config.data_dir.join("published"));
    let mut known = published.map_err(|error| error.to_string())?;
    if Keyring::is_in(store.as_ref()).await.map_err(|error| error.to_string())? {
        let master = opening::master_key(config, store.as_ref()).await.map_err(in_words)?;
        let documents = opening::sealed(store, &master).await.map_err(|error| error.to_string())?;
        known = issuer::remembered(&documents).await.map_err(in_words)?.or(known);
    }
    let configured = config.settings.issuer.clone();
    match known {
        None => Ok(configured),
        Some(known) => issuer::agree(known, &configured, config.issuer_is_set).map_err(in_words),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err calls")]
fn in_words(error: anyhow::Error) -> String {
    format!("{error:#}")
}
