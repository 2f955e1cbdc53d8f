//! What shoppers find, in which order, and page by page.

use std::collections::HashSet;

use contracts::UserId;
use kit::testing::Running;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{add, answer, patch, start};

pub(crate) async fn list(shop: &Running, query: &str) -> (StatusCode, Value) {
    answer(shop.request("GET", &format!("/api/v1/products?{query}"))).await
}

/// Names of the products that are found.
pub(crate) async fn names(shop: &Running, query: &str) -> Vec<String> {
    let (status, page) = list(shop, query).await;
    assert_eq!(status, 200, "{query}: {page}");
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn words_find_by_relevance() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    add(&shop, seller, json!({"name": "Saucer", "description": "Goes under a teapot."})).await;
    add(&shop, seller, json!({"name": "Teapot"})).await;
    add(&shop, seller, json!({"name": "Tray", "attributes": {"for": "teapot"}})).await;
    add(&shop, seller, json!({"name": "Blanket", "sku": "WOOL-77"})).await;

    let best_first = ["Teapot", "Saucer", "Tray"];
    assert_eq!(names(&shop, "q=teapots").await, best_first, "the stem of the word counts");
    assert_eq!(names(&shop, "q=teapot&sort=relevance").await, best_first);
    assert_eq!(names(&shop, "q=teapot&sort=name").await, ["Saucer", "Teapot", "Tray"]);
    assert_eq!(names(&shop, "q=teapot+-tray").await, ["Teapot", "Saucer"]);
    assert_eq!(names(&shop, "q=%22goes+under+a+teapot%22").await, ["Saucer"]);
    assert_eq!(names(&shop, "q=WOOL-77").await, ["Blanket"]);
    assert_eq!(names(&shop, "q=+").await.len(), 4, "no words, no filter");
}

#[tokio::test]
async fn filters_narrow() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    for (name, category, amount) in [("A", "mugs", 100), ("B", "mugs", 200), ("C", "books", 200)] {
        let price = json!({"amount": amount, "currency": "EUR"});
        add(&shop, seller, json!({"name": name, "category": category, "price": price})).await;
    }
    for (query, expected) in [
        ("category=mugs", &["A", "B"][..]),
        ("category=things", &["A", "B"]),
        ("category=books", &["C"]),
        ("category=nothing", &[]),
        ("price_min=101", &["B", "C"]),
        ("price_min=100&price_max=199", &["A"]),
        ("price_max=200", &["A", "B", "C"]),
        ("price_min=9223372036854775807", &[]),
        ("category=mugs&price_min=150&q=b", &["B"]),
    ] {
        assert_eq!(names(&shop, &format!("sort=name&{query}")).await, expected, "{query}");
    }
    let (_, page) = answer(shop.request("GET", "/api/v1/categories")).await;
    let part = json!({"slug": "mugs", "name": "mugs", "parent": "things", "version": 1});
    assert!(page["items"].as_array().unwrap().contains(&part), "{page}");
}

#[tokio::test]
async fn every_order_is_kept() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    for (name, amount) in [("zebra", 2), ("apple", 3), ("Éclair", 1), ("Banana", 4)] {
        let price = json!({"amount": amount, "currency": "EUR"});
        add(&shop, seller, json!({"name": name, "price": price})).await;
    }
    for (query, expected) in [
        ("", ["Banana", "Éclair", "apple", "zebra"]),
        ("sort=newest", ["Banana", "Éclair", "apple", "zebra"]),
        ("sort=relevance", ["Banana", "Éclair", "apple", "zebra"]),
        ("sort=price", ["Éclair", "zebra", "apple", "Banana"]),
        ("sort=-price", ["Banana", "apple", "zebra", "Éclair"]),
        ("sort=name", ["apple", "Banana", "Éclair", "zebra"]),
    ] {
        assert_eq!(names(&shop, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn pages_neither_repeat_nor_lose_while_products_come() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let mut known = HashSet::new();
    for index in 0..7 {
        // Equal prices and names on purpose: the id must decide.
        let price = json!({"amount": 100 + index / 3, "currency": "EUR"});
        let name = format!("Mug {}", index / 3);
        let product = add(&shop, seller, json!({"name": name, "price": price})).await;
        known.insert(product["id"].as_str().unwrap().to_owned());
    }
    for query in ["sort=newest", "sort=price", "sort=-price", "sort=name", "q=mug"] {
        let (mut seen, mut cursor) = (HashSet::new(), String::new());
        loop {
            let (status, page) = list(&shop, &format!("{query}&limit=2{cursor}")).await;
            assert_eq!(status, 200, "{page}");
            for item in page["items"].as_array().unwrap() {
                let id = item["id"].as_str().unwrap().to_owned();
                assert!(seen.insert(id), "{query}: {} came twice", item["name"]);
            }
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
            if seen.len() < 7 {
                let price = json!({"amount": 101, "currency": "EUR"});
                add(&shop, seller, json!({"name": "Mug 1", "price": price})).await;
            }
        }
        assert!(seen.is_superset(&known), "{query}: something was lost");
    }
}

#[tokio::test]
async fn pages_have_numbers_too() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    for name in ["A", "B", "C"] {
        add(&shop, seller, json!({"name": name})).await;
    }
    assert_eq!(names(&shop, "sort=name&page=1&limit=2").await, ["A", "B"]);
    assert_eq!(names(&shop, "sort=name&page=2&limit=2").await, ["C"]);
    assert!(names(&shop, "sort=name&page=3&limit=2").await.is_empty());
}

#[tokio::test]
async fn what_is_off_sale_is_not_listed() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    patch(&shop, seller, &product, json!({"on_sale": false})).await;
    assert!(names(&shop, "").await.is_empty());
    assert!(names(&shop, "q=mug").await.is_empty());
}

#[tokio::test]
async fn bad_queries_are_refused_and_odd_ones_harmless() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    add(&shop, seller, json!({})).await;
    add(&shop, seller, json!({"name": "Blue Mug"})).await;
    let (_, page) = list(&shop, "sort=name&limit=1").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    for bad in [
        "limit=1000000000",
        "limit=0",
        "limit=-1",
        "page=0",
        "page=1000000",
        "sort=cheap",
        "colour=red",
        "price_min=1.5",
        "rating_min=0.5",
        "rating_min=5.1",
        "rating_min=NaN",
        "rating_min=good",
        "in_stock=perhaps",
        "price_min=99999999999999999999",
        "q=%00",
        "cursor=nonsense",
        &format!("q={}", "x".repeat(201)),
        &format!("sort=price&cursor={cursor}"),
        &format!("sort=name&page=2&cursor={cursor}"),
    ] {
        let (status, problem) = list(&shop, bad).await;
        assert_eq!(status, 400, "{bad}: {problem}");
        assert_eq!(problem["type"], "/problems/malformed-request", "{bad}");
    }
    for odd in ["%25", "_", "%27", "%27%20OR%20%271%27=%271", "%5C", "%22", "mug)%20%26%20!("] {
        let (status, page) = list(&shop, &format!("q={odd}")).await;
        assert_eq!(status, 200, "{odd}: {page}");
        let mugs = odd.starts_with("mug");
        assert_eq!(page["items"].as_array().unwrap().is_empty(), !mugs, "{odd}: {page}");
    }
    let (status, _) = list(&shop, "category=%27%20OR%20true--").await;
    assert_eq!(status, 200);
}
