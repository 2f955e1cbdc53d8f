//! What other services tell of products, and how shoppers find by it.

use std::collections::HashSet;

use contracts::events::{ReviewPosted, StockAvailable, StockDepleted};
use contracts::{EventId, ProductId, ReviewId, Sku, StockId, UserId};
use kit::testing::{Running, eventually};
use serde_json::{Value, json};

use crate::facets::facets;
use crate::search::{list, names};
use crate::{add, answer, id, path, show, start};

/// Ratings of a product, told by the reviews.
fn rated(product: &Value, ratings: &[u64], version: Option<i64>) -> ReviewPosted {
    ReviewPosted {
        product_id: id(product),
        review_id: ReviewId::new(),
        count: ratings.len().try_into().unwrap(),
        sum: ratings.iter().sum(),
        version,
    }
}

async fn took_effect(shop: &Running, event: EventId) {
    eventually("the event has taken effect", async || {
        let noted = "SELECT count(*) FROM inbox WHERE event_id = $1";
        let noted = sqlx::query_scalar(noted).bind(event.uuid()).fetch_one(shop.pool()).await;
        (noted.unwrap_or(0_i64) == 1).then_some(())
    })
    .await;
}

async fn rate(shop: &Running, product: &Value, ratings: &[u64], version: Option<i64>) {
    took_effect(shop, shop.publish(&rated(product, ratings, version)).await).await;
}

fn own(product: &Value) -> Sku {
    product["sku"].as_str().unwrap().parse().unwrap()
}

async fn stock(shop: &Running, product_id: ProductId, sku: Sku, stock_id: StockId, available: i64) {
    let event = if available > 0 {
        shop.publish(&StockAvailable { stock_id, sku, product_id, available, restocked: None })
            .await
    } else {
        shop.publish(&StockDepleted { stock_id, sku, product_id }).await
    };
    took_effect(shop, event).await;
}

#[tokio::test]
async fn shoppers_find_by_rating() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let mut products = Vec::new();
    for name in ["A", "B", "C", "D"] {
        products.push(add(&shop, seller, json!({"name": name})).await);
    }
    let [a, b, c, _] = products.as_slice() else { unreachable!() };
    rate(&shop, a, &[5, 4], Some(2)).await;
    rate(&shop, b, &[3, 4, 5], Some(3)).await;
    rate(&shop, c, &[1], Some(1)).await;
    assert_eq!(show(&shop, a).await.1, *a, "no other version");
    for (query, expected) in [
        ("", &["A", "B", "C", "D"][..]),
        ("rating_min=1", &["A", "B", "C"]),
        ("rating_min=4", &["A", "B"]),
        ("rating_min=4.5", &["A"]),
        ("rating_min=5", &[]),
        ("rating_min=2&q=b", &["B"]),
    ] {
        assert_eq!(names(&shop, &format!("sort=name&{query}")).await, expected, "{query}");
    }
    assert_eq!(names(&shop, "sort=rating").await, ["A", "B", "C", "D"], "the unrated last");

    let counts = facets(&shop, "rating_min=4.2").await;
    assert_eq!(counts["total"], 1);
    let expected = json!([{"min": 4, "count": 2}, {"min": 3, "count": 2}, {"min": 2, "count": 2}, {"min": 1, "count": 3}]);
    assert_eq!(counts["ratings"], expected, "their own filter is ignored");
    assert_eq!(counts["categories"][0]["count"], 1, "others' is not");
    assert_eq!(counts["prices"][0]["count"], 1);
    for rating in counts["ratings"].as_array().unwrap() {
        let query = format!("rating_min={}", rating["min"]);
        assert_eq!(names(&shop, &query).await.len() as u64, rating["count"], "{query}");
    }
}

#[tokio::test]
async fn of_two_news_about_ratings_the_newer_is_true_whichever_comes_last() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    let is = async |least: &str, found: usize| {
        let query = format!("rating_min={least}");
        assert_eq!(names(&shop, &query).await.len(), found, "{query}");
    };
    // From the release before: in their order.
    rate(&shop, &product, &[5], None).await;
    rate(&shop, &product, &[5, 2], None).await;
    is("3.5", 1).await;
    is("3.6", 0).await;
    rate(&shop, &product, &[5, 2, 5], Some(7)).await;
    is("4", 1).await;
    // A dead letter that comes back.
    rate(&shop, &product, &[1], Some(6)).await;
    is("4", 1).await;
    let news = rated(&product, &[5, 2, 1], Some(8));
    let event = shop.publish(&news).await;
    shop.publish_as(event, &news).await;
    took_effect(&shop, event).await;
    is("3", 0).await;
    // The last review is gone.
    rate(&shop, &product, &[], Some(9)).await;
    is("1", 0).await;
    assert_eq!(names(&shop, "").await.len(), 1);
    // About a product that is not here any more.
    let gone = json!({"id": ProductId::new()});
    rate(&shop, &gone, &[5], Some(1)).await;
}

#[tokio::test]
async fn shoppers_find_what_is_in_stock() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let variant = format!("V-{}", ProductId::new().uuid().simple()).to_uppercase();
    let kind = json!({"sku": variant, "name": "red", "price": {"amount": 1, "currency": "EUR"}});
    let plain = add(&shop, seller, json!({"name": "Plain"})).await;
    let dyed = add(&shop, seller, json!({"name": "Dyed", "variants": [kind]})).await;
    let in_stock = async || names(&shop, "sort=name&in_stock=true").await;
    assert!(in_stock().await.is_empty(), "nobody has told of units");
    assert_eq!(names(&shop, "in_stock=false").await.len(), 2, "everything");

    let (one, other) = (StockId::new(), StockId::new());
    let red: Sku = variant.parse().unwrap();
    stock(&shop, id(&plain), own(&plain), one, 4).await;
    assert_eq!(in_stock().await, ["Plain"]);
    stock(&shop, id(&dyed), red.clone(), other, 1).await;
    assert_eq!(in_stock().await, ["Dyed", "Plain"], "a variant will do");
    let counts = facets(&shop, "in_stock=true&q=dyed").await;
    assert_eq!((&counts["total"], &counts["in_stock"]), (&json!(1), &json!(1)));
    stock(&shop, id(&plain), own(&plain), one, 0).await;
    assert_eq!(in_stock().await, ["Dyed"]);
    let counts = facets(&shop, "").await;
    assert_eq!((&counts["total"], &counts["in_stock"]), (&json!(2), &json!(1)));

    // Whoever takes the variant away, or brings it back, takes its units along.
    let part = format!("{}/variants", path(&dyed));
    let update = |method: &str, path: &str, version: &Value| {
        shop.request_as(seller, &[kit::auth::Role::Seller], method, path)
            .header("If-Match", format!("\"{version}\""))
    };
    let remove = update("DELETE", &format!("{part}/{red}"), &dyed["version"]);
    let (_, bare) = answer(remove).await;
    assert!(in_stock().await.is_empty());
    let (status, _) = answer(update("POST", &part, &bare["version"]).json(&kind)).await;
    assert_eq!(status, 201);
    assert_eq!(in_stock().await, ["Dyed"]);
    stock(&shop, id(&dyed), red, other, 0).await;
    assert!(in_stock().await.is_empty());
}

#[tokio::test]
async fn units_that_come_before_their_variant_are_known() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    let sku = format!("V-{}", ProductId::new().uuid().simple()).to_uppercase();
    stock(&shop, id(&product), sku.parse().unwrap(), StockId::new(), 1).await;
    assert!(names(&shop, "in_stock=true").await.is_empty());
    let kind = json!({"sku": sku, "name": "red", "price": {"amount": 1, "currency": "EUR"}});
    let request = shop.request_as(
        seller,
        &[kit::auth::Role::Seller],
        "POST",
        &format!("{}/variants", path(&product)),
    );
    assert_eq!(answer(request.header("If-Match", "\"1\"").json(&kind)).await.0, 201);
    assert_eq!(names(&shop, "in_stock=true").await.len(), 1);
}

#[tokio::test]
async fn pages_by_rating_neither_repeat_nor_lose() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let mut known = HashSet::new();
    for index in 0..7_u64 {
        let product = add(&shop, seller, json!({})).await;
        // Thirds, which no float holds exactly, and equal ones on purpose.
        if index > 0 {
            rate(&shop, &product, &[5, 4, 1 + index % 3], Some(1)).await;
        }
        known.insert(product["id"].as_str().unwrap().to_owned());
    }
    let (mut seen, mut cursor) = (HashSet::new(), String::new());
    loop {
        let (status, page) = list(&shop, &format!("sort=rating&limit=2{cursor}")).await;
        assert_eq!(status, 200, "{page}");
        for item in page["items"].as_array().unwrap() {
            let id = item["id"].as_str().unwrap().to_owned();
            assert!(seen.insert(id), "{} came twice", item["id"]);
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, known);
}
