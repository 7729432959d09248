//! A plane inside the test's own process, for tests that need another clock or many calls.

use std::sync::Arc;

use offswitch::config::Config;
use offswitch::master_key::MasterKey;
use offswitch::plane::{Loading, Plane};
use offswitch::store::{RedisOptions, RedisStore, Store};

/// A plane on the Redis at `url` whose clock is at `now` when it starts. Its tasks do not run.
pub(crate) async fn plane_at(url: &str, issuer: &str, master: &str, now: u64) -> Arc<Plane> {
    let options = RedisOptions { url: url.to_owned(), first_era: 1, ..RedisOptions::default() };
    plane_on(Arc::new(RedisStore::connect(options).await.unwrap()), issuer, master, now).await
}

/// The same on any store.
pub(crate) async fn plane_on(
    store: Arc<dyn Store>,
    issuer: &str,
    master: &str,
    now: u64,
) -> Arc<Plane> {
    let environment = [("OFFSWITCH_ISSUER".into(), issuer.into())];
    let settings = Config::load(None, environment).ok().unwrap().settings;
    let master = MasterKey::parse(master).unwrap();
    Plane::start(settings, store, master, now, &Loading::default()).await.unwrap()
}

/// A master key for tests.
pub(crate) const MASTER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
