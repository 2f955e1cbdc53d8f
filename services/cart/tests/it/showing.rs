//! What a cart shows of a world that changes.

use serde_json::{Value, json};

use crate::peers::{Answers, sku};
use crate::world::{World, somebody};

#[tokio::test]
async fn prices_and_stock_are_those_of_now_and_changes_are_marked() {
    let world = World::start().await;
    let [thing, other] = world.things;
    let (_, user) = somebody();
    world.add(&user, other, 1).await;
    let cart = world.add(&user, thing, 2).await;
    let unchanged = json!({
        "product_id": thing, "sku": sku(thing), "name": "Thing", "quantity": 2, "on_sale": true,
        "unit_price": { "amount": 1999, "currency": "EUR" },
        "line_total": { "amount": 3998, "currency": "EUR" },
        "seen_unit_price": { "amount": 1999, "currency": "EUR" },
        "price_changed": false, "availability": "few_left", "stock_changed": false,
    });
    assert_eq!(cart["items"][1], unchanged);

    world.shelf.offer(thing, 2500, true);
    world.shelf.stock(thing, 0);
    let cart = world.read(&user).await;
    let item = &cart["items"][1];
    assert_eq!((&item["price_changed"], &item["stock_changed"]), (&json!(true), &json!(true)));
    assert_eq!(
        (&item["unit_price"]["amount"], &item["availability"]),
        (&json!(2500), &json!("sold_out"))
    );
    assert_eq!(item["seen_unit_price"]["amount"], 1999);
    assert_eq!(cart["total"]["amount"], 5500);
    assert_eq!(cart["items"][0]["price_changed"], false);

    // Whoever touches the line has seen the new price.
    let cart = world.set(&user, thing, 1).await;
    assert_eq!(cart["items"][1]["price_changed"], false);

    world.shelf.offer(thing, 2500, false);
    let cart = world.read(&user).await;
    assert_eq!(
        (&cart["items"][1]["on_sale"], &cart["items"][1]["unit_price"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(cart["total"]["amount"], 500);
}

#[tokio::test]
async fn without_inventory_stock_is_null_and_everything_else_works() {
    let world = World::start().await;
    let thing = world.things[0];
    let (_, user) = somebody();
    for answers in [Answers::WithAnError, Answers::Never] {
        world.shelf.inventory(answers);
        let cart = world.add(&user, thing, 1).await;
        assert_eq!(cart["items"][0]["availability"], Value::Null);
        assert_eq!(cart["items"][0]["stock_changed"], false);
        assert_eq!(cart["items"][0]["unit_price"]["amount"], 1999);
    }
    // What was not known then is no change now.
    world.shelf.inventory(Answers::Well);
    let cart = world.read(&user).await;
    assert_eq!(
        (&cart["items"][0]["availability"], &cart["items"][0]["stock_changed"]),
        (&json!("few_left"), &json!(false))
    );
    // What inventory does not know is null too.
    world.shelf.stock(world.things[1], 3);
    let strange = contracts::ProductId::new();
    world.shelf.offer(strange, 1, true);
    let cart = world.add(&user, strange, 1).await;
    assert_eq!(cart["items"][1]["availability"], Value::Null);
}
