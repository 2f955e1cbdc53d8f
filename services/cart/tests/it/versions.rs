//! A cart has a version, which changes with its lines.

use cart::store::LIFE;
use contracts::UserId;
use contracts::events::ProductDeleted;
use redis::AsyncCommands;
use serde_json::Value;

use crate::bought::{dealt_with, paid};
use crate::world::{Who, World, somebody};

fn version(cart: &Value) -> i64 {
    cart["version"].as_i64().unwrap_or_else(|| panic!("no version in {cart}"))
}

async fn read(world: &World, who: &Who) -> i64 {
    version(&world.read(who).await)
}

fn key(user: UserId) -> String {
    format!("cart:version:{user}")
}

#[tokio::test]
async fn every_change_of_the_lines_raises_the_version_of_the_cart() {
    let world = World::start().await;
    let [first, second] = world.things;
    let (id, user) = somebody();
    let mut last = read(&world, &user).await;
    assert_eq!(last, 0, "it was never changed");
    let mut rises = |what: &str, now: i64| {
        assert!(now > last, "{what}: {last}, then {now}");
        last = now;
    };
    rises("added", version(&world.add(&user, first, 1).await));
    rises("added again", version(&world.add(&user, first, 1).await));
    rises("set", version(&world.set(&user, second, 9).await));
    let remove = || world.request(&user, "DELETE", &format!("/items/{second}"));
    remove().send().await.unwrap();
    rises("removed", read(&world, &user).await);

    let guest = world.guest().await;
    world.add(&guest, second, 3).await;
    let before = read(&world, &guest).await;
    let Who::Guest(token) = &guest else { panic!("no guest") };
    let merge = world.request(&user, "POST", "/merge").header("X-Cart-Token", token);
    merge.send().await.unwrap();
    rises("merged", read(&world, &user).await);
    assert!(read(&world, &guest).await > before, "its lines are gone");

    dealt_with(&world, world.service.publish(&paid(id, &[(first, 1)])).await).await;
    rises("bought", read(&world, &user).await);
    let deleted = ProductDeleted { product_id: second, skus: Vec::new() };
    world.service.publish(&deleted).await;
    let gone = async || {
        let cart = world.read(&user).await;
        (cart["items"].as_array()?.len() == 1).then(|| version(&cart))
    };
    rises("deleted", kit::testing::eventually("the product is gone", gone).await);
    world.request(&user, "DELETE", "").send().await.unwrap();
    rises("cleared", read(&world, &user).await);

    // What changes no line is no change.
    remove().send().await.unwrap();
    world.request(&user, "DELETE", "").send().await.unwrap();
    dealt_with(&world, world.service.publish(&paid(id, &[(first, 1)])).await).await;
    assert_eq!(read(&world, &user).await, last);
}

#[tokio::test]
async fn a_version_of_a_cart_never_comes_again() {
    let world = World::start().await;
    let (thing, (id, user)) = (world.things[0], somebody());
    let mut redis = world.redis.clone();
    let first = version(&world.add(&user, thing, 1).await);
    let life: i64 = redis.ttl(key(id)).await.unwrap();
    let day = 24 * 60 * 60;
    assert!((LIFE + day - 60..=LIFE + day).contains(&life), "longer than the cart: {life}");

    // The key has come to its end.
    let () = redis.del(key(id)).await.unwrap();
    let second = version(&world.add(&user, thing, 1).await);
    assert!(second > first, "{first}, then {second}");

    // The clock was set back by a day, and by an hour of a year ago.
    let far = second + 1000 * day * 400;
    let () = redis.set_ex(key(id), far, 1000).await.unwrap();
    assert_eq!(version(&world.add(&user, thing, 1).await), far + 1);
}
