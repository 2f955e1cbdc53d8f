//! What shoppers find although they have misspelt it.

use std::collections::HashSet;

use catalog::Catalog;
use contracts::UserId;
use kit::testing::{Running, waiting};
use kit::{Service, postgres};
use serde_json::json;

use crate::search::{list, names};
use crate::{add, patch, start};

/// A shop with a product of each of these names.
async fn shop_of(products: &[&str]) -> (Running, UserId) {
    let (shop, seller) = (start(&[]).await, UserId::new());
    for name in products {
        add(&shop, seller, json!({"name": name})).await;
    }
    (shop, seller)
}

#[tokio::test]
async fn misspelt_words_find_what_was_meant() {
    let products = ["Studio Headphones", "Coffee Mug", "Rocking Chair", "Éclair", "Travel Mug"];
    let (shop, seller) = shop_of(&products).await;
    add(&shop, seller, json!({"name": "Poster", "attributes": {"brand": "Gutenberg"}})).await;
    for (typed, meant) in [
        ("headfones", "Studio Headphones"),
        ("Headfone", "Studio Headphones"),
        ("studio+hedphones", "Studio Headphones"),
        ("coffe+mug", "Coffee Mug"),
        ("cofee+or+nothing", "Coffee Mug"),
        ("coffe+-travel", "Coffee Mug"),
        ("chiar", "Rocking Chair"),
        ("rokcing+chiar", "Rocking Chair"),
        ("eclair", "Éclair"),
        ("gutenburg", "Poster"),
        ("COFFEE+mug", "Coffee Mug"),
    ] {
        assert_eq!(names(&shop, &format!("q={typed}")).await, [meant], "{typed}");
    }
    assert_eq!(names(&shop, "q=coffe&sort=price&category=things").await, ["Coffee Mug"]);
    assert!(names(&shop, "q=coffe&category=books").await.is_empty(), "filters count");
}

#[tokio::test]
async fn what_fits_as_it_was_typed_comes_first() {
    let shop_of = shop_of(&["Headphones", "Stand for Headphones", "Headfones"]).await;
    let (shop, seller) = shop_of;
    let described = json!({"name": "Poster", "description": "Shows a pair of headfones."});
    add(&shop, seller, described).await;
    let found = names(&shop, "q=headfones").await;
    assert_eq!(found[..2], ["Headfones", "Poster"], "a slip of the seller's is no slip");
    let others: HashSet<_> = found[2..].iter().map(String::as_str).collect();
    assert_eq!(others, HashSet::from(["Headphones", "Stand for Headphones"]));
    let by_name = ["Headfones", "Headphones", "Poster", "Stand for Headphones"];
    assert_eq!(names(&shop, "q=headfones&sort=name").await, by_name);
}

#[tokio::test]
async fn short_known_quoted_and_excluded_words_have_no_false_friends() {
    let (shop, seller) = shop_of(&["Jug", "Boots", "Pens", "Chain", "Lamp", "House"]).await;
    for typed in
        ["mug", "books", "pans", "lamb", "tug", "%22chian%22", "mouse", "xyzzyx", "LAMPX-1"]
    {
        assert!(names(&shop, &format!("q={typed}")).await.is_empty(), "{typed}");
    }
    assert_eq!(names(&shop, "q=house+-hause").await, ["House"]);
    assert_eq!(names(&shop, "q=chair").await, ["Chain"], "there is nothing else");
    let chair = add(&shop, seller, json!({"name": "Chair"})).await;
    assert_eq!(names(&shop, "q=chair").await, ["Chair"], "a word that finds something is meant");
    patch(&shop, seller, &chair, json!({"on_sale": false})).await;
    assert_eq!(names(&shop, "q=chair").await, ["Chain"], "what is off sale finds nothing");
}

#[tokio::test]
async fn pages_keep_to_what_the_first_took_the_words_for() {
    let (shop, seller) = shop_of(&[]).await;
    let mut known = HashSet::new();
    for index in 0..7 {
        let name = if index == 3 { "Blanckets" } else { ["Blanket", "Wool Blanket"][index % 2] };
        let price = json!({"amount": 100 + index / 3, "currency": "EUR"});
        let product = add(&shop, seller, json!({"name": name, "price": price})).await;
        known.insert(product["id"].as_str().unwrap().to_owned());
    }
    for sort in ["relevance", "newest", "price", "-price", "name"] {
        let (mut seen, mut cursor) = (HashSet::new(), String::new());
        loop {
            let query = format!("q=blanckets&sort={sort}&limit=2{cursor}");
            let (status, page) = list(&shop, &query).await;
            assert_eq!(status, 200, "{page}");
            for item in page["items"].as_array().unwrap() {
                let id = item["id"].as_str().unwrap().to_owned();
                assert!(seen.insert(id), "{sort}: {} came twice", item["name"]);
            }
            let Some(next) = page["next_cursor"].as_str() else { break };
            // Another way to spell it, which would change every rank.
            if cursor.is_empty() {
                add(&shop, seller, json!({"name": format!("Blanckety {sort}")})).await;
            }
            cursor = format!("&cursor={next}");
        }
        assert!(seen.is_superset(&known), "{sort}: something was lost");
    }
}

#[tokio::test]
async fn odd_searches_are_harmless() {
    let (shop, _) = shop_of(&["Coffee Mug"]).await;
    let long = format!("coffe{}", "+coffe".repeat(32));
    let many = ('a'..='z').map(|letter| format!("{letter}offe")).collect::<Vec<_>>().join("+");
    for odd in [
        "%25offe%25",
        "_offe_",
        "coffe%25",
        "coffe%27%29%3B--",
        "coffe+%26+%21+mug",
        "%5Ccoffe",
        "with+there",
        "-coffe",
        "coffe+%22",
        "or+or+coffe",
        "%F0%9F%98%80%F0%9F%98%80coffe",
        &long,
        &many,
        "%EF%BF%BDcoffe",
        "%ED%A0%80coffe",
    ] {
        let (status, page) = list(&shop, &format!("q={odd}")).await;
        assert_eq!(status, 200, "{odd}: {page}");
    }
    let longest = "x".repeat(200);
    assert!(names(&shop, &format!("q={longest}")).await.is_empty());
    for bad in [format!("q={longest}x"), "q=coffe%00".to_owned()] {
        assert_eq!(list(&shop, &bad).await.0, 400, "{bad}");
    }
    // {"sort":"newest","id":…,"respelt":{"coffe":["a | b"]}}, as nobody but a forger writes it.
    let forged = "eyJzb3J0IjoibmV3ZXN0IiwiaWQiOiIwMTkwYjBhMC0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDEiLCJjcmVhdGVkX2F0IjoiMjAyNi0wMS0wMVQwMDowMDowMFoiLCJwcmljZSI6MSwibmFtZSI6IiIsInJhbmsiOjAuMCwicmVzcGVsdCI6eyJjb2ZmZSI6WyJhIHwgYiJdfX0";
    let (status, problem) = list(&shop, &format!("q=coffe&sort=newest&cursor={forged}")).await;
    assert_eq!((status.as_u16(), &problem["type"]), (400, &json!("/problems/malformed-request")));
    assert!(problem["detail"].as_str().unwrap().contains("not one of ours"), "{problem}");
}

#[tokio::test]
async fn sellers_who_bring_the_same_words_do_not_wait_for_each_other_in_circles() {
    let (shop, seller) = shop_of(&[]).await;
    let (shop, words) = (&shop, ["alpha", "bravo", "delta", "gamma", "kappa", "omega"]);
    // Somebody else is about to learn one of the words, so that all are on their way at once.
    let mut other = shop.pool().begin().await.unwrap();
    sqlx::query("INSERT INTO words VALUES ('delta')").execute(&mut *other).await.unwrap();
    let sell = async |turn: usize| {
        let mut name = words;
        name.rotate_left(turn);
        add(shop, seller, json!({"name": name.join(" ")})).await
    };
    let let_go = async {
        waiting(shop.pool(), 6).await;
        other.rollback().await.unwrap();
    };
    tokio::join!(let_go, sell(0), sell(1), sell(2), sell(3), sell(4), sell(5));
    assert_eq!(names(shop, "q=omaga").await.len(), 6);
}

/// The operator gives a service a role that owns its database and may do nothing else.
#[tokio::test]
async fn the_owner_of_a_database_migrates_it_with_what_is_in_it() {
    let shop = start(&[]).await;
    let migrator = Catalog::migrator().unwrap();
    add(&shop, UserId::new(), json!({"name": "Headphones", "attributes": {"for": "Éclairs"}}))
        .await;
    let steps = migrator.iter().filter(|step| step.migration_type.is_up_migration()).count();
    postgres::migrate_down(shop.pool(), migrator, steps - 1).await.unwrap();
    let role = format!("owner_{}", UserId::new().uuid().simple());
    let mut connection = shop.pool().acquire().await.unwrap();
    for statement in [
        "DROP EXTENSION pg_trgm".to_owned(),
        format!("CREATE ROLE {role} NOSUPERUSER NOCREATEDB NOCREATEROLE"),
        format!("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO {role}', current_database()); END $$"),
        "DO $$ DECLARE name text; BEGIN FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP EXECUTE format('ALTER TABLE %I OWNER TO ".to_owned() + &role + "', name); END LOOP; END $$",
        format!("SET ROLE {role}"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *connection).await.unwrap();
    }
    migrator.run(&mut *connection).await.unwrap();
    let (superuser, words): (bool, Vec<String>) = sqlx::query_as(
        "SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
                (SELECT array_agg(word ORDER BY word) FROM words)",
    )
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    assert!(!superuser);
    assert_eq!(words, ["headphones", "éclairs"]);
    for statement in [
        "RESET ROLE".to_owned(),
        format!("REASSIGN OWNED BY {role} TO CURRENT_USER"),
        format!("DROP ROLE {role}"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *connection).await.unwrap();
    }
}
