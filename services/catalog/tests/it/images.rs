//! Images of products: uploads from hostile files to lasting addresses, in a real object store.

use contracts::UserId;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};
use kit::auth::Role;
use kit::testing::{Running, engine, eventually};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cache::held;
use crate::{add, answer, patch, path, show, start};

/// A catalog with a part of the object store of its own.
pub(crate) async fn gallery() -> Running {
    gallery_at(&engine("TEST_OBJECT_STORE_URL")).await
}

pub(crate) async fn gallery_at(url: &str) -> Running {
    let prefix = format!("{}/", Uuid::now_v7());
    start(&[
        ("OBJECT_STORE_URL", url),
        ("OBJECT_STORE_BUCKET", "test"),
        ("OBJECT_STORE_ACCESS_KEY", "test"),
        ("OBJECT_STORE_SECRET_KEY", "test-secret"),
        ("OBJECT_STORE_KEY_PREFIX", &prefix),
    ])
    .await
}

/// A photograph: no two places are alike.
pub(crate) fn photograph(width: u32, height: u32) -> Vec<u8> {
    let byte = |n: u32| u8::try_from(n % 256).unwrap();
    let picture = RgbImage::from_fn(width, height, |x, y| Rgb([byte(x), byte(y), byte(x * y)]));
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, 80);
    encoder.write_image(&picture, width, height, ExtendedColorType::Rgb8).unwrap();
    bytes
}

pub(crate) fn upload(
    shop: &Running,
    seller: UserId,
    product: &Value,
    file: Vec<u8>,
) -> RequestBuilder {
    let path = format!("{}/images", path(product));
    shop.request_as(seller, &[Role::Seller], "POST", &path).body(file)
}

async fn uploaded(shop: &Running, seller: UserId, product: &Value, file: Vec<u8>) -> Value {
    let (status, image) = answer(upload(shop, seller, product, file)).await;
    assert_eq!(status, 201, "{image}");
    image
}

fn url(image: &Value, size: usize) -> &str {
    image["sizes"][size]["url"].as_str().unwrap()
}

pub(crate) async fn status(shop: &Running, url: &str) -> StatusCode {
    shop.request("GET", url).send().await.unwrap().status()
}

/// A change of one of the images, by whoever has read this version of the product.
fn of_image(
    shop: &Running,
    seller: UserId,
    method: &str,
    (product, version): (&Value, i64),
    image: &Value,
) -> RequestBuilder {
    let path = format!("{}/images/{}", path(product), image["id"].as_str().unwrap());
    let request = shop.request_as(seller, &[Role::Seller], method, &path);
    request.header("If-Match", format!("\"{version}\""))
}

/// What is due is due now, whatever the clock says.
pub(crate) async fn make_due(shop: &Running) {
    sqlx::query("UPDATE discarded_images SET due = now()").execute(shop.pool()).await.unwrap();
}

pub(crate) async fn discarded(shop: &Running) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM discarded_images");
    count.fetch_one(shop.pool()).await.unwrap()
}

#[tokio::test]
async fn an_image_is_shown_in_every_size_at_an_address_that_lasts() {
    let (shop, seller) = (gallery().await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    eventually("the product is held", async || held(&shop, &product).await).await;
    let request = upload(&shop, seller, &product, photograph(1000, 500));
    let request = request.query(&[("alt", "A red mug")]).header("Content-Type", "text/plain");
    let created = request.send().await.unwrap();
    assert_eq!(created.status(), 201);
    assert_eq!(created.headers()["etag"], "\"2\"", "the product has changed");
    let location = created.headers()["location"].to_str().unwrap().to_owned();
    let image: Value = created.json().await.unwrap();
    assert_eq!(location, url(&image, 2));
    assert_eq!((&image["alt"], &image["width"]), (&json!("A red mug"), &json!(1000)));

    let (_, shown) = show(&shop, &product).await;
    assert_eq!((&shown["version"], &shown["images"]), (&json!(2), &json!([image])));
    let (_, page) = answer(shop.request("GET", "/api/v1/products?q=mug")).await;
    assert_eq!(page["items"][0]["images"], json!([image]));
    let (_, listed) = answer(shop.request("GET", &format!("{}/images", path(&product)))).await;
    assert_eq!(listed["items"], json!([image]));

    for (size, width) in [(0, 320), (1, 800), (2, 1000)] {
        let file = shop.request("GET", url(&image, size)).send().await.unwrap();
        assert_eq!(file.status(), 200);
        let header = |name: &str| file.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "image/jpeg");
        assert_eq!(header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(header("x-content-type-options"), "nosniff");
        let (tag, length) = (header("etag"), header("content-length"));
        let bytes = file.bytes().await.unwrap();
        assert_eq!(bytes.len().to_string(), length);
        assert_eq!(image::load_from_memory(&bytes).unwrap().width(), width);
        let again = shop.request("GET", url(&image, size)).header("If-None-Match", &tag);
        let again = again.send().await.unwrap();
        assert_eq!(again.status(), 304);
        assert_eq!(again.headers()["etag"], *tag);
        let other = shop.request("GET", url(&image, size)).header("If-None-Match", "\"other\"");
        assert_eq!(other.send().await.unwrap().status(), 200);
    }
    for nothing in ["x.jpg", "..%2f..%2fetc", &format!("{}-320.jpg", Uuid::now_v7())] {
        assert_eq!(status(&shop, &format!("/api/v1/images/{nothing}")).await, 404, "{nothing}");
    }
}

#[tokio::test]
async fn only_the_seller_of_a_product_and_administrators_tend_its_images() {
    let (shop, seller) = (gallery().await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    let path = format!("{}/images", path(&product));
    let guest = shop.request("POST", &path).body(photograph(8, 8));
    assert_eq!(answer(guest).await.0, 401);
    for (user, role, expected) in [
        (UserId::new(), Role::Seller, 403),
        (seller, Role::Customer, 403),
        (UserId::new(), Role::Admin, 201),
        (seller, Role::Seller, 201),
    ] {
        let request = shop.request_as(user, &[role], "POST", &path).body(photograph(8, 8));
        assert_eq!(answer(request).await.0, expected, "{role:?}");
    }
    let unknown = json!({"id": UserId::new()});
    assert_eq!(answer(upload(&shop, seller, &unknown, photograph(8, 8))).await.0, 404);
    let (_, images) = answer(shop.request("GET", &path)).await;
    let image = &images["items"][0];
    for method in ["PATCH", "DELETE"] {
        let change = |user, version| {
            of_image(&shop, user, method, (&product, version), image).json(&json!({"alt": "Mine"}))
        };
        assert_eq!(answer(change(UserId::new(), 3)).await.0, 403, "{method}: another seller");
        assert_eq!(answer(change(seller, 2)).await.0, 412, "{method}: an old version");
        let other = json!({"id": Uuid::now_v7()});
        let nowhere = of_image(&shop, seller, method, (&product, 3), &other).json(&json!({}));
        assert_eq!(answer(nowhere).await.0, 404, "{method}: no such image");
    }
    patch(&shop, seller, &json!({"id": product["id"], "version": 3}), json!({"on_sale": false}))
        .await;
    assert_eq!(answer(shop.request("GET", &path)).await.0, 404, "what is hidden has no images");
    let own = shop.request_as(seller, &[Role::Seller], "GET", &path);
    assert_eq!(answer(own).await.1["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn images_change_places_and_words_and_go() {
    let (shop, seller) = (gallery().await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    let mut images = Vec::new();
    for width in [10, 20, 30] {
        images.push(uploaded(&shop, seller, &product, photograph(width, 8)).await);
    }
    let widths = |page: &Value| -> Vec<i64> {
        page["items"].as_array().unwrap().iter().map(|i| i["width"].as_i64().unwrap()).collect()
    };
    let change = async |version, image: &Value, change: Value| {
        answer(of_image(&shop, seller, "PATCH", (&product, version), image).json(&change)).await
    };
    let (_, page) = change(4, &images[2], json!({"position": 0})).await;
    assert_eq!(widths(&page), [30, 10, 20]);
    let (_, page) = change(5, &images[2], json!({"position": 1, "alt": "From behind"})).await;
    assert_eq!(
        (widths(&page), &page["items"][1]["alt"]),
        (vec![10, 30, 20], &json!("From behind"))
    );
    for (bad, pointer) in [
        (json!({"position": 3}), "/position"),
        (json!({"position": -1}), "/position"),
        (json!({"alt": "x".repeat(501)}), "/alt"),
        (json!({"alt": null}), "/alt"),
        (json!({"width": 7}), "/width"),
    ] {
        let (status, problem) = change(6, &images[0], bad.clone()).await;
        assert_eq!(
            (status.as_u16(), &problem["errors"][0]["pointer"]),
            (422, &json!(pointer)),
            "{bad}"
        );
    }
    let (status, page) = answer(of_image(&shop, seller, "DELETE", (&product, 6), &images[0])).await;
    assert_eq!((status.as_u16(), widths(&page)), (200, vec![30, 20]));
    let (_, shown) = show(&shop, &product).await;
    assert_eq!((&shown["version"], &shown["images"]), (&json!(7), &page["items"]));
}

#[tokio::test]
async fn what_an_image_looked_like_is_deleted_later() {
    let (shop, seller) = (gallery().await, UserId::new());
    let (one, other) = (add(&shop, seller, json!({})).await, add(&shop, seller, json!({})).await);
    let image = uploaded(&shop, seller, &one, photograph(400, 8)).await;
    let alone = uploaded(&shop, seller, &other, photograph(400, 8)).await;
    let gone = of_image(&shop, seller, "DELETE", (&one, 2), &image);
    assert_eq!(answer(gone).await.0, 200);
    assert_eq!(status(&shop, url(&image, 0)).await, 200, "pages that were shown before show it on");
    // A product takes its images with it.
    sqlx::query("DELETE FROM products WHERE sku = $1")
        .bind(other["sku"].as_str().unwrap())
        .execute(shop.pool())
        .await
        .unwrap();
    assert_eq!(discarded(&shop).await, 2);
    make_due(&shop).await;
    eventually("nothing is left", async || (discarded(&shop).await == 0).then_some(())).await;
    for gone in [url(&image, 0), url(&image, 1), url(&alone, 0), url(&alone, 1)] {
        assert_eq!(status(&shop, gone).await, 404, "{gone}");
    }
}
