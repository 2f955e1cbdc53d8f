//! What a list can be narrowed to.

use contracts::UserId;
use kit::testing::Running;
use serde_json::{Value, json};

use crate::search::names;
use crate::{add, answer, patch, start};

pub(crate) async fn facets(shop: &Running, query: &str) -> Value {
    let path = format!("/api/v1/products/facets?{query}");
    let (status, facets) = answer(shop.request("GET", &path)).await;
    assert_eq!(status, 200, "{query}: {facets}");
    facets
}

/// The values of an attribute, with their counts.
fn values(facets: &Value, name: &str) -> Vec<(String, i64)> {
    let attributes = facets["attributes"].as_array().unwrap();
    let Some(attribute) = attributes.iter().find(|attribute| attribute["name"] == name) else {
        return Vec::new();
    };
    let values = attribute["values"].as_array().unwrap().iter();
    let count = |value: &Value| value["count"].as_i64().unwrap();
    values.map(|value| (value["value"].as_str().unwrap().to_owned(), count(value))).collect()
}

fn counted(values: &[(&str, i64)]) -> Vec<(String, i64)> {
    values.iter().map(|(value, count)| ((*value).to_owned(), *count)).collect()
}

/// Three mugs, one book, and a mug that is not on sale.
async fn small_shop() -> Running {
    let (shop, seller) = (start(&[]).await, UserId::new());
    for (name, category, amount, attributes) in [
        ("Red Mug", "mugs", 990, json!({"colour": "red", "brand": "Acme"})),
        ("Blue Mug", "mugs", 1990, json!({"colour": "blue", "brand": "Acme"})),
        ("Espresso Mug", "mugs", 2000, json!({"colour": "red", "brand": "Umbra"})),
        ("Cookbook", "books", 1000, json!({"colour": "red", "a:b": "c"})),
    ] {
        let price = json!({"amount": amount, "currency": "EUR"});
        let product =
            json!({"name": name, "category": category, "price": price, "attributes": attributes});
        add(&shop, seller, product).await;
    }
    let hidden = add(&shop, seller, json!({"name": "Mug", "attributes": {"colour": "red"}})).await;
    patch(&shop, seller, &hidden, json!({"on_sale": false})).await;
    shop
}

#[tokio::test]
async fn each_facet_counts_what_another_choice_would_give() {
    let shop = small_shop().await;
    let all = facets(&shop, "").await;
    assert_eq!(
        all,
        json!({
            "total": 4,
            "categories": [
                {"slug": "mugs", "name": "mugs", "count": 3},
                {"slug": "things", "name": "things", "count": 3},
                {"slug": "books", "name": "books", "count": 1},
            ],
            "prices": [
                {"min": 500, "max": 999, "count": 1},
                {"min": 1000, "max": 1999, "count": 2},
                {"min": 2000, "max": 4999, "count": 1},
            ],
            "ratings": [],
            "in_stock": 0,
            "attributes": [
                {"name": "brand", "values": [
                    {"value": "Acme", "count": 2}, {"value": "Umbra", "count": 1}]},
                {"name": "colour", "values": [
                    {"value": "red", "count": 3}, {"value": "blue", "count": 1}]},
            ],
        })
    );

    let red = facets(&shop, "attribute=colour:red").await;
    assert_eq!(red["total"], 3);
    assert_eq!(values(&red, "colour"), counted(&[("red", 3), ("blue", 1)]), "its own is ignored");
    assert_eq!(values(&red, "brand"), counted(&[("Acme", 1), ("Umbra", 1)]), "others count");
    assert_eq!(red["categories"][0], json!({"slug": "mugs", "name": "mugs", "count": 2}));

    let both = facets(&shop, "attribute=colour:blue&attribute=brand:Umbra").await;
    assert_eq!(both["total"], 0);
    assert_eq!(values(&both, "colour"), counted(&[("red", 1)]));
    assert_eq!(values(&both, "brand"), counted(&[("Acme", 1)]));
    assert_eq!((&both["categories"], &both["prices"]), (&json!([]), &json!([])));

    let mugs = facets(&shop, "category=things&price_min=1000&price_max=1999").await;
    assert_eq!(mugs["total"], 1);
    let slugs: Vec<_> =
        mugs["categories"].as_array().unwrap().iter().map(|category| &category["slug"]).collect();
    assert_eq!(slugs, ["books", "mugs", "things"], "the category is ignored, the price is not");
    assert_eq!(mugs["prices"].as_array().unwrap().len(), 3, "the other way round");
    assert_eq!(values(&mugs, "colour"), counted(&[("blue", 1)]), "both count");
}

#[tokio::test]
async fn counts_are_what_the_list_then_shows() {
    let shop = small_shop().await;
    for filter in
        ["", "q=mug", "q=mgu", "q=espreso", "category=things", "attribute=brand:Acme&q=mug"]
    {
        let facets = facets(&shop, filter).await;
        let total = facets["total"].as_u64().unwrap();
        assert_eq!(names(&shop, filter).await.len() as u64, total, "{filter}");
        for range in facets["prices"].as_array().unwrap() {
            let query = format!("{filter}&price_min={}&price_max={}", range["min"], range["max"]);
            assert_eq!(names(&shop, &query).await.len() as u64, range["count"], "{query}");
        }
        if !filter.contains("category") {
            for category in facets["categories"].as_array().unwrap() {
                let query = format!("{filter}&category={}", category["slug"].as_str().unwrap());
                assert_eq!(names(&shop, &query).await.len() as u64, category["count"], "{query}");
            }
        }
        for (value, count) in values(&facets, "colour") {
            let query = format!("{filter}&attribute=colour:{value}");
            let count = usize::try_from(count).unwrap();
            assert_eq!(names(&shop, &query).await.len(), count, "{query}");
        }
    }
}

#[tokio::test]
async fn there_are_limits_and_what_is_chosen_is_shown_beyond_them() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    for index in 0..25 {
        let mut attributes = json!({"brand": format!("Brand {index:02}")});
        for name in 0..14 {
            // The later its letter, the rarer the attribute.
            if index >= name {
                attributes[format!("name {name:02}")] = json!("x");
            }
        }
        add(&shop, seller, json!({"attributes": attributes})).await;
    }
    let names_of = |facets: &Value| -> Vec<String> {
        let attributes = facets["attributes"].as_array().unwrap().iter();
        attributes.map(|attribute| attribute["name"].as_str().unwrap().to_owned()).collect()
    };
    let all = facets(&shop, "").await;
    let mut expected = vec!["brand".to_owned()];
    expected.extend((0..9).map(|name| format!("name {name:02}")));
    assert_eq!(names_of(&all), expected);
    assert_eq!(values(&all, "brand").len(), 20);

    let chosen = facets(&shop, "attribute=name+13:x&attribute=brand:Brand+24").await;
    assert_eq!(names_of(&chosen)[..2], ["brand", "name 13"]);
    let none = counted(&[("x", 1)]);
    assert_eq!(values(&chosen, "name 13"), none);
    let all_brands = facets(&shop, "attribute=brand:Brand+24").await;
    let brands = values(&all_brands, "brand");
    assert_eq!(brands.len(), 21);
    assert_eq!(brands[20], ("Brand 24".to_owned(), 1));
}

#[tokio::test]
async fn bad_filters_are_refused_and_odd_ones_harmless() {
    let shop = small_shop().await;
    for bad in [
        "limit=10",
        "sort=price",
        "cursor=x",
        "colour=red",
        "price_min=1.5",
        "price_max=99999999999999999999",
        "q=%00",
        &format!("q={}", "x".repeat(201)),
    ] {
        let path = format!("/api/v1/products/facets?{bad}");
        let (status, problem) = answer(shop.request("GET", &path)).await;
        assert_eq!(status, 400, "{bad}: {problem}");
        assert_eq!(problem["type"], "/problems/malformed-request", "{bad}");
    }
    for odd in [
        "q=%25",
        "q=_",
        "q=%27%20OR%20%271%27=%271",
        "category=%27%20OR%20true--",
        "category=nothing",
        "price_min=9223372036854775807",
        "price_min=5&price_max=4",
        "attribute=%27%7B:%22%5C",
    ] {
        assert_eq!(facets(&shop, odd).await["total"], 0, "{odd}");
    }
    let negative = "price_min=-9223372036854775808&price_max=9223372036854775807";
    assert_eq!(facets(&shop, negative).await["total"], 4);
    assert_eq!(facets(&shop, "q=+").await["total"], 4, "no words, no filter");
}
