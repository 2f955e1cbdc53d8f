//! Adding, setting, removing, clearing.

use cart::store::LIFE;
use contracts::ProductId;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use serde_json::json;

use crate::world::{Who, World, contents, json_of, pointers, somebody};

#[tokio::test]
async fn lines_are_added_set_removed_and_cleared() {
    let world = World::start().await;
    let [first, second] = world.things;
    let (_, user) = somebody();
    assert_eq!(world.read(&user).await["items"], json!([]));
    world.add(&user, first, 2).await;
    world.add(&user, second, 1).await;
    let cart = world.add(&user, first, 3).await;
    assert_eq!(contents(&cart), [(first, 5), (second, 1)]);
    assert_eq!(cart["total"], json!({ "amount": 5 * 1999 + 500, "currency": "EUR" }));
    assert_eq!(cart["items"][0]["line_total"]["amount"], 5 * 1999);

    let cart = world.set(&user, second, 7).await;
    assert_eq!(contents(&cart), [(first, 5), (second, 7)]);
    assert_eq!(world.read(&user).await, cart);

    let path = format!("/items/{first}");
    for _ in 0..2 {
        let answer = world.request(&user, "DELETE", &path).send().await.unwrap();
        assert_eq!(contents(&json_of(answer, 200).await), [(second, 7)]);
    }
    let cart = world.set(&user, first, 1).await;
    assert_eq!(contents(&cart), [(second, 7), (first, 1)], "set adds, and at the end");

    let answer = world.request(&user, "DELETE", "").send().await.unwrap();
    assert_eq!(answer.status(), 204);
    let cart = world.read(&user).await;
    assert_eq!((&cart["items"], &cart["total"]["amount"]), (&json!([]), &json!(0)));
    let (_, other) = somebody();
    world.add(&user, first, 1).await;
    assert_eq!(world.read(&other).await["items"], json!([]), "carts are apart");
}

#[tokio::test]
async fn additions_at_the_same_time_add_up() {
    let world = World::start().await;
    let (_, user) = somebody();
    let adds = (0..20).map(|n| world.add(&user, world.things[n % 2], 3));
    join_all(adds).await;
    let mut lines = contents(&world.read(&user).await);
    lines.sort_unstable();
    let mut wanted = world.things.map(|thing| (thing, 30));
    wanted.sort_unstable();
    assert_eq!(lines, wanted);
}

#[tokio::test]
async fn a_line_has_a_limit_also_against_additions_at_the_same_time() {
    let world = World::start().await;
    let thing = world.things[0];
    let (_, user) = somebody();
    world.add(&user, thing, 9_990).await;
    let answers = join_all((0..20).map(|_| world.try_add(&user, thing, 1))).await;
    let done = answers.iter().filter(|answer| answer.status() == 200).count();
    assert_eq!(done, 10);
    assert_eq!(contents(&world.read(&user).await), [(thing, 10_000)]);
    assert_eq!(pointers(world.try_add(&user, thing, 1).await).await, ["/quantity"]);
}

#[tokio::test]
async fn a_cart_has_a_hundred_lines() {
    let world = World::start().await;
    let (_, user) = somebody();
    let things: Vec<ProductId> = (0..101).map(|_| ProductId::new()).collect();
    for thing in &things {
        world.shelf.offer(*thing, 100, true);
    }
    // A few at a time: each answer shows the whole cart.
    let adds = stream::iter(&things[..100]).map(|thing| world.add(&user, *thing, 1));
    adds.buffer_unordered(8).collect::<Vec<_>>().await;
    json_of(world.try_add(&user, things[100], 1).await, 422).await;
    json_of(world.try_set(&user, things[100], 1).await, 422).await;
    // A line that is there may grow.
    let cart = world.add(&user, things[0], 1).await;
    assert_eq!(contents(&cart).len(), 100);
    assert_eq!(cart["total"]["amount"], 101 * 100);
}

#[tokio::test]
async fn bad_input_is_refused() {
    let world = World::start().await;
    let (thing, (_, user)) = (world.things[0], somebody());
    for quantity in [json!(0), json!(-1), json!(10_001), json!(2_147_483_648_u32), json!("1")] {
        let answer = world.try_add(&user, thing, quantity.clone()).await;
        assert_eq!(pointers(answer).await, ["/quantity"], "{quantity}");
        let answer = world.try_set(&user, thing, quantity.clone()).await;
        assert_eq!(pointers(answer).await, ["/quantity"], "{quantity}");
    }
    let (off_sale, unknown) = (ProductId::new(), ProductId::new());
    world.shelf.offer(off_sale, 100, false);
    for product in [off_sale, unknown] {
        assert_eq!(pointers(world.try_add(&user, product, 1).await).await, ["/product_id"]);
        json_of(world.try_set(&user, product, 1).await, 404).await;
    }
    // A cart has no prices of its own.
    let body = json!({ "product_id": thing, "quantity": 1, "unit_price": 1 });
    let answer = world.request(&user, "POST", "/items").json(&body).send().await.unwrap();
    assert_eq!(pointers(answer).await, ["/unit_price"]);
    json_of(world.request(&user, "DELETE", "/items/x").send().await.unwrap(), 404).await;
    let answer = world.request(&Who::Nobody, "GET", "").bearer_auth("x").send().await.unwrap();
    json_of(answer, 401).await;
    assert_eq!(world.read(&user).await["items"], json!([]));
}

#[tokio::test]
async fn a_cart_lives_for_thirty_days_from_its_last_change() {
    let world = World::start().await;
    let [first, second] = world.things;
    let (id, user) = somebody();
    assert_eq!(world.life(id).await, -2, "reading makes no cart");
    let fresh = LIFE - 20..=LIFE;
    assert_eq!(LIFE, 2_592_000);

    world.add(&user, first, 1).await;
    assert!(fresh.contains(&world.life(id).await));
    world.set_life(id, 100).await;
    world.read(&user).await;
    assert!(world.life(id).await <= 100, "reading is no change");
    world.set(&user, second, 2).await;
    assert!(fresh.contains(&world.life(id).await));
    world.set_life(id, 100).await;
    let path = format!("/items/{first}");
    world.request(&user, "DELETE", &path).send().await.unwrap();
    assert!(fresh.contains(&world.life(id).await));
    world.request(&user, "DELETE", "").send().await.unwrap();
    assert_eq!(world.life(id).await, -2);
}
