//! Lines about variants of products.

use contracts::events::{OrderLine, OrderPaid};
use contracts::{Currency, Money, OrderId, ProductId, UserId};
use redis::AsyncCommands;
use reqwest::Response;
use serde_json::{Value, json};

use crate::bought::dealt_with;
use crate::peers::sku;
use crate::world::{Who, World, json_of, pointers, somebody};

/// SKUs of a red and a blue variant of the first thing, at 20.00 and 30.00, four and no units of them.
fn dye(world: &World) -> [String; 2] {
    let thing = world.things[0];
    let [red, blue] = ["RED", "BLUE"].map(|colour| format!("{}-{colour}", sku(thing)));
    world.shelf.variant(thing, &red, "red", 2000);
    world.shelf.variant(thing, &blue, "blue", 3000);
    world.shelf.stock_of(&red, 4);
    world.shelf.stock_of(&blue, 0);
    [red, blue]
}

async fn try_add(world: &World, who: &Who, sku: Value, quantity: u32) -> Response {
    let body = json!({"product_id": world.things[0], "sku": sku, "quantity": quantity});
    world.request(who, "POST", "/items").json(&body).send().await.unwrap()
}

async fn add(world: &World, who: &Who, sku: &str, quantity: u32) -> Value {
    json_of(try_add(world, who, json!(sku), quantity).await, 200).await
}

/// SKU and quantity of each line, in order.
fn contents(cart: &Value) -> Vec<(&str, u64)> {
    let items = cart["items"].as_array().unwrap().iter();
    items.map(|item| (item["sku"].as_str().unwrap(), item["quantity"].as_u64().unwrap())).collect()
}

fn paid(user_id: UserId, bought: &[(ProductId, &str, u32)]) -> OrderPaid {
    let unit_price = Money::new(100, Currency::EUR);
    let line = |(product_id, sku, quantity): &(ProductId, &str, u32)| OrderLine {
        product_id: *product_id,
        sku: sku.parse().unwrap(),
        name: "A".to_owned(),
        quantity: *quantity,
        unit_price,
    };
    let lines = bought.iter().map(line).collect();
    OrderPaid { order_id: OrderId::new(), user_id, lines, total: unit_price, source: None }
}

#[tokio::test]
async fn variants_of_one_product_are_lines_of_their_own() {
    let world = World::start().await;
    let (thing, [red, blue], (_, user)) = (world.things[0], dye(&world), somebody());
    let own = sku(thing);
    world.add(&user, thing, 1).await;
    add(&world, &user, &red, 2).await;
    add(&world, &user, &blue, 1).await;
    add(&world, &user, &own, 1).await;
    let cart = add(&world, &user, &red, 1).await;
    assert_eq!(contents(&cart), [(&*own, 2), (&red, 3), (&blue, 1)], "the own SKU is the product");
    let line = &cart["items"][1];
    assert_eq!(line["product_id"], json!(thing));
    assert_eq!(
        (&line["name"], &line["unit_price"]["amount"]),
        (&json!("Thing (red)"), &json!(2000))
    );
    assert_eq!(
        (&line["availability"], &line["line_total"]["amount"]),
        (&json!("few_left"), &json!(6000))
    );
    assert_eq!(cart["total"]["amount"], 2 * 1999 + 6000 + 3000);

    let path = |sku: &str| format!("/items/{thing}?sku={sku}");
    let set = world.request(&user, "PUT", &path(&blue)).json(&json!({"quantity": 7}));
    let cart = json_of(set.send().await.unwrap(), 200).await;
    assert_eq!(contents(&cart), [(&*own, 2), (&red, 3), (&blue, 7)]);
    for _ in 0..2 {
        let removed = world.request(&user, "DELETE", &path(&red)).send().await.unwrap();
        let cart = json_of(removed, 200).await;
        assert_eq!(contents(&cart), [(&*own, 2), (&blue, 7)]);
    }
    let removed = world.request(&user, "DELETE", &path(&own)).send().await.unwrap();
    assert_eq!(contents(&json_of(removed, 200).await), [(&*blue, 7)]);
    let removed = world.request(&user, "DELETE", &format!("/items/{thing}")).send().await.unwrap();
    assert_eq!(contents(&json_of(removed, 200).await), [(&*blue, 7)], "the product as it is");
}

#[tokio::test]
async fn what_is_no_variant_is_refused() {
    let world = World::start().await;
    let (thing, [red, _], (_, user)) = (world.things[0], dye(&world), somebody());
    for wrong in [json!("NOTHING"), json!(sku(world.things[1])), json!("a b")] {
        assert_eq!(pointers(try_add(&world, &user, wrong, 1).await).await, ["/sku"]);
    }
    json_of(try_add(&world, &user, Value::Null, 1).await, 200).await;
    let put = |query: &str| {
        let path = format!("/items/{thing}?{query}");
        world.request(&user, "PUT", &path).json(&json!({"quantity": 1})).send()
    };
    json_of(put("sku=NOTHING").await.unwrap(), 404).await;
    json_of(put("sku=a%20b").await.unwrap(), 400).await;
    json_of(put("colour=red").await.unwrap(), 400).await;
    world.shelf.offer(thing, 1, false);
    world.shelf.variant(thing, &red, "red", 1);
    assert_eq!(pointers(try_add(&world, &user, json!(red), 1).await).await, ["/product_id"]);
}

#[tokio::test]
async fn changes_are_marked_for_each_variant() {
    let world = World::start().await;
    let (thing, [red, blue], (_, user)) = (world.things[0], dye(&world), somebody());
    add(&world, &user, &red, 1).await;
    add(&world, &user, &blue, 1).await;
    world.shelf.offer(thing, 1999, true);
    world.shelf.variant(thing, &red, "red", 2100);
    world.shelf.stock_of(&red, 0);
    let cart = world.read(&user).await;
    let [first, second] = [&cart["items"][0], &cart["items"][1]];
    assert_eq!((&first["price_changed"], &first["stock_changed"]), (&json!(true), &json!(true)));
    assert_eq!(
        (&first["availability"], &first["unit_price"]["amount"]),
        (&json!("sold_out"), &json!(2100))
    );
    // The other variant is offered no more; the shopper still sees what it was.
    assert_eq!((&second["on_sale"], &second["name"]), (&json!(false), &json!("Thing (blue)")));
    assert_eq!((&second["sku"], &second["unit_price"]), (&json!(blue), &Value::Null));
    assert_eq!(cart["total"]["amount"], 2100);
}

#[tokio::test]
async fn merging_keeps_variants_apart() {
    let world = World::start().await;
    let ([red, blue], guest, (_, user)) = (dye(&world), world.guest().await, somebody());
    add(&world, &guest, &red, 9_999).await;
    add(&world, &guest, &blue, 1).await;
    add(&world, &user, &red, 2).await;
    world.add(&user, world.things[0], 3).await;
    let Who::Guest(token) = &guest else { unreachable!() };
    let merge = world.request(&user, "POST", "/merge").header("X-Cart-Token", token);
    let cart = json_of(merge.send().await.unwrap(), 200).await;
    let (mut lines, own) = (contents(&cart), sku(world.things[0]));
    lines.sort_by_key(|(_, quantity)| *quantity);
    assert_eq!(lines, [(&*blue, 1), (&own, 3), (&red, 10_000)]);
}

#[tokio::test]
async fn what_was_bought_is_forgotten_by_its_sku() {
    let world = World::start().await;
    let (thing, [red, blue], (id, user)) = (world.things[0], dye(&world), somebody());
    let own = sku(thing);
    world.add(&user, thing, 5).await;
    add(&world, &user, &red, 5).await;
    let bought = [(thing, &*red, 2), (thing, &blue, 3)];
    dealt_with(&world, world.service.publish(&paid(id, &bought)).await).await;
    assert_eq!(contents(&world.read(&user).await), [(&*own, 5), (&red, 3)], "no blue one was here");
    let bought = [(thing, &*own, 4), (thing, &red, 9)];
    dealt_with(&world, world.service.publish(&paid(id, &bought)).await).await;
    assert_eq!(contents(&world.read(&user).await), [(&*own, 1)]);
}

/// As the release before there were variants has written it.
#[tokio::test]
async fn old_carts_are_read_changed_and_bought() {
    let world = World::start().await;
    let (thing, [red, _], (id, user)) = (world.things[0], dye(&world), somebody());
    let own = sku(thing);
    let line = format!(
        r#"3 1700000000000 {{"sku":"{own}","name":"Thing","price":{{"amount":1999,"currency":"EUR"}},"available":10}}"#
    );
    let key = format!("cart:{id}");
    let () = world.redis.clone().hset(&key, thing.to_string(), line).await.unwrap();
    let () = world.redis.clone().expire(&key, 1000).await.unwrap();
    assert_eq!(contents(&world.read(&user).await), [(&*own, 3)]);
    add(&world, &user, &red, 1).await;
    let cart = world.add(&user, thing, 1).await;
    assert_eq!(contents(&cart), [(&*own, 4), (&red, 1)]);
    dealt_with(&world, world.service.publish(&paid(id, &[(thing, &own, 4)])).await).await;
    assert_eq!(contents(&world.read(&user).await), [(&*red, 1)]);
}
