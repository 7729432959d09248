//! Reports to the control plane, or to the relay that this one follows: which position is held here, and by how many of
//! the followers behind it.

use std::time::{Duration, Instant};

use offswitch_client::{Question, Verifier};
use offswitch_server::roster::Roster;
use tokio::time::sleep;

/// Answers each question that comes to `verifier`, for the followers in `roster` too. It has no end.
pub(crate) async fn report(verifier: Verifier, roster: Roster) {
    let mut questions = verifier.questions();
    loop {
        let question = questions.borrow_and_update().clone();
        let answering = async {
            if let Some(question) = &question {
                answer(&verifier, &roster, question).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = answering => {}
            // A new question takes the place of the one before.
            changed = questions.changed() => if changed.is_err() {
                return;
            }
        }
    }
}

/// Answers immediately, and again each time that more followers hold the position, until all do.
async fn answer(verifier: &Verifier, roster: &Roster, question: &Question) {
    let Some(position) = verifier.snapshots().end() else { return };
    let Some(mut waiting) = roster.want(position) else { return };
    let end = Instant::now() + LONGEST;
    let mut last = None;
    loop {
        let tally = waiting.tally();
        let behind = tally.behind();
        if last.as_ref() != Some(&behind) {
            let report = serde_json::to_value(&behind).unwrap_or_default();
            if !verifier.answer(question, position, report).await {
                return;
            }
            last = Some(behind);
        }
        if tally.is_complete() || Instant::now() >= end {
            return;
        }
        sleep(PAUSE).await;
        waiting.next_change(end, 0).await;
    }
}

/// No request to the control plane waits for longer.
const LONGEST: Duration = Duration::from_secs(30);
/// The shortest time between two reports.
const PAUSE: Duration = Duration::from_millis(5);
