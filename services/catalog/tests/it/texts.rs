//! What sellers and administrators may write.

use contracts::UserId;
use kit::auth::Role;
use serde_json::{Value, json};

use crate::{add, answer, described, start};

const REFUSED: [&str; 9] = [
    "Mug\u{202E}gpj.exe",
    "\u{2066}Mug\u{2069}",
    "M\u{200B}ug",
    "Mug\u{1}",
    "Mug\r\nBcc: all@example.com",
    "\u{3164}",
    "\u{2800}",
    "M\u{FE0F}ug",
    "Mug\u{85}",
];
const ACCEPTED: [&str; 5] =
    ["کتاب\u{200C}ها", "ספר", "क्\u{200D}ष", "Family 👨\u{200D}👩\u{200D}👧", "小説　集"];

#[tokio::test]
async fn names_hide_and_reorder_nothing() {
    let (shop, seller) = (start(&[]).await, UserId::new());
    let post = async |role, path: &str, body: &Value| {
        answer(shop.request_as(seller, &[role], "POST", path).json(body)).await
    };
    let variant = |name: &str, colour: &str| {
        json!({"sku": "V", "name": name, "attributes": {"colour": colour},
               "price": {"amount": 990, "currency": "EUR"}})
    };
    let products = |text: &str| {
        let mut attributes = json!({});
        attributes[text] = json!("red");
        [
            (described(&json!({"name": text})), "/name"),
            (described(&json!({"attributes": {"colour": text}})), "/attributes"),
            (described(&json!({"attributes": attributes})), "/attributes"),
            (described(&json!({"variants": [variant(text, "red")]})), "/variants/0/name"),
            (described(&json!({"variants": [variant("Red", text)]})), "/variants/0/attributes"),
        ]
    };
    for text in REFUSED {
        for (body, pointer) in products(text) {
            let (status, problem) = post(Role::Seller, "/api/v1/products", &body).await;
            assert_eq!(status, 422, "{text:?} {problem}");
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{text:?} {problem}");
        }
        let body = json!({"slug": "new", "name": text});
        let (status, problem) = post(Role::Admin, "/api/v1/categories", &body).await;
        assert_eq!((status.as_u16(), &problem["errors"][0]["pointer"]), (422, &json!("/name")));
    }
    for (index, text) in ACCEPTED.into_iter().enumerate() {
        let product =
            add(&shop, seller, json!({"name": text, "attributes": {"title": text}})).await;
        assert_eq!(product["name"], text);
        let body = json!({"slug": format!("new-{index}"), "name": text});
        assert_eq!(post(Role::Admin, "/api/v1/categories", &body).await.0, 201, "{text}");
    }
    let lines = json!({"description": "Holds\n\tcoffee,\r\n\tand tea. שלום\u{200F}!"});
    add(&shop, seller, lines).await;
    let body = described(&json!({"description": "Mug\u{202E}"}));
    let (_, problem) = post(Role::Seller, "/api/v1/products", &body).await;
    assert_eq!(problem["errors"][0]["pointer"], "/description", "{problem}");
}
