//! Filters by attribute.

use contracts::UserId;
use serde_json::json;

use crate::search::{list, names};
use crate::{add, start};

#[tokio::test]
async fn of_one_attribute_any_value_will_do_and_of_several_all_must_fit() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    for (name, attributes) in [
        ("A", json!({"colour": "red", "brand": "Acme"})),
        ("B", json!({"colour": "blue", "brand": "Acme"})),
        ("C", json!({"colour": "green", "brand": "Umbra"})),
        ("D", json!({"brand": "Acme", "wall thickness": "4:5 \"mm\" \\ %_"})),
        ("E", json!({})),
    ] {
        add(&shop, seller, json!({"name": name, "attributes": attributes})).await;
    }
    for (query, expected) in [
        ("attribute=colour:red", &["A"][..]),
        ("attribute=colour:red&attribute=colour:blue", &["A", "B"]),
        ("attribute=colour:red&attribute=colour:red", &["A"]),
        ("attribute=brand:Acme", &["A", "B", "D"]),
        ("attribute=colour:blue&attribute=brand:Acme&attribute=colour:green", &["B"]),
        ("attribute=colour:green&attribute=brand:Acme", &[]),
        ("attribute=colour:Red", &[]),
        ("attribute=nothing:red", &[]),
        ("attribute=brand:Ac%25", &[]),
        ("attribute=wall%20thickness:4:5+%22mm%22+%5C+%25_", &["D"]),
        ("attribute=brand:Acme&category=mugs&price_max=990&q=b", &["B"]),
        ("attribute=brand:%22%20||%20$.brand%20==%20%22Acme", &[]),
        ("attribute=b%22%20==%20%22x%22%20||%20true:y", &[]),
        ("attribute=%F0%9F%98%80:%07", &[]),
    ] {
        assert_eq!(names(&shop, &format!("sort=name&{query}")).await, expected, "{query}");
    }
    let (_, page) = list(&shop, "sort=name&limit=1&attribute=brand:Acme").await;
    let next = page["next_cursor"].as_str().unwrap();
    let rest = names(&shop, &format!("sort=name&attribute=brand:Acme&cursor={next}")).await;
    assert_eq!(rest, ["B", "D"]);
}

#[tokio::test]
async fn filters_that_cannot_be_read_are_refused() {
    let shop = start(&[]).await;
    let many = |count: usize, each: fn(usize) -> String| {
        (0..count).map(|index| format!("attribute={}", each(index))).collect::<Vec<_>>().join("&")
    };
    for path in ["", "/facets"] {
        for bad in [
            "attribute=colour",
            "attribute=",
            "attribute=:red",
            "attribute=colour:",
            "attribute=colour:%00",
            "attribute",
            "attributes=colour:red",
            "category=mugs&category=books",
            &many(11, |index| format!("a{index}:x")),
            &many(21, |index| format!("a:{index}")),
        ] {
            let path = format!("/api/v1/products{path}?{bad}");
            let (status, problem) = crate::answer(shop.request("GET", &path)).await;
            assert_eq!(status, 400, "{bad}: {problem}");
            assert_eq!(problem["type"], "/problems/malformed-request", "{bad}");
        }
        for good in
            [&many(10, |index| format!("a{index}:x")), &many(20, |index| format!("a:{index}"))]
        {
            let path = format!("/api/v1/products{path}?{good}");
            assert_eq!(crate::answer(shop.request("GET", &path)).await.0, 200);
        }
    }
}
