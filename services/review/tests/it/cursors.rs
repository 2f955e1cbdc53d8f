//! Cursors and queries that were never issued: refused, and never an error of ours.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::{ProductId, UserId};
use kit::auth::Role;
use serde_json::json;

use crate::orders::Orders;
use crate::{answer, of_product, path, post, start};

#[tokio::test]
async fn forged_cursors_and_queries_are_refused() {
    let shop = start(&Orders::delivered().await).await;
    let product = ProductId::new();
    let review = post(&shop, UserId::new(), product, 5).await;
    let lists =
        [of_product(product), "/api/v1/reviews/reported".to_owned(), path(&review) + "/reports"];
    for list in lists {
        let get = async |query: &str| {
            let path = format!("{list}?{query}");
            answer(shop.request_as(UserId::new(), &[Role::Admin], "GET", &path)).await
        };
        for key in
            [r#""\u0000""#, r#""018f0000""#, "9223372036854775808", "null", "[]", "{}", "\u{0}"]
        {
            let query = format!("cursor={}", URL_SAFE_NO_PAD.encode(key));
            let (status, problem) = get(&query).await;
            assert_eq!(status, 400, "{list} {key}: {problem}");
        }
        for query in
            ["cursor=%00", "limit=99999999999999999999", "page=4294967296", "page=1%00", "x=1"]
        {
            let (status, problem) = get(query).await;
            assert_eq!(status, 400, "{list} {query}: {problem}");
        }
        let zero = URL_SAFE_NO_PAD.encode(r#""00000000-0000-0000-0000-000000000000""#);
        let (status, page) = get(&format!("cursor={zero}")).await;
        assert_eq!((status.as_u16(), &page["items"]), (200, &json!([])), "{list}");
    }
}
