//! Carts of guests, and what becomes of them at login.

use contracts::{ProductId, UserId};
use serde_json::json;

use crate::world::{Who, World, contents, json_of, somebody};

#[tokio::test]
async fn a_guest_gets_a_token_by_opening_a_cart_or_by_adding() {
    let world = World::start().await;
    let thing = world.things[0];
    let guest = world.guest().await;
    assert_eq!(contents(&world.add(&guest, thing, 2).await), [(thing, 2)]);
    let answer = world.request(&guest, "POST", "").send().await.unwrap();
    assert!(answer.headers().get("x-cart-token").is_none(), "the cart there is stays");
    let opened = json_of(answer, 200).await;
    let Who::Guest(token) = &guest else { unreachable!() };
    assert_eq!(
        (opened["token"].as_str(), contents(&opened)),
        (Some(token.as_str()), vec![(thing, 2)])
    );

    for added in
        [world.try_add(&Who::Nobody, thing, 1).await, world.try_set(&Who::Nobody, thing, 1).await]
    {
        let token = added.headers()["x-cart-token"].to_str().unwrap().to_owned();
        assert_eq!(contents(&json_of(added, 200).await), [(thing, 1)]);
        assert_eq!(contents(&world.read(&Who::Guest(token)).await), [(thing, 1)]);
    }
    assert_eq!(world.read(&Who::Nobody).await["items"], json!([]));
    assert_eq!(contents(&world.read(&guest).await), [(thing, 2)]);
}

#[tokio::test]
async fn a_token_opens_only_its_own_cart() {
    let world = World::start().await;
    let (id, user) = somebody();
    world.add(&user, world.things[0], 1).await;
    for token in [id.to_string(), "*".to_owned(), String::new(), "A".repeat(42), "A".repeat(9000)] {
        let answer = world.request(&Who::Guest(token), "GET", "").send().await.unwrap();
        json_of(answer, 400).await;
    }
    let guess = Who::Guest("A".repeat(43));
    assert_eq!(world.read(&guess).await["items"], json!([]));
}

#[tokio::test]
async fn merging_sums_up_to_the_limit_and_happens_once() {
    let world = World::start().await;
    let [both, theirs] = world.things;
    let guest = world.guest().await;
    let (id, user) = somebody();
    world.add(&guest, both, 9_000).await;
    world.add(&guest, theirs, 2).await;
    world.add(&user, both, 2_000).await;
    world.set_life(id, 100).await;
    let Who::Guest(token) = &guest else { unreachable!() };
    for _ in 0..2 {
        let merge = world.request(&user, "POST", "/merge").header("X-Cart-Token", token);
        let cart = json_of(merge.send().await.unwrap(), 200).await;
        let mut lines = contents(&cart);
        lines.sort_unstable_by_key(|(_, quantity)| *quantity);
        assert_eq!(lines, [(theirs, 2), (both, 10_000)]);
    }
    assert!(world.life(id).await > 100, "merging is a change");
    assert_eq!(world.read(&guest).await["items"], json!([]));

    let answer = world.request(&user, "POST", "/merge").send().await.unwrap();
    json_of(answer, 400).await;
    let answer = world.request(&guest, "POST", "/merge").send().await.unwrap();
    json_of(answer, 401).await;
}

#[tokio::test]
async fn lines_that_find_no_place_are_not_lost() {
    let world = World::start().await;
    let (guest, user) = (world.guest().await, Who::User(UserId::new()));
    let things: Vec<ProductId> = (0..100).map(|_| ProductId::new()).collect();
    for thing in &things {
        world.shelf.offer(*thing, 100, true);
    }
    for thing in &things[1..] {
        world.add(&user, *thing, 1).await;
    }
    world.add(&guest, world.things[0], 1).await;
    world.add(&guest, world.things[1], 1).await;
    world.add(&guest, things[1], 1).await;
    let Who::Guest(token) = &guest else { unreachable!() };
    let merge = world.request(&user, "POST", "/merge").header("X-Cart-Token", token);
    let cart = json_of(merge.send().await.unwrap(), 200).await;
    assert_eq!(contents(&cart).len(), 100);
    assert!(contents(&cart).contains(&(things[1], 2)), "a line that is there takes more");
    let rest = contents(&world.read(&guest).await);
    assert_eq!(rest.len(), 1);
    assert!(world.things.contains(&rest[0].0));
}
