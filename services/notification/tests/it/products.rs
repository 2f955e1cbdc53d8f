//! Mails about favourites and stock.

use contracts::events::{
    FavouriteAvailable, ProductCreated, ProductDeleted, ProductUpdated, ProductVariant, StockLow,
};
use contracts::{ProductId, Sku, StockId, UserId};
use kit::testing::eventually;

use crate::mails::{inbox, mail};
use crate::news::{body, euros, heard};
use crate::{registered, start};

fn mug(seller_id: UserId) -> ProductCreated {
    let sku = |sku: String| sku.to_uppercase().parse::<Sku>().unwrap();
    let id = ProductId::new();
    let variant = ProductVariant {
        sku: sku(format!("MUG-{}", &id.to_string()[24..])),
        name: "red".to_owned(),
        price: euros(990),
    };
    ProductCreated {
        product_id: id,
        sku: sku(format!("OWN-{}", &id.to_string()[24..])),
        name: "Mug".to_owned(),
        price: euros(990),
        seller_id,
        variants: vec![variant],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn favourites_are_called_by_their_name() {
    let service = start().await;
    let user = registered("Ada");
    let mug = mug(UserId::new());
    let (product_id, sku) = (mug.product_id, mug.variants[0].sku.clone());
    service.publish(&user).await;
    heard(&service, service.publish(&mug).await).await;
    let back = FavouriteAvailable { user_id: user.user_id, product_id, sku };
    service.publish(&back).await;
    let letter = mail(&user.email, "Mug (red) is there again").await;
    let link = format!("https://shop.example/api/v1/products/{product_id}");
    assert!(body(&letter).contains(&link), "{letter}");
    let skus = vec![mug.sku.clone(), mug.variants[0].sku.clone()];
    heard(&service, service.publish(&ProductDeleted { product_id, skus }).await).await;
    let other = registered("Bea");
    service.publish(&other).await;
    service.publish(&FavouriteAvailable { user_id: other.user_id, ..back }).await;
    mail(&other.email, "A favourite of yours at test is there again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_that_comes_and_goes_is_announced_once_a_day() {
    let service = start().await;
    let (user, seller) = (registered("Ada"), registered("Sam"));
    let (mug, cup) = (mug(seller.user_id), mug(seller.user_id));
    for person in [&user, &seller] {
        service.publish(person).await;
    }
    for product in [&mug, &cup] {
        heard(&service, service.publish(product).await).await;
    }
    let back = |product: &ProductCreated| FavouriteAvailable {
        user_id: user.user_id,
        product_id: product.product_id,
        sku: product.sku.clone(),
    };
    let stock_id = StockId::new();
    let sku = mug.variants[0].sku.clone();
    let low = StockLow { stock_id, sku, available: 3, threshold: 5 };
    // Everything is reserved, and the order cancelled, again and again.
    let mut last = None;
    for _ in 0..10 {
        service.publish(&low).await;
        last = Some(service.publish(&back(&mug)).await);
    }
    heard(&service, last.unwrap()).await;
    let last_low = service.publish(&low).await;
    heard(&service, last_low).await;
    let count = async |email: &str, subject: &str| {
        let mails = inbox(email).await;
        mails.iter().filter(|mail| mail["subject"].as_str().unwrap().contains(subject)).count()
    };
    let quiet = async || {
        eventually("all mails are sent", async || {
            let queued = "SELECT count(*) FROM messages WHERE state = 'queued'";
            let queued: i64 = sqlx::query_scalar(queued).fetch_one(service.pool()).await.unwrap();
            (queued == 0).then_some(())
        })
        .await;
    };
    quiet().await;
    assert_eq!(count(&user.email, "is there again").await, 1);
    assert_eq!(count(&seller.email, "3 left of").await, 1);
    // Another product is another matter, and so is another day.
    heard(&service, service.publish(&back(&cup)).await).await;
    quiet().await;
    assert_eq!(count(&user.email, "is there again").await, 2);
    let yesterday = "UPDATE notices SET sent_at = sent_at - interval '1 day'";
    sqlx::query(yesterday).execute(service.pool()).await.unwrap();
    heard(&service, service.publish(&back(&mug)).await).await;
    quiet().await;
    assert_eq!(count(&user.email, "is there again").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seller_hears_that_little_is_left() {
    let service = start().await;
    let seller = registered("Sam");
    let mug = mug(seller.user_id);
    service.publish(&seller).await;
    service.publish(&mug).await;
    let renamed = ProductUpdated {
        product_id: mug.product_id,
        sku: mug.sku.clone(),
        name: "Cup".to_owned(),
        price: mug.price,
        on_sale: true,
        seller_id: None,
        variants: Vec::new(),
    };
    heard(&service, service.publish(&renamed).await).await;
    let low = |sku: &Sku| StockLow {
        stock_id: StockId::new(),
        sku: sku.clone(),
        available: 3,
        threshold: 5,
    };
    // The variant is gone: this SKU is no product's.
    heard(&service, service.publish(&low(&mug.variants[0].sku)).await).await;
    service.publish(&low(&mug.sku)).await;
    let letter = mail(&seller.email, "3 left of Cup").await;
    assert!(body(&letter).contains(&format!("SKU: {}\nLeft: 3\nLow at: 5", mug.sku)), "{letter}");
    assert_eq!(inbox(&seller.email).await.len(), 2, "a welcome, and this");
}
