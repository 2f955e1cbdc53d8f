//! Lists of reviews.

use contracts::{ProductId, UserId};
use serde_json::json;

use crate::orders::Orders;
use crate::{answer, of_product, post, start};

#[tokio::test]
async fn the_latest_come_first_and_pages_do_not_repeat() {
    let shop = start(&Orders::delivered().await).await;
    let product = ProductId::new();
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.insert(0, post(&shop, UserId::new(), product, 3).await);
    }
    post(&shop, UserId::new(), ProductId::new(), 1).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("{}?limit=2{cursor}", of_product(product));
        let (status, page) = answer(shop.request("GET", &path)).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
        post(&shop, UserId::new(), product, 5).await;
    }
    assert_eq!(seen, expected);
    let second = format!("{}?limit=4&page=2", of_product(product));
    let (_, page) = answer(shop.request("GET", &second)).await;
    assert_eq!(page["items"], json!(expected[2..]), "two have come meanwhile");
}

#[tokio::test]
async fn bad_queries_are_refused() {
    let shop = start(&Orders::delivered().await).await;
    for bad in ["limit=1000000000", "limit=0", "page=0", "cursor=x", "sort=rating", "page=-1"] {
        let path = format!("{}?{bad}", of_product(ProductId::new()));
        let (status, problem) = answer(shop.request("GET", &path)).await;
        assert_eq!(status, 400, "{bad}: {problem}");
    }
    for nothing in ["/api/v1/products/mug/reviews", "/api/v1/reviews/mug", "/api/v1/reviews/%00"] {
        assert_eq!(answer(shop.request("GET", nothing)).await.0, 404, "{nothing}");
    }
}
