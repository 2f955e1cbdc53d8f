//! Favourites that are there again, and those that are gone, through Kafka.

use contracts::events::{FavouriteAvailable, ProductDeleted, StockAvailable};
use contracts::{EventId, ProductId, Sku, StockId, UserId};
use kit::testing::{Running, eventually, refuse_large_statements, waiting};
use sqlx::PgPool;
use user::User;
use uuid::Uuid;

use crate::{register, start};

fn sku() -> Sku {
    "MUG".parse().unwrap()
}

fn again(product_id: ProductId) -> StockAvailable {
    StockAvailable {
        stock_id: StockId::new(),
        sku: sku(),
        product_id,
        available: 3,
        restocked: Some(true),
    }
}

/// So many accounts that keep a product; no letter is written to them.
async fn keepers(pool: &PgPool, product: ProductId, count: i32) -> Vec<Uuid> {
    let accounts = "WITH opened AS (
             INSERT INTO accounts (id, email, name, roles)
             SELECT gen_random_uuid(), gen_random_uuid() || '@example.com', 'Ada', '{customer}'
             FROM generate_series(1, $2) RETURNING id
         )
         INSERT INTO favourites (user_id, product_id) SELECT id, $1 FROM opened RETURNING user_id";
    let query = sqlx::query_scalar(accounts).bind(product.uuid()).bind(count);
    query.fetch_all(pool).await.unwrap()
}

/// Who has been told of this product, sorted, as often as they were.
async fn told(pool: &PgPool, product: ProductId) -> Vec<Uuid> {
    let told = "SELECT aggregate_id FROM outbox
                WHERE type = 'io.shop-operator.user.favourite_available.v1'
                  AND payload ->> 'product_id' = $1 ORDER BY aggregate_id";
    sqlx::query_scalar(told).bind(product.to_string()).fetch_all(pool).await.unwrap()
}

/// Waits until so many events have taken effect and nobody is to be told of anything any more.
async fn settled(service: &Running, events: i64) {
    let left = "SELECT (SELECT count(*) FROM inbox), (SELECT count(*) FROM notices)";
    eventually("everything is told", async || {
        let left: (i64, i64) = sqlx::query_as(left).fetch_one(service.pool()).await.ok()?;
        (left == (events, 0)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_who_keeps_what_is_there_again_is_told_once() {
    let service = start().await;
    let pool = service.pool();
    let (product, other) = (ProductId::new(), ProductId::new());
    // More than are told at once.
    let mut expected = keepers(pool, product, 450).await;
    expected.sort_unstable();
    keepers(pool, other, 3).await;
    let id = EventId::new();
    for _ in 0..2 {
        service.publish_as(id, &again(product)).await;
    }
    let first: FavouriteAvailable = service.published(expected[0]).await;
    assert_eq!((first.product_id, first.sku), (product, sku()));
    settled(&service, 1).await;
    assert_eq!(told(pool, product).await, expected);
    assert_eq!(told(pool, other).await, Vec::<Uuid>::new());

    // The next time it is there again is another event.
    service.publish(&again(product)).await;
    settled(&service, 2).await;
    assert_eq!(told(pool, product).await.len(), 900);
}

#[tokio::test(flavor = "multi_thread")]
async fn units_that_were_only_held_are_not_back_in_stock() {
    let service = start().await;
    let (held, unknown) = (ProductId::new(), ProductId::new());
    keepers(service.pool(), held, 3).await;
    let expected = keepers(service.pool(), unknown, 3).await.len();
    for _ in 0..10 {
        let released = StockAvailable { restocked: Some(false), ..again(held) };
        service.publish(&released).await;
    }
    // Inventories of the release before do not say which it is.
    service.publish(&StockAvailable { restocked: None, ..again(unknown) }).await;
    settled(&service, 11).await;
    assert_eq!(told(service.pool(), held).await, Vec::<Uuid>::new());
    assert_eq!(told(service.pool(), unknown).await.len(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_stopped_tells_the_rest_when_it_is_back() {
    let mut service = start().await;
    let product = ProductId::new();
    let mut expected = keepers(service.pool(), product, 1000).await;
    expected.sort_unstable();
    service.publish(&again(product)).await;
    let pool = service.pool().clone();
    eventually("some are told", async || (!told(&pool, product).await.is_empty()).then_some(()))
        .await;
    service.restart::<User>(&[]).await;
    settled(&service, 1).await;
    assert_eq!(told(&pool, product).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_blocked_is_not_told() {
    let service = start().await;
    let product = ProductId::new();
    let expected = keepers(service.pool(), product, 3).await;
    sqlx::query("UPDATE accounts SET blocked_at = now() WHERE id = $1")
        .bind(expected[0])
        .execute(service.pool())
        .await
        .unwrap();
    service.publish(&again(product)).await;
    settled(&service, 1).await;
    let told = told(service.pool(), product).await;
    assert_eq!(told.len(), 2);
    assert!(!told.contains(&expected[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_is_gone_is_nobodys_favourite() {
    let service = start().await;
    let (gone, stays) = (ProductId::new(), ProductId::new());
    let account = register(&service, "ada@example.com").await;
    let ada: UserId = account["id"].as_str().unwrap().parse().unwrap();
    for product in [gone, stays] {
        let path = format!("/api/v1/me/favourites/{product}");
        let put = service.request_as(ada, &[], "PUT", &path).send().await.unwrap();
        assert_eq!(put.status(), 204);
    }
    keepers(service.pool(), gone, 5).await;
    service.publish(&ProductDeleted { product_id: gone, skus: vec![sku()] }).await;
    settled(&service, 1).await;
    let left: Vec<Uuid> = sqlx::query_scalar("SELECT product_id FROM favourites")
        .fetch_all(service.pool())
        .await
        .unwrap();
    assert_eq!(left, [stays.uuid()]);
    service.publish(&again(gone)).await;
    settled(&service, 2).await;
    assert_eq!(told(service.pool(), gone).await, Vec::<Uuid>::new());
}

/// One statement for all of them would run into its timeout.
#[tokio::test(flavor = "multi_thread")]
async fn a_favourite_of_many_is_removed_in_batches() {
    let service = start().await;
    let (gone, stays) = (ProductId::new(), ProductId::new());
    keepers(service.pool(), gone, 12_000).await;
    keepers(service.pool(), stays, 3).await;
    refuse_large_statements(service.pool(), &["favourites"]).await;
    // A shopper removes one of the first batch meanwhile: that batch is not the last one though it is not full.
    let mut shopper = service.pool().begin().await.unwrap();
    let own = "DELETE FROM favourites WHERE ctid = (SELECT ctid FROM favourites WHERE product_id = $1 LIMIT 1)";
    sqlx::query(own).bind(gone.uuid()).execute(&mut *shopper).await.unwrap();
    service.publish(&ProductDeleted { product_id: gone, skus: vec![sku()] }).await;
    waiting(service.pool(), 1).await;
    shopper.commit().await.unwrap();
    settled(&service, 1).await;
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM favourites")
        .fetch_one(service.pool())
        .await
        .unwrap();
    assert_eq!(left, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_replayed() {
    let service = start().await;
    let said = service.command::<User>("replay").await.unwrap();
    assert_eq!(said, "0 dead letters have taken effect, 0 have not");
}
