//! The queue of one relying party: what its cursor has before it, session by session.

use std::collections::VecDeque;
use std::sync::Arc;

use offswitch_core::relying_parties::{
    Delivery, Ending, Initiator, Item, MAX_AGE_SECONDS, Notice, Place,
};
use offswitch_core::session::Session;
use offswitch_snapshot::Position;

use super::Outgoing;
use super::reader::{Ended, Stretch};
use crate::plane::PlaneError;
use crate::relying_parties::Registered;
use crate::store::Store;

/// Walks the log from a cursor on. It holds one stretch of the log, or one of the stored sessions.
pub(super) struct Queue {
    /// The place up to which the log was read.
    read_up_to: Place,
    /// When everything before the cursor was settled, unix seconds.
    settled_at: u64,
    stretch: Option<(Arc<Stretch>, usize)>,
    scan: Option<Scan>,
    ready: VecDeque<Item>,
    /// Notices that were too old when the queue reached them.
    pub(super) too_old: u64,
}

/// Looks through all stored sessions for those that ended: after a red button, and if the log does not
/// have the cursor's place any more. Its own cursor is not stored, because it is good for one run of the
/// store only: another process begins it again.
struct Scan {
    /// Sessions that ended or expired earlier are left out, unix seconds.
    since: u64,
    /// Whether to take those that other records have ended. A red button leaves them out: they have their
    /// own place in the log.
    takes_ended: bool,
    initiator: Initiator,
    cursor: String,
    after: Place,
}

impl Queue {
    pub(super) fn new(place: Place, settled_at: u64) -> Self {
        Self {
            read_up_to: place,
            settled_at,
            stretch: None,
            scan: None,
            ready: VecDeque::new(),
            too_old: 0,
        }
    }

    /// What comes next; none if there is nothing more now.
    pub(super) async fn next(
        &mut self,
        outgoing: &Outgoing,
        one: &Registered,
    ) -> Result<Option<Item>, PlaneError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            if self.scan.is_some() {
                self.scan_on(outgoing).await?;
            } else if self.stretch.is_some() {
                self.take_ending(outgoing, one).await?;
            } else if !self.read_on(outgoing).await? {
                return Ok(None);
            }
        }
    }

    /// Reads what follows in the log. False if there is nothing.
    async fn read_on(&mut self, outgoing: &Outgoing) -> Result<bool, PlaneError> {
        if self.is_at(outgoing.folded.position()) {
            return Ok(false);
        }
        match outgoing.reader.after(self.read_up_to).await? {
            Some(stretch) if stretch.reached == self.read_up_to => Ok(false),
            Some(stretch) => {
                self.read_up_to = stretch.reached;
                self.stretch = Some((stretch, 0));
                Ok(true)
            }
            None => {
                // What the log said is in the fold, and then in the stored sessions.
                outgoing.sessions.carry_out_endings().await?;
                let end = outgoing.folded.position();
                self.read_up_to = Place::after(end.era, end.seq);
                let (now, after) = (outgoing.store.now(), self.read_up_to);
                let since = self.settled_at.saturating_sub(MARGIN_SECONDS);
                let since = since.max(now.saturating_sub(MAX_AGE_SECONDS));
                tracing::warn!(since, "the queue begins with the stored sessions: the log moved");
                self.scan = Some(Scan::new(since, true, Initiator::Caller, after));
                Ok(true)
            }
        }
    }

    /// Takes the next ending of the stretch.
    async fn take_ending(
        &mut self,
        outgoing: &Outgoing,
        one: &Registered,
    ) -> Result<(), PlaneError> {
        let Some((stretch, place)) = &mut self.stretch else { return Ok(()) };
        let stretch = stretch.clone();
        let Some(Ended { ending, at, initiator, after }) = stretch.endings.get(*place) else {
            self.ready.push_back(Item::Reached(stretch.reached));
            self.stretch = None;
            return Ok(());
        };
        *place += 1;
        let (at, initiator, after) = (*at, *initiator, *after);
        if at.saturating_add(MAX_AGE_SECONDS) <= outgoing.store.now() {
            self.too_old += 1;
            self.ready.push_back(Item::Reached(after));
        } else if *ending == Ending::All {
            // Then the stored sessions say which of them another record has ended.
            outgoing.sessions.carry_out_endings().await?;
            self.scan = Some(Scan::new(at, false, initiator, after));
        } else {
            let held = outgoing.sessions.named_in(ending).await?;
            let notices = notices(ending, &held, at, initiator, one);
            self.ready.extend(notices.into_iter().map(Item::Notice));
            self.ready.push_back(Item::Reached(after));
        }
        Ok(())
    }

    /// Takes the next stored sessions.
    async fn scan_on(&mut self, outgoing: &Outgoing) -> Result<(), PlaneError> {
        let Some(scan) = &mut self.scan else { return Ok(()) };
        let stored = outgoing.sessions.stored(&scan.cursor).await?;
        for session in &stored.sessions {
            let is_over = || outgoing.folded.is_over(session);
            let ended = match &session.ended {
                Some(ended) if scan.takes_ended && ended.at >= scan.since => {
                    Some((ended.at, Initiator::of(&ended.by)))
                }
                Some(_) => None,
                None if outgoing.sessions.expires_at(session) <= scan.since => None,
                None => is_over().then_some((scan.since, scan.initiator)),
            };
            let notice = ended.map(|(at, initiator)| notice(session, at, initiator));
            self.ready.extend(notice.map(Item::Notice));
        }
        match stored.next {
            Some(next) => scan.cursor = next,
            None => {
                self.ready.push_back(Item::Reached(scan.after));
                self.scan = None;
            }
        }
        Ok(())
    }

    /// True if the log was read up to `head`.
    pub(super) fn is_at(&self, head: Position) -> bool {
        Place::after(head.era, head.seq) == self.read_up_to
    }

    /// True if everything that was read was handed out.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.scan.is_none() && self.stretch.is_none()
    }
}

impl Scan {
    fn new(since: u64, takes_ended: bool, initiator: Initiator, after: Place) -> Self {
        Self { since, takes_ended, initiator, cursor: String::new(), after }
    }
}

/// The notices of one ending. `held` are the stored sessions that it names.
fn notices(
    ending: &Ending,
    held: &[Session],
    at: u64,
    initiator: Initiator,
    one: &Registered,
) -> Vec<Notice> {
    match ending {
        Ending::All => vec![],
        Ending::Session(id) => {
            let sub = held.first().map(|session| session.sub.clone());
            vec![Notice { sid: Some(id.to_string()), sub, at, initiator }]
        }
        // The relying party may have sessions of a user that this control plane has lost or forgotten.
        Ending::User { sub, .. } if held.is_empty() => match one.party.delivery {
            Delivery::BackchannelLogout { session_required: true, .. } => vec![],
            _ => vec![Notice { sid: None, sub: Some(sub.clone()), at, initiator }],
        },
        Ending::User { .. } => {
            // An earlier record has ended it, and the relying party was registered by then.
            let was_sent = |session: &&Session| {
                let ended = session.ended.as_ref().map(|ended| ended.at);
                ended.is_some_and(|ended| one.created_at < ended && ended < at)
            };
            let rest = held.iter().filter(|session| !was_sent(session));
            rest.map(|session| notice(session, at, initiator)).collect()
        }
    }
}

fn notice(session: &Session, at: u64, initiator: Initiator) -> Notice {
    Notice { sid: Some(session.id.to_string()), sub: Some(session.sub.clone()), at, initiator }
}

/// Allows for clocks that differ.
const MARGIN_SECONDS: u64 = 300;
