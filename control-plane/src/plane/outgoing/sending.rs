//! Sends to one relying party, for as long as this process has the lease.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderValue, Request, header};
use futures_util::future::join_all;
use offswitch_core::relying_parties::{
    Delivery, Failure, Notice, Outcome, Progress, REFUSED, RelyingParty, Settled, Window, judge,
};
use tokio::time::timeout;

use super::queue::Queue;
use super::{Outgoing, document};
use crate::keyring::KeyringError;
use crate::master_key::random_bytes;
use crate::plane::PlaneError;
use crate::relying_parties::Registered;
use crate::store::Store;
use offswitch_client::http::Limits;

/// One relying party, as the process that sends to it has it.
pub(super) struct Sending<'a> {
    outgoing: &'a Arc<Outgoing>,
    one: Registered,
    /// The stored progress, and its bytes.
    progress: Progress,
    held: Vec<u8>,
    /// True if `progress` says something that is not stored yet and that operators or a restart need.
    has_news: bool,
    saved: Instant,
    queue: Queue,
    window: Window,
    began: Instant,
}

impl<'a> Sending<'a> {
    /// Takes the lease; none if another process has it.
    pub(super) async fn begin(
        outgoing: &'a Arc<Outgoing>,
        one: &Registered,
    ) -> Result<Option<Self>, PlaneError> {
        let (held, progress) = outgoing.load_progress(one).await?;
        if !progress.is_free_for(&outgoing.process, outgoing.store.now()) {
            return Ok(None);
        }
        let queue = Queue::new(progress.place, progress.settled_at);
        let (saved, began) = (Instant::now(), Instant::now());
        let window = Window::default();
        let one = one.clone();
        outgoing.leases.send_modify(|leases| *leases += 1);
        let mut sending =
            Self { outgoing, one, progress, held, has_news: false, saved, queue, window, began };
        Ok(sending.save().await?.then_some(sending))
    }

    /// Sends until the registration is gone, the process stops or another one has the lease.
    pub(super) async fn run(mut self) -> Result<(), PlaneError> {
        loop {
            let Some(one) = self.outgoing.registered.load().find(&self.one.id).cloned() else {
                return Ok(());
            };
            self.one = one;
            if self.outgoing.is_stopping() {
                self.progress.sender.until = 0;
                return self.write().await.map(drop);
            }
            self.fill().await?;
            if self.is_save_due() && !self.save().await? {
                return Ok(());
            }
            let due = self.window.due(self.clock());
            if due.is_empty() {
                self.rest().await;
            } else {
                self.send(due).await?;
            }
        }
    }

    /// Moves the cursor past what is settled, and fills the window from the queue.
    async fn fill(&mut self) -> Result<(), PlaneError> {
        let now = self.outgoing.store.now();
        let given_up =
            self.window.give_up_old(now) as u64 + std::mem::take(&mut self.queue.too_old);
        (0..given_up).for_each(|_| self.count(Settled::GivenUp, now));
        self.settle();
        while self.window.has_room()
            && let Some(item) = self.queue.next(self.outgoing, &self.one).await?
        {
            self.window.push(item);
            self.settle();
        }
        if self.queue.is_empty() && self.window.waiting() == 0 {
            self.progress.settled_at = now;
        }
        let waiting_since = self.window.waiting_since();
        self.has_news |= self.progress.waiting_since != waiting_since;
        self.progress.waiting_since = waiting_since;
        self.show();
        Ok(())
    }

    fn settle(&mut self) {
        if let Some(place) = self.window.settle() {
            self.progress.place = place;
        }
    }

    /// Sends some notices at the same time, and takes in what came of it.
    async fn send(&mut self, due: Vec<(u64, Notice)>) -> Result<(), PlaneError> {
        self.outgoing.publisher.need_active_key().await?;
        let attempts = due.into_iter().map(async |(number, notice)| {
            let outcome = self.attempt(&notice).await?;
            Ok::<_, PlaneError>((number, outcome))
        });
        let round = join_all(attempts).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let now = self.outgoing.store.now();
        for (_, outcome) in &round {
            let (code, detail) = match outcome {
                Outcome::Delivered => continue,
                Outcome::Failed { code, detail, .. } => {
                    self.note("failed");
                    (*code, detail)
                }
                Outcome::Refused { detail } => (REFUSED, detail),
            };
            let error = Failure { at: now, code: code.to_owned(), detail: detail.clone() };
            let last = self.progress.last_error.as_ref();
            if last.is_none_or(|last| last.code != error.code || last.detail != error.detail) {
                let Failure { code, detail, .. } = &error;
                tracing::warn!(relying_party = self.one.name, code, detail, "a notice failed");
            }
            self.progress.last_error = Some(error);
            self.has_news = true;
        }
        let random = u32::from_le_bytes(random_bytes());
        let clock = self.clock();
        for settled in self.window.note(&round, clock, random) {
            self.count(settled, now);
        }
        Ok(())
    }

    async fn attempt(&self, notice: &Notice) -> Result<Outcome, PlaneError> {
        let outgoing = self.outgoing;
        let RelyingParty { delivery, .. } = &self.one.party;
        let now = outgoing.store.now();
        let (typ, claims) = notice.token(&outgoing.issuer, &self.one.name, &self.one.party, now);
        let token = {
            let (keyring, dead) = (outgoing.signing.keyring(), outgoing.folded.dead_keys());
            let key = keyring.active(now, &dead).ok_or(KeyringError::Unreadable)?;
            key.sign(typ, &claims)
        };
        let mut request =
            Request::post(delivery.address()).header(header::ACCEPT, "application/json");
        if let Delivery::Push { endpoint_url } = delivery {
            match outgoing.secrets.header(&self.one.name, endpoint_url) {
                Ok(None) => {}
                Ok(Some(credential)) => request = request.header(header::AUTHORIZATION, credential),
                Err(error) => {
                    let (code, detail) = ("other_endpoint", error.to_string());
                    return Ok(Outcome::Failed { code, detail, retry_after: None });
                }
            }
        }
        let request = match delivery {
            // A token is base64url and dots: nothing of it needs escaping.
            Delivery::BackchannelLogout { .. } => request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Bytes::from(format!("logout_token={token}")).into()),
            Delivery::Push { .. } => request
                .header(header::CONTENT_TYPE, "application/secevent+jwt")
                .body(Bytes::from(token).into()),
        };
        let answer = match request {
            Ok(request) => outgoing.client.beginning(request, ANSWER).await,
            Err(error) => Err(error.to_string()),
        };
        Ok(match answer {
            Ok(answer) => {
                let asked = answer.headers.get(header::RETRY_AFTER);
                let asked = asked.map(HeaderValue::to_str).and_then(Result::ok);
                judge(answer.status.as_u16(), asked, &answer.body)
            }
            Err(problem) => {
                let detail = problem.chars().take(MAX_DETAIL_CHARS).collect();
                Outcome::Failed { code: "no_answer", detail, retry_after: None }
            }
        })
    }

    /// Waits until there may be something to do.
    async fn rest(&self) {
        let mut longest = SAVE_EVERY.saturating_sub(self.saved.elapsed());
        if self.has_news {
            longest = SAVE_NEWS_AFTER.saturating_sub(self.saved.elapsed());
        }
        if let Some(next) = self.window.next_due() {
            let seconds = (next - self.clock()).max(0.0);
            longest = longest.min(Duration::from_secs_f64(seconds));
        }
        let mut stopping = self.outgoing.stopping.subscribe();
        let mut head = self.outgoing.folded.positions();
        let is_news = async {
            // A window without room has nothing to read.
            match self.window.has_room() {
                true => drop(head.wait_for(|head| !self.queue.is_at(*head)).await),
                false => std::future::pending().await,
            }
        };
        // It otherwise ends only when the time is over: look now.
        let _ = timeout(longest.max(SHORTEST_REST), async {
            tokio::select! {
                () = is_news => {}
                _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
            }
        })
        .await;
        tokio::time::sleep(SHORTEST_REST).await;
    }

    fn is_save_due(&self) -> bool {
        let elapsed = self.saved.elapsed();
        elapsed >= SAVE_EVERY || (self.has_news && elapsed >= SAVE_NEWS_AFTER)
    }

    /// Stores the progress and prolongs the lease. False if another process has it.
    async fn save(&mut self) -> Result<bool, PlaneError> {
        let now = self.outgoing.store.now();
        self.progress.lease(&self.outgoing.process, now);
        self.write().await
    }

    async fn write(&mut self) -> Result<bool, PlaneError> {
        let wanted = serde_json::to_vec(&self.progress).expect("plain data is always encoded");
        let name = document(&self.one.id);
        if !self.outgoing.store.swap(&name, &self.held, &wanted, None).await? {
            return Ok(false);
        }
        self.held = wanted;
        self.has_news = false;
        self.saved = Instant::now();
        self.show();
        Ok(true)
    }

    fn count(&mut self, settled: Settled, now: u64) {
        self.progress.count(settled, now);
        self.has_news = true;
        self.note(match settled {
            Settled::Delivered => "delivered",
            Settled::GivenUp => "given_up",
            Settled::Refused => "refused",
        });
    }

    fn note(&self, outcome: &'static str) {
        let name = self.one.name.clone();
        metrics::counter!(
            "offswitch_notices_total", "relying_party" => name, "outcome" => outcome
        )
        .increment(1);
    }

    /// Shows the progress to operators.
    fn show(&self) {
        let id = self.one.id.clone();
        self.outgoing.progress().insert(id, self.progress.clone());
        let now = self.outgoing.store.now();
        let delay = self.progress.waiting_since.map_or(0, |since| now.saturating_sub(since));
        self.set_gauges(self.window.waiting(), delay);
    }

    fn set_gauges(&self, waiting: usize, delay: u64) {
        let name = self.one.name.clone();
        metrics::gauge!("offswitch_notices_waiting", "relying_party" => name.clone())
            .set(waiting as f64);
        metrics::gauge!("offswitch_notice_delay_seconds", "relying_party" => name)
            .set(delay as f64);
    }

    /// Seconds on a clock that is never set back.
    fn clock(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

/// Another process shows what waits, or there is no such relying party any more.
impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.outgoing.leases.send_modify(|leases| *leases -= 1);
        self.set_gauges(0, 0);
    }
}

/// The status matters, and of a body the code of an error. A round and the time until the next save are
/// shorter than a lease.
const ANSWER: Limits = Limits { bytes: 4096, time: Duration::from_secs(5) };
/// How often the lease is prolonged.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// How soon what was delivered is stored: after a crash that much is sent again.
const SAVE_NEWS_AFTER: Duration = Duration::from_secs(1);
/// Records that follow each other closely are read together.
const SHORTEST_REST: Duration = Duration::from_millis(20);
const MAX_DETAIL_CHARS: usize = 200;
