//! What was bought leaves the cart, once.

use contracts::events::{OrderLine, OrderPaid, OrderSource};
use contracts::{Currency, EventId, Money, OrderId, ProductId, UserId};
use kit::testing::eventually;
use redis::AsyncCommands;

use crate::peers::sku;
use crate::world::{World, contents, somebody};

pub(crate) fn paid(user_id: UserId, bought: &[(ProductId, u32)]) -> OrderPaid {
    let unit_price = Money::new(100, Currency::EUR);
    let line = |(product_id, quantity): &(ProductId, u32)| OrderLine {
        product_id: *product_id,
        sku: sku(*product_id).parse().unwrap(),
        name: "A".to_owned(),
        quantity: *quantity,
        unit_price,
    };
    let lines = bought.iter().map(line).collect();
    OrderPaid { order_id: OrderId::new(), user_id, lines, total: unit_price, source: None }
}

pub(crate) async fn dealt_with(world: &World, id: EventId) -> i64 {
    eventually("the event is dealt with", async || {
        let life: i64 = world.redis.clone().ttl(format!("cart:inbox:{id}")).await.unwrap();
        (life > 0).then_some(life)
    })
    .await
}

#[tokio::test]
async fn what_was_bought_is_forgotten_exactly_once() {
    let world = World::start().await;
    let [first, second] = world.things;
    let (id, user) = somebody();
    world.add(&user, first, 5).await;
    world.add(&user, second, 2).await;

    // Three of the first, more of the second than there are, and one that is not in the cart.
    let order = paid(id, &[(first, 3), (second, 9), (ProductId::new(), 1)]);
    let event = world.service.publish(&order).await;
    world.service.publish_as(event, &order).await;
    // The same order keeps its order: when this is dealt with, both deliveries above are.
    let other = OrderPaid { lines: Vec::new(), ..order.clone() };
    dealt_with(&world, world.service.publish(&other).await).await;
    assert_eq!(contents(&world.read(&user).await), [(first, 2)]);
    let memory = dealt_with(&world, event).await;
    assert!(memory > 7 * 24 * 60 * 60, "longer than Kafka remembers: {memory}");

    // Another order of the same things is another event.
    let event = world.service.publish(&paid(id, &[(first, 2)])).await;
    dealt_with(&world, event).await;
    assert_eq!(contents(&world.read(&user).await), []);
    assert_eq!(world.life(id).await, -2, "an empty cart is no cart");
}

#[tokio::test]
async fn an_order_touches_only_its_buyers_cart() {
    let world = World::start().await;
    let thing = world.things[0];
    let ((id, user), (_, other)) = (somebody(), somebody());
    world.add(&user, thing, 1).await;
    world.add(&other, thing, 1).await;
    dealt_with(&world, world.service.publish(&paid(id, &[(thing, 1)])).await).await;
    assert_eq!(contents(&world.read(&user).await), []);
    assert_eq!(contents(&world.read(&other).await), [(thing, 1)]);
}

#[tokio::test]
async fn an_order_of_items_leaves_the_cart_alone_and_one_of_a_cart_empties_that() {
    let world = World::start().await;
    let thing = world.things[0];
    let ((id, user), (other_id, other)) = (somebody(), somebody());
    world.add(&user, thing, 3).await;
    world.add(&other, thing, 3).await;
    let items = OrderPaid { source: Some(OrderSource::Items), ..paid(id, &[(thing, 1)]) };
    world.service.publish(&items).await;
    // The same order keeps its order: when this is dealt with, so is the one above.
    let source = OrderSource::Cart { id: other_id.to_string(), version: Some(1) };
    let cart = OrderPaid { source: Some(source), ..items.clone() };
    dealt_with(&world, world.service.publish(&cart).await).await;
    assert_eq!(contents(&world.read(&user).await), [(thing, 3)]);
    assert_eq!(contents(&world.read(&other).await), [(thing, 2)]);
}
