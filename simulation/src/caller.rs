//! A caller that revokes: it repeats a request without an answer, with the same idempotency key.

use std::sync::Arc;
use std::time::Duration;

use offswitch::plane::{Plane, PlaneError, Revoked};
use offswitch::store::Request;
use offswitch_core::limits::REQUEST_MEMORY;
use offswitch_core::record::Record;
use offswitch_core::revoking::{Named, Target};
use tokio::time::{sleep, timeout};

use crate::checks::Revocation;
use crate::process::Process;
use crate::tokens::{Claims, LIFETIME_SECONDS};
use crate::world::World;

/// One revocation, as its caller has it in hand.
struct Wish {
    number: u64,
    token: String,
    issued_at: u64,
    target: Target,
    request: Request,
    /// The earliest record of its attempts: that of an attempt without an answer may be in the log.
    record: Option<Record>,
}

/// Revokes without end.
pub async fn revoke_without_end(world: Arc<World>, caller: usize) {
    for number in 0.. {
        sleep(world.chance.millis(200..5000)).await;
        let Some(mut wish) = wish(&world, number * CALLERS + u64::try_from(caller).unwrap_or(0))
        else {
            continue;
        };
        for _ in 0..MOST_TRIES {
            let Some(process) = world.any_asked() else {
                sleep(world.chance.millis(100..2000)).await;
                continue;
            };
            let is_done = ask(&world, &process, &mut wish).await;
            if is_done && !world.chance.one_in(10) {
                break;
            }
            // Without an answer, or because a caller may do so: the same request again.
            sleep(world.chance.millis(50..2000)).await;
        }
    }
}

/// True if the revocation was acknowledged.
async fn ask(world: &World, process: &Process, wish: &mut Wish) -> bool {
    let Some(plane) = process.plane() else { return false };
    let mut lives = process.lives();
    lives.mark_unchanged();
    let (index, number) = (process.index(), wish.number);
    let answer = tokio::select! {
        biased;
        _ = lives.changed() => None,
        answered = timeout(PATIENCE, revoke(&plane, wish)) => answered.ok(),
    };
    let text = match &answer {
        None => "no answer".to_owned(),
        Some(Ok(revoked)) => format!("{} repeated {}", revoked.position, revoked.repeated),
        Some(Err(_)) => "refused".to_owned(),
    };
    world.trace.step(format_args!("caller: token {number} at {index}: {text}"));
    let (Some(Ok(Revoked { position, .. })), Some(record)) = (answer, &wish.record) else {
        return false;
    };
    let token = (wish.token.clone(), wish.issued_at);
    let at = world.time.elapsed();
    let revocation = Revocation::new(number, token, record, position, at);
    if !world.is_settled() {
        // It may be lost already, or its token may have a version from the part of the log that is lost.
        revocation.note_lost();
    }
    world.checks.acknowledged(revocation);
    // The store may have lost its record before the answer came.
    world.look_for_lost();
    true
}

async fn revoke(plane: &Plane, wish: &mut Wish) -> Result<Revoked, PlaneError> {
    let at = plane.now();
    let exp = match wish.target {
        Target::Token(_) => Some(wish.issued_at + LIFETIME_SECONDS),
        _ => None,
    };
    let named = Named { target: wish.target.clone(), exp, issued_before: None, issuer: None };
    let checked = named.check(&plane.revocation_rules(), at);
    let revocation = checked.map_err(|refused| PlaneError::Issuer(refused.detail))?;
    let record =
        Record { at, by: "simulation".to_owned(), reason: None, revocations: vec![revocation] };
    if wish.record.as_ref().is_none_or(|earliest| at < earliest.at) {
        wish.record = Some(record.clone());
    }
    plane.log.revoke_allowed(&wish.request, &record).await
}

fn wish(world: &World, number: u64) -> Option<Wish> {
    let [jti, sid, sub] = ["token", "session", "user"].map(|of| format!("{of}-{number}"));
    let target = match world.chance.between(0..3) {
        0 => Target::Token(jti.clone()),
        1 => Target::Session(sid.clone()),
        _ => Target::User(sub.clone()),
    };
    let (ver, iat) = (world.any_asked()?.plane()?.log.position().seq, world.time.unix());
    let token = world.minter.token(&Claims { jti, sid, sub, ver, iat });
    let id = format!("request-{number}");
    let digest = *blake3::hash(id.as_bytes()).as_bytes();
    let request = Request { id, digest, memory: REQUEST_MEMORY };
    Some(Wish { number, token, issued_at: iat, target, request, record: None })
}

/// How many callers there are.
pub const CALLERS: u64 = 2;
const MOST_TRIES: u32 = 12;
const PATIENCE: Duration = Duration::from_secs(10);
