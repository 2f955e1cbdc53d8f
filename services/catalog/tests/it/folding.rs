//! Words are found however they are spelt: accents, umlauts, scripts without spaces.

use std::fmt::Write;

use catalog::Catalog;
use contracts::UserId;
use kit::{Service, postgres};
use serde_json::json;

use crate::search::names;
use crate::{add, start};

#[tokio::test]
async fn searches_find_other_ways_to_write_a_word() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    for (name, description) in [
        ("Crème brûlée", "Dessert"),
        ("Schöne Größe", "Eine Hülle für alle"),
        ("Groesse Zwei", "Huelle"),
        ("日本の小説集", "文庫"),
        ("iPhoneケース", "黒"),
        ("한국어 책", "소설"),
        ("Smørrebrød", "Łódź"),
    ] {
        add(&shop, seller, json!({"name": name, "description": description})).await;
    }
    for (q, expected) in [
        ("brulee", &["Crème brûlée"][..]),
        ("BRULEE creme", &["Crème brûlée"]),
        ("Brûlée", &["Crème brûlée"]),
        ("bru\u{302}le\u{301}e", &["Crème brûlée"]),
        ("groesse", &["Groesse Zwei", "Schöne Größe"]),
        ("größe", &["Groesse Zwei", "Schöne Größe"]),
        ("grosse", &["Schöne Größe"]),
        ("Huelle", &["Groesse Zwei", "Schöne Größe"]),
        ("hülle", &["Groesse Zwei", "Schöne Größe"]),
        ("schöne -hülle", &[]),
        ("\"schoene groesse\"", &["Schöne Größe"]),
        ("小説", &["日本の小説集"]),
        ("日本の小説", &["日本の小説集"]),
        ("小説本", &[]),
        ("文庫", &["日本の小説集"]),
        ("iphone", &["iPhoneケース"]),
        ("iPhoneケース", &["iPhoneケース"]),
        ("한국", &["한국어 책"]),
        ("smorrebrod", &["Smørrebrød"]),
        ("lodz", &["Smørrebrød"]),
        ("dessert", &["Crème brûlée"]),
    ] {
        let query: String = url_encoded(q);
        assert_eq!(names(&shop, &format!("sort=name&q={query}")).await, expected, "{q}");
    }
}

/// An umlaut and a slip of the finger together.
#[tokio::test]
async fn misspelt_words_with_umlauts_are_found_among_others() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    add(&shop, seller, json!({"name": "Grüne Schutzhülle"})).await;
    for q in ["grüne schutzhüle", "gruene Schutzhülle", "schutzhüle"] {
        let query = url_encoded(q);
        assert_eq!(names(&shop, &format!("q={query}")).await, ["Grüne Schutzhülle"], "{q}");
    }
}

#[tokio::test]
async fn products_of_before_are_found_too() {
    let shop = start(&[]).await;
    let migrator = Catalog::migrator().unwrap();
    let version = |name: &str| {
        let step = migrator.iter().position(|step| step.description == name);
        step.unwrap_or_else(|| panic!("no migration {name}"))
    };
    let ups = migrator.iter().skip(version("folded search"));
    let later = ups.filter(|step| step.migration_type.is_up_migration()).count();
    postgres::migrate_down(shop.pool(), migrator, later).await.unwrap();
    sqlx::query(
        "INSERT INTO products (id, sku, name, description, price, currency, attributes, category, seller_id, on_sale)
         VALUES (gen_random_uuid(), 'OLD', 'Hülle', '', 1, 'EUR', '{}', 'mugs', gen_random_uuid(), true)",
    )
    .execute(shop.pool())
    .await
    .unwrap();
    postgres::migrate_up(shop.pool(), migrator).await.unwrap();
    assert_eq!(names(&shop, "q=huelle").await, ["Hülle"]);
}

pub(crate) fn url_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        write!(encoded, "%{byte:02X}").unwrap();
        encoded
    })
}
