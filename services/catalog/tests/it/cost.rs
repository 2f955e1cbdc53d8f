//! What a guest's most expensive request costs, and what it leaves to others.

use std::cell::Cell;

use contracts::UserId;
use futures_util::future::join_all;
use kit::testing::{Running, eventually};
use serde_json::json;
use sqlx::PgPool;

use crate::{add, answer, start};

async fn replace_images_of(shop: &Running, body: &str) {
    let function = format!(
        "CREATE SEQUENCE calls;
         CREATE OR REPLACE FUNCTION images_of(product uuid) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
         BEGIN {body}; RETURN '[]'; END $$"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(function)).execute(shop.pool()).await.unwrap();
}

/// What is skipped is neither shown nor read: its images were nine tenths of what a deep page cost.
#[tokio::test]
async fn a_deep_page_reads_the_images_of_what_it_shows() {
    let shop = start(&[]).await;
    let fill = "INSERT INTO products (id, sku, name, description, price, currency, attributes, category, seller_id, on_sale)
        SELECT gen_random_uuid(), 'S-' || n, 'Mug ' || n, '', n, 'EUR', '{}', 'mugs', gen_random_uuid(), true
        FROM generate_series(1, 60) n";
    sqlx::raw_sql(fill).execute(shop.pool()).await.unwrap();
    replace_images_of(&shop, "PERFORM nextval('calls')").await;
    for query in ["limit=10&page=5", "q=mug&limit=10&page=5", "sort=price&limit=10&page=5"] {
        sqlx::raw_sql("ALTER SEQUENCE calls RESTART").execute(shop.pool()).await.unwrap();
        let path = format!("/api/v1/products?{query}");
        let (status, page) = answer(shop.request("GET", &path)).await;
        assert_eq!((status.as_u16(), page["items"].as_array().unwrap().len()), (200, 10), "{page}");
        let calls: i64 =
            sqlx::query_scalar("SELECT nextval('calls') - 1").fetch_one(shop.pool()).await.unwrap();
        assert!(calls <= 11, "{query}: the images of {calls} products");
    }
}

#[tokio::test]
async fn pages_by_number_reach_ten_thousand_products() {
    let shop = start(&[]).await;
    for (query, expected) in [
        ("page=101&limit=100", 200),
        ("page=102&limit=100", 400),
        ("page=501", 200),
        ("page=502", 400),
    ] {
        let path = format!("/api/v1/products?{query}");
        assert_eq!(answer(shop.request("GET", &path)).await.0, expected, "{query}");
    }
}

/// How many statements sleep.
async fn sleeping(pool: &PgPool) -> i64 {
    let sleeping = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event = 'PgSleep'";
    sqlx::query_scalar(sleeping).fetch_one(pool).await.unwrap()
}

async fn hanging() -> Running {
    let shop = start(&[]).await;
    add(&shop, UserId::new(), json!({})).await;
    replace_images_of(&shop, "PERFORM pg_sleep(60)").await;
    shop
}

/// Asks for so many lists at a time, each by one of these clients, again and again until something else is done.
/// Returns what they were answered with, and what was done.
async fn searching<T>(
    shop: &Running,
    count: usize,
    client: impl Fn(usize) -> String,
    rest: impl Future<Output = T>,
) -> (Vec<u16>, T) {
    let done = Cell::new(false);
    let list = async |number| {
        let request = shop.request("GET", "/api/v1/products");
        request.header("x-forwarded-for", client(number)).send().await.unwrap().status().as_u16()
    };
    let lists = async {
        let mut answers = Vec::new();
        while !done.get() {
            answers.extend(join_all((0..count).map(list)).await);
        }
        answers
    };
    let rest = async {
        let result = rest.await;
        done.set(true);
        result
    };
    tokio::join!(lists, rest)
}

#[tokio::test]
async fn searches_that_take_too_long_end_and_leave_the_rest_alone() {
    let shop = hanging().await;
    let rest = async {
        eventually("searches hang", async || (sleeping(shop.pool()).await >= 4).then_some(()))
            .await;
        // Each needs a connection. One after another: to open many takes long on a busy machine.
        let mut categories = Vec::new();
        for _ in 0..10 {
            categories.push(answer(shop.request("GET", "/api/v1/categories")).await);
        }
        categories
    };
    let (searches, rest) = searching(&shop, 30, |number| format!("203.0.113.{number}"), rest).await;
    assert!(rest.iter().all(|(status, _)| *status == 200), "{rest:?}");
    assert!(searches.iter().all(|status| *status == 503), "{searches:?}");
}

#[tokio::test]
async fn one_client_leaves_searches_to_others() {
    let shop = hanging().await;
    let other = async {
        eventually("searches hang", async || (sleeping(shop.pool()).await >= 2).then_some(()))
            .await;
        eventually("another client is answered", async || {
            let request = shop.request("GET", "/api/v1/products/facets");
            let (status, facets) = answer(request.header("x-forwarded-for", "203.0.113.2")).await;
            (status == 200).then_some(facets)
        })
        .await
    };
    let (one, facets) = searching(&shop, 20, |_| "203.0.113.1".to_owned(), other).await;
    assert_eq!(facets["total"], 1);
    assert!(one.iter().all(|status| [429, 503].contains(status)), "{one:?}");
    assert!(one.contains(&429), "{one:?}");
}
