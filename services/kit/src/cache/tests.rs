//! How much of what Redis owes is remembered; `tests/it/cache.rs` has the rest, against a real Redis.

use futures_util::FutureExt;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::*;
use crate::redis::Settings;
use crate::secret::Secret;

fn cache(url: &str) -> Cache<Uuid, String> {
    let settings = Settings { url: Secret::new(url), key_prefix: String::new() };
    Cache::new(settings.connect().expect("the URL is valid"), "test")
}

/// A Redis that takes connections and says nothing must not hold up every order of the shop.
#[tokio::test]
async fn one_writer_waits_for_a_redis_that_hangs_and_those_after_it_do_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cache = cache(&format!("redis://{}", listener.local_addr().unwrap()));
    let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
    cache.invalidate(one, 1).await;
    assert_eq!(cache.invalidate(other, 2).now_or_never(), Some(()), "it waits as well");
    assert_eq!(cache.invalidate(one, 3).now_or_never(), Some(()));
    let owed: HashMap<_, _> =
        locked(&cache.0.owed).iter().map(|(id, (version, _))| (*id, *version)).collect();
    assert_eq!(owed, HashMap::from([(one, 3), (other, 2)]));
}
