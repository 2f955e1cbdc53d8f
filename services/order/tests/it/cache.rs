//! The cache of a user's own list: fast, forgetful, and never wrong for long.

use std::sync::Arc;

use contracts::{OrderId, UserId};
use kit::page::PageQuery;
use kit::testing::{PartOfRedis, engine, eventually, waiting};
use order::event::{Cause, Event};
use redis::cmd;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::world::{World, cache, json_of, saga, stock_reserved};

const LIST: &str = "/api/v1/orders";

fn connection() -> redis::aio::ConnectionManager {
    let url = kit::secret::Secret::new(engine("TEST_REDIS_URL"));
    let settings = kit::redis::Settings { url, key_prefix: String::new() };
    settings.connect().unwrap().connection()
}

/// How many seconds Redis will hold the user's list; less than 0: it does not.
async fn seconds_left(user: UserId) -> i64 {
    let key = format!("user_orders:{user}");
    cmd("TTL").arg(key).query_async(&mut connection()).await.unwrap()
}

/// Asks for the list until it is held: on a busy machine Redis may take longer to answer than the
/// service waits.
async fn held(world: &World) -> i64 {
    eventually("the list is held", async || {
        world.get(LIST).await;
        Some(seconds_left(world.user).await).filter(|left| *left > 0)
    })
    .await
}

/// What stands under `name` in each order of a list.
fn each(page: &Value, name: &str) -> Vec<Value> {
    page["items"].as_array().unwrap().iter().map(|order| order[name].clone()).collect()
}

/// Where nobody listens.
async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("redis://{}", listener.local_addr().unwrap())
}

/// Changes orders behind the back of the service: only the cache can still know what they were.
async fn hide(world: &World) {
    sqlx::query("UPDATE orders SET total = 1").execute(world.service.pool()).await.unwrap();
}

#[tokio::test]
async fn the_first_page_is_held_for_five_minutes_and_let_go_by_each_change() {
    let world = World::start().await;
    let first = world.place().await;
    let left = held(&world).await;
    assert!((295..=300).contains(&left), "{left} seconds");
    let kept: String = cmd("GET")
        .arg(format!("user_orders:{}", world.user))
        .query_async(&mut connection())
        .await
        .unwrap();
    assert!(kept.contains(&first.to_string()) && !kept.contains("tok_visa"), "{kept}");

    let second = world.place().await;
    assert_eq!(seconds_left(world.user).await, -2, "placing has deleted it");
    assert_eq!(each(&world.get(LIST).await, "id"), [json!(second), json!(first)]);
    held(&world).await;
    json_of(world.post(&format!("{LIST}/{second}/cancel")).await, 200).await;
    assert_eq!(seconds_left(world.user).await, -2, "cancelling has deleted it");
    held(&world).await;
    let told = world.service.publish(&stock_reserved(first)).await;
    world.dealt_with(told).await;
    assert_eq!(seconds_left(world.user).await, -2, "the event has deleted it");
    assert_eq!(each(&world.get(LIST).await, "status"), ["cancelled", "reserved"]);
    held(&world).await;
    world.let_time_pass(first).await;
    world.reaches(first, "expired").await;
    assert_eq!(each(&world.get(LIST).await, "status"), ["cancelled", "expired"]);
}

#[tokio::test]
async fn only_the_first_page_comes_from_the_cache() {
    let world = World::start().await;
    let placed = [world.place().await, world.place().await, world.place().await];
    held(&world).await;
    hide(&world).await;
    let amounts = async |query: &str| -> Vec<Value> {
        let page = world.get(&format!("{LIST}?{query}")).await;
        each(&page, "total").iter().map(|total| total["amount"].clone()).collect()
    };
    eventually("the cache answers", async || {
        (amounts("limit=20&page=1").await == vec![4498; 3]).then_some(())
    })
    .await;
    // A shorter page is cut from what is held, and its cursor leads on.
    let short = eventually("the cache answers", async || {
        let page = world.get(&format!("{LIST}?limit=2")).await;
        (page["items"][0]["total"]["amount"] == 4498).then_some(page)
    })
    .await;
    assert_eq!(each(&short, "id"), [json!(placed[2]), json!(placed[1])]);
    let cursor = short["next_cursor"].as_str().unwrap();
    assert_eq!(amounts(&format!("limit=2&cursor={cursor}")).await, [1]);
    assert_eq!(amounts("limit=2&page=2").await, [1]);
    assert_eq!(amounts("limit=21").await, [1, 1, 1]);
    // Others have lists of their own, and staff search past the cache.
    let stranger = world.service.request_as(UserId::new(), &[], "GET", LIST);
    assert_eq!(json_of(stranger.send().await.unwrap(), 200).await["items"], json!([]));
}

/// Two steps of one user's orders are under way; a reader comes between their ends.
#[tokio::test]
async fn a_slow_reader_cannot_put_an_old_list_back() {
    let world = World::start().await;
    let ids = [world.place().await, world.place().await];
    held(&world).await;
    let step = async |id: OrderId| {
        let mut tx = world.service.pool().begin().await.unwrap();
        let order = order::db::lock(&mut tx, id).await.unwrap();
        let event = Event::Expired {};
        saga().advance(&mut tx, order.as_ref(), &event, Cause::SYSTEM).await.unwrap();
        tx
    };
    let (one, other) = (step(ids[0]).await, step(ids[1]).await);
    assert_eq!(each(&world.get(LIST).await, "status"), ["pending", "pending"]);
    assert_eq!(seconds_left(world.user).await, -2, "a list without either step is held");
    // The later step ends first.
    other.commit().await.unwrap();
    assert_eq!(each(&world.get(LIST).await, "status"), ["expired", "pending"]);
    assert_eq!(seconds_left(world.user).await, -2, "a list without the first step is held");
    one.commit().await.unwrap();
    assert_eq!(each(&world.get(LIST).await, "status"), ["expired", "expired"]);
    held(&world).await;
    let figures = world.service.metrics().await;
    assert!(figures.contains("cache_refused_total{cache=\"user_orders\"}"), "nothing was refused");
}

#[tokio::test]
async fn who_asks_at_the_same_time_shares_one_read() {
    let world = World::start().await;
    world.place().await;
    let cache = cache(&closed_port().await);
    let window = PageQuery::default().window().unwrap();
    let page =
        async || cache.page(world.service.pool(), world.user, &window).await.unwrap().unwrap();
    // Otherwise the first could have its answer before the other asks.
    let mut gate = world.service.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE orders").execute(&mut *gate).await.unwrap();
    let open = async {
        waiting(world.service.pool(), 1).await;
        gate.commit().await.unwrap();
    };
    let (one, other, ()) = tokio::join!(page(), page(), open);
    assert!(Arc::ptr_eq(&one, &other), "there were two reads");
    cache.committed(world.user);
    assert!(!Arc::ptr_eq(&one, &page().await), "what was read is not kept");
}

#[tokio::test]
async fn orders_are_taken_and_listed_without_redis() {
    let world = World::start_with(&[("REDIS_URL", &closed_port().await)]).await;
    let id = world.reserved().await;
    assert_eq!(each(&world.get(LIST).await, "status"), ["reserved"]);
    json_of(world.post(&format!("{LIST}/{id}/cancel")).await, 200).await;
    assert_eq!(each(&world.get(LIST).await, "status"), ["cancelled"]);
}

/// Redis refuses whatever does not begin with the shop's own prefix.
#[tokio::test]
async fn lists_stay_within_the_shops_part_of_redis() {
    let ours = PartOfRedis::new().await;
    let world = World::start_with(&ours.variables()).await;
    world.place().await;
    let key = format!("{}user_orders:{}", ours.key_prefix, world.user);
    eventually("the list is held", async || {
        world.get(LIST).await;
        let held = cmd("EXISTS").arg(&key).query_async(&mut connection()).await;
        held.unwrap_or(false).then_some(())
    })
    .await;
    assert_eq!(seconds_left(world.user).await, -2, "a key without a prefix");
}

#[tokio::test]
async fn what_another_release_has_put_there_is_read_anew() {
    let world = World::start().await;
    let id = world.place().await;
    let key = format!("user_orders:{}", world.user);
    cmd("SET").arg(key).arg("[{}]").exec_async(&mut connection()).await.unwrap();
    assert_eq!(each(&world.get(LIST).await, "id"), [json!(id)]);
}

#[tokio::test]
async fn a_rebuild_lets_go_of_the_lists_that_it_mends() {
    let world = World::start().await;
    world.place().await;
    hide(&world).await;
    held(&world).await;
    world.service.command::<order::Order>("rebuild").await.unwrap();
    let amount = &world.get(LIST).await["items"][0]["total"]["amount"];
    assert_eq!(amount, 4498);
}
