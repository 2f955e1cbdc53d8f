//! What belongs to an account: addresses and favourites.

use contracts::{ProductId, UserId};
use kit::testing::{Running, eventually};
use serde_json::{Value, json};

use crate::{answer, register, start};

struct Owner<'s> {
    service: &'s Running,
    user: UserId,
}

impl<'s> Owner<'s> {
    async fn new(service: &'s Running, email: &str) -> Self {
        let account = register(service, email).await;
        Self { service, user: account["id"].as_str().unwrap().parse().unwrap() }
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        version: i64,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let path = format!("/api/v1/me/{path}");
        let mut request = self.service.request_as(self.user, &[], method, &path);
        request = request.header("If-Match", format!("\"{version}\""));
        if let Some(body) = body {
            request = request.json(body);
        }
        // Of many at once some find no connection to the database in time, and are asked to come again.
        eventually("the service has time", async || {
            let request = request.try_clone().unwrap();
            let answer = answer(request.send().await.unwrap()).await;
            Some(answer).filter(|(status, _)| *status != 503)
        })
        .await
    }

    async fn add(&self, line1: &str, is_default: bool) -> Value {
        let (status, address) =
            self.send("POST", "addresses", 0, Some(&place(line1, is_default))).await;
        assert_eq!(status, 201, "{address}");
        address
    }

    /// Their first lines; the default has a star.
    async fn addresses(&self) -> Vec<String> {
        let (status, list) = self.send("GET", "addresses", 0, None).await;
        assert_eq!(status, 200, "{list}");
        let line = |address: &Value| {
            let star = if address["is_default"] == true { "*" } else { "" };
            format!("{}{star}", address["line1"].as_str().unwrap())
        };
        list["items"].as_array().unwrap().iter().map(line).collect()
    }

    async fn favourites(&self, query: &str) -> Value {
        let (status, page) = self.send("GET", &format!("favourites{query}"), 0, None).await;
        assert_eq!(status, 200, "{page}");
        page
    }
}

fn place(line1: &str, is_default: bool) -> Value {
    json!({
        "recipient": "Ada", "line1": line1, "city": "London", "postal_code": "SW1Y 4JH", "country": "GB",
        "is_default": is_default,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn of_all_addresses_one_is_the_default() {
    let service = start().await;
    let (ada, bob) = (
        Owner::new(&service, "ada@example.com").await,
        Owner::new(&service, "bob@example.com").await,
    );
    bob.add("Bob's", false).await;
    let first = ada.add("first", false).await;
    let second = ada.add("second", false).await;
    assert_eq!(ada.addresses().await, ["first*", "second"]);
    ada.add("third", true).await;
    assert_eq!(ada.addresses().await, ["third*", "second", "first"]);

    let path = format!("addresses/{}", second["id"].as_str().unwrap());
    let (status, changed) = ada.send("PUT", &path, 1, Some(&place("2nd", true))).await;
    assert_eq!((status, &changed["version"]), (200, &json!(2)), "{changed}");
    assert_eq!(ada.addresses().await, ["2nd*", "third", "first"]);
    assert_eq!(ada.send("PUT", &path, 1, Some(&place("second", true))).await.0, 412);
    assert_eq!(bob.send("PUT", &path, 2, Some(&place("mine", true))).await.0, 404);
    assert_eq!(ada.send("PUT", &path, 2, Some(&json!({ "line1": "x" }))).await.0, 422);
    let (status, problem) = ada.send("PUT", &path, 2, Some(&place("", false))).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/line1")), "{problem}");

    assert_eq!(bob.send("DELETE", &path, 0, None).await.0, 204);
    assert_eq!(ada.addresses().await, ["2nd*", "third", "first"], "nobody else's");
    for _ in 0..2 {
        assert_eq!(ada.send("DELETE", &path, 0, None).await.0, 204);
    }
    assert_eq!(ada.addresses().await, ["third*", "first"]);
    let path = format!("addresses/{}", first["id"].as_str().unwrap());
    ada.send("DELETE", &path, 0, None).await;
    assert_eq!((ada.addresses().await.len(), bob.addresses().await.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_added_at_once_up_to_a_limit() {
    let service = start().await;
    let ada = Owner::new(&service, "ada@example.com").await;
    let body = place("somewhere", true);
    let added = (0..60).map(|_| ada.send("POST", "addresses", 0, Some(&body)));
    let answers = futures_util::future::join_all(added).await;
    let count = |wanted: u16| answers.iter().filter(|(status, _)| *status == wanted).count();
    assert_eq!((count(201), count(409)), (50, 10));
    let addresses = ada.addresses().await;
    assert_eq!(addresses.iter().filter(|line| line.ends_with('*')).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn favourites_are_put_and_taken_away() {
    let service = start().await;
    let ada = Owner::new(&service, "ada@example.com").await;
    let products: Vec<String> = (0..3).map(|_| ProductId::new().to_string()).collect();
    for product in products.iter().chain(&products) {
        assert_eq!(ada.send("PUT", &format!("favourites/{product}"), 0, None).await.0, 204);
    }
    let page = ada.favourites("?limit=2").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = ada.favourites(&format!("?limit=2&cursor={cursor}")).await;
    let ids = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|item| item["product_id"].as_str().unwrap().to_owned()).collect()
    };
    let mut found = ids(&page);
    found.extend(ids(&rest));
    found.reverse();
    assert_eq!(found, products, "each once, the newest first");
    assert_eq!(rest["next_cursor"], Value::Null);

    for _ in 0..2 {
        let path = format!("favourites/{}", products[1]);
        assert_eq!(ada.send("DELETE", &path, 0, None).await.0, 204);
    }
    assert_eq!(ids(&ada.favourites("").await), [products[2].clone(), products[0].clone()]);
    assert_eq!(ada.send("PUT", "favourites/nonsense", 0, None).await.0, 404);
    let stranger = Owner { service: &service, user: UserId::new() };
    assert_eq!(stranger.send("PUT", &format!("favourites/{}", products[0]), 0, None).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn favourites_are_added_at_once_up_to_a_limit() {
    let service = start().await;
    let ada = Owner::new(&service, "ada@example.com").await;
    sqlx::query(
        "INSERT INTO favourites (user_id, product_id)
         SELECT $1, gen_random_uuid() FROM generate_series(1, 990)",
    )
    .bind(ada.user.uuid())
    .execute(service.pool())
    .await
    .unwrap();
    let paths: Vec<String> = (0..20).map(|_| format!("favourites/{}", ProductId::new())).collect();
    let added = paths.iter().map(|path| ada.send("PUT", path, 0, None));
    let answers = futures_util::future::join_all(added).await;
    let count = |wanted: u16| answers.iter().filter(|(status, _)| *status == wanted).count();
    assert_eq!((count(204), count(409)), (10, 10));
    let accepted = answers.iter().position(|(status, _)| *status == 204).unwrap();
    let again = ada.send("PUT", &paths[accepted], 0, None).await;
    assert_eq!(again.0, 204, "it is one already");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_number_is_one_and_is_kept_as_typed() {
    let service = start().await;
    let ada = Owner::new(&service, "ada@example.com").await;
    let with = |phone: &str| {
        let mut place = place("1 Main Street", false);
        place["phone"] = json!(phone);
        place
    };
    for phone in ["+44 20 7946 0018 ext. 1234", "(020) 7946-0018"] {
        let (status, address) = ada.send("POST", "addresses", 0, Some(&with(phone))).await;
        assert_eq!((status, &address["phone"]), (201, &json!(phone)), "{address}");
    }
    let (status, problem) = ada.send("POST", "addresses", 0, Some(&with("ask Bob"))).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/phone")), "{problem}");
    assert!(problem.to_string().contains("telephone number"), "{problem}");
}
