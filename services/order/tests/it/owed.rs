//! Money and goods that have to go back are asked for until they have.

use std::time::Duration;

use contracts::OrderId;
use order::{db, owed};

use crate::returning::{paid, refunded, released};
use crate::world::{World, captured, json_of, saga};

/// Asks again for what has waited for so long.
async fn reconcile(world: &World, first: Duration) {
    owed::reconcile(world.service.pool(), &saga(), first).await.unwrap();
}

async fn cancel(world: &World, order: OrderId) {
    json_of(world.post(&format!("/api/v1/orders/{order}/cancel")).await, 200).await;
}

/// Lets so many minutes pass since the order has changed and the others were last asked.
async fn pass(world: &World, order: OrderId, minutes: i32) {
    for sql in [
        "UPDATE orders SET updated_at = updated_at - make_interval(mins => $2) WHERE id = $1",
        "UPDATE reminders SET asked_at = asked_at - make_interval(mins => $2) WHERE order_id = $1",
    ] {
        let passed = sqlx::query(sql).bind(order.uuid()).bind(minutes);
        passed.execute(world.service.pool()).await.unwrap();
    }
}

/// How often the others were asked again.
async fn times(world: &World, order: OrderId) -> i32 {
    let times = sqlx::query_scalar("SELECT times FROM reminders WHERE order_id = $1");
    let times = times.bind(order.uuid()).fetch_optional(world.service.pool()).await.unwrap();
    times.unwrap_or(0)
}

const LONG: Duration = Duration::from_hours(1);

#[tokio::test]
async fn what_does_not_come_back_of_a_cancelled_order_is_requested_again() {
    let world = World::start().await;
    let (id, payment) = paid(&world).await;
    cancel(&world, id).await;
    reconcile(&world, LONG).await;
    let asked = ["refund_requested", "restock_requested"];
    assert_eq!(world.told(id).await[3..], asked, "it has not waited for long");
    reconcile(&world, Duration::ZERO).await;
    assert_eq!(world.told(id).await[3..], [asked, asked].concat());
    // Of both, one has come.
    world.tell_thrice(&released(id)).await;
    reconcile(&world, Duration::ZERO).await;
    assert_eq!(world.told(id).await[7..], ["refund_requested"]);
    reconcile(&world, LONG).await;
    world.tell_thrice(&refunded(id, payment, 4498, 4498)).await;
    reconcile(&world, Duration::ZERO).await;
    assert_eq!(world.told(id).await[8..], ["cancelled"]);
}

/// It was charged after it had ended, and the request for the refund, or the answer, was lost.
#[tokio::test]
async fn a_refund_of_an_ended_order_is_requested_until_it_has_come() {
    let world = World::start().await;
    let id = world.reserved().await;
    cancel(&world, id).await;
    let capture = captured(id);
    world.tell_thrice(&capture).await;
    let ended = ["placed", "reserved", "cancelled", "refund_requested"];
    assert_eq!(world.told(id).await, ended);
    reconcile(&world, Duration::ZERO).await;
    assert_eq!(world.told(id).await[4..], ["refund_requested"]);
    world.tell_thrice(&refunded(id, capture.payment_id, 4498, 4498)).await;
    assert_eq!(world.reaches(id, "cancelled").await["payment"], "refunded");
    reconcile(&world, Duration::ZERO).await;
    assert_eq!(world.told(id).await.len(), 5, "nothing is owed any more");
}

/// The service's own reconciler takes part; hence the times are read from the table.
#[tokio::test]
async fn each_request_for_an_owed_refund_waits_twice_as_long_as_the_one_before() {
    let world = World::start().await;
    let (id, _) = paid(&world).await;
    cancel(&world, id).await;
    pass(&world, id, 6).await;
    reconcile(&world, owed::FIRST).await;
    assert_eq!(times(&world, id).await, 1);
    for (n, minutes) in [(1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 320), (7, 360), (8, 360)]
    {
        pass(&world, id, minutes - 2).await;
        reconcile(&world, owed::FIRST).await;
        assert_eq!(times(&world, id).await, n, "{minutes} minutes have not passed");
        pass(&world, id, 4).await;
        reconcile(&world, owed::FIRST).await;
        assert_eq!(times(&world, id).await, n + 1, "{minutes} minutes have passed");
    }
    let overdue = db::overdue(&mut world.service.pool().acquire().await.unwrap(), LONG).await;
    assert_eq!(overdue.unwrap(), db::Overdue { money: 1, goods: 1 });
    let metrics = world.service.metrics().await;
    for what in ["money", "goods"] {
        assert!(metrics.contains(&format!("orders_overdue{{what=\"{what}\"}}")), "{metrics}");
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_a_day_delays_no_request_for_what_is_owed() {
    let world = World::start().await;
    let (id, _) = paid(&world).await;
    cancel(&world, id).await;
    let day = 24 * 60;
    for n in 1..=2 {
        // It was set back again: the last request seems to be of tomorrow, too.
        pass(&world, id, -day).await;
        reconcile(&world, owed::FIRST).await;
        assert_eq!(times(&world, id).await, n);
        reconcile(&world, owed::FIRST).await;
        assert_eq!(times(&world, id).await, n, "from then on, requests wait as always");
    }
}

#[tokio::test]
async fn commands_list_and_request_what_is_owed() {
    let world = World::start().await;
    let run = async |name: &str| world.service.command::<order::Order>(name).await.unwrap();
    assert_eq!(run("owed").await, "0 orders wait for money or goods");
    let (id, payment) = paid(&world).await;
    cancel(&world, id).await;
    paid(&world).await;
    let said = run("owed").await;
    assert!(said.starts_with(&format!("{id} cancelling: money refund_requested, goods reserved")));
    assert!(said.ends_with("asked again 0 times\n1 orders wait for money or goods"), "{said}");
    // Whenever it was asked for last.
    for _ in 0..2 {
        assert_eq!(run("request-owed").await, "what 1 orders wait for was asked for again");
    }
    let asked = ["refund_requested", "restock_requested"];
    assert_eq!(world.told(id).await[3..], [asked; 3].concat());
    assert!(run("owed").await.contains("asked again 2 times"));
    world.tell_thrice(&released(id)).await;
    world.tell_thrice(&refunded(id, payment, 4498, 4498)).await;
    assert_eq!(run("request-owed").await, "what 0 orders wait for was asked for again");
}
