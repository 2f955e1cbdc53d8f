//! The demo's data.

use catalog::Catalog;
use contracts::demo;
use contracts::events::ProductCreated;
use kit::testing::Running;

use crate::answer;

#[tokio::test]
async fn sown_twice_there_are_120_products() {
    let shop = Running::start::<Catalog>(&[("CURRENCY", "USD")]).await;
    for _ in 0..2 {
        shop.seed::<Catalog>().await.unwrap();
    }
    for (count, what) in [
        (120_i64, "products"),
        (12, "categories"),
        (120, "outbox WHERE type = 'io.shop-operator.product.created.v1'"),
        (120, "products WHERE in_stock"),
        (6, "products WHERE jsonb_array_length(variants) = 2"),
        (132, "skus"),
    ] {
        let query = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {what}"));
        let counted: i64 = sqlx::query_scalar(query).fetch_one(shop.pool()).await.unwrap();
        assert_eq!(counted, count, "{what}");
    }
    let last = demo::products().pop().unwrap();
    let (_, page) = answer(shop.request("GET", &format!("/api/v1/products?q={}", last.sku))).await;
    let shown = &page["items"][0];
    assert_eq!(shown["id"], last.id.to_string());
    assert_eq!(shown["price"]["amount"], last.price);
    assert_eq!(shown["price"]["currency"], "USD");
    assert_eq!(shown["seller_id"], demo::seller_id().to_string());
    let event: ProductCreated = shop.published(last.id.uuid()).await;
    assert_eq!(event.name, last.name);
}
