//! The files of a log inside the test's own process.

use std::path::Path;

use ed25519_dalek::{Signer as _, SigningKey};
use offswitch_core::audit::{ChainReport, Check, Line};
use offswitch_snapshot::FeedKey;

use super::*;

fn settings(folder: &Path, file_bytes: u64) -> AuditSettings {
    let folder = Some(folder.to_owned());
    AuditSettings { folder, volume: Volume::Changes, failure: OnFailure::Continue, file_bytes }
}

fn opened(folder: &Path, file_bytes: u64) -> Arc<AuditLog> {
    let log = AuditLog::open(settings(folder, file_bytes), Writers::Serve);
    let id: String = feed_key().id().0.iter().map(|byte| format!("{byte:02x}")).collect();
    log.sign_with(Box::new(move |message| Some((id.clone(), key().sign(message).to_bytes()))));
    log
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn feed_key() -> FeedKey {
    FeedKey::from_bytes(key().verifying_key().as_bytes()).unwrap()
}

fn change(log: &Arc<AuditLog>) -> Change {
    let origin = Origin { kind: "request", request: None, source: None };
    log.begin(&"revoke".into(), origin, false).unwrap().unwrap()
}

async fn changed(log: &Arc<AuditLog>) {
    let change = change(log);
    change.collect(async { by("key_x") }).await;
    change.finish(Outcome::of(true)).unwrap();
}

/// What the check finds in all files of the folder.
fn checked(folder: &Path) -> Vec<ChainReport> {
    let mut check = Check::new(&[feed_key()], vec![]);
    for path in audit_files(folder).unwrap() {
        for line in std::fs::read_to_string(path).unwrap().lines() {
            check.line(line.as_bytes()).unwrap();
        }
    }
    check.finish().unwrap()
}

// A08: a chain goes on over files and lives, and is signed at the end of each.
#[tokio::test]
async fn a_chain_goes_on_across_files_and_lives() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let log = opened(folder.path(), 2000);
        for _ in 0..20 {
            changed(&log).await;
        }
        log.close();
    }
    let files = audit_files(folder.path()).unwrap();
    assert!(files.len() > 5, "{files:?}");
    let reports = checked(folder.path());
    assert_eq!((reports.len(), reports[0].changes), (1, 60));
    assert_eq!(reports[0].signed_up_to, Some(reports[0].end.seq - 2));
    // By pages, from any line on.
    for from in [0, 1, 17, 60, reports[0].end.seq] {
        let page = page(folder.path(), "serve", from, 9).unwrap();
        let lines =
            page.split_inclusive(|byte| *byte == b'\n').map(|line| Line::parse(line).unwrap());
        let seqs: Vec<u64> = lines.map(|line| line.seq).collect();
        let expected: Vec<u64> = (from..reports[0].end.seq.min(from + 9)).collect();
        assert_eq!(seqs, expected);
    }
}

// A08: the client went away, or the request panicked, after something may have been changed.
#[tokio::test]
async fn a_change_that_is_given_up_has_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let log = opened(folder.path(), 1 << 20);
    let given_up = change(&log);
    given_up.collect(async { by("key_x") }).await;
    drop(given_up);
    let text = std::fs::read_to_string(&audit_files(folder.path()).unwrap()[0]).unwrap();
    let line = text.lines().last().unwrap();
    assert!(line.contains(r#""outcome":"unknown","by":"key_x""#), "{line}");
}

// A08: a line that is whole and wrong is evidence. It stays, and the chain after it is another one.
#[tokio::test]
async fn an_end_that_was_changed_is_reported_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let log = opened(folder.path(), 1 << 20);
    changed(&log).await;
    log.close();
    let path = audit_files(folder.path()).unwrap().remove(0);
    let bad = std::fs::read_to_string(&path).unwrap().replace("\"stop\"", "\"spot\"");
    std::fs::write(&path, &bad).unwrap();
    let log = opened(folder.path(), 1 << 20);
    changed(&log).await;
    let codes: Vec<&str> = log.findings().iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["audit_damaged"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), bad);
    assert_eq!(audit_files(folder.path()).unwrap().len(), 2);
    let page = page(folder.path(), "serve", 0, 1).unwrap();
    assert_eq!(Line::parse(&page).unwrap().seq, 0);
}

// A08: two processes on one folder do not write to one file.
#[tokio::test]
async fn each_process_has_files_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (opened(folder.path(), 1 << 20), opened(folder.path(), 1 << 20));
    changed(&one).await;
    changed(&other).await;
    changed(&one).await;
    let changes: Vec<u64> = checked(folder.path()).iter().map(|report| report.changes).collect();
    assert!(changes == [1, 2] || changes == [2, 1], "{changes:?}");
    let names = [one.place().unwrap().1, other.place().unwrap().1];
    assert_eq!(names, ["serve", "serve-2"]);
}
