//! Stock that is there again.

use contracts::events::{StockAvailable, StockDepleted};
use inventory::db::{self, Reason};
use inventory::stock::{Kind, State};
use kit::auth::Role;
use kit::testing::waiting;
use serde_json::json;
use sqlx::PgPool;

use crate::http::{Shop, key};
use crate::world::{Order, Product, all_told, levels, processed, sku, start, supply, told, until};

/// Available units of every event about stock that is there again, the first first.
async fn again(pool: &PgPool) -> Vec<i64> {
    all_told::<StockAvailable>(pool).await.into_iter().map(|event| event.available).collect()
}

/// Of each of them, whether units came in.
async fn restocked(pool: &PgPool) -> Vec<bool> {
    let events = all_told::<StockAvailable>(pool).await;
    events.into_iter().map(|event| event.restocked.unwrap()).collect()
}

#[tokio::test]
async fn what_is_there_again_is_told_once() {
    let shop = Shop::open().await;
    let (running, pool) = (&shop.running, shop.running.pool());
    let mug = Product::of(&["MUG"]);
    running.publish(&mug.created()).await;
    processed(running, 1).await;
    let post = async |path: &str, body: serde_json::Value| {
        let path = format!("/api/v1/stock/{path}");
        let (status, answer) = shop.post(Role::Admin, &path, &key(), &body).await;
        assert_eq!(status, 201, "{answer}");
        answer
    };
    post("MUG/supplies", json!({"quantity": 2})).await;
    post("MUG/supplies", json!({"quantity": 2})).await;
    assert_eq!(again(pool).await, [2], "by a supply, and not again by the next");
    let event: StockAvailable = all_told(pool).await.remove(0);
    let id = event.stock_id.uuid();
    assert_eq!((event.sku, event.product_id), (sku("MUG"), mug.id));
    let _: StockAvailable = running.published(id).await;

    post("MUG/adjustments", json!({"delta": -4})).await;
    post("MUG/adjustments", json!({"delta": 3})).await;
    assert_eq!(again(pool).await, [2, 3], "by counting");

    let orders = [Order::of(&[("MUG", 3)]), Order::of(&[("MUG", 3)])];
    running.publish(&orders[0].placed()).await;
    until(pool, &orders[0], "pending").await;
    running.publish(&orders[0].cancelled()).await;
    until(pool, &orders[0], "released").await;
    assert_eq!(again(pool).await, [2, 3, 3], "by a reservation that was given up");

    running.publish(&orders[1].placed()).await;
    running.publish(&orders[1].paid()).await;
    until(pool, &orders[1], "committed").await;
    assert_eq!(again(pool).await.len(), 3);
    running.publish(&orders[1].restock_requested()).await;
    until(pool, &orders[1], "returned").await;
    assert_eq!(again(pool).await, [2, 3, 3, 3], "by units that came back");

    post("MUG/adjustments", json!({"delta": -3})).await;
    let day = (chrono::Utc::now().date_naive() + chrono::Days::new(1)).to_string();
    let announced = post("MUG/announcements", json!({"quantity": 5, "expected_on": day})).await;
    let id = announced["id"].as_str().unwrap();
    post(&format!("announcements/{id}/receipts"), json!({"quantity": 5})).await;
    assert_eq!(again(pool).await, [2, 3, 3, 3, 5], "by what was announced");
    assert_eq!(restocked(pool).await, [true, true, false, true, true], "held units are not gone");
}

/// Search shows the units as sold out and as available again; users who wait for the product are not notified.
#[tokio::test]
async fn a_hold_that_is_given_up_is_no_restock() {
    let shop = Shop::open().await;
    let (running, pool) = (&shop.running, shop.running.pool());
    let mug = Product::of(&["MUG"]);
    running.publish(&mug.created()).await;
    processed(running, 1).await;
    let body = json!({"quantity": 2});
    assert_eq!(shop.post(Role::Admin, "/api/v1/stock/MUG/supplies", &key(), &body).await.0, 201);
    for round in 0..3 {
        let orders = [Order::of(&[("MUG", 1)]), Order::of(&[("MUG", 1)])];
        for order in &orders {
            running.publish(&order.placed()).await;
            until(pool, order, "pending").await;
        }
        for order in &orders {
            if round == 1 {
                running.publish(&order.expired()).await;
            } else {
                running.publish(&order.cancelled()).await;
            }
            until(pool, order, "released").await;
        }
    }
    assert_eq!(again(pool).await, [2, 1, 1, 1]);
    assert_eq!(all_told::<StockDepleted>(pool).await.len(), 3);
    assert_eq!(restocked(pool).await, [true, false, false, false]);

    // One is sold, the other held and given up: there was one all the time.
    let [sold, held] = [Order::of(&[("MUG", 1)]), Order::of(&[("MUG", 1)])];
    for order in [&sold, &held] {
        running.publish(&order.placed()).await;
        until(pool, order, "pending").await;
    }
    running.publish(&sold.paid()).await;
    until(pool, &sold, "committed").await;
    running.publish(&held.cancelled()).await;
    until(pool, &held, "released").await;
    assert_eq!(restocked(pool).await.last(), Some(&false));
    // Both are sold and one comes back.
    let last = Order::of(&[("MUG", 1)]);
    running.publish(&last.placed()).await;
    running.publish(&last.paid()).await;
    until(pool, &last, "committed").await;
    running.publish(&last.restock_requested()).await;
    until(pool, &last, "returned").await;
    assert_eq!(restocked(pool).await, [true, false, false, false, false, true]);
}

/// Orders that come together are served together, and those that come alone, alone.
#[tokio::test]
async fn what_is_gone_is_told_once_however_it_went() {
    let shop = Shop::open().await;
    let (running, pool) = (&shop.running, shop.running.pool());
    supply(pool, "MUG", 3).await;
    let mug = Product::of(&["MUG"]);
    running.publish(&mug.created()).await;
    processed(running, 1).await;
    assert_eq!(again(pool).await, [3], "there were units before they were anybody's");
    let gone = async || all_told::<StockDepleted>(pool).await.len();

    let orders = [Order::of(&[("MUG", 2)]), Order::of(&[("MUG", 1)])];
    for order in &orders {
        running.publish(&order.placed()).await;
    }
    for order in &orders {
        until(pool, order, "pending").await;
    }
    // Orders have no order among them: one that lies in another partition may be served first.
    let late = Order::of(&[("MUG", 1)]);
    running.publish(&late.placed()).await;
    until(pool, &late, "rejected").await;
    assert_eq!(gone().await, 1, "by orders");
    let event: StockDepleted = all_told(pool).await.remove(0);
    assert_eq!((event.sku, event.product_id), (sku("MUG"), mug.id));
    running.publish(&orders[0].paid()).await;
    until(pool, &orders[0], "committed").await;
    assert_eq!(gone().await, 1, "it does not go twice");

    let post = async |delta: i64| {
        let path = "/api/v1/stock/MUG/adjustments";
        let (status, answer) = shop.post(Role::Admin, path, &key(), &json!({"delta": delta})).await;
        assert_eq!(status, 201, "{answer}");
    };
    post(2).await;
    post(-1).await;
    assert_eq!(gone().await, 1);
    post(-1).await;
    assert_eq!(gone().await, 2, "by counting");
}

#[tokio::test]
async fn nobody_is_told_of_what_is_nobodys_or_is_to_be_deleted() {
    let shop = Shop::open().await;
    let (running, pool) = (&shop.running, shop.running.pool());
    let gone = Product::of(&["GONE"]);
    running.publish(&gone.created()).await;
    running.publish(&gone.deletion_requested()).await;
    processed(running, 2).await;
    for code in ["LOOSE", "GONE"] {
        let path = format!("/api/v1/stock/{code}/supplies");
        let body = json!({"quantity": 2, "low_threshold": 5});
        assert_eq!(shop.post(Role::Admin, &path, &key(), &body).await.0, 201);
    }
    let order = Order::of(&[("LOOSE", 2)]);
    running.publish(&order.placed()).await;
    until(pool, &order, "pending").await;
    running.publish(&order.cancelled()).await;
    until(pool, &order, "released").await;
    assert_eq!(again(pool).await, Vec::<i64>::new());
    let low: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE type LIKE '%stock.low%'")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(low, 1, "of the loose one, when it came");
}

/// Ten transactions bring units of one SKU back at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_tell_once() {
    let running = start().await;
    let pool = running.pool();
    let mug = Product::of(&["MUG"]);
    running.publish(&mug.created()).await;
    processed(&running, 1).await;
    supply(pool, "MUG", 4).await;
    let orders: Vec<Order> = (0..4).map(|_| Order::of(&[("MUG", 1)])).collect();
    for order in &orders {
        running.publish(&order.placed()).await;
    }
    processed(&running, 5).await;
    assert_eq!(levels(pool, "MUG").await.available, 0);

    let mut gate = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM stock WHERE sku = 'MUG' FOR UPDATE")
        .execute(&mut *gate)
        .await
        .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for order in &orders {
        let (pool, id) = (pool.clone(), order.id);
        tasks.spawn(async move {
            let mut tx = pool.begin().await.unwrap();
            db::lock(&mut tx, id).await.unwrap();
            let again = db::settle(&mut tx, id, Kind::Release).await.unwrap();
            db::set_state(&mut tx, id, State::Released).await.unwrap();
            tx.commit().await.unwrap();
            again.len()
        });
    }
    for _ in 0..2 {
        let pool = pool.clone();
        tasks.spawn(async move {
            let mut tx = pool.begin().await.unwrap();
            let reason = Reason::default();
            let change = db::supply(&mut tx, &sku("MUG"), 1, None, &reason).await.unwrap();
            tx.commit().await.unwrap();
            usize::from(change.available().unwrap().is_some())
        });
    }
    waiting(pool, 6).await;
    gate.commit().await.unwrap();
    let told_by: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(told_by, 1);
    assert_eq!(levels(pool, "MUG").await.available, 6);
    assert_eq!(told(pool, &orders[0], "stock.released").await, 0, "the test has moved them itself");
}
