//! Against the real Redis; the catalog's and the orders' tests drive it from outside as well.

use std::sync::atomic::AtomicUsize;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::*;
use crate::redis::Settings;
use crate::secret::Secret;
use crate::testing::{engine, eventually};

fn cache(url: &str) -> Cache<Uuid, String> {
    let settings = Settings { url: Secret::new(url), key_prefix: String::new() };
    Cache::new(settings.connect().expect("the URL is valid"), "test")
}

/// Puts a value until it is held: on a busy machine Redis may take longer than a reader waits.
async fn held(cache: &Cache<Uuid, String>, id: Uuid, version: i64, value: &str) {
    eventually("the value is held", async || {
        cache.put(id, version, &value.to_owned()).await;
        cache.get(id).await.filter(|found| found == value)
    })
    .await;
}

#[tokio::test]
async fn a_fence_lets_no_older_value_through_and_is_never_lowered() {
    let (cache, id) = (cache(&engine("TEST_REDIS_URL")), Uuid::now_v7());
    // As large as the numbers of transactions that Lua can still tell apart.
    let old = (1 << 53) - 2;
    held(&cache, id, old, "old").await;
    cache.invalidate(id, old + 1).await;
    cache.invalidate(id, old).await;
    assert_eq!(cache.get(id).await, None);
    cache.put(id, old, &"old".to_owned()).await;
    assert_eq!(cache.get(id).await, None, "the old value is back");
    held(&cache, id, old + 1, "new").await;
}

#[tokio::test]
async fn a_thousand_who_ask_at_once_are_one_read() {
    let (cache, id) = (cache(&engine("TEST_REDIS_URL")), Uuid::now_v7());
    let reads = AtomicUsize::new(0);
    let read = || async {
        reads.fetch_add(1, Ordering::Relaxed);
        Ok(Some((1, "value".to_owned())))
    };
    let found = join_all((0..1000).map(|_| cache.find(id, read()))).await;
    assert!(found.iter().all(|found| found.as_ref().unwrap().as_deref() == Some(&"value".into())));
    assert_eq!(reads.load(Ordering::Relaxed), 1);
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
