//! Uploads that end otherwise than their sellers meant: hostile files, crashes, crowds, and an object store
//! that is away.

use catalog::image::MAX_IMAGES;
use contracts::UserId;
use contracts::limits::MAX_IMAGE_BYTES;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use kit::testing::{eventually, send_when_available};
use reqwest::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::images::{discarded, gallery, gallery_at, make_due, photograph, status, upload};
use crate::{add, answer, patch, path, show, start};

#[tokio::test]
async fn nothing_is_left_of_an_upload_that_broke_off() {
    let (shop, seller) = (gallery().await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    let path = path(&product);
    // The pod dies between the objects and the row: what a trigger does here.
    sqlx::raw_sql(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'dead'; END $$;
         CREATE TRIGGER die BEFORE INSERT ON images FOR EACH ROW EXECUTE FUNCTION die()",
    )
    .execute(shop.pool())
    .await
    .unwrap();
    // Nor can it clean up after itself: notes of uploads can be made, but not brought forward.
    sqlx::raw_sql(
        "CREATE TRIGGER die BEFORE UPDATE ON discarded_images FOR EACH ROW EXECUTE FUNCTION die()",
    )
    .execute(shop.pool())
    .await
    .unwrap();
    assert_eq!(answer(upload(&shop, seller, &product, photograph(400, 8))).await.0, 500);
    let left: (Uuid, bool) = sqlx::query_as("SELECT id, due > now() FROM discarded_images")
        .fetch_one(shop.pool())
        .await
        .unwrap();
    let name = format!("/api/v1/images/{}-320.jpg", left.0);
    assert_eq!(
        (status(&shop, &name).await.as_u16(), left.1),
        (200, true),
        "an orphan, not due yet"
    );
    let (_, images) = answer(shop.request("GET", &format!("{path}/images"))).await;
    assert_eq!(images["items"], json!([]), "nobody is shown it");
    sqlx::raw_sql("DROP TRIGGER die ON discarded_images").execute(shop.pool()).await.unwrap();
    make_due(&shop).await;
    eventually("it is swept", async || (discarded(&shop).await == 0).then_some(())).await;
    assert_eq!(status(&shop, &name).await, 404);
}

/// A worker that takes an upload for one that has broken off deletes its objects.
#[tokio::test]
async fn an_upload_that_took_too_long_is_no_image() {
    let (shop, seller) = (gallery().await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    sqlx::raw_sql(
        "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER forget BEFORE INSERT ON discarded_images
             FOR EACH ROW EXECUTE FUNCTION forget()",
    )
    .execute(shop.pool())
    .await
    .unwrap();
    assert_eq!(answer(upload(&shop, seller, &product, photograph(8, 8))).await.0, 503);
    sqlx::raw_sql("DROP TRIGGER forget ON discarded_images").execute(shop.pool()).await.unwrap();
    assert_eq!(show(&shop, &product).await.1, product, "nothing has changed");
    assert_eq!(answer(upload(&shop, seller, &product, photograph(8, 8))).await.0, 201);
}

#[tokio::test]
async fn files_that_are_no_images_are_refused() {
    let (shop, seller) = (gallery().await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    // A bomb: a hundred million pixels in a hundred kilobytes.
    let mut bomb = Vec::new();
    let side = 10_000;
    let black = vec![0; 100_000_000];
    PngEncoder::new(&mut bomb).write_image(&black, side, side, ExtendedColorType::L8).unwrap();
    drop(black);
    assert!(bomb.len() < 1 << 20, "{} bytes", bomb.len());
    let script = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
    for (what, file) in [
        ("a bomb", bomb),
        ("a script", script.to_vec()),
        ("half a PNG", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec()),
        ("nothing", Vec::new()),
    ] {
        let request = upload(&shop, seller, &product, file).header("Content-Type", "image/png");
        let (status, problem) = answer(request).await;
        assert_eq!(
            (status.as_u16(), &problem["type"]),
            (422, &json!("/problems/image-refused")),
            "{what}"
        );
    }
    let large = vec![0xff; MAX_IMAGE_BYTES + 1];
    let (status, problem) = answer(upload(&shop, seller, &product, large)).await;
    assert_eq!((status.as_u16(), &problem["type"]), (413, &json!("/problems/body-too-large")));
    let long = upload(&shop, seller, &product, photograph(8, 8)).query(&[("alt", "x".repeat(501))]);
    assert_eq!(answer(long).await.0, 400);
    assert_eq!(discarded(&shop).await, 0, "nothing was stored");
    let (_, shown) = show(&shop, &product).await;
    assert_eq!((&shown["version"], &shown["images"]), (&json!(1), &json!([])));
}

#[tokio::test]
async fn many_uploads_at_once_all_find_a_place_and_a_product_has_an_end() {
    let (shop, seller) = (gallery().await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    let uploads = (0..MAX_IMAGES + 3).map(|_| upload(&shop, seller, &product, photograph(8, 8)));
    let mut tasks = tokio::task::JoinSet::new();
    for upload in uploads.collect::<Vec<_>>() {
        tasks.spawn(send_when_available(upload));
    }
    let answers = tasks.join_all().await;
    let count = |wanted| answers.iter().filter(|answer| answer.status() == wanted).count();
    assert_eq!((count(StatusCode::CREATED), count(StatusCode::CONFLICT)), (MAX_IMAGES, 3));
    let (_, shown) = show(&shop, &product).await;
    assert_eq!(shown["images"].as_array().unwrap().len(), MAX_IMAGES);
    let images = i64::try_from(MAX_IMAGES).unwrap();
    assert_eq!(shown["version"], images + 1);
    let places: Vec<i32> = sqlx::query_scalar("SELECT position FROM images ORDER BY position")
        .fetch_all(shop.pool())
        .await
        .unwrap();
    assert_eq!(places, (0..).take(MAX_IMAGES).collect::<Vec<_>>());
    eventually("what was too much is gone", async || (discarded(&shop).await == 0).then_some(()))
        .await;
}

#[tokio::test]
async fn without_its_object_store_the_shop_sells_without_images() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let away = gallery_at(&format!("http://{closed}")).await;
    for shop in [away, start(&[]).await] {
        let seller = UserId::new();
        let product = add(&shop, seller, json!({})).await;
        let (status, problem) = answer(upload(&shop, seller, &product, photograph(8, 8))).await;
        assert_eq!((status.as_u16(), &problem["type"]), (503, &json!("/problems/unavailable")));
        let image = format!("/api/v1/images/{}-320.jpg", Uuid::now_v7());
        let (status, problem) = answer(shop.request("GET", &image)).await;
        assert_eq!(status, 503);
        assert!(!problem.to_string().contains("X-Amz"), "{problem}");
        let changed = patch(&shop, seller, &product, json!({"name": "Blue Mug"})).await;
        assert_eq!(show(&shop, &product).await.1, changed);
        let path = format!("{}/images", path(&product));
        assert_eq!(answer(shop.request("GET", &path)).await.1["items"], json!([]));
    }
}

#[tokio::test]
async fn a_store_without_the_bucket_or_with_other_keys_is_no_store() {
    for (name, value) in
        [("OBJECT_STORE_BUCKET", "elsewhere"), ("OBJECT_STORE_SECRET_KEY", "another")]
    {
        let mut shop = gallery().await;
        shop.restart::<catalog::Catalog>(&[(name, value)]).await;
        let seller = UserId::new();
        let product = add(&shop, seller, json!({})).await;
        assert_eq!(
            answer(upload(&shop, seller, &product, photograph(8, 8))).await.0,
            503,
            "{name}"
        );
        let image = format!("/api/v1/images/{}-320.jpg", Uuid::now_v7());
        assert_eq!(status(&shop, &image).await, 503, "{name}");
    }
}
