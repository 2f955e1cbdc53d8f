//! Supplies that are announced before they come.

use chrono::{Days, Utc};
use inventory::stock::Levels;
use kit::auth::Role;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::http::{Shop, answer, key};
use crate::world::{levels, supply};

const LIST: &str = "/api/v1/stock/announcements";

/// A day so many days from now.
fn day(from_now: u64) -> String {
    (Utc::now().date_naive() + Days::new(from_now)).to_string()
}

async fn announce(shop: &Shop, code: &str, quantity: i64, from_now: u64) -> Value {
    let body = json!({"quantity": quantity, "expected_on": day(from_now), "reference": "PO 7"});
    let path = format!("/api/v1/stock/{code}/announcements");
    let (status, announced) = shop.post(Role::Admin, &path, &key(), &body).await;
    assert_eq!(status, 201, "{announced}");
    announced
}

fn path(announced: &Value) -> String {
    format!("{LIST}/{}", announced["id"].as_str().unwrap())
}

async fn receive(shop: &Shop, announced: &Value, body: &Value) -> (u16, Value) {
    let path = path(announced) + "/receipts";
    shop.post(Role::Admin, &path, &key(), body).await
}

async fn cancel(shop: &Shop, announced: &Value) -> (u16, Value) {
    let path = path(announced) + "/cancel";
    let request = shop.running.request_as(shop.user, &[Role::Admin], "POST", &path);
    answer(request.header("If-Match", format!("\"{}\"", announced["version"]))).await
}

/// Units that came under an announcement, as it says itself and as the movements say.
async fn received(pool: &PgPool, announced: &Value) -> (i64, i64) {
    let id: Uuid = announced["id"].as_str().unwrap().parse().unwrap();
    sqlx::query_as(
        "SELECT received, (SELECT coalesce(sum(available_delta), 0)::bigint FROM movements
                           WHERE kind = 'supply' AND announcement_id = announcements.id)
         FROM announcements WHERE id = $1",
    )
    .bind(id)
    .fetch_one(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn what_was_announced_comes_in_parts() {
    let shop = Shop::open().await;
    let pool = shop.running.pool();
    let announced = announce(&shop, "NEW-1", 10, 3).await;
    assert_eq!((&announced["received"], &announced["state"]), (&json!(0), &json!("open")));
    assert_eq!(announced["expected_on"], day(3));
    assert_eq!(answer(shop.running.request("GET", "/api/v1/stock/NEW-1")).await.0, 404, "not yet");

    let body = json!({"quantity": 4, "note": "first van"});
    let (status, first) = receive(&shop, &announced, &body).await;
    assert_eq!((status, &first["stock"]["available"]), (201, &json!(4)), "{first}");
    assert_eq!(first["announcement"]["state"], "open");
    let (status, problem) = receive(&shop, &announced, &json!({"quantity": 7})).await;
    assert_eq!((status, &problem["type"]), (409, &json!("/problems/conflict")), "{problem}");
    let (status, all) = receive(&shop, &announced, &json!({"quantity": 6})).await;
    assert_eq!((status, &all["announcement"]["state"]), (201, &json!("received")));
    assert_eq!(shop.get(Role::Admin, &path(&announced)).await, (200, all["announcement"].clone()));
    for body in [json!({"quantity": 1}), json!({"quantity": 1, "more": true})] {
        assert_eq!(receive(&shop, &announced, &body).await.0, 409, "it is closed");
    }
    assert_eq!(levels(pool, "NEW-1").await, Levels { available: 10, reserved: 0 });
    assert_eq!(received(pool, &announced).await, (10, 10));
    let (_, page) = shop.get(Role::Admin, "/api/v1/stock/NEW-1/movements").await;
    let first = &page["items"][1];
    assert_eq!((&first["kind"], &first["note"]), (&json!("supply"), &json!("first van")));
    assert_eq!(first["announcement_id"], announced["id"]);

    let few = announce(&shop, "NEW-1", 2, 0).await;
    let (status, more) = receive(&shop, &few, &json!({"quantity": 5, "more": true})).await;
    assert_eq!((status, &more["announcement"]["received"]), (201, &json!(5)), "{more}");
    assert_eq!(received(pool, &few).await, (5, 5));
}

#[tokio::test]
async fn the_rest_is_cancelled_and_what_has_come_stays() {
    let shop = Shop::open().await;
    let announced = announce(&shop, "A", 10, 1).await;
    let (_, part) = receive(&shop, &announced, &json!({"quantity": 3})).await;
    assert_eq!(cancel(&shop, &announced).await.0, 412, "something has come meanwhile");
    let (status, cancelled) = cancel(&shop, &part["announcement"]).await;
    assert_eq!((status, &cancelled["state"]), (200, &json!("cancelled")));
    assert_eq!(cancel(&shop, &cancelled).await, (200, cancelled.clone()), "cancelled is cancelled");
    assert_eq!(receive(&shop, &announced, &json!({"quantity": 1})).await.0, 409);
    assert_eq!(levels(shop.running.pool(), "A").await.available, 3);
    assert_eq!(received(shop.running.pool(), &announced).await, (3, 3));
    let whole = announce(&shop, "A", 1, 1).await;
    let (_, whole) = receive(&shop, &whole, &json!({"quantity": 1})).await;
    assert_eq!(cancel(&shop, &whole["announcement"]).await.0, 409, "nothing is left to cancel");
}

#[tokio::test]
async fn open_announcements_are_listed_by_day() {
    let shop = Shop::open().await;
    let (late, soon, other) = (
        announce(&shop, "A", 1, 9).await,
        announce(&shop, "A", 1, 2).await,
        announce(&shop, "B", 1, 5).await,
    );
    let gone = announce(&shop, "A", 1, 1).await;
    cancel(&shop, &gone).await;
    let list = async |query: &str| {
        let (status, page) = shop.get(Role::Admin, &format!("{LIST}{query}")).await;
        assert_eq!(status, 200, "{page}");
        page
    };
    let first = list("?limit=2").await;
    assert_eq!(first["items"], json!([soon, other]));
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = list(&format!("?limit=2&cursor={cursor}")).await;
    assert_eq!((&rest["items"], &rest["next_cursor"]), (&json!([late]), &Value::Null));
    assert_eq!(list("?sku=A").await["items"], json!([soon, late]));
    assert_eq!(list("?state=cancelled").await["items"][0]["id"], gone["id"]);
    for bad in ["limit=1000000000", "page=0", "cursor=x", "state=lost", "sku=a", "sort=id"] {
        assert_eq!(shop.get(Role::Admin, &format!("{LIST}?{bad}")).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn bad_announcements_and_receipts_are_refused() {
    let shop = Shop::open().await;
    let body = json!({"quantity": 1, "expected_on": day(1)});
    let announcements = "/api/v1/stock/A/announcements";
    for (field, bad) in [
        ("quantity", json!(0)),
        ("quantity", json!(-1)),
        ("quantity", json!(2_147_483_648_i64)),
        ("quantity", json!(1.5)),
        ("expected_on", json!("2020-01-01")),
        ("expected_on", json!("9999-12-31")),
        ("expected_on", json!("soon")),
        ("reference", json!(" ")),
        ("reference", json!("é".repeat(101))),
        ("sku", json!("B")),
    ] {
        let mut body = body.clone();
        body[field] = bad;
        let (status, problem) = shop.post(Role::Admin, announcements, &key(), &body).await;
        assert_eq!(status, 422, "{body}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], format!("/{field}"), "{problem}");
    }
    let announced = announce(&shop, "A", 1, 1).await;
    for bad in [json!({"quantity": 0}), json!({"quantity": 2_147_483_648_i64}), json!({})] {
        assert_eq!(receive(&shop, &announced, &bad).await.0, 422, "{bad}");
    }
    let unknown = json!({"id": Uuid::now_v7(), "version": 1});
    assert_eq!(receive(&shop, &unknown, &json!({"quantity": 1})).await.0, 404);
    assert_eq!(cancel(&shop, &unknown).await.0, 404);
    assert_eq!(shop.get(Role::Admin, &path(&unknown)).await.0, 404);
    assert_eq!(shop.get(Role::Admin, "/api/v1/stock/announcements/7").await.0, 404);
    let (receipts, cancel) = (path(&announced) + "/receipts", path(&announced) + "/cancel");
    assert_eq!(shop.get(Role::Customer, LIST).await.0, 403);
    assert_eq!(shop.get(Role::Customer, &path(&announced)).await.0, 403);
    let mine = shop.post(Role::Customer, announcements, &key(), &body).await;
    assert_eq!(mine.0, 403);
    assert_eq!(shop.post(Role::Customer, &receipts, &key(), &json!({"quantity": 1})).await.0, 403);
    let blind = shop.running.request_as(shop.user, &[Role::Admin], "POST", &cancel);
    assert_eq!(answer(blind).await.0, 428, "no If-Match");
    assert_eq!(answer(shop.running.request("GET", LIST)).await.0, 401);
    let keyless = shop.running.request_as(shop.user, &[Role::Admin], "POST", &receipts);
    assert_eq!(answer(keyless.json(&json!({"quantity": 1}))).await.0, 400);
}

/// Ten clerks unload the same van, some of them twice.
#[tokio::test]
async fn never_more_is_received_at_once_than_was_announced() {
    let shop = Shop::open().await;
    let pool = shop.running.pool();
    supply(pool, "A", 1).await;
    let announced = announce(&shop, "A", 5, 1).await;
    let receipts = path(&announced) + "/receipts";
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let key = key();
        for _ in 0..2 {
            let request = shop.running.request_as(shop.user, &[Role::Admin], "POST", &receipts);
            let request = request.header("Idempotency-Key", &key).json(&json!({"quantity": 1}));
            tasks.spawn(answer(request));
        }
    }
    let done = tasks.join_all().await;
    assert!(done.iter().all(|(status, _)| *status != 500), "{done:?}");
    // Whoever had to wait too long on a slow machine tries again.
    while receive(&shop, &announced, &json!({"quantity": 1})).await.0 == 201 {}
    assert_eq!(received(pool, &announced).await, (5, 5));
    assert_eq!(levels(pool, "A").await, Levels { available: 6, reserved: 0 });
}
