//! The only file that uses `wasm_bindgen`: it converts and never decides.
//!
//! Numbers cross the boundary unchanged. Tokens and signatures are in a buffer at an address that
//! never changes. Each call's answer is JSON text, whose address is in that buffer. That keeps the
//! JavaScript around it small, and the calls fast.

#![expect(unreachable_pub, reason = "wasm_bindgen exports public items only")]

use std::mem::take;
use std::num::NonZeroU32;

use wasm_bindgen::prelude::wasm_bindgen;

use super::memory::{ANY_AGE, Buffer, NO_TICKET, NOT_SHOWN, SHOWN_WITH_PROOF, codes};
use crate::dpop::{DpopRequest, ProofMemory};
use crate::feed::ApplyError;
use crate::keys::algorithm::Algorithm;
use crate::keys::{KeyId, KeySet, KeySetError, VerifyingKey};
use crate::token::claims::whole_seconds;
use crate::verify::caching::{CachingVerifier, Candidate, FloorChange, Good};
use crate::verify::config::{ConfigProblem, VerifierConfig};
use crate::verify::explain::Step;
use crate::verify::presentation::Presentation;
use crate::verify::refusal::Objection;
use crate::verify::verdict::Evidence;
use crate::verify::{Staleness, Verifier};

/// A verifier in wasm; `engine.js` wraps it.
#[wasm_bindgen]
#[derive(Debug)]
pub struct WasmVerifier {
    caching: CachingVerifier,
    buffer: Box<Buffer>,
    proofs: ProofMemory,
    /// The request of the next call, if it has a proof.
    request: Request,
    /// The result of the last call.
    answer: String,
}

#[wasm_bindgen]
impl WasmVerifier {
    /// Makes a verifier from a [`VerifierConfig`] in JSON; `None` if [`problems`](Self::problems)
    /// has something to report.
    pub fn make(config: &[u8]) -> Option<Self> {
        Some(Self {
            caching: CachingVerifier::new(verifier_of(config).ok()?),
            buffer: Buffer::new(),
            proofs: ProofMemory::default(),
            request: None,
            answer: String::new(),
        })
    }

    /// All problems of a configuration.
    pub fn problems(config: &[u8]) -> String {
        let problems = verifier_of(config).err().unwrap_or_default();
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.join("; ")
    }

    /// The buffer's address.
    pub fn address(&self) -> *const u32 {
        self.buffer.answer.as_ptr()
    }

    /// Replaces the keys of the `issuer`-th configured issuer with a JWK set, which was fetched or
    /// configured. The answer has the number of each key that loads, its place in the set and its
    /// algorithm, and the keys that were left out: `{"keys": [[number, place, "alg"], …],
    /// "dropped": ["…", …]}`. A set without a usable key withdraws the previous keys, and the
    /// answer names the problem too; a text that is no JWK set changes nothing: `{"problem": …}`.
    #[wasm_bindgen(js_name = setKeys)]
    pub fn set_keys(&mut self, issuer: usize, jwks: &[u8], is_fetched: bool) {
        let set = read_key_set(jwks, self.caching.verifier().algorithms(issuer), is_fetched);
        let answer = key_report(&set, |key| KeyId { issuer, key }.number());
        if let Ok(keys) = set {
            self.caching.verifier_mut().set_keys_of(issuer, keys);
        }
        self.say(answer);
    }

    /// Applies one snapshot at `now` (unix seconds); the answer has the change, the code whether
    /// the floor was raised.
    pub fn apply(&mut self, snapshot: Vec<u8>, now: f64) -> u32 {
        let Some(now) = whole_seconds(now) else { return codes::WRONG_CLOCK };
        let (applied, floor) = self.caching.apply(snapshot, now);
        self.say(match applied {
            Ok(applied) => format!(r#"{{"applied":"{}"}}"#, applied.code()),
            Err(problem) => failure(&problem),
        });
        match floor {
            FloorChange::Confirmed => codes::AT_FLOOR,
            FloorChange::None => codes::VALID,
            FloorChange::Raised => codes::RAISED,
        }
    }

    /// Returns the held base as it was signed; empty without a base. Its bytes stay at their place
    /// until another snapshot is applied, also when the instance traps.
    pub fn base(&mut self) {
        let base = self.caching.verifier().feed().base().unwrap_or_default();
        self.buffer.answer = [base.as_ptr().addr(), base.len()].map(number);
    }

    /// True if a snapshot of the feed may begin like that; otherwise the answer has the reason.
    pub fn preview(&mut self, head: &[u8]) -> bool {
        let looked = self.caching.verifier().feed().preview(head);
        let is_promising = looked.is_ok();
        if let Err(problem) = &looked {
            self.say(failure(problem));
        }
        is_promising
    }

    /// Begins to check a snapshot that arrives in pieces; `head` is the first. Returns a ticket for
    /// [`piece`](Self::piece), or 0 if it is not the feed's.
    pub fn begin(&mut self, head: &[u8]) -> u32 {
        match self.caching.begin(head) {
            Ok(ticket) => ticket.get(),
            Err(problem) => {
                self.say(failure(&problem));
                NO_TICKET
            }
        }
    }

    /// Takes the next piece of a snapshot that is arriving.
    pub fn piece(&mut self, ticket: u32, piece: &[u8]) {
        if let Some(ticket) = NonZeroU32::new(ticket) {
            self.caching.piece(ticket, piece);
        }
    }

    /// Whether the signature of the pieces is valid. A forgotten snapshot is left to
    /// [`apply`](Self::apply), which checks everything.
    pub fn end(&mut self, ticket: u32) -> bool {
        let ended = NonZeroU32::new(ticket).map_or(Ok(()), |ticket| self.caching.end(ticket));
        if let Err(problem) = &ended {
            self.say(failure(problem));
        }
        ended.is_ok()
    }

    /// Sets the verifier's own monotonic time, in seconds.
    pub fn tick(&mut self, uptime: f64) {
        self.caching.verifier_mut().feed_mut().tick(whole_seconds(uptime).unwrap_or(0));
    }

    /// The uptime at which the feed's newest statement arrived.
    #[wasm_bindgen(js_name = heardAt)]
    pub fn heard_at(&self) -> u32 {
        u32::try_from(self.caching.verifier().feed().heard_at()).unwrap_or(u32::MAX)
    }

    /// When the last snapshot that was applied or refused for its content was signed, unix seconds.
    #[wasm_bindgen(js_name = issuedAt)]
    pub fn issued_at(&self) -> u32 {
        u32::try_from(self.caching.verifier().feed().last_issued_at()).unwrap_or(u32::MAX)
    }

    /// True if that snapshot ends before the held position.
    #[wasm_bindgen(js_name = isBehind)]
    pub fn is_behind(&self) -> bool {
        self.caching.verifier().feed().is_last_behind()
    }

    /// The state of the feed at `now` (unix seconds): the answer is
    /// `{"since": …, "evidence": {"position": …, "ageSeconds": …}}`.
    pub fn feed(&mut self, now: f64) -> u32 {
        let Some(now) = whole_seconds(now) else { return codes::WRONG_CLOCK };
        let since =
            self.caching.verifier().feed().since().map(|position| format!("\"{position}\""));
        let evidence = evidence(self.caching.verifier().evidence(now));
        self.say(format!(
            r#"{{"since":{},"evidence":{evidence}}}"#,
            since.as_deref().unwrap_or("null")
        ));
        codes::VALID
    }

    /// Resumes at the end of a snapshot, at `now` (unix seconds).
    pub fn resume(&mut self, snapshot: Vec<u8>, now: f64) -> u32 {
        let Some(now) = whole_seconds(now) else { return codes::WRONG_CLOCK };
        match self.caching.resume(snapshot, now) {
            Err(ApplyError::Implausible { .. }) => codes::IMPLAUSIBLE,
            Err(_) => codes::NOT_VALID,
            Ok(FloorChange::Raised) => codes::RAISED,
            Ok(_) => codes::VALID,
        }
    }

    /// Sets for the next call that the token in the buffer is presented with a proof, and the
    /// request.
    pub fn show(&mut self, length: usize, method: &[u8], url: &[u8], proof: &[u8]) {
        let parts = [self.buffer.token(length), method, url, proof];
        self.request =
            Some(Box::new(parts.map(|part| str::from_utf8(part).unwrap_or_default().to_owned())));
    }

    /// Judges the token in the buffer at `now` (unix seconds) and remembers its standing in `slot`.
    /// The answer has the claims of a valid token, and the whole verdict on another one. Without a
    /// value, `shown` is 0: the token is presented as a bearer token.
    pub fn verify(
        &mut self,
        length: usize,
        now: f64,
        slot: usize,
        staleness: u32,
        shown: u32,
    ) -> u32 {
        let Some(now) = whole_seconds(now) else { return codes::WRONG_CLOCK };
        let request = take(&mut self.request);
        let shown = presentation(&request, shown, &mut self.proofs);
        let token = self.buffer.token(length);
        let judged = self.caching.verify(token, shown, now, slot, staleness_of(staleness));
        self.conclude(judged, now)
    }

    /// Looks for the `nth` key that may have signed the token in the buffer, and leaves there the
    /// data for the check. Returns a ticket for [`verify_vouched_for`](Self::verify_vouched_for),
    /// or 0 if there is no such key.
    pub fn candidate(&mut self, length: usize, nth: usize) -> u32 {
        let found = self.caching.candidate(self.buffer.token(length), nth);
        found.and_then(|candidate| self.hand_out(&candidate)).unwrap_or(NO_TICKET)
    }

    /// Like [`verify`](Self::verify), for a token whose signature the caller has checked with the
    /// candidate's key; with 0 as ticket, if no candidate's key signed it.
    #[wasm_bindgen(js_name = verifyVouchedFor)]
    pub fn verify_vouched_for(
        &mut self,
        ticket: u32,
        now: f64,
        slot: usize,
        staleness: u32,
        shown: u32,
    ) -> u32 {
        let Some(now) = whole_seconds(now) else { return codes::WRONG_CLOCK };
        let (ticket, staleness) = (NonZeroU32::new(ticket), staleness_of(staleness));
        let request = take(&mut self.request);
        let shown = presentation(&request, shown, &mut self.proofs);
        match self.caching.verify_vouched_for(ticket, shown, now, slot, staleness) {
            Some(judged) => self.conclude(judged, now),
            None => codes::FORGOTTEN,
        }
    }

    /// The result of each check of the token in the buffer at `now` (unix seconds): the answer is
    /// `[{"check": …, "result": …, "code": …, "detail": …, "claim": …, "position": …}, …]`; `claim`
    /// is the name of the wrong claim.
    pub fn explain(&mut self, length: usize, now: f64, shown: u32) -> u32 {
        let Some(now) = whole_seconds(now) else { return codes::WRONG_CLOCK };
        let request = take(&mut self.request);
        let shown = presentation(&request, shown, &mut self.proofs);
        let steps = self.caching.explain(self.buffer.token(length), shown, now);
        let steps: Vec<String> = steps.iter().map(step).collect();
        self.say(format!("[{}]", steps.join(",")));
        codes::VALID
    }

    /// Judges at `now` the token that is remembered in `slot`.
    pub fn judge(&mut self, slot: usize, now: f64, staleness: u32, shown: u32) -> u32 {
        let Some(now) = whole_seconds(now) else { return codes::WRONG_CLOCK };
        let request = take(&mut self.request);
        let shown = presentation(&request, shown, &mut self.proofs);
        match self.caching.judge(slot, shown, now, staleness_of(staleness)) {
            None => codes::FORGOTTEN,
            Some(Ok(is_behind)) => valid(is_behind),
            Some(Err(objection)) => self.object(&objection, now),
        }
    }
}

impl WasmVerifier {
    /// Leaves the data for the check of a signature in the buffer.
    fn hand_out(&mut self, candidate: &Candidate) -> Option<u32> {
        let Candidate { ticket, key, signature, signed_bytes } = candidate;
        self.buffer.candidate = [key.number(), signature.len(), *signed_bytes].map(number);
        self.buffer.signature.get_mut(..signature.len())?.copy_from_slice(signature);
        Some(ticket.get())
    }

    fn conclude(&mut self, judged: Result<Good, Objection>, now: u64) -> u32 {
        match judged {
            Ok(Good { claims, is_behind }) => {
                self.say(claims.into_text());
                valid(is_behind)
            }
            Err(objection) => self.object(&objection, now),
        }
    }

    /// Leaves the verdict of a token that is not valid.
    fn object(&mut self, objection: &Objection, now: u64) -> u32 {
        let evidence = evidence(self.caching.verifier().evidence(now));
        self.say(format!(r#"{{"outcome":{},"evidence":{evidence}}}"#, reason(objection)));
        codes::NOT_VALID
    }

    fn say(&mut self, answer: String) {
        self.answer = answer;
        self.buffer.answer = [self.answer.as_ptr().addr(), self.answer.len()].map(number);
    }
}

/// Token, method, URL and proof of a request. Behind a pointer, because most requests have none.
type Request = Option<Box<[String; 4]>>;

fn presentation<'a>(
    request: &'a Request,
    shown: u32,
    proofs: &'a mut ProofMemory,
) -> Presentation<'a> {
    match shown {
        NOT_SHOWN => Presentation::NotShown,
        SHOWN_WITH_PROOF => {
            // Without a request all are empty, which passes no check.
            let parts = request.as_ref().map(|parts| parts.each_ref().map(String::as_str));
            let [token, method, url, proof] = parts.unwrap_or_default();
            Presentation::Dpop(DpopRequest { token, proof, method, url }, proofs)
        }
        _ => Presentation::Bearer,
    }
}

/// The keys of a fetched or configured JWK set that load, and those that are left out, without a
/// verifier. `algorithms` are those of the issuer, separated by spaces. The answer is like that of
/// [`WasmVerifier::set_keys`]; a key's number is its place among those that load.
#[wasm_bindgen(js_name = readKeySet)]
pub fn read_key_set_report(jwks: &[u8], algorithms: &[u8], is_fetched: bool) -> String {
    let names = str::from_utf8(algorithms).unwrap_or_default();
    let algorithms: Vec<_> = names.split(' ').filter_map(Algorithm::from_name).collect();
    key_report(&read_key_set(jwks, &algorithms, is_fetched), |key| key)
}

/// The signature layer alone: true if `signature` is the JWK's signature of `message`.
#[wasm_bindgen(js_name = verifySignature)]
pub fn verify_signature(jwk: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let keys = KeySet::from_jwks(jwk, &[]).unwrap_or_default();
    keys.keys().iter().any(|key| key.accepts(signature, message))
}

/// The JWS layer alone: the payload of `token` if one of the keys signed it.
#[wasm_bindgen(js_name = verifyJws)]
pub fn verify_jws(jwks: &[u8], token: &[u8]) -> Option<Vec<u8>> {
    let keys = KeySet::from_jwks(jwks, &[]).ok()?;
    let token = str::from_utf8(token).ok()?;
    keys.keys().iter().find_map(|key| crate::verify_jws(token, key).ok())
}

fn verifier_of(config: &[u8]) -> Result<Verifier, Vec<ConfigProblem>> {
    VerifierConfig::from_json(str::from_utf8(config).unwrap_or_default()).and_then(Verifier::new)
}

fn read_key_set(
    jwks: &[u8],
    algorithms: &[Algorithm],
    is_fetched: bool,
) -> Result<KeySet, KeySetError> {
    match is_fetched {
        true => KeySet::from_fetched_jwks(jwks, algorithms),
        false => KeySet::from_configured_jwks(jwks, algorithms),
    }
}

fn key_report(set: &Result<KeySet, KeySetError>, number: impl Fn(usize) -> usize) -> String {
    let set = match set {
        Err(problem) => return format!(r#"{{"problem":{}}}"#, json_text(problem)),
        Ok(set) => set,
    };
    let one = |(at, key): (usize, &VerifyingKey)| {
        format!(r#"[{},{},"{}"]"#, number(at), key.index(), key.algorithm().name())
    };
    let keys: Vec<String> = set.keys().iter().enumerate().map(one).collect();
    let dropped: Vec<String> = set.refused().iter().take(MAX_DROPPED).map(json_text).collect();
    let problem = match set.check_usable() {
        Err(problem) => format!(r#","problem":{}"#, json_text(&problem)),
        Ok(()) => String::new(),
    };
    format!(r#"{{"keys":[{}],"dropped":[{}]{problem}}}"#, keys.join(","), dropped.join(","))
}

/// A message as a JSON string. Untrusted text in it was escaped to printable ASCII before.
fn json_text(message: &impl ToString) -> String {
    let text = message.to_string();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// An outcome and its data, as members of an object.
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

fn valid(is_behind: bool) -> u32 {
    if is_behind { codes::VALID_BUT_BEHIND } else { codes::VALID }
}

fn staleness_of(number: u32) -> Staleness {
    match number {
        0 => Staleness::Configured,
        ANY_AGE => Staleness::Any,
        seconds => Staleness::AtMost(seconds.into()),
    }
}

/// Addresses and sizes have 32 bits here.
fn number(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// How many of the left-out keys a report names.
const MAX_DROPPED: usize = 32;
