//! The cache against the real Redis; the catalog's and the orders' tests drive it from outside as well.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use kit::cache::Cache;
use kit::redis::Settings;
use kit::secret::Secret;
use kit::testing::{engine, eventually};
use uuid::Uuid;

fn cache() -> Cache<Uuid, String> {
    let url = Secret::new(engine("TEST_REDIS_URL"));
    let settings = Settings { url, key_prefix: String::new() };
    Cache::new(settings.connect().unwrap(), "test")
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
    let (cache, id) = (cache(), Uuid::now_v7());
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
    let (cache, id) = (cache(), Uuid::now_v7());
    let reads = AtomicUsize::new(0);
    let read = || async {
        reads.fetch_add(1, Ordering::Relaxed);
        Ok(Some((1, "value".to_owned())))
    };
    let found = join_all((0..1000).map(|_| cache.find(id, read()))).await;
    assert!(found.iter().all(|found| found.as_ref().unwrap().as_deref() == Some(&"value".into())));
    assert_eq!(reads.load(Ordering::Relaxed), 1);
}
