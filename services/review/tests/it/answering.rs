//! What sellers say about reviews of what they sell.

use contracts::{ProductId, ReviewId, UserId};
use kit::auth::Role;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::catalog::Catalog;
use crate::orders::Orders;
use crate::{answer, of_product, path, post, read, start_with, update, update_part};

const PART: &str = "/answer";

#[tokio::test]
async fn the_seller_answers_changes_the_answer_and_takes_it_away() {
    let (seller, product, author) = (UserId::new(), ProductId::new(), UserId::new());
    let shop = start_with(&Orders::delivered().await, &Catalog::of(product, seller).await).await;
    let review = post(&shop, author, product, 2).await;
    assert_eq!(review["answer"], Value::Null);
    let put = |review: &Value, text: &str| -> RequestBuilder {
        let request = update_part(&shop, seller, Role::Seller, "PUT", review, PART);
        request.json(&json!({"text": text}))
    };
    let given = put(&review, "We are sorry.").send().await.unwrap();
    assert_eq!(given.status(), 200);
    assert_eq!(given.headers()["etag"], "\"2\"");
    let given: Value = given.json().await.unwrap();
    assert_eq!(given["answer"]["text"], "We are sorry.");
    assert_eq!(given["answer"]["user_id"], seller.to_string());
    assert_eq!(given["updated_at"], review["updated_at"], "the author has changed nothing");
    assert_eq!(answer(shop.request("GET", &path(&review))).await.1, given);
    let (_, page) = answer(shop.request("GET", &of_product(product))).await;
    assert_eq!(page["items"], json!([given]));

    let (status, changed) = answer(put(&given, "A new one is on its way.")).await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!(changed["answer"]["text"], "A new one is on its way.", "one answer, not two");
    assert_eq!(changed["answer"]["created_at"], given["answer"]["created_at"]);
    assert_eq!(answer(put(&given, "Late.")).await.0, 412, "an old version");

    let edit = update(&shop, author, Role::Customer, "PATCH", &changed).json(&json!({"rating": 4}));
    let (status, edited) = answer(edit).await;
    assert_eq!((status.as_u16(), &edited["answer"]), (200, &changed["answer"]), "it stays");
    let unread = update_part(&shop, seller, Role::Seller, "DELETE", &changed, PART);
    assert_eq!(answer(unread).await.0, 412, "the author has changed the text meanwhile");
    let retract = || update_part(&shop, seller, Role::Seller, "DELETE", &edited, PART);
    assert_eq!(answer(retract()).await.0, 204);
    let (_, without) = answer(shop.request("GET", &path(&review))).await;
    assert_eq!((&without["answer"], &without["rating"]), (&Value::Null, &json!(4)));
    let again = update_part(&shop, seller, Role::Seller, "DELETE", &without, PART);
    assert_eq!(answer(again).await.0, 404, "there is none any more");
}

#[tokio::test]
async fn only_the_seller_of_the_product_and_administrators_answer() {
    let (seller, product) = (UserId::new(), ProductId::new());
    let shop = start_with(&Orders::delivered().await, &Catalog::of(product, seller).await).await;
    let author = UserId::new();
    let review = post(&shop, author, product, 2).await;
    let elsewhere = post(&shop, author, ProductId::new(), 2).await;
    let body = json!({"text": "Thank you."});
    for method in ["PUT", "DELETE"] {
        let ask = async |who: UserId, role: Role, what: &Value| {
            let request = update_part(&shop, who, role, method, what, PART).json(&body);
            answer(request).await.0.as_u16()
        };
        assert_eq!(ask(UserId::new(), Role::Seller, &review).await, 403, "another seller");
        assert_eq!(ask(seller, Role::Seller, &elsewhere).await, 403, "another's product");
        assert_eq!(ask(author, Role::Customer, &review).await, 403, "the author");
        assert_eq!(ask(seller, Role::Customer, &review).await, 403, "a seller no more");
        let unknown = json!({"id": ReviewId::new(), "version": 1});
        assert_eq!(ask(seller, Role::Seller, &unknown).await, 404, "no such review");
        let guest = shop.request(method, &(path(&review) + PART)).json(&body);
        assert_eq!(answer(guest).await.0, 401);
        let path = path(&review) + PART;
        let blind = shop.request_as(seller, &[Role::Seller], method, &path).json(&body);
        assert_eq!(answer(blind).await.0, 428, "no If-Match");
    }
    let by_admin = update_part(&shop, UserId::new(), Role::Admin, "PUT", &elsewhere, PART);
    assert_eq!(answer(by_admin.json(&body)).await.0, 200);
}

#[tokio::test]
async fn bad_answers_are_refused_with_the_field() {
    let (seller, product) = (UserId::new(), ProductId::new());
    let shop = start_with(&Orders::delivered().await, &Catalog::of(product, seller).await).await;
    let review = post(&shop, UserId::new(), product, 2).await;
    let put = async |body: &Value| {
        let request = update_part(&shop, seller, Role::Seller, "PUT", &review, PART);
        answer(request.json(body)).await
    };
    for (body, pointer) in [
        (json!({"text": ""}), "/text"),
        (json!({"text": " \n"}), "/text"),
        (json!({"text": "é".repeat(4001)}), "/text"),
        (json!({"text": null}), "/text"),
        (json!({"text": "x", "rating": 5}), "/rating"),
    ] {
        let (status, problem) = put(&body).await;
        assert_eq!(status, 422, "{body}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    assert_eq!(put(&json!({"text": "a\0b"})).await.0, 400);
    assert_eq!(put(&json!({"text": "é".repeat(4000)})).await.0, 200);
}

#[tokio::test]
async fn nobody_answers_while_the_catalog_cannot_be_asked() {
    let catalog = Catalog::of(ProductId::new(), UserId::new()).await;
    let shop = start_with(&Orders::delivered().await, &catalog).await;
    let author = UserId::new();
    let review = post(&shop, author, ProductId::new(), 2).await;
    catalog.leave();
    let request = update_part(&shop, UserId::new(), Role::Seller, "PUT", &review, PART);
    assert_eq!(answer(request.json(&json!({"text": "Thanks."}))).await.0, 503);
    assert_eq!(read(&shop, author, Role::Customer, &review).await.1, review);
}
