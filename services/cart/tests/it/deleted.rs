//! Products that are gone, and their lines with them.

use contracts::ProductId;
use contracts::events::{ProductDeleted, ProductDeletionRequested, ProductDeletionWithdrawn};
use kit::testing::eventually;
use redis::AsyncCommands;

use crate::peers::sku;
use crate::world::{World, contents, json_of, somebody};

fn gone(product: ProductId) -> ProductDeleted {
    ProductDeleted { product_id: product, skus: vec![sku(product).parse().unwrap()] }
}

/// Seconds for which a deleted product is remembered, once it is.
async fn noted(world: &World, product: ProductId) -> i64 {
    eventually("the event is dealt with", async || {
        let life: i64 = world.redis.clone().ttl(format!("cart:gone:{product}")).await.unwrap();
        (life > 0).then_some(life)
    })
    .await
}

#[tokio::test]
async fn carts_let_go_of_a_deleted_product() {
    let world = World::start().await;
    let ([first, second], (id, user)) = (world.things, somebody());
    let variant = format!("{}-RED", sku(first));
    world.shelf.variant(first, &variant, "red", 1);
    let guest = world.guest().await;
    for who in [&user, &guest] {
        world.add(who, first, 2).await;
        world.add(who, second, 1).await;
    }
    let body = serde_json::json!({"product_id": first, "sku": variant, "quantity": 1});
    let add = world.request(&user, "POST", "/items").json(&body).send().await.unwrap();
    assert_eq!(contents(&json_of(add, 200).await).len(), 3);
    world.set_life(id, 1000).await;

    for _ in 0..2 {
        world.service.publish(&gone(first)).await;
    }
    let memory = noted(&world, first).await;
    assert!(memory > 30 * 24 * 60 * 60, "longer than a cart lives: {memory}");
    for who in [&user, &guest] {
        assert_eq!(contents(&world.read(who).await), [(second, 1)]);
    }
    let fields: Vec<String> = world.redis.clone().hkeys(format!("cart:{id}")).await.unwrap();
    assert_eq!(fields, [second.to_string()], "nothing is kept");
    assert!(world.life(id).await <= 1000, "that is no change of the shopper's");
    // Nobody brings it along either.
    world.shelf.forget(first);
    json_of(world.try_add(&user, first, 1).await, 422).await;

    world.service.publish(&gone(second)).await;
    noted(&world, second).await;
    assert_eq!(contents(&world.read(&user).await), []);
    assert_eq!(world.life(id).await, -2, "an empty cart is no cart");
}

#[tokio::test]
async fn a_deletion_that_is_asked_for_or_withdrawn_touches_nothing() {
    let world = World::start().await;
    let ([first, second], (_, user)) = (world.things, somebody());
    world.add(&user, first, 2).await;
    let (product_id, skus) = (first, vec![sku(first).parse().unwrap()]);
    world.service.publish(&ProductDeletionRequested { product_id, skus: skus.clone() }).await;
    world.shelf.offer(first, 1999, false);
    assert_eq!(contents(&world.read(&user).await), [(first, 2)], "kept while it is undecided");
    world.service.publish(&ProductDeletionWithdrawn { product_id, skus }).await;
    world.shelf.offer(first, 1999, true);
    world.service.publish(&gone(second)).await;
    noted(&world, second).await;
    let cart = world.read(&user).await;
    assert_eq!(contents(&cart), [(first, 2)]);
    assert_eq!(cart["items"][0]["on_sale"], true);
}
