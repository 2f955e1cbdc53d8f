//! Two shops in one Redis, which refuses either of them whatever is not its own.

use contracts::UserId;
use kit::testing::{PartOfRedis, eventually};
use redis::AsyncCommands;

use crate::bought::paid;
use crate::world::{Who, World, contents, json_of, somebody};

async fn exists(world: &World, key: String) -> bool {
    world.redis.clone().exists(key).await.unwrap()
}

/// Everything that carts do: adding, merging, and forgetting what was bought.
async fn shop(world: &World, id: UserId) {
    let ([first, second], user) = (world.things, Who::User(id));
    world.add(&user, first, 5).await;
    let guest = world.guest().await;
    world.add(&guest, second, 2).await;
    let Who::Guest(token) = &guest else { unreachable!() };
    let merge = world.request(&user, "POST", "/merge").header("X-Cart-Token", token);
    json_of(merge.send().await.unwrap(), 200).await;
    world.service.publish(&paid(id, &[(first, 4)])).await;
    eventually("what was bought is forgotten", async || {
        let mut cart = contents(&world.read(&user).await);
        cart.sort_by_key(|(_, quantity)| *quantity);
        (cart == [(first, 1), (second, 2)]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_carts_of_two_shops_do_not_meet() {
    let (ours, theirs) = (PartOfRedis::new().await, PartOfRedis::new().await);
    let one = World::start_with(&ours.variables()).await;
    let other = World::start_with(&theirs.variables()).await;
    let (id, user) = somebody();
    shop(&one, id).await;
    assert!(exists(&one, format!("{}cart:{id}", ours.key_prefix)).await);
    assert!(!exists(&one, format!("{}cart:{id}", theirs.key_prefix)).await);
    assert!(!exists(&one, format!("cart:{id}")).await);

    assert_eq!(contents(&other.read(&user).await), []);
    shop(&other, id).await;
    assert_eq!(other.request(&user, "DELETE", "").send().await.unwrap().status(), 204);
    assert_eq!(contents(&one.read(&user).await).len(), 2);
}
