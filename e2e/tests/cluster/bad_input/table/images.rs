//! Files that are no images, or too much of one.

use reqwest::Method;
use serde_json::json;

use super::super::Setting;
use super::super::case::{By, Case};
use super::{NOBODY, get, post};

/// Bytes that a file may have, as the API says.
const LARGEST: usize = 25 << 20;

/// The beginning of a PNG that says it has 50 000 × 50 000 pixels: 33 bytes that would become 7.5 GB.
const BOMB: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\xc3\x50\0\0\xc3\x50\x08\x02\0\0\0\xc4\xcd\xaa\x9d\0\0\x10\0IDAT";

pub(super) fn uploads(setting: &Setting) -> Vec<Case> {
    let images = format!("/api/v1/products/{}/images", setting.product);
    let upload = |what, by| post(what, by, images.clone()).header("Content-Type", "image/png");
    vec![
        upload("an image bomb", By::Admin).body(BOMB).is(422, "image-refused"),
        upload("a page instead of an image", By::Admin)
            .body("<svg onload=alert(1)>")
            .is(422, "image-refused"),
        upload("half of a signature", By::Admin).body(&BOMB[..4]).is(422, "image-refused"),
        upload("a file that is too large", By::Admin)
            .body(vec![0xff; LARGEST + 1])
            .is(413, "body-too-large"),
        upload("a customer's image of another's product", By::Customer)
            .body(BOMB)
            .is(403, "forbidden"),
        upload("a guest's image", By::Guest).body(BOMB).is(401, "unauthenticated"),
        post(
            "words of an image that are too long",
            By::Admin,
            format!("{images}?alt={}", "a".repeat(501)),
        )
        .body(BOMB)
        .is(400, "malformed-request"),
        get("an image that is a path", By::Guest, "/api/v1/images/..%2f..%2fetc%2fpasswd")
            .is(404, "not-found"),
        get("a size that there is not", By::Guest, "/api/v1/images/1-9999999.jpeg")
            .is(404, "not-found"),
        Case::new(
            "an image that is not there",
            By::Admin,
            Method::PATCH,
            format!("{images}/{NOBODY}"),
        )
        .header("If-Match", "\"999999\"")
        .json(json!({"position": 0}).to_string())
        .is(412, "stale-version"),
    ]
}
