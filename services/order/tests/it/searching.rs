//! What staff find among all orders.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::{OrderId, ProductId, UserId};
use kit::auth::Role;
use kit::testing::eventually;
use reqwest::Response;
use serde_json::{Value, json};

use crate::world::{World, captured, json_of};

const SEARCH: &str = "/api/v1/orders/search";

async fn ask(world: &World, roles: &[Role], query: &str) -> Response {
    let path = format!("{SEARCH}?{query}");
    world.service.request_as(UserId::new(), roles, "GET", &path).send().await.unwrap()
}

/// What staff are shown.
async fn page(world: &World, query: &str) -> Value {
    json_of(ask(world, &[Role::Admin], query).await, 200).await
}

fn ids(page: &Value) -> Vec<OrderId> {
    let items = page["items"].as_array().unwrap().iter();
    items.map(|order| order["id"].as_str().unwrap().parse().unwrap()).collect()
}

/// Orders some of a product as somebody new.
async fn order(world: &mut World, product: ProductId, quantity: u32) -> Value {
    world.user = UserId::new();
    let wish = json!({ "items": [{ "product_id": product, "quantity": quantity }] });
    json_of(world.try_place("k", &wish).await, 202).await
}

fn id(order: &Value) -> OrderId {
    order["id"].as_str().unwrap().parse().unwrap()
}

/// A time as a query says it.
fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

#[tokio::test]
async fn staff_find_orders_by_each_filter_and_by_all_together() {
    let mut world = World::start().await;
    let [mug, book] = world.things;
    let first = order(&mut world, mug, 1).await;
    let second = order(&mut world, book, 3).await;
    let third = order(&mut world, mug, 2).await;
    let (one, two, three) = (id(&first), id(&second), id(&third));
    json_of(world.post(&format!("/api/v1/orders/{three}/cancel")).await, 200).await;
    let placed: DateTime<Utc> = second["created_at"].as_str().unwrap().parse().unwrap();
    let (at, next) = (text(placed), text(placed + TimeDelta::microseconds(1)));
    let (user, sku) = (&second["user_id"].as_str().unwrap(), second["lines"][0]["sku"].as_str());
    let sku = sku.unwrap();
    for (query, found) in [
        (String::new(), vec![three, two, one]),
        ("status=cancelled".to_owned(), vec![three]),
        ("status=paid".to_owned(), vec![]),
        (format!("user_id={user}"), vec![two]),
        (format!("product_id={mug}"), vec![three, one]),
        (format!("product_id={mug}&status=pending"), vec![one]),
        (format!("sku={sku}"), vec![two]),
        (format!("sku={sku}&product_id={book}"), vec![two]),
        (format!("sku={sku}&product_id={mug}"), vec![]),
        (format!("placed_from={at}"), vec![three, two]),
        (format!("placed_from={}", at.replace('Z', "+00:00")), vec![three, two]),
        (format!("placed_from={next}"), vec![three]),
        (format!("placed_before={at}"), vec![one]),
        (format!("placed_from={at}&placed_before={next}"), vec![two]),
        ("placed_before=2020-01-01T00:00:00Z".to_owned(), vec![]),
        ("total_min=1500".to_owned(), vec![three, two, one]),
        ("total_min=1501&total_max=3997".to_owned(), vec![one]),
        ("total_max=1500".to_owned(), vec![two]),
        (
            format!(
                "status=pending&user_id={user}&product_id={book}&sku={sku}&placed_from={at}\
                 &placed_before={next}&total_min=1500&total_max=1500&limit=1"
            ),
            vec![two],
        ),
    ] {
        assert_eq!(ids(&page(&world, &query).await), found, "{query}");
    }
    let shown = &page(&world, &format!("user_id={user}")).await["items"][0];
    assert_eq!(shown, &second);
    assert!(!shown.to_string().contains("tok_visa"));
}

#[tokio::test]
async fn a_state_that_changes_is_found_at_once() {
    let world = World::start().await;
    let order = world.reserved().await;
    assert_eq!(ids(&page(&world, "status=reserved").await), [order]);
    world.service.publish(&captured(order)).await;
    world.reaches(order, "paid").await;
    assert_eq!(ids(&page(&world, "status=reserved").await), []);
    assert_eq!(ids(&page(&world, "status=paid").await), [order]);
}

#[tokio::test]
async fn only_staff_search() {
    let world = World::start().await;
    world.place().await;
    for roles in [&[][..], &[Role::Customer], &[Role::Seller, Role::Customer]] {
        json_of(ask(&world, roles, "").await, 403).await;
        // Not even whether a query is good is said to others.
        json_of(ask(&world, roles, "limit=0").await, 403).await;
    }
    let answer = world.service.request("GET", SEARCH).header("X-User-Id", "1").send().await;
    json_of(answer.unwrap(), 401).await;
}

#[tokio::test]
async fn pages_neither_repeat_nor_lose_while_orders_come() {
    let mut world = World::start().await;
    let [mug, book] = world.things;
    let mut placed = Vec::new();
    for _ in 0..5 {
        placed.insert(0, id(&order(&mut world, mug, 1).await));
        order(&mut world, book, 1).await;
    }
    let query = format!("product_id={mug}&limit=2");
    let (mut seen, mut next) = (Vec::new(), query.clone());
    loop {
        let page = page(&world, &next).await;
        seen.extend(ids(&page));
        order(&mut world, mug, 1).await;
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("{query}&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, placed);
    assert_eq!(ids(&page(&world, &format!("{query}&page=4")).await), placed[3..5]);
}

#[tokio::test]
async fn bad_searches_are_refused() {
    let world = World::start().await;
    for query in [
        "limit=0",
        "limit=1000000000",
        "limit=-1",
        "page=0",
        "cursor=%25",
        "cursor=ImFhIg",
        "sort=total",
        "status=lost",
        "status=pending%00",
        "status=",
        "user_id=x",
        "user_id=%27%20OR%201=1",
        "product_id=1",
        "sku=lower",
        "sku=%25",
        "placed_from=yesterday",
        "placed_from=%2B262142-01-01T00:00:00Z",
        "placed_from=1969-12-31T23:59:59Z",
        "placed_before=%2B10000-01-01T00:00:00Z",
        "placed_before=%2B262142-01-01T00:00:00Z",
        "placed_from=2026-02-01T00:00:00Z&placed_before=2026-01-01T00:00:00Z",
        "placed_from=2026-02-01T00:00:00Z&placed_before=2026-02-01T00:00:00Z",
        "total_min=1.5",
        "total_min=9223372036854775808",
        "total_min=2&total_max=1",
        "total_min=1&total_min=2",
    ] {
        let problem = json_of(ask(&world, &[Role::Admin], query).await, 400).await;
        assert_eq!(problem["type"], "/problems/malformed-request", "{query}");
    }
    let widest = format!(
        "total_min={}&total_max={}&placed_from=1970-01-01T00:00:00Z\
         &placed_before=9999-12-31T23:59:59Z&limit=100&page=1000",
        i64::MIN,
        i64::MAX
    );
    assert_eq!(page(&world, &widest).await["items"], json!([]));
}

/// Twenty thousand orders, one a minute, back from now; the n-th has a total of n and one line.
const MANY: &str = "
    INSERT INTO orders
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000'
            || lpad(to_hex(n), 12, '0'))::uuid,
           lpad((n % 4000)::text, 32, '0')::uuid, CASE n % 1000 WHEN 7 THEN 'paid' ELSE 'delivered' END,
           'captured', 'delivered', NULL, NULL, n, 'EUR',
           jsonb_build_array(jsonb_build_object(
               'product_id', lpad(n::text, 32, '0')::uuid, 'sku', 'S-' || n, 'name', 'A', 'quantity', 1,
               'unit_price', jsonb_build_object('amount', n, 'currency', 'EUR'))),
           'tok_visa', NULL, at, 1, at, at
    FROM (SELECT n, now() - n * interval '1 minute' AS at FROM generate_series(1, 20000) n) many";

/// How often an index was looked into, and how many entries were read there.
async fn looked_up(world: &World, index: &str) -> (i64, i64) {
    sqlx::query_as(
        "SELECT idx_scan, idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = $1",
    )
    .bind(index)
    .fetch_one(world.service.pool())
    .await
    .unwrap()
}

#[tokio::test]
async fn each_filter_finds_its_own_by_an_index() {
    let world = World::start().await;
    // To vacuum is to put what has just come into its place in the index of lines.
    for sql in [MANY, "VACUUM ANALYZE orders"] {
        sqlx::query(sql).execute(world.service.pool()).await.unwrap();
    }
    let ago = |minutes| text(Utc::now() - TimeDelta::minutes(minutes));
    for (query, found, index) in [
        ("status=paid&limit=100".to_owned(), 20, "orders_of_state"),
        (format!("user_id={:0>32}", 9), 5, "orders_of_user"),
        (format!("product_id={:0>32}", 5000), 1, "orders_with_line"),
        ("sku=S-5000".to_owned(), 1, "orders_with_line"),
        ("total_min=5000&total_max=5009".to_owned(), 10, "orders_by_total"),
        (format!("placed_from={}&placed_before={}", ago(15_010), ago(15_000)), 10, "orders_pkey"),
    ] {
        // A statement that is asked again and again must not be planned for all filters at once.
        const TIMES: i64 = 8;
        let (looks, read) = looked_up(&world, index).await;
        for _ in 0..TIMES {
            assert_eq!(ids(&page(&world, &query).await).len(), found, "{query}");
        }
        let read_now = eventually(&format!("{query} looks into {index}"), async || {
            let (looks_now, read) = looked_up(&world, index).await;
            (looks_now - looks >= TIMES).then_some(read)
        })
        .await;
        // Among them those of a minute more on both sides, and nothing else.
        let read = (read_now - read) / TIMES;
        assert!(read <= 2 * i64::try_from(found).unwrap(), "{query} reads {read} entries");
    }
}
