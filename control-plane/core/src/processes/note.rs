//! What processes leave for each other in the store while a request waits: a question, its end, and what each of them has
//! seen of its followers.
//!
//! A note is one byte, the version of this layout, and then the postcard encoding of [`Note`]. A process that does not
//! know the version of a note leaves it unanswered, and counts as one that has not answered.

use offswitch_snapshot::Position;
use serde::{Deserialize, Serialize};

use super::ProcessId;

/// One note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// A request at the process `by` waits for a position.
    Question {
        /// Who asks.
        by: ProcessId,
        /// Its questions are numbered, ascending.
        number: u64,
        /// The position, era and seq.
        position: (u64, u64),
        /// For how long it waits at most.
        seconds: u32,
    },
    /// Nothing waits at the process `by` any more, for its questions up to this one.
    Over {
        /// Who has asked.
        by: ProcessId,
        /// The last question.
        number: u64,
    },
    /// What the process `by` has seen of its followers.
    Statement {
        /// Who says so.
        by: ProcessId,
        /// The notes of one process are numbered, ascending: a later one takes the place of an earlier one.
        number: u64,
        /// What it says.
        statement: Statement,
    },
}

/// What a process has seen of its followers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The questions that it knew then: who asks, and the number of the last question.
    pub heard: Vec<(ProcessId, u64)>,
    /// How many followers it serves at least that it does not know.
    pub unidentified: u64,
    /// Its followers.
    pub followers: Vec<StatedFollower>,
    /// How some of them are shown, and what relays have reported: text of the layer above.
    pub details: String,
}

/// One follower.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatedFollower {
    /// Which one: a hash of its API key and its id.
    pub print: [u8; 12],
    /// True if it reports for those behind it.
    pub is_relay: bool,
    /// What it holds, era and seq.
    pub held: Option<(u64, u64)>,
    /// How long ago it said so.
    pub said_milliseconds_ago: u32,
    /// How long ago that grew last.
    pub grew_milliseconds_ago: u32,
    /// Within how many seconds it refuses to decide without news; none if it never does.
    pub refuses_within_seconds: Option<u32>,
}

/// Why a note cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is not a note.
    #[error("it cannot be read")]
    Malformed,
    /// It has more followers than a process says at the same time.
    #[error("it has more than {MOST_STATED} followers")]
    TooMany,
    /// It is of another version.
    #[error("it has the version {0}, expected {VERSION}")]
    Version(u8),
}

impl Note {
    /// The bytes of a note.
    #[expect(clippy::missing_panics_doc, reason = "plain data is always encoded")]
    pub fn encode(&self) -> Vec<u8> {
        let bytes = postcard::to_extend(self, vec![VERSION]);
        bytes.expect("plain data is always encoded")
    }

    /// The note in these bytes.
    ///
    /// # Errors
    ///
    /// See [`NoteError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NoteError> {
        let (version, rest) = bytes.split_first().ok_or(NoteError::Malformed)?;
        if *version != VERSION {
            return Err(NoteError::Version(*version));
        }
        let Ok((note, [])) = postcard::take_from_bytes::<Self>(rest) else {
            return Err(NoteError::Malformed);
        };
        match &note {
            Self::Statement { statement, .. } if statement.followers.len() > MOST_STATED => {
                Err(NoteError::TooMany)
            }
            _ => Ok(note),
        }
    }

    /// Who has left it.
    pub fn by(&self) -> ProcessId {
        match self {
            Self::Question { by, .. } | Self::Over { by, .. } | Self::Statement { by, .. } => *by,
        }
    }
}

impl Statement {
    /// True if it answers the question: it was said by one that knew it.
    pub fn answers(&self, by: ProcessId, number: u64) -> bool {
        self.heard.iter().any(|(asker, heard)| *asker == by && *heard >= number)
    }

    /// True if it says nothing but what `earlier` has said, apart from times.
    pub fn is_old_news(&self, earlier: &Self) -> bool {
        let stated = |one: &StatedFollower| (one.print, one.held);
        self.heard == earlier.heard
            && self.unidentified == earlier.unidentified
            && self.followers.iter().map(stated).eq(earlier.followers.iter().map(stated))
    }
}

impl StatedFollower {
    /// What it holds.
    pub fn position(&self) -> Option<Position> {
        self.held.map(|(era, seq)| Position { era, seq })
    }
}

const VERSION: u8 = 1;
/// How many followers a process says at the same time, about a megabyte. More are said to be unknown, so that nothing is
/// complete.
pub const MOST_STATED: usize = 32_768;

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ProcessId = ProcessId([1; 8]);

    fn statement(number: u64, followers: usize) -> Note {
        let follower = StatedFollower {
            print: [7; 12],
            is_relay: false,
            held: Some((1_795_489_144, 1_882_704_986_243_073)),
            said_milliseconds_ago: 12,
            grew_milliseconds_ago: 12,
            refuses_within_seconds: Some(60),
        };
        let statement = Statement {
            heard: vec![(ONE, 3)],
            unidentified: 0,
            followers: vec![follower; followers],
            details: String::new(),
        };
        Note::Statement { by: ONE, number, statement }
    }

    // P10: a note is read strictly, and the followers in it are bounded.
    #[test]
    fn a_note_is_read_as_it_is_written_and_in_no_other_way() {
        let question = Note::Question { by: ONE, number: 3, position: (1, 2), seconds: 30 };
        for note in [question, Note::Over { by: ONE, number: 3 }, statement(1, 2)] {
            let bytes = note.encode();
            assert_eq!(Note::decode(&bytes).as_ref(), Ok(&note));
            assert_eq!(Note::decode(&bytes[..bytes.len() - 1]), Err(NoteError::Malformed));
            assert_eq!(Note::decode(&[&bytes[..], &[0]].concat()), Err(NoteError::Malformed));
            let other = [&[2], &bytes[1..]].concat();
            assert_eq!(Note::decode(&other), Err(NoteError::Version(2)));
        }
        assert_eq!(Note::decode(&[]), Err(NoteError::Malformed));
        assert_eq!(Note::decode(&[1, 9]), Err(NoteError::Malformed));
        assert!(Note::decode(&statement(1, MOST_STATED).encode()).is_ok());
        assert_eq!(Note::decode(&statement(1, MOST_STATED + 1).encode()), Err(NoteError::TooMany));
        let each = statement(1, 1000).encode().len() / 1000;
        assert!(each < 40, "{each} bytes for each follower");
    }

    // P10: what was said before a question is no answer to it.
    #[test]
    fn what_was_said_before_a_question_does_not_answer_it() {
        let Note::Statement { statement: said, .. } = statement(1, 1) else { panic!() };
        assert!(said.answers(ONE, 3) && said.answers(ONE, 2));
        assert!(!said.answers(ONE, 4) && !said.answers(ProcessId([2; 8]), 3));
        assert!(said.is_old_news(&said));
        let mut more = said.clone();
        more.followers[0].said_milliseconds_ago = 99;
        assert!(more.is_old_news(&said), "only time has passed");
        more.followers[0].held = None;
        assert!(!more.is_old_news(&said));
    }
}
