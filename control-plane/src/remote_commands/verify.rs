//! `offswitch verify`: the verdict of a verifier that follows the control plane's feed.

use std::path::PathBuf;

use clap::Args;
use offswitch_client::{
    Decision, FeedOptions, Follow, Issuer, Keys, Options, Presentation, Staleness, Verdict,
    Verifier,
};
use offswitch_core::doctor::{Explained, RegisteredIssuer, explained, unverified_claims};
use serde_json::{Value, json};

use super::list;
use crate::command_line::{
    Answer, Connection, ControlPlane, EXIT_CODES, Exit, Failure, Kind, Outcome, Table, fields,
    plain, read_token,
};

/// Judges a token now, as a verifier does: its signature, its times, and what the feed says.
///
/// It takes the keys of the control plane or of the registered issuer that the token names, follows the
/// feed once, and exits with 0 for a valid token, 1 for a refused one, and 3 where it cannot be decided.
/// A token that is bound to a key is judged without the proof of its client, and so is refused.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// A file with the token; `-` reads the standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// An accepted `aud`; can be repeated. Without it the audience is not checked.
    #[arg(long = "audience")]
    audiences: Vec<String>,
    /// A public key of the feed that your verifiers trust; by default those that the control plane names,
    /// for which the API key needs the scope `keys:read`. Can be repeated.
    #[arg(long = "feed-key", allow_hyphen_values = true)]
    feed_keys: Vec<String>,
    /// Shows the result of each check.
    #[arg(long)]
    explain: bool,
}

impl Verify {
    pub(crate) async fn run(self) -> Outcome {
        let token = read_token(&self.file)?;
        let plane = self.connection.open()?;
        let options = self.options(&plane, &token).await?;
        let verifier = Verifier::start(options).await;
        let verifier =
            verifier.map_err(|error| Failure::new(Kind::WrongUsage, error.to_string()))?;
        let verdict = verifier.verify(&token, Presentation::Bearer, Staleness::Configured).await;
        let steps = explained(&verifier.explain(&token)).steps;
        Ok(self.answer(&verdict, &steps))
    }

    /// The options of a verifier for the token. Of the issuers that the control plane names, the token
    /// chooses one: it adds no other.
    async fn options(&self, plane: &ControlPlane, token: &str) -> Result<Options, Failure> {
        let status = plane.get("/v1/status").await?;
        let own = text(&status, "issuer");
        let mut public_keys = self.feed_keys.clone();
        if public_keys.is_empty() {
            let keys = plane.get("/v1/keys").await?;
            let named = list(&keys, "feed_public_keys").filter_map(Value::as_str);
            public_keys.extend(named.map(str::to_owned));
        }
        let url = format!("{}/v1/feed", plane.url());
        let Some((key, more)) = public_keys.split_first() else {
            let detail = "the control plane names no feed key: give one with --feed-key";
            return Err(Failure::new(Kind::UnexpectedAnswer, detail));
        };
        let feed = FeedOptions::new(&url, key).id(&own).api_key(plane.key()).follow(Follow::Poll);
        let feed = more.iter().fold(feed, |feed, key| feed.public_key(key));
        let jwks = format!("{}/.well-known/jwks.json", plane.url());
        let options = Options::new(feed).issuer(self.issuer(&own).keys(Keys::url(&jwks)));
        match registered(plane, token).await? {
            Some(one) => Ok(options.issuer(self.foreign(&one, token))),
            None => Ok(options),
        }
    }

    fn issuer(&self, name: &str) -> Issuer {
        let issuer = Issuer::without_audience(name);
        match self.audiences.is_empty() {
            true => issuer,
            false => issuer.audiences(self.audiences.iter().cloned()),
        }
    }

    /// A registered issuer. Its tokens may have any type: that is a setting of each verifier.
    fn foreign(&self, one: &RegisteredIssuer, token: &str) -> Issuer {
        let keys = match (&one.jwks_uri, &one.discovery_uri) {
            (Some(address), _) => Keys::url(address),
            (None, Some(address)) => Keys::discovery(address),
            (None, None) => Keys::of_issuer(),
        };
        let jws = offswitch_verifier::Jws::parse(token).ok();
        let typ = jws.as_ref().and_then(|jws| jws.typ()).filter(|typ| !typ.is_empty());
        self.issuer(&one.issuer)
            .keys(keys)
            .algorithms(one.algorithms.iter().cloned())
            .required_claims(["exp"])
            .types([typ.map(str::to_owned)])
            // The feed has the horizon of the issuer.
            .max_lifetime_seconds(LONGEST_HORIZON_SECONDS)
    }

    fn answer(&self, verdict: &Verdict, steps: &[Explained]) -> Answer {
        let decision = &verdict.decision;
        let exit = match decision {
            Decision::Valid(_) => Exit::Done,
            Decision::Refused(_) => Exit::Refused,
            Decision::Undecided(_) => Exit::Undecided,
        };
        let (outcome, code, detail) = (decision.outcome(), verdict.code(), decision.detail());
        let position = verdict.evidence.position.map(|position| position.to_string());
        let age = verdict.evidence.age_seconds;
        let mut text = match decision {
            Decision::Valid(_) => "valid\n".to_owned(),
            _ => format!("{outcome}: {code}: {}\n", plain(&detail)),
        };
        text += &fields([
            ("feed position", position.clone()),
            ("feed age", age.map(|age| format!("{age} s"))),
            ("audience", self.audiences.is_empty().then(|| "not checked".to_owned())),
        ]);
        if self.explain {
            text += &format!("\n{}", checks(steps));
        }
        let json = json!({
            "verdict": outcome, "code": code, "detail": detail, "position": position,
            "age_seconds": age, "audience_checked": !self.audiences.is_empty(), "checks": steps,
        });
        Answer { exit, text, json }
    }
}

/// The registered issuer that the token names, which no signature covers yet.
async fn registered(
    plane: &ControlPlane,
    token: &str,
) -> Result<Option<RegisteredIssuer>, Failure> {
    let claims = unverified_claims(token).unwrap_or_default();
    let named = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
    let answer = plane.get("/v1/issuers").await?;
    let found = list(&answer, "issuers").find(|one| one["issuer"] == named);
    let read = found.map(|one| serde_json::from_value(one.clone())).transpose();
    read.map_err(|error| Failure::new(Kind::UnexpectedAnswer, format!("/v1/issuers: {error}")))
}

fn checks(steps: &[Explained]) -> Table {
    let mut table = Table::new(&["check", "result", "detail"]);
    for Explained { check, passed, detail } in steps {
        let result = match passed {
            Some(true) => "passed",
            Some(false) => "REFUSED",
            None => "not asked",
        };
        let detail = detail.clone().unwrap_or_default();
        table.row([(*check).to_owned(), result.to_owned(), detail]);
    }
    table
}

fn text(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap_or_default().to_owned()
}

/// The longest that an issuer can be registered with.
const LONGEST_HORIZON_SECONDS: u64 = 31_536_000;
