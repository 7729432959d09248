//! What a follower answers to a question in its stream, and what a relay reports for those behind it.

use std::time::Instant;

use axum::http::StatusCode;
use offswitch_snapshot::Position;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::member::Asked;
use super::seen::Report;
use super::{Introduction, Member, Roster};
use crate::problem::Problem;

/// The position that a follower holds, as the answer to a question.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The token of the question: the data of a `position` event, or the header `offswitch-ask`.
    pub ask: String,
    /// The position that is held, `era.seq`.
    #[schema(example = "1763942400.17")]
    pub position: String,
    /// For a relay: the followers that it serves.
    pub behind: Option<Behind>,
}

/// The followers behind a relay, and behind the relays that follow it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Behind {
    /// How many there are.
    pub followers: u64,
    /// How many of them hold the position of the answer.
    pub holding: u64,
    /// How many more are served that the relay does not know.
    #[serde(default)]
    pub unidentified: u64,
    /// Within how many seconds those that do not hold it refuse to decide; absent if one never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refuse_within_seconds: Option<u64>,
}

/// Why an answer does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerError {
    /// The position is beyond the log.
    Ahead,
    /// More followers hold a position than there are, or the position is not a position.
    Malformed,
    /// This follower was not asked this, or not last.
    UnknownAsk,
}

impl Answer {
    /// The position, if it is one.
    pub fn position(&self) -> Option<Position> {
        self.position.parse().ok()
    }
}

impl Roster {
    /// Takes the answer of the follower that the API key `key` has introduced, where the log ends at `head`. It counts
    /// only with the token of a question to this follower, so that no other client can answer for it, and only for what
    /// was sent before the question: that its reader has got. Where a load balancer brings the answer to another
    /// process than the one that asked, or it comes late, the token itself proves that.
    ///
    /// # Errors
    ///
    /// See [`AnswerError`]; nothing is counted then.
    pub fn answer(
        &self,
        key: &str,
        introduction: &Introduction,
        answer: &Answer,
        head: Position,
        now: Instant,
    ) -> Result<(), AnswerError> {
        let answered = self.find(key, introduction).answers(answer.clone(), head, now);
        if answered != Err(AnswerError::UnknownAsk) {
            return answered;
        }
        let proven = self.0.settings.tokens.proven(&answer.ask, key, introduction.id);
        let sent = proven.ok_or(AnswerError::UnknownAsk)?;
        let position = answer.position().ok_or(AnswerError::Malformed)?;
        if position > head {
            return Err(AnswerError::Ahead);
        }
        let member = self.meet(key, Some(introduction.clone()), now);
        // Without room for it here, it stays silent.
        if member.entry.is_none() {
            return Err(AnswerError::UnknownAsk);
        }
        member.counts(position.min(sent), answer.behind.clone(), now);
        Ok(())
    }
}

impl Member {
    /// Takes the answer of the follower to a question of this process. A question that came too soon after it leaves
    /// the one before good for one answer.
    ///
    /// # Errors
    ///
    /// See [`AnswerError`]; nothing is counted then.
    pub fn answers(&self, answer: Answer, head: Position, now: Instant) -> Result<(), AnswerError> {
        let position = answer.position().ok_or(AnswerError::Malformed)?;
        let is_plausible = answer.behind.as_ref().is_none_or(Behind::is_plausible);
        if !is_plausible {
            return Err(AnswerError::Malformed);
        }
        let entry = self.entry.as_ref().ok_or(AnswerError::UnknownAsk)?;
        if position > head {
            return Err(AnswerError::Ahead);
        }
        let mut state = entry.lock();
        let is_it = |asked: &&mut Asked| asked.token == answer.ask;
        let sent = match state.asked.as_mut().filter(is_it) {
            Some(asked) => {
                asked.is_answered = true;
                asked.sent
            }
            None => {
                let late = state.asked_before.take_if(|asked| is_it(&asked));
                late.ok_or(AnswerError::UnknownAsk)?.sent
            }
        };
        drop(state);
        self.counts(position.min(sent), answer.behind, now);
        Ok(())
    }

    /// Counts what the follower says it holds, and what it reports as a relay.
    fn counts(&self, position: Position, behind: Option<Behind>, now: Instant) {
        let Some(entry) = &self.entry else { return };
        let report = behind.filter(|_| entry.introduction.is_relay);
        let is_report = report.is_some();
        if let Some(behind) = report {
            entry.lock().report = Some(Report { about: position, at: now, behind });
        }
        self.says(Some(position), now);
        entry.answered.notify_one();
        if is_report {
            self.roster.note_change();
        }
    }
}

impl Behind {
    /// True if it can be: no more hold a position than there are.
    pub fn is_plausible(&self) -> bool {
        let most = self.followers.max(self.unidentified);
        self.holding <= self.followers && most <= MOST_BEHIND
    }
}

impl From<AnswerError> for Problem {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Ahead => {
                let detail = "position: is beyond the end of the log";
                Self::new(StatusCode::CONFLICT, "position_ahead", detail)
            }
            AnswerError::Malformed => {
                let detail = "expected a position, era.seq, and no more followers that hold it than there are";
                Self::bad_request("invalid_position", detail)
            }
            AnswerError::UnknownAsk => {
                let detail = "ask: this follower of this API key was not asked this by this process, or was asked \
                              again since";
                Self::new(StatusCode::NOT_FOUND, "unknown_ask", detail)
            }
        }
    }
}

/// What a relay can report at most: sums must not overflow.
const MOST_BEHIND: u64 = 100_000_000;
