//! Words are found in all their forms, in the language of the shop.

use catalog::Catalog;
use contracts::UserId;
use kit::testing::{Running, eventually};
use serde_json::json;

use crate::folding::url_encoded;
use crate::search::names;
use crate::{add, show, start};

async fn found(shop: &Running, words: &str, expected: &[&str]) {
    let query = format!("sort=name&q={}", url_encoded(words));
    eventually(&format!("{words} finds {expected:?}"), async || {
        (names(shop, &query).await == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn words_are_found_in_the_forms_of_the_shops_language() {
    let (shop, seller) = (start(&[("SEARCH_LANGUAGE", "german")]).await, UserId::new());
    for (name, description) in [("Haus am See", "Aus Holz"), ("Tische", "Groß")] {
        add(&shop, seller, json!({"name": name, "description": description})).await;
    }
    for (words, expected) in [
        ("Häuser", &["Haus am See"][..]),
        ("tisch", &["Tische"]),
        ("die Häuser", &["Haus am See"]),
        ("Häuser für alle", &["Haus am See"]),
        ("grosser tisch", &["Tische"]),
    ] {
        found(&shop, words, expected).await;
    }
}

async fn insert(shop: &Running, name: &str, count: i32) {
    sqlx::query(
        "INSERT INTO products (id, sku, name, description, price, currency, attributes, category, seller_id, on_sale)
         SELECT gen_random_uuid(), upper(left(md5(random()::text), 16)), $1, '', 1, 'EUR', '{}', 'mugs', gen_random_uuid(), true
         FROM generate_series(1, $2) n",
    )
    .bind(name)
    .bind(count)
    .execute(shop.pool())
    .await
    .unwrap();
}

#[tokio::test]
async fn after_a_change_of_language_products_are_indexed_again() {
    let (mut shop, seller) = (start(&[]).await, UserId::new());
    let shoes = add(&shop, seller, json!({"name": "Running shoes", "description": "Häuser"})).await;
    insert(&shop, "Mug", 120).await;
    found(&shop, "run", &["Running shoes"]).await;
    found(&shop, "Haus", &[]).await;
    shop.restart::<Catalog>(&[("SEARCH_LANGUAGE", "german")]).await;
    found(&shop, "Haus", &["Running shoes"]).await;
    found(&shop, "run", &[]).await;
    let left = "SELECT count(*) FROM products WHERE search_language <> 'german'";
    eventually("all products are indexed", async || {
        let left: i64 = sqlx::query_scalar(left).fetch_one(shop.pool()).await.unwrap();
        (left == 0).then_some(())
    })
    .await;
    assert_eq!(show(&shop, &shoes).await.1, shoes, "a product does not change");
    // As a program writes that knows of no languages.
    insert(&shop, "Bäume", 1).await;
    found(&shop, "Baum", &["Bäume"]).await;
    shop.restart::<Catalog>(&[("SEARCH_LANGUAGE", "english")]).await;
    found(&shop, "run", &["Running shoes"]).await;
}

/// The table of languages is that of the server.
#[tokio::test]
async fn postgres_has_all_languages() {
    let shop = start(&[]).await;
    for language in contracts::search::LANGUAGES {
        let mut connection = shop.pool().acquire().await.unwrap();
        catalog::db::set_search_language(&mut connection, language).await.unwrap();
        let set: String = sqlx::query_scalar("SELECT search_configuration()::text")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        assert_eq!(set, language);
    }
}
