//! The cache: fast, forgetful, and never wrong for long.

use std::sync::Arc;

use catalog::cache::Cache;
use catalog::db;
use catalog::product::Product;
use contracts::{ProductId, UserId};
use kit::redis::{Redis, Settings};
use kit::secret::Secret;
use kit::testing::{PartOfRedis, Running, engine, eventually, waiting};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::{add, id, patch, show, start};

fn redis(url: &str) -> Redis {
    Settings { url: Secret::new(url), key_prefix: String::new() }.connect().unwrap()
}

fn real() -> Redis {
    redis(&engine("TEST_REDIS_URL"))
}

/// Where nobody listens.
async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("redis://{}", listener.local_addr().unwrap())
}

async fn seconds_left(id: ProductId) -> i64 {
    let key = format!("product:{id}");
    redis::cmd("TTL").arg(key).query_async(&mut real().connection()).await.unwrap()
}

/// Shows a product; for how many seconds it is held then, if it is. On a busy machine Redis may
/// take longer to answer than the catalog waits, and the next request tries again.
pub(crate) async fn held(shop: &Running, product: &Value) -> Option<i64> {
    assert_eq!(show(shop, product).await.0, 200);
    Some(seconds_left(id(product)).await).filter(|left| *left > 0)
}

#[tokio::test]
async fn a_product_is_held_for_five_minutes_and_let_go_when_it_changes() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    let left = eventually("it is held", async || held(&shop, &product).await).await;
    assert!((295..=300).contains(&left), "{left} seconds");
    // Behind the back of the service: only the cache can still know the old name.
    sqlx::query("UPDATE products SET name = 'Hidden'").execute(shop.pool()).await.unwrap();
    eventually("the cache answers", async || {
        (show(&shop, &product).await.1["name"] == "Red Mug").then_some(())
    })
    .await;

    let changed = patch(&shop, seller, &product, json!({"description": "New."})).await;
    assert_eq!(seconds_left(id(&product)).await, -2, "the writer has deleted it");
    assert_eq!(show(&shop, &product).await.1, changed);
    eventually("the new version is held at once", async || held(&shop, &product).await).await;
    let figures = shop.metrics().await;
    for outcome in ["hit", "miss"] {
        let figure = format!("cache_requests_total{{cache=\"product\",outcome=\"{outcome}\"}}");
        assert!(figures.contains(&figure), "{figure}");
    }
}

#[tokio::test]
async fn a_slow_reader_cannot_put_an_old_value_back() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    let mut connection = shop.pool().acquire().await.unwrap();
    let old = db::find(&mut connection, id(&product)).await.unwrap().unwrap();
    patch(&shop, seller, &product, json!({"name": "New Mug"})).await;
    let new = db::find(&mut connection, id(&product)).await.unwrap().unwrap();

    let cache = Cache::new(real());
    let holds_the_new = async || {
        cache.put(&new).await;
        cache.get(new.id).await.map(|held| assert_eq!(held, new))
    };
    cache.put(&old).await;
    assert_eq!(cache.get(old.id).await, None, "the old value is back");
    eventually("the new value is held", holds_the_new).await;
    cache.put(&old).await;
    eventually("the cache answers", async || {
        cache.get(new.id).await.map(|held| assert_eq!(held, new))
    })
    .await;
    // Redis may hear of two changes in another order than they were made in.
    cache.invalidate(new.id, new.version).await;
    cache.invalidate(new.id, old.version).await;
    cache.put(&old).await;
    assert_eq!(cache.get(new.id).await, None, "the fence was lowered");
    eventually("the new value is held again", holds_the_new).await;
}

/// Redis refuses either of them whatever does not begin with its own prefix.
#[tokio::test]
async fn two_shops_in_one_redis_do_not_meet() {
    let (ours, theirs) = (PartOfRedis::new().await, PartOfRedis::new().await);
    let (shop, seller) = (start(&ours.variables()).await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    let mut connection = shop.pool().acquire().await.unwrap();
    let one = db::find(&mut connection, id(&product)).await.unwrap().unwrap();
    // Demo products have the same ids everywhere.
    let other = Product { name: "Theirs".to_owned(), version: one.version + 1, ..one.clone() };
    let cache = Cache::new(theirs.settings().connect().unwrap());
    eventually("each holds its own", async || {
        cache.invalidate(other.id, other.version).await;
        cache.put(&other).await;
        assert_eq!(show(&shop, &product).await.1["name"], "Red Mug");
        let key = format!("{}product:{}", ours.key_prefix, one.id);
        let ours = redis::cmd("EXISTS").arg(key).query_async(&mut real().connection()).await;
        (ours.unwrap() && cache.get(other.id).await? == other).then_some(())
    })
    .await;
    assert_eq!(seconds_left(one.id).await, -2, "a key without a prefix");
}

#[tokio::test]
async fn what_another_release_has_put_there_is_read_anew() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    let key = format!("product:{}", id(&product));
    let () =
        redis::cmd("SET").arg(key).arg("{}").query_async(&mut real().connection()).await.unwrap();
    assert_eq!(show(&shop, &product).await, (reqwest::StatusCode::OK, product));
}

#[tokio::test]
async fn who_asks_at_the_same_time_shares_one_read() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    let cache = Cache::new(redis(&closed_port().await));
    let find = async || cache.find(shop.pool(), id(&product)).await.unwrap().unwrap();
    // Otherwise the first could have its answer before the other asks.
    let mut gate = shop.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE products").execute(&mut *gate).await.unwrap();
    let open = async {
        waiting(shop.pool(), 1).await;
        gate.commit().await.unwrap();
    };
    let (one, other, ()) = tokio::join!(find(), find(), open);
    assert!(Arc::ptr_eq(&one, &other), "there were two reads");
    assert!(!Arc::ptr_eq(&one, &find().await), "what was read is not kept");
}

#[tokio::test]
async fn the_shop_works_without_redis() {
    let shop = start(&[("REDIS_URL", &closed_port().await)]).await;
    let seller = UserId::new();
    let product = add(&shop, seller, json!({})).await;
    assert_eq!(show(&shop, &product).await.1, product);
    let changed = patch(&shop, seller, &product, json!({"name": "Blue Mug"})).await;
    assert_eq!(show(&shop, &product).await.1, changed);
    assert!(shop.metrics().await.contains("outcome=\"unavailable\""));
}

/// A way to Redis, and whether it is cut.
async fn cuttable() -> (String, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let (cut, is_cut) = watch::channel(false);
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut is_cut = is_cut.clone();
            tokio::spawn(async move {
                let url = engine("TEST_REDIS_URL");
                let address = url.trim_start_matches("redis://");
                let mut server = TcpStream::connect(address).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    _ = is_cut.wait_for(|is_cut| *is_cut) => {}
                }
            });
        }
    });
    (url, cut)
}

#[tokio::test]
async fn what_redis_missed_is_deleted_when_it_is_back() {
    let (url, cut) = cuttable().await;
    let shop = start(&[("REDIS_URL", &url)]).await;
    let seller = UserId::new();
    let product = add(&shop, seller, json!({})).await;
    eventually("it is held", async || held(&shop, &product).await).await;

    cut.send_replace(true);
    let changed = patch(&shop, seller, &product, json!({"name": "Blue Mug"})).await;
    assert!(seconds_left(id(&product)).await > 0, "the way was not cut");
    cut.send_replace(false);
    eventually("the old value is gone", async || {
        (seconds_left(id(&product)).await == -2).then_some(())
    })
    .await;
    assert_eq!(show(&shop, &product).await.1, changed);
}
