//! The files of images, in all their sizes, from the object store.

use axum::body::Body as Stream;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kit::extract::Path;
use kit::problem::{Problem, Result};
use utoipa::ToSchema;

use super::Api;
use crate::image::Name;

/// What never changes may be kept for as long as there is a number for (RFC 8246).
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// The bytes of a file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it only describes")]
pub(super) struct File(Vec<u8>);

/// Shows an image in one of its sizes. What is at an address never changes.
#[utoipa::path(
    get, path = "/api/v1/images/{name}", tag = "images", operation_id = "show_image",
    params(("name" = String, Path, description = "As in `url` of the sizes of an image")),
    responses(
        (status = 200, description = "The file", content((inline(File) = "image/jpeg"), (inline(File) = "image/webp")), headers(("ETag" = String), ("Cache-Control" = String))),
        (status = 304, description = "It is what If-None-Match says"),
    ),
)]
pub(super) async fn show(
    State(api): State<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let name = Name::parse(&name).ok_or_else(|| Problem::not_found("image"))?;
    let tag = HeaderValue::try_from(format!("\"{name}\"")).map_err(Problem::internal)?;
    let lasting = [
        (header::CACHE_CONTROL, HeaderValue::from_static(FOR_EVER)),
        (header::ETAG, tag.clone()),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    if is_known(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, lasting).into_response());
    }
    let found = api.gallery.store().get(&name.to_string()).await?;
    let found = found.ok_or_else(|| Problem::not_found("image"))?;
    // The body knows how long it is.
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(name.format.media_type()))];
    Ok((lasting, kind, Stream::new(reqwest::Body::from(found))).into_response())
}

fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    known
        .flat_map(|list| list.split(','))
        .any(|one| one.trim().trim_start_matches("W/").as_bytes() == tag.as_bytes())
}
