//! Where `snapshot export` reads the feed: at a control plane, or where it is published as files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::Full;
use offswitch::remote::address;
use offswitch_client::http::{Client, Limits};
use offswitch_snapshot::{
    BaseDigest, FeedHead, FeedKey, HEAD_NAME, HeadBase, HeadDelta, MAX_HEAD_BYTES, Part, Snapshot,
};
use offswitch_verifier::ApplyError;
use tokio::time::{Instant, sleep};
use url::Url;

use super::feed_file::{FeedFile, FeedFileError, head_in};
use crate::command_line::{ControlPlane, Failure, Kind, read_snapshot, refused};

/// A feed that can be read.
pub(super) struct FeedSource {
    client: Client,
    /// The head; its parts are below the same folder.
    place: Place,
}

enum Place {
    Folder(PathBuf),
    Web { head: Url, authorization: Option<HeaderValue> },
}

/// What was read, with its entity tag; none where it is as it was before.
type Read = Option<(Bytes, Option<HeaderValue>)>;

impl FeedSource {
    /// The feed of a control plane, which makes parts on request.
    pub(super) fn control_plane(plane: &ControlPlane) -> Result<Self, Failure> {
        let usage = |problem: &str| Failure::new(Kind::WrongUsage, problem);
        let head = Url::parse(&format!("{}/v1/feed/{HEAD_NAME}", plane.url()));
        let head = head.map_err(|error| usage(&format!("--url: {error}")))?;
        let key = HeaderValue::from_str(&format!("Bearer {}", plane.key()));
        let mut key = key.map_err(|_| usage("the API key is not plain text"))?;
        key.set_sensitive(true);
        let place = Place::Web { head, authorization: Some(key) };
        Ok(Self { client: Client::new(), place })
    }

    /// A feed that is published as files, by the address of its head.
    pub(super) fn head(text: &str) -> Result<Self, Failure> {
        let usage = |problem: &str| Failure::new(Kind::WrongUsage, format!("--head {problem}"));
        let file = Url::parse(text).ok().filter(|url| url.scheme() == "file");
        let place = match file {
            Some(file) => {
                let path = file.to_file_path().map_err(|()| usage("is no path of a file"))?;
                let folder = path.parent().filter(|_| path.ends_with(HEAD_NAME));
                Place::Folder(folder.ok_or_else(|| usage("must end in /head"))?.to_owned())
            }
            None => Place::Web { head: address(text).map_err(usage)?, authorization: None },
        };
        Ok(Self { client: Client::new(), place })
    }

    /// The feed as it is now. Its head and its base are proved by the keys; [`FeedFile::check`] checks the rest.
    pub(super) async fn read(&self, keys: &[FeedKey]) -> Result<FeedFile, Failure> {
        let mut tries = 1;
        loop {
            let head = self.genuine_head(keys).await?;
            let file = match head.on_demand {
                true => self.made(head, keys).await,
                false => self.copied(head).await,
            };
            match file {
                // The head may have been replaced meanwhile, and its parts removed.
                Err(failure) if failure.status == Some(404) && tries < MOST_TRIES => tries += 1,
                file => return file,
            }
        }
    }

    /// What the head names, as it is there: readers of its earlier heads find a way in it.
    async fn copied(&self, head: FeedHead) -> Result<FeedFile, Failure> {
        let mut parts = BTreeMap::new();
        for part in head.parts() {
            let (bytes, _) =
                self.bring(&part.to_string(), MOST_BYTES, None).await?.ok_or_else(changed)?;
            parts.insert(part, bytes);
        }
        Ok(FeedFile { head, parts })
    }

    /// A base with everything up to the head that was read first, and the delta from there: a reader of any file that was
    /// made before finds a way in this one.
    async fn made(&self, first: FeedHead, keys: &[FeedKey]) -> Result<FeedFile, Failure> {
        let until = Instant::now() + LONGEST_WAIT;
        let base = self.base_at(&first, keys, until).await?;
        let mut head = self.genuine_head(keys).await?;
        // Another process may be behind the one that has answered before.
        while head.position < base.opened.to() {
            pause(until, || format!("the head is still at {}", head.position)).await?;
            head = self.genuine_head(keys).await?;
        }
        let digest = BaseDigest::of(&base.bytes);
        let bytes = u64::try_from(base.bytes.len()).unwrap_or(u64::MAX);
        head.base = HeadBase { position: base.opened.to(), digest, bytes };
        head.deltas.clear();
        head.on_demand = false;
        let mut parts = BTreeMap::from([(head.base.part(), base.bytes)]);
        let (from, to) = (head.base.position, head.position);
        if from < to {
            let part = Part::Delta { from, to };
            let (bytes, _) =
                self.bring(&part.to_string(), MOST_BYTES, None).await?.ok_or_else(changed)?;
            let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            head.deltas.push(HeadDelta { from, to, bytes: size });
            parts.insert(part, bytes);
        }
        Ok(FeedFile { head, parts })
    }

    /// The newest base, once it has all that the feed had at the position of this head.
    async fn base_at(
        &self,
        first: &FeedHead,
        keys: &[FeedKey],
        until: Instant,
    ) -> Result<Base, Failure> {
        let mut known = None;
        loop {
            if let Some((bytes, tag)) = self.bring(NEWEST_BASE, MOST_BYTES, known.clone()).await? {
                let opened = Snapshot::open(bytes.to_vec(), keys).map_err(ApplyError::from);
                let opened = opened.map_err(FeedFileError::from)?;
                if opened.to() >= first.position {
                    return Ok(Base { bytes, opened });
                }
                known = tag;
            }
            pause(until, || format!("there is no base at {} yet", first.position)).await?;
        }
    }

    /// The head, with a heartbeat that one of the keys has signed.
    async fn genuine_head(&self, keys: &[FeedKey]) -> Result<FeedHead, Failure> {
        let (text, _) = self.bring(HEAD_NAME, MAX_HEAD_BYTES, None).await?.ok_or_else(changed)?;
        let head = head_in(&text)?;
        head.check(&head.feed).map_err(FeedFileError::from)?;
        head.open_heartbeat(keys).map_err(|error| FeedFileError::from(ApplyError::from(error)))?;
        Ok(head)
    }

    /// Reads a file of the feed by its name.
    async fn bring(
        &self,
        name: &str,
        bytes: usize,
        known: Option<HeaderValue>,
    ) -> Result<Read, Failure> {
        let (head, authorization) = match &self.place {
            Place::Folder(folder) => {
                let path = folder.join(name);
                let read = read_snapshot(&path)?;
                return Ok(Some((read.into(), None)));
            }
            Place::Web { head, authorization } => (head, authorization),
        };
        let url = next_to(head, name);
        let mut request = Request::get(url.as_str()).body(Full::default());
        if let Ok(request) = &mut request {
            let tag = known.map(|tag| (header::IF_NONE_MATCH, tag));
            let key = authorization.clone().map(|key| (header::AUTHORIZATION, key));
            request.headers_mut().extend(tag.into_iter().chain(key).collect::<HeaderMap>());
        }
        // A query may be a secret.
        let shown = format!("{}{}", url.origin().ascii_serialization(), url.path());
        let unreachable =
            |problem: String| Failure::new(Kind::FeedUnreachable, format!("{shown}: {problem}"));
        let request = request.map_err(|error| unreachable(error.to_string()))?;
        let answer = self.client.answer(request, Limits { bytes, time: TIME }).await;
        let answer = answer.map_err(unreachable)?;
        match answer.status {
            StatusCode::NOT_MODIFIED => Ok(None),
            StatusCode::OK => Ok(Some((answer.body, answer.headers.get(header::ETAG).cloned()))),
            status => {
                let problem = serde_json::from_slice(&answer.body).ok();
                Err(refused(&shown, status, problem.as_ref(), Kind::FeedUnreachable))
            }
        }
    }
}

/// A base that one of the keys has signed.
struct Base {
    bytes: Bytes,
    opened: Snapshot,
}

/// The address of a file by its name below the folder of the head, with the same query.
fn next_to(head: &Url, name: &str) -> Url {
    let mut url = head.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop();
        if name != NEWEST_BASE {
            segments.extend(name.split('/'));
        }
    }
    url
}

/// Waits a moment for something that is not there yet.
async fn pause(until: Instant, missing: impl FnOnce() -> String) -> Result<(), Failure> {
    if Instant::now() >= until {
        return Err(Failure::new(Kind::BaseLate, format!("{}: try again later", missing())));
    }
    sleep(PAUSE).await;
    Ok(())
}

/// Only what was asked for with an entity tag can be as before.
fn changed() -> Failure {
    Failure::new(Kind::FeedUnreachable, "the feed answers 304 to a request without an entity tag")
}

/// The folder of the head at a control plane: it answers with its newest base.
const NEWEST_BASE: &str = "";
/// As large as any base.
const MOST_BYTES: usize = 1 << 30;
/// For one answer: a base may have some hundred megabytes.
const TIME: Duration = Duration::from_secs(300);
/// Longer than the default of `base_interval_seconds`, with the time to build one.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(1);
const MOST_TRIES: u32 = 3;
