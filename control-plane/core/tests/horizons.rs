//! Invariant 5 as a model with time: no token is accepted after a revocation that matches it,
//! however often the horizon was raised and lowered, whenever a verifier fetched its base, and past
//! every expiry.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use offswitch_core::fold::{Fold, Validity};
use offswitch_core::issuers::{KeySource, Registration};
use offswitch_core::limits::leaves_at;
use offswitch_core::log::Checkpoint;
use offswitch_core::receivers::Receivers;
use offswitch_core::record::{Record, Revocation};
use offswitch_snapshot::{ClaimValue, Horizons, Salt, SnapshotSigner};
use offswitch_verifier::Feed;
use proptest::prelude::*;

const OWN: &str = "https://auth.example";
const IDP: &str = "https://idp.example";
const START: u64 = 1_800_000_000;

/// The event in one second of the model.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// From now on the identity provider's tokens have this lifetime.
    Horizon(u64),
    RevokeClient(u8),
    RevokeToken(u8),
    RevokeUser(u8),
    RedButton,
    /// Nothing, for some seconds.
    Wait(u64),
}

/// A token of the identity provider: its times, and the claims by which it may be revoked.
#[derive(Debug, Clone)]
struct Token {
    issued_at: u64,
    seconds: u64,
    id: u8,
}

fn event() -> impl Strategy<Value = Event> {
    let id = || 0..3u8;
    prop_oneof![
        prop::sample::select(vec![60, 300, 3600]).prop_map(Event::Horizon),
        id().prop_map(Event::RevokeClient),
        id().prop_map(Event::RevokeToken),
        id().prop_map(Event::RevokeUser),
        Just(Event::RedButton),
        (1..4000u64).prop_map(Event::Wait),
    ]
}

fn offset() -> impl Strategy<Value = i64> {
    prop_oneof![-10..=10i64, -200..9000i64]
}

fn registration(horizon_seconds: u64) -> Registration {
    Registration {
        issuer: IDP.to_owned(),
        keys: KeySource::Jwks("https://idp.example/keys".to_owned()),
        algorithms: vec!["RS256".to_owned()],
        horizon_seconds,
        clock_skew_seconds: 5,
        token_claim: Some("jti".to_owned()),
        session_claim: Some("sid".to_owned()),
        user_claim: Some("sub".to_owned()),
        selectors: vec![],
        receivers: Receivers::default(),
    }
}

struct Model {
    fold: Fold,
    now: u64,
    seq: u64,
    /// The time of each revocation, with its selector.
    revoked: Vec<(u64, Revocation)>,
    /// Every published limit of token lifetimes.
    horizons: Horizons,
    signer: SnapshotSigner,
}

impl Model {
    fn new() -> Self {
        let fold = Fold::begin(Salt([3; 16]), OWN, 1, &Checkpoint::default()).unwrap();
        let signer = SnapshotSigner::new(OWN, vec![SigningKey::from_bytes(&[7; 32])]);
        let (revoked, horizons) = (vec![], Horizons::default());
        let mut model = Self { fold, now: START, seq: 0, revoked, horizons, signer };
        model.register(300);
        model
    }

    fn register(&mut self, horizon_seconds: u64) {
        let registration = registration(horizon_seconds);
        let registration = Box::new(registration);
        self.push(Revocation::Issuer { name: "idp".to_owned(), registration });
        let rules = self.fold.issuers().rules_of(IDP).unwrap();
        self.horizons.join(&rules.horizons);
    }

    fn push(&mut self, revocation: Revocation) {
        self.seq += 1;
        let revocations = vec![revocation];
        let record = Record { at: self.now, by: "t".to_owned(), reason: None, revocations };
        self.fold.push(self.seq, &record.encode()).unwrap();
    }

    fn revoke(&mut self, revocation: Revocation) {
        self.revoked.push((self.now, revocation.clone()));
        self.push(revocation);
    }

    fn happen(&mut self, event: Event) {
        let (issuer, exp) = (Some(IDP.to_owned()), 0);
        let issued_before = self.now + 6;
        match event {
            Event::Horizon(seconds) => self.register(seconds),
            Event::RevokeClient(id) => {
                let value = ClaimValue::Text(format!("c{id}").into());
                let claims = BTreeMap::from([("client_id".to_owned(), value)]);
                self.revoke(Revocation::Claims { issuer, claims, issued_before, exp });
            }
            Event::RevokeToken(id) => {
                self.revoke(Revocation::Token { issuer, jti: format!("t{id}"), exp });
            }
            Event::RevokeUser(id) => {
                let (sub, issued_before) = (format!("u{id}"), Some(issued_before));
                self.revoke(Revocation::User { issuer, sub, issued_before, exp });
            }
            Event::RedButton => self.revoke(Revocation::Epoch { issuer, epoch: issued_before }),
            Event::Wait(seconds) => self.now += seconds,
        }
    }

    /// A verifier that starts now: it has only the base that is published now.
    fn fresh_feed(&mut self) -> Feed {
        let validity = Validity { issued_at: self.now, valid_until: self.now + 60 };
        let signer = &self.signer;
        let (main, bytes) = self.fold.compaction().run(self.now, validity, |one| signer.sign(one));
        self.fold.compacted_to(main, self.now);
        let mut feed = Feed::new(OWN.to_owned(), signer.feed_keys());
        feed.apply(bytes, self.now).unwrap();
        feed
    }
}

/// The result of the verifier's rules for this token, with the largest leeway and the slowest
/// clock.
fn accepts(feed: &Feed, token: &Token, now: u64) -> bool {
    let rules = feed.rules_of(IDP).unwrap();
    let denied = feed.is_denied(IDP, "jti", &format!("t{}", token.id));
    let cut = [("sub", format!("u{}", token.id)), ("client_id", format!("c{}", token.id))];
    let is_cut = cut.iter().any(|(claim, value)| {
        feed.cutoff(IDP, claim, value).is_some_and(|cutoff| token.issued_at < cutoff.not_before)
    });
    let lives = rules.horizons.limit_at(token.issued_at).unwrap();
    let is_over = now >= token.issued_at + token.seconds + 300;
    !is_over && token.seconds <= lives && token.issued_at >= rules.epoch && !denied && !is_cut
}

/// True if the revocation, made at `at`, matches the token, which was issued by a clock that is up
/// to five seconds fast.
fn matches(at: u64, revocation: &Revocation, token: &Token) -> bool {
    let is_older = token.issued_at <= at + 5;
    let id = token.id;
    is_older
        && match revocation {
            Revocation::Claims { claims, .. } => {
                claims["client_id"] == ClaimValue::from(format!("c{id}").as_str())
            }
            Revocation::Epoch { .. } => true,
            Revocation::Token { jti, .. } => *jti == format!("t{id}"),
            Revocation::User { sub, .. } => *sub == format!("u{id}"),
            other => panic!("{other:?}"),
        }
}

proptest! {
    // I06
    #[test]
    fn no_token_is_accepted_after_a_revocation_that_matches_it(
        events in prop::collection::vec(event(), 1..25),
        checks in prop::collection::vec(any::<prop::sample::Index>(), 3),
        // Issued near a revocation, or at any time.
        tokens in prop::collection::vec((any::<prop::sample::Index>(), offset(), 1..4000u64, 0..3u8), 40),
    ) {
        let mut model = Model::new();
        let points: Vec<usize> = checks.iter().map(|check| check.index(events.len())).collect();
        let mut feeds = Vec::new();
        for (step, event) in events.into_iter().enumerate() {
            model.happen(event);
            if points.contains(&step) {
                feeds.push((model.now, model.fresh_feed(), model.revoked.len()));
            }
        }
        // Then time continues, past every expiry.
        for _ in 0..8 {
            model.now += 700;
            feeds.push((model.now, model.fresh_feed(), model.revoked.len()));
        }
        for (now, feed, count) in &feeds {
            for (near, offset, seconds, id) in &tokens {
                let instants: Vec<u64> =
                    model.revoked.iter().map(|(at, _)| *at).chain([START]).collect();
                let issued_at = near.get(&instants).saturating_add_signed(*offset);
                let token = Token { issued_at, seconds: *seconds, id: *id };
                let revoked = &model.revoked[..*count];
                let is_revoked = revoked.iter().any(|(at, one)| matches(*at, one, &token));
                prop_assert!(!is_revoked || !accepts(feed, &token, *now), "{token:?} at {now}");
            }
        }
        // Nothing is kept for ever: once every token has expired, the base is empty.
        let last = model.revoked.iter().map(|(at, _)| leaves_at(*at + 6 + 3600)).max();
        model.now = model.now.max(last.unwrap_or_default() + 1);
        model.fresh_feed();
        prop_assert_eq!(model.fold.entries(), 0);
        prop_assert_eq!(model.fold.issuers().rules_of(IDP).unwrap().selectors.len(), 3);
    }
}

// I06: a token that a revocation matches cannot get a longer lifetime from a later step.
#[test]
fn a_raised_horizon_begins_after_the_cut_offs_that_are_set() {
    for revocation in [Event::RevokeUser(0), Event::RevokeToken(0), Event::RedButton] {
        let mut model = Model::new();
        model.happen(revocation);
        model.happen(Event::Horizon(3600));
        let token = Token { issued_at: START + 5, seconds: 3600, id: 0 };
        for _ in 0..8 {
            model.now += 500;
            let (feed, now) = (model.fresh_feed(), model.now);
            assert!(!accepts(&feed, &token, now), "{:?} at {now}", model.revoked);
        }
    }
}

/// The entries in a base once as many leave as arrive, with one logout in this many seconds.
fn steady_entries(access_token_seconds: u64, every_seconds: u64) -> usize {
    let mut fold = Fold::begin(Salt::default(), OWN, 1, &Checkpoint::default()).unwrap();
    let signer = SnapshotSigner::new(OWN, vec![SigningKey::from_bytes(&[7; 32])]);
    let mut seq = 0;
    let mut push = |fold: &mut Fold, at, revocation| {
        seq += 1;
        let record = Record { at, by: "t".to_owned(), reason: None, revocations: vec![revocation] };
        fold.push(seq, &record.encode()).unwrap();
    };
    push(&mut fold, START, Revocation::Horizon { seconds: access_token_seconds });
    let end = START + 2 * (access_token_seconds + 600);
    for now in (START..end).step_by(usize::try_from(every_seconds).unwrap()) {
        let (issuer, issued_before) = (None, None);
        push(
            &mut fold,
            now,
            Revocation::User { issuer, sub: format!("u{now}"), issued_before, exp: 0 },
        );
    }
    let validity = Validity { issued_at: end, valid_until: end + 60 };
    let (main, _) = fold.compaction().run(end, validity, |content| signer.sign(content));
    fold.compacted_to(main, end);
    fold.entries()
}

// I06: entries stay as long as the matching tokens live, so short-lived tokens make a small feed.
#[test]
fn with_ten_minute_tokens_a_feed_holds_a_72nd_of_what_it_holds_with_a_day() {
    let (short, long) = (steady_entries(600, 10), steady_entries(86_400, 10));
    assert!((118..=121).contains(&short) && long >= 72 * short, "{short}, {long}");
}
