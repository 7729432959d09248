//! The one file that touches `wasm_bindgen`: it converts and never decides.
//!
//! Numbers cross the boundary as they are. Whatever is longer lies in a buffer at an address that
//! never changes, or at one that stands in it: tokens and signatures, and each call's answer as JSON
//! text. That keeps the JavaScript around it small, and the calls fast.

#![expect(unreachable_pub, reason = "wasm_bindgen exports public items only")]

use std::collections::VecDeque;

use js_sys::Uint8Array;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::keys::{KeyId, KeySet, KeySetError, VerifyingKey};
use crate::snapshot::{Applied, ApplyError, Arriving};
use crate::token::claims::{VerifiedClaims, whole_seconds};
use crate::token::jws::{self, Jws, MAX_TOKEN_BYTES};
use crate::token::known_headers::KnownHeaders;
use crate::verify::config::{ConfigProblem, VerifierConfig};
use crate::verify::explain::Step;
use crate::verify::refusal::{Objection, Refusal};
use crate::verify::standing::Standing;
use crate::verify::verdict::Evidence;
use crate::verify::{Pending, Staleness, Verifier};

/// A verifier in wasm; `engine.js` wraps it.
#[wasm_bindgen]
#[derive(Debug)]
pub struct WasmVerifier {
    verifier: Verifier,
    buffer: Box<Buffer>,
    /// What the last call left to be read.
    answer: String,
    headers: KnownHeaders,
    /// Tokens whose signatures are being checked elsewhere, by ticket; the oldest are forgotten.
    pending: VecDeque<(u32, Pending)>,
    next_ticket: u32,
    /// Snapshots that are arriving, by ticket; the oldest are forgotten.
    arriving: VecDeque<(u32, Arriving)>,
    /// What JavaScript remembers tokens for, by the slot it chose.
    standings: Vec<Option<Standing>>,
}

/// What both sides read and write; `js/engine/layout.js` has the same places.
#[repr(C)]
#[derive(Debug)]
struct Buffer {
    /// Where the answer lies, and how long it is.
    answer: [u32; 2],
    /// Of the last candidate: the key's number, the lengths of the signature and of what it signs.
    candidate: [u32; 3],
    signature: [u8; MAX_SIGNATURE_BYTES],
    /// One byte longer than a token may be, so that a longer one is seen to be.
    token: [u8; MAX_TOKEN_BYTES + 1],
}

#[wasm_bindgen]
impl WasmVerifier {
    /// Makes a verifier of a [`VerifierConfig`] in JSON; none where [`problems`](Self::problems)
    /// has something to tell.
    pub fn make(config: &[u8]) -> Option<Self> {
        let buffer = Buffer {
            answer: [0; 2],
            candidate: [0; 3],
            signature: [0; MAX_SIGNATURE_BYTES],
            token: [0; MAX_TOKEN_BYTES + 1],
        };
        Some(Self {
            verifier: verifier_of(config).ok()?,
            buffer: Box::new(buffer),
            answer: String::new(),
            headers: KnownHeaders::default(),
            pending: VecDeque::with_capacity(MAX_PENDING),
            next_ticket: 0,
            arriving: VecDeque::new(),
            standings: Vec::new(),
        })
    }

    /// What is wrong with a configuration, all of it.
    pub fn problems(config: &[u8]) -> String {
        let problems = verifier_of(config).err().unwrap_or_default();
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.join("; ")
    }

    /// Where the buffer lies.
    pub fn address(&self) -> *const u32 {
        self.buffer.answer.as_ptr()
    }

    /// Replaces the keys of the issuer that was configured as the `issuer`-th with a JWK set, which
    /// was fetched or configured. The answer has the number of each key that loads and its place in
    /// the set, and what was left out: `{"keys": [[number, place], …], "dropped": ["…", …]}`. A set
    /// without a usable key withdraws the keys before it, and the answer names the problem too; one
    /// that is no JWK set changes nothing: `{"problem": …}`.
    #[wasm_bindgen(js_name = setKeys)]
    pub fn set_keys(&mut self, issuer: usize, jwks: &[u8], is_fetched: bool) {
        let set = read_key_set(jwks, is_fetched);
        let answer = key_report(&set, |key| KeyId { issuer, key }.number());
        if let Ok(keys) = set {
            self.verifier.set_keys_of(issuer, keys);
        }
        self.say(answer);
    }

    /// Applies one snapshot at `now` (unix seconds); the answer tells what changed, the code if the
    /// floor was raised.
    pub fn apply(&mut self, snapshot: &Uint8Array, now: f64) -> u32 {
        let Some(now) = whole_seconds(now) else { return codes::WRONG_CLOCK };
        let floor = self.verifier.feed().floor();
        let applied = self.verifier.apply(snapshot.to_vec(), now);
        let answer = match &applied {
            Ok(applied) => format!(r#"{{"applied":"{}"}}"#, applied.code()),
            Err(problem) => failure(problem),
        };
        let feed = self.verifier.feed();
        let code = match () {
            () if feed.floor() != floor => codes::RAISED,
            () if feed.is_ready() && applied == Ok(Applied::Refreshed) => codes::AT_FLOOR,
            () => codes::VALID,
        };
        self.say(answer);
        code
    }

    /// True if a snapshot of the feed may begin like that; otherwise the answer tells why not.
    pub fn preview(&mut self, head: &[u8]) -> bool {
        let looked = self.verifier.feed().preview(head);
        let is_promising = looked.is_ok();
        if let Err(problem) = &looked {
            self.say(failure(problem));
        }
        is_promising
    }

    /// Begins to check a snapshot that arrives in pieces, of which `head` is the first. Answers with a
    /// ticket for [`piece`](Self::piece), or with 0 if it is not the feed's.
    pub fn begin(&mut self, head: &[u8]) -> u32 {
        match self.verifier.feed().begin(head) {
            Err(problem) => {
                self.say(failure(&problem));
                NO_TICKET
            }
            Ok(arriving) => {
                let ticket = self.ticket();
                self.arriving.truncate(MAX_ARRIVING.saturating_sub(1));
                self.arriving.push_front((ticket, arriving));
                ticket
            }
        }
    }

    /// Takes the next piece of a snapshot that is arriving.
    pub fn piece(&mut self, ticket: u32, piece: &[u8]) {
        if let Some((_, arriving)) = self.arriving.iter_mut().find(|(held, _)| *held == ticket) {
            arriving.update(piece);
        }
    }

    /// Whether the signature of what has arrived is right. One that was forgotten is left to
    /// [`apply`](Self::apply), which checks everything.
    pub fn end(&mut self, ticket: u32) -> bool {
        let Some(at) = self.arriving.iter().position(|(held, _)| *held == ticket) else {
            return true;
        };
        let checked = self.arriving.remove(at).map(|(_, arriving)| {
            arriving.finish(self.verifier.feed().trusted()).map_err(ApplyError::from)
        });
        if let Some(Err(problem)) = &checked {
            self.say(failure(problem));
        }
        !matches!(checked, Some(Err(_)))
    }

    /// Tells the verifier's own monotonic time, in seconds.
    pub fn tick(&mut self, uptime: f64) {
        self.verifier.feed_mut().tick(whole_seconds(uptime).unwrap_or(0));
    }

    /// The uptime at which the feed's newest statement was heard.
    #[wasm_bindgen(js_name = heardAt)]
    pub fn heard_at(&self) -> u32 {
        u32::try_from(self.verifier.feed().heard_at()).unwrap_or(u32::MAX)
    }

    /// When the last snapshot was signed that was applied or refused for its content, unix seconds.
    #[wasm_bindgen(js_name = issuedAt)]
    pub fn issued_at(&self) -> u32 {
        u32::try_from(self.verifier.feed().last_issued_at()).unwrap_or(u32::MAX)
    }

    /// True if that snapshot ends before what is held.
    #[wasm_bindgen(js_name = isBehind)]
    pub fn is_behind(&self) -> bool {
        self.verifier.feed().is_last_behind()
    }

    /// Where the feed stands at `now` (unix seconds): the answer is
    /// `{"since": …, "evidence": {"position": …, "ageSeconds": …}}`.
    pub fn feed(&mut self, now: f64) -> u32 {
        let Some(now) = whole_seconds(now) else { return codes::WRONG_CLOCK };
        let since = self.verifier.feed().since().map(|position| format!("\"{position}\""));
        let evidence = evidence(self.verifier.evidence(now));
        self.say(format!(
            r#"{{"since":{},"evidence":{evidence}}}"#,
            since.as_deref().unwrap_or("null")
        ));
        codes::VALID
    }

    /// Resumes at the end of a snapshot, at `now` (unix seconds).
    pub fn resume(&mut self, snapshot: &Uint8Array, now: f64) -> u32 {
        let Some(now) = whole_seconds(now) else { return codes::WRONG_CLOCK };
        let feed = self.verifier.feed_mut();
        let floor = feed.floor();
        match feed.resume(snapshot.to_vec(), now) {
            Err(ApplyError::Implausible { .. }) => codes::IMPLAUSIBLE,
            Err(_) => codes::NOT_VALID,
            Ok(()) if feed.floor() == floor => codes::VALID,
            Ok(()) => codes::RAISED,
        }
    }

    /// Judges the token in the buffer at `now` (unix seconds) and remembers its standing in `slot`.
    /// The answer has the claims of a token that is valid, and the whole verdict on another.
    pub fn verify(&mut self, length: usize, now: f64, slot: usize, staleness: u32) -> u32 {
        let admitted = read(&self.buffer.token, length, &self.headers).and_then(|jws| {
            let admitted = self.verifier.admit(&jws)?;
            self.headers.keep(&jws);
            Ok(admitted)
        });
        self.conclude(admitted, now, slot, staleness)
    }

    /// Looks for the `nth` key that may have signed the token in the buffer, and leaves there what
    /// it takes to check that. Answers with a ticket for
    /// [`verify_vouched_for`](Self::verify_vouched_for), or with 0 if there is no such key.
    pub fn candidate(&mut self, length: usize, nth: usize) -> u32 {
        self.find_candidate(length, nth).unwrap_or(NO_TICKET)
    }

    /// As [`verify`](Self::verify), for a token whose signature the caller has found to be the
    /// candidate's; with 0 as ticket, to be no candidate's.
    #[wasm_bindgen(js_name = verifyVouchedFor)]
    pub fn verify_vouched_for(
        &mut self,
        ticket: u32,
        now: f64,
        slot: usize,
        staleness: u32,
    ) -> u32 {
        if ticket == NO_TICKET {
            return self.conclude(Err(Refusal::BadSignature), now, slot, staleness);
        }
        let held = self.pending.iter().find(|(held, _)| *held == ticket);
        match held.and_then(|(_, pending)| self.verifier.admit_vouched_for(pending)) {
            Some(admitted) => self.conclude(admitted, now, slot, staleness),
            None => codes::FORGOTTEN,
        }
    }

    /// What each check makes of the token in the buffer at `now` (unix seconds): the answer is
    /// `[{"check": …, "result": …, "code": …, "detail": …, "claim": …, "position": …}, …]`; `claim` is the
    /// name of the claim that is wrong.
    pub fn explain(&mut self, length: usize, now: f64) -> u32 {
        let Some(now) = whole_seconds(now) else { return codes::WRONG_CLOCK };
        let token = read(&self.buffer.token, length, &self.headers);
        let steps: Vec<String> = self.verifier.explain(token, now).iter().map(step).collect();
        self.say(format!("[{}]", steps.join(",")));
        codes::VALID
    }

    /// Judges at `now` the token that is remembered in `slot`.
    pub fn judge(&mut self, slot: usize, now: f64, staleness: u32) -> u32 {
        let Some(now) = whole_seconds(now) else { return codes::WRONG_CLOCK };
        match self.standings.get(slot) {
            Some(Some(standing)) if self.verifier.is_current(standing) => {
                match self.verifier.judge(standing, now, staleness_of(staleness)) {
                    Ok(()) if self.verifier.is_behind(standing) => codes::VALID_BUT_BEHIND,
                    Ok(()) => codes::VALID,
                    Err(objection) => self.object(&objection, now),
                }
            }
            _ => codes::FORGOTTEN,
        }
    }
}

impl WasmVerifier {
    fn find_candidate(&mut self, length: usize, nth: usize) -> Option<u32> {
        let Buffer { candidate, token, signature, .. } = &mut *self.buffer;
        let jws = read(token, length, &self.headers).ok()?;
        let id = self.verifier.candidate(&jws, nth)?;
        let found = jws.signature();
        *candidate = [id.number(), found.len(), jws.signed().len()].map(number);
        signature.get_mut(..found.len())?.copy_from_slice(found);
        let pending = self.verifier.suspend(&jws, id);
        self.headers.keep(&jws);
        let ticket = self.ticket();
        self.pending.truncate(MAX_PENDING.saturating_sub(1));
        self.pending.push_front((ticket, pending));
        Some(ticket)
    }

    /// Never 0, and never one that is still out: there are far fewer places than numbers.
    fn ticket(&mut self) -> u32 {
        self.next_ticket = self.next_ticket.wrapping_add(1).max(1);
        self.next_ticket
    }

    fn conclude(
        &mut self,
        admitted: Result<(Standing, VerifiedClaims), Refusal>,
        now: f64,
        slot: usize,
        staleness: u32,
    ) -> u32 {
        let Some(now) = whole_seconds(now) else { return codes::WRONG_CLOCK };
        let judged = admitted.map_err(Objection::from).and_then(|(standing, claims)| {
            self.verifier.judge(&standing, now, staleness_of(staleness))?;
            Ok((standing, claims))
        });
        let (standing, claims) = match judged {
            Ok(admitted) => admitted,
            Err(objection) => return self.object(&objection, now),
        };
        self.say(claims.into_text());
        if slot >= self.standings.len() && slot < MAX_SLOTS {
            self.standings.resize(slot.saturating_add(1), None);
        }
        if let Some(place) = self.standings.get_mut(slot) {
            *place = Some(standing);
        }
        let is_behind = self.verifier.is_behind(&standing);
        if is_behind { codes::VALID_BUT_BEHIND } else { codes::VALID }
    }

    /// Leaves the verdict of a token that is not valid.
    fn object(&mut self, objection: &Objection, now: u64) -> u32 {
        let evidence = evidence(self.verifier.evidence(now));
        self.say(format!(r#"{{"outcome":{},"evidence":{evidence}}}"#, reason(objection)));
        codes::NOT_VALID
    }

    fn say(&mut self, answer: String) {
        self.answer = answer;
        self.buffer.answer = [self.answer.as_ptr().addr(), self.answer.len()].map(number);
    }
}

/// What the calls that judge answer with; `js/engine/layout.js` has the same numbers.
mod codes {
    /// The token is good now.
    pub(super) const VALID: u32 = 0;
    /// It is, and it shows that the feed has gone on.
    pub(super) const VALID_BUT_BEHIND: u32 = 1;
    /// The answer is the verdict; or the snapshot is none of the feed's.
    pub(super) const NOT_VALID: u32 = 2;
    /// The slot is empty, or what it holds is not current any more.
    pub(super) const FORGOTTEN: u32 = 3;
    /// The time is not a finite number of seconds.
    pub(super) const WRONG_CLOCK: u32 = 4;
    /// The floor is higher than before.
    pub(super) const RAISED: u32 = 5;
    /// The floor is as before, and a fresh statement ends there.
    pub(super) const AT_FLOOR: u32 = 6;
    /// The snapshot claims what only a clock that is far ahead could have signed.
    pub(super) const IMPLAUSIBLE: u32 = 7;
}

/// What loads of a JWK set that was fetched or configured, and what is left out, with no verifier to
/// hold it. The answer is as that of [`WasmVerifier::set_keys`]; a key's number is its place among
/// those that load.
#[wasm_bindgen(js_name = readKeySet)]
pub fn read_key_set_report(jwks: &[u8], is_fetched: bool) -> String {
    key_report(&read_key_set(jwks, is_fetched), |key| key)
}

/// The signature layer alone: true if `signature` is the JWK's under `message`.
#[wasm_bindgen(js_name = verifySignature)]
pub fn verify_signature(jwk: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let keys = KeySet::from_jwks(jwk).unwrap_or_default();
    keys.keys().iter().any(|key| key.accepts(signature, message))
}

/// The JWS layer alone: the payload of `token` if one of the keys signed it.
#[wasm_bindgen(js_name = verifyJws)]
pub fn verify_jws(jwks: &[u8], token: &[u8]) -> Option<Vec<u8>> {
    let keys = KeySet::from_jwks(jwks).ok()?;
    let token = str::from_utf8(token).ok()?;
    keys.keys().iter().find_map(|key| crate::verify_jws(token, key).ok())
}

fn verifier_of(config: &[u8]) -> Result<Verifier, Vec<ConfigProblem>> {
    VerifierConfig::from_json(str::from_utf8(config).unwrap_or_default()).and_then(Verifier::new)
}

fn read_key_set(jwks: &[u8], is_fetched: bool) -> Result<KeySet, KeySetError> {
    if is_fetched { KeySet::from_fetched_jwks(jwks) } else { KeySet::from_configured_jwks(jwks) }
}

fn key_report(set: &Result<KeySet, KeySetError>, number: impl Fn(usize) -> usize) -> String {
    let set = match set {
        Err(problem) => return format!(r#"{{"problem":{}}}"#, json_text(problem)),
        Ok(set) => set,
    };
    let pair = |(at, key): (usize, &VerifyingKey)| format!("[{},{}]", number(at), key.index());
    let keys: Vec<String> = set.keys().iter().enumerate().map(pair).collect();
    let dropped: Vec<String> = set.refused().iter().take(MAX_DROPPED).map(json_text).collect();
    let problem = match set.check_usable() {
        Err(problem) => format!(r#","problem":{}"#, json_text(&problem)),
        Ok(()) => String::new(),
    };
    format!(r#"{{"keys":[{}],"dropped":[{}]{problem}}}"#, keys.join(","), dropped.join(","))
}

/// A message as a JSON string. Whatever is of others in it was escaped to printable ASCII before.
fn json_text(message: &impl ToString) -> String {
    let text = message.to_string();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Takes the token apart that is in the buffer.
fn read<'a>(buffer: &'a [u8], length: usize, headers: &KnownHeaders) -> Result<Jws<'a>, Refusal> {
    let Some(token) = buffer.get(..length) else {
        return Err(jws::TOKEN_TOO_LONG);
    };
    Jws::parse_with(str::from_utf8(token).unwrap_or_default(), |header| headers.read(header))
}

/// An outcome and what belongs to it, as members of an object.
fn reason(objection: &Objection) -> String {
    let (outcome, code, detail) = match objection {
        Objection::Refused(refusal) => ("refused", refusal.code(), refusal.to_string()),
        Objection::Undecided(undecided) => ("undecided", undecided.code(), undecided.to_string()),
    };
    format!(r#""{outcome}","code":"{code}","detail":{}"#, json_text(&detail))
}

fn step(Step { check, finding, position }: &Step) -> String {
    let result = match finding {
        None => r#""not_reached""#.to_owned(),
        Some(Ok(())) => r#""passed""#.to_owned(),
        Some(Err(objection)) => reason(objection),
    };
    let claim = match finding {
        Some(Err(Objection::Refused(refusal))) => refusal.claim(),
        _ => None,
    };
    let claim = claim.map_or(String::new(), |claim| format!(r#","claim":{}"#, json_text(&claim)));
    let position =
        position.map_or(String::new(), |position| format!(r#","position":"{position}""#));
    format!(r#"{{"check":"{}","result":{result}{claim}{position}}}"#, check.name())
}

fn evidence(Evidence { position, age_seconds }: Evidence) -> String {
    let position = position.map_or("null".to_owned(), |position| format!("\"{position}\""));
    let age_seconds = age_seconds.map_or("null".to_owned(), |age| age.to_string());
    format!(r#"{{"position":{position},"ageSeconds":{age_seconds}}}"#)
}

/// Why a snapshot was not applied.
fn failure(problem: &ApplyError) -> String {
    let (code, needs_base) = (problem.code(), problem.needs_base());
    format!(r#"{{"error":"{code}","detail":{},"needsBase":{needs_base}}}"#, json_text(problem))
}

fn staleness_of(number: u32) -> Staleness {
    match number {
        0 => Staleness::Configured,
        u32::MAX => Staleness::Any,
        seconds => Staleness::AtMost(seconds.into()),
    }
}

/// Addresses and sizes have 32 bits here.
fn number(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

const NO_TICKET: u32 = 0;
/// Of the longest RSA key that loads.
const MAX_SIGNATURE_BYTES: usize = 1024;
/// How many signatures may be checked elsewhere at a time before a token must be read again.
const MAX_PENDING: usize = 32;
/// How many snapshots may be arriving at a time.
const MAX_ARRIVING: usize = 16;
/// JavaScript chooses slots from zero upwards.
const MAX_SLOTS: usize = 1 << 24;
/// How many of the keys that were left out a report names.
const MAX_DROPPED: usize = 32;
