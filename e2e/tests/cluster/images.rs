//! Images of products, from the seller's file to the shopper's browser.

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use e2e::shopper::{SAGA_PATIENCE, Shopper};
use reqwest::Method;
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use serde_json::Value;

use crate::faults;
use crate::world::{READY_PATIENCE, World};

/// A PNG of two pixels, one red, one green.
pub(crate) const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x02\0\0\0\x01\x08\x02\0\0\0\x7b\x40\xe8\xdd\0\0\0\x0dIDAT\
    \x78\xda\x63\x38\x21\x07\x04\x27\x00\x07\x23\x02\x09\x3b\x06\x9a\x29\0\0\0\0IEND\xae\x42\x60\x82";

/// An administrator gives a product an image, shoppers see it, the object store loses its pod, the image goes.
pub(crate) async fn are_shown(world: World) -> Result<()> {
    let (admin, shopper) = (world.admin().await?, world.shopper().await?);
    let product = shopper.find_product(1).await?;
    let product = product["id"].as_str().context("no id")?;
    let images = format!("/api/v1/products/{product}/images");
    let upload = admin.request_to(Method::POST, &format!("{images}?alt=two%20colours"));
    let answer = upload.header(CONTENT_TYPE, "image/png").body(PICTURE).send().await?;
    ensure!(answer.status() == 201, "{}", answer.text().await?);
    let image: Value = answer.json().await?;
    let (id, url) = (&image["id"], image["sizes"][0]["url"].as_str().context("no size")?);

    let page = shopper.get(&format!("/products/{product}")).await?.ok()?;
    let shown = find(&page, id).with_context(|| format!("it is not shown: {page}"))?;
    ensure!(shown["alt"] == "two colours", "{page}");
    let before = file(&shopper, url).await?;

    faults::remove(&world, "objects").await?;
    world.sells().await.context("while the object store is away")?;
    let after =
        eventually("the image is there again", READY_PATIENCE, async || file(&shopper, url).await);
    ensure!(before == after.await?, "the image is another one after the store has lost its pod");

    let path = format!("{images}/{}", id.as_str().context("no id")?);
    let remove = admin.request_to(Method::DELETE, &path);
    let remove = remove.header("If-Match", format!("\"{}\"", page["version"]));
    let answer = remove.send().await?;
    ensure!(answer.status() == 200, "{}", answer.text().await?);
    eventually("the page shows the image no longer", SAGA_PATIENCE, async || {
        let page = shopper.get(&format!("/products/{product}")).await?.ok()?;
        ensure!(page["images"].is_array() && find(&page, id).is_none(), "{page}");
        Ok(())
    })
    .await
}

/// An image among those of a product, which may have others.
fn find<'a>(page: &'a Value, id: &Value) -> Option<&'a Value> {
    page["images"].as_array()?.iter().find(|image| image["id"] == *id)
}

/// The bytes at an address that lasts; whoever has them already is not sent them again.
async fn file(shopper: &Shopper, url: &str) -> Result<Vec<u8>> {
    let answer = shopper.request_to(Method::GET, url).send().await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    let headers = answer.headers();
    ensure!(headers[CONTENT_TYPE] == "image/jpeg", "{headers:?}");
    let lasting = headers[CACHE_CONTROL].to_str()?;
    ensure!(lasting.contains("immutable"), "{lasting}");
    let tag = headers.get(ETAG).context("no tag")?.clone();
    let bytes = answer.bytes().await?.to_vec();
    ensure!(bytes.starts_with(&[0xff, 0xd8]), "no JPEG");
    let again = shopper.request_to(Method::GET, url).header(IF_NONE_MATCH, tag).send().await?;
    ensure!(again.status() == 304, "{}", again.status());
    Ok(bytes)
}
