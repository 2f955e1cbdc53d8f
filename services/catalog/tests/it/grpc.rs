//! Products as other services see them.

use contracts::events::StockInUse;
use contracts::proto::catalog::catalog_client::CatalogClient;
use contracts::proto::catalog::{GetProductRequest, GetProductsRequest, Product};
use contracts::{ProductId, UserId};
use kit::auth::Role;
use kit::grpc::{Client, Peer};
use kit::testing::{Running, eventually};
use serde_json::{Value, json};
use tonic::{Code, Request, Status};

use crate::cache::held;
use crate::{add, answer, id, patch, path, show, start};

pub(crate) fn client(shop: &Running) -> CatalogClient<Client> {
    let peer: Peer = format!("http://{}", shop.bound.grpc).parse().unwrap();
    CatalogClient::new(peer.client())
}

async fn one(shop: &Running, id: &str) -> Result<Product, Status> {
    let request = GetProductRequest { id: id.to_owned() };
    client(shop).get_product(request).await.map(tonic::Response::into_inner)
}

async fn many(shop: &Running, ids: Vec<String>) -> Result<Vec<Product>, Status> {
    let answer = client(shop).get_products(GetProductsRequest { ids }).await;
    answer.map(|answer| answer.into_inner().products)
}

#[tokio::test]
async fn one_product() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let sku = format!("V-{}", ProductId::new().uuid().simple()).to_uppercase();
    let variant =
        json!({"sku": sku, "name": "large", "price": {"amount": 1290, "currency": "EUR"}});
    let product = add(&shop, seller, json!({"description": "Red.", "variants": [variant]})).await;
    let found = one(&shop, &id(&product).to_string()).await.unwrap();
    assert_eq!(found.sku, product["sku"]);
    assert_eq!((found.name.as_str(), found.description.as_str()), ("Red Mug", "Red."));
    assert_eq!((found.category.as_str(), found.on_sale), ("mugs", true));
    assert_eq!(found.seller_id, seller.to_string());
    let price = found.price.unwrap();
    assert_eq!((price.amount, price.currency.as_str()), (990, "EUR"));
    let kind = &found.variants[0];
    assert_eq!((found.variants.len(), &*kind.sku, &*kind.name), (1, &*sku, "large"));
    assert_eq!(kind.price.as_ref().unwrap().amount, 1290);
    let many = many(&shop, vec![id(&product).to_string()]).await.unwrap();
    assert_eq!(many[0].variants, found.variants);
    let document: Value = serde_json::from_str(&found.document).unwrap();
    assert_eq!(document, show(&shop, &product).await.1);

    let status = one(&shop, &ProductId::new().to_string()).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let status = one(&shop, "mug").await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    patch(&shop, seller, &product, json!({"on_sale": false})).await;
    let status = one(&shop, &id(&product).to_string()).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "it is off sale");
}

/// What is shown over HTTP and over gRPC to whoever has this token: the same.
async fn seen(shop: &Running, product: &Value, token: Option<&str>) -> Option<Value> {
    let mut http = shop.request("GET", &path(product));
    let mut grpc = Request::new(GetProductRequest { id: id(product).to_string() });
    if let Some(token) = token {
        http = http.bearer_auth(token);
        let value = format!("Bearer {token}").parse().unwrap();
        grpc.metadata_mut().insert("authorization", value);
    }
    let (status, seen) = answer(http).await;
    let seen = Some(seen).filter(|_| status == 200);
    let code = client(shop).get_product(grpc).await;
    let code = code.map(|found| serde_json::from_str(&found.into_inner().document).unwrap());
    match (status.as_u16(), code.map_err(|status| status.code())) {
        (200, Ok(document)) => assert_eq!(seen, Some(document)),
        (404, Err(Code::NotFound)) | (401, Err(Code::Unauthenticated)) => {}
        differ => panic!("{differ:?}"),
    }
    seen
}

#[tokio::test]
async fn a_product_is_shown_to_whoever_asks_as_over_http() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let token = |user, role| Some(shop.signer.token(user, &[role]));
    let insiders = [token(seller, Role::Seller), token(UserId::new(), Role::Admin)];
    let outsiders = [
        None,
        token(UserId::new(), Role::Seller),
        token(seller, Role::Customer),
        Some("a.forged.token".to_owned()),
    ];
    let product = add(&shop, seller, json!({"on_sale": false})).await;
    for token in &outsiders {
        assert_eq!(seen(&shop, &product, token.as_deref()).await, None);
    }
    for token in &insiders {
        assert_eq!(seen(&shop, &product, token.as_deref()).await.unwrap()["on_sale"], false);
    }
    // It comes back on sale with the reason why it was not deleted.
    let product = patch(&shop, seller, &product, json!({"on_sale": true})).await;
    let request = shop.request_as(seller, &[Role::Seller], "DELETE", &path(&product));
    let request = request.header("If-Match", format!("\"{}\"", product["version"]));
    assert_eq!(answer(request).await.0, 202);
    shop.publish(&StockInUse { product_id: id(&product), reserved: 1 }).await;
    // Before that is decided, the two that are compared may be asked at different moments.
    eventually("the deletion was refused", async || {
        let request = shop.request_as(seller, &[Role::Seller], "GET", &path(&product));
        (answer(request).await.1["deletion"]["reason"] == "in_use").then_some(())
    })
    .await;
    for token in &insiders {
        let seen = seen(&shop, &product, token.as_deref()).await.unwrap();
        assert_eq!(seen["deletion"]["reason"], "in_use", "its writers read why");
    }
    for token in &outsiders[..3] {
        let seen = seen(&shop, &product, token.as_deref()).await.unwrap();
        assert!(seen.get("deletion").is_none(), "{seen}");
    }
    assert_eq!(seen(&shop, &product, outsiders[3].as_deref()).await, None);
}

#[tokio::test]
async fn many_products() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let first = add(&shop, seller, json!({})).await;
    let second = add(&shop, seller, json!({"on_sale": false})).await;
    let (a, b) = (id(&first).to_string(), id(&second).to_string());
    let unknown = ProductId::new().to_string();
    let mut found = many(&shop, vec![a.clone(), b.clone(), unknown]).await.unwrap();
    found.sort_by(|x, y| x.id.cmp(&y.id));
    let found: Vec<_> = found.iter().map(|p| (p.id.as_str(), p.on_sale)).collect();
    assert_eq!(found, [(a.as_str(), true), (b.as_str(), false)]);

    let ids = |count| (0..count).map(|_| ProductId::new().to_string()).collect();
    assert_eq!(many(&shop, ids(500)).await.unwrap(), []);
    let status = many(&shop, ids(501)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = many(&shop, vec![a, "mug".to_owned()]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn prices_never_come_from_the_cache() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    eventually("it is held", async || held(&shop, &product).await).await;
    // Behind the back of the service, so that what the cache holds is old.
    sqlx::query("UPDATE products SET price = 1").execute(shop.pool()).await.unwrap();
    eventually("the cache answers", async || {
        (show(&shop, &product).await.1["price"]["amount"] == 990).then_some(())
    })
    .await;
    let found = many(&shop, vec![id(&product).to_string()]).await.unwrap();
    assert_eq!(found[0].price.as_ref().unwrap().amount, 1);
}
