//! Images of products: everybody sees them, sellers tend those of their own products, administrators all.
//! The images are a part of the product: whatever changes them gives it the next version.

use std::sync::LazyLock;

use axum::body::{Body as Stream, HttpBody as _};
use axum::extract::{Request, State};
use axum::response::IntoResponse;
use contracts::limits::MAX_IMAGE_BYTES;
use contracts::{ProductId, text};
use futures_util::StreamExt as _;
use http::{HeaderValue, StatusCode, header};
use kit::auth::Caller;
use kit::extract::{IfMatch, Json, Path, Query, etag, present};
use kit::metric;
use kit::page::Page;
use kit::problem::{Body, CONFLICT, MALFORMED, Problem, Result, TOO_LARGE, UNAVAILABLE};
use prometheus::IntCounter;
use serde::Deserialize;
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::files::File;
use super::selling::current;
use super::{Api, lasting, writable};
use crate::db;
use crate::image::{Image, MAX_ALT, MAX_IMAGES, Stored};

static ADDED: LazyLock<IntCounter> =
    metric!(counter, "product_images_added_total", "Images that sellers have added to products.");

/// What is said about an image that comes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NewImage {
    /// What it shows, for those who do not see it: up to 500 characters.
    #[serde(default)]
    #[param(required = false)]
    alt: String,
}

/// What to change of an image; what is absent stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ImageChange {
    /// What it shows, for those who do not see it: up to 500 characters.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    alt: Option<String>,
    /// Its place among the images of the product, from 0; the others move up or down.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    position: Option<usize>,
}

/// Lists the images of a product, in their order; the first stands for it in lists.
#[utoipa::path(
    get, path = "/api/v1/products/{id}/images", tag = "images", operation_id = "images",
    params(("id" = ProductId, Path)),
    responses(
        (status = 200, body = Page<Image>, headers(("ETag" = String, description = "Version of the product"))),
    ),
    security((), ("bearer" = [])),
)]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Option<Caller>,
    Path(id): Path<ProductId>,
) -> Result<impl IntoResponse> {
    let product = super::visible(&api, caller.as_ref(), id).await?;
    Ok((etag(product.version), axum::Json(Page { items: product.images, next_cursor: None })))
}

/// Adds an image to a product, behind those that it has; up to 20. The body is the file: JPEG, PNG or WebP,
/// up to 25 MiB and 16 million pixels, in a JPEG 60 million. It is turned as its camera was held and stored in up to three widths, without
/// what else the file says, of the place where it was taken for example.
#[utoipa::path(
    post, path = "/api/v1/products/{id}/images", tag = "images", operation_id = "add_image",
    params(("id" = ProductId, Path), NewImage),
    request_body(
        content((inline(File) = "image/jpeg"), (inline(File) = "image/png"), (inline(File) = "image/webp")),
        description = "The file. Its format is told by its content",
    ),
    responses(
        (status = 201, body = Image, headers(("ETag" = String, description = "Version of the product"), ("Location" = String, description = "The image in its largest size"))),
        (status = 403, body = Body),
        (status = 409, body = Body),
        (status = 422, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn add(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ProductId>,
    Query(NewImage { alt }): Query<NewImage>,
    request: Request,
) -> Result<impl IntoResponse> {
    if !is_short(&alt) {
        return Err(Problem::new(MALFORMED, format!("alt has up to {MAX_ALT} characters")));
    }
    text::line(&alt).map_err(|no| Problem::new(MALFORMED, format!("alt {no}")))?;
    // Whoever may not do this, or not any more, is told so before anything is read.
    let product = db::find(&mut *api.pool.acquire().await?, id).await?;
    refuse_full(lasting(writable(&caller, product)?)?.images.len())?;
    let (body, most) = announced(request)?;
    let upload = api.gallery.begin(caller.user_id, most).await?;
    let picture = api.gallery.prepare(file(body, most).await?, upload.clone()).await?;
    let image = api.gallery.keep(picture, alt).await?;
    let version = match attach(&api, &caller, id, &image).await {
        Ok(version) => version,
        Err(problem) => {
            api.gallery.abandon(&image).await;
            return Err(problem);
        }
    };
    ADDED.inc();
    let image = Image::from(image);
    let location = image.sizes.last().map_or("", |size| &size.url);
    let location = HeaderValue::try_from(location).map_err(Problem::internal)?;
    let headers = [(header::LOCATION, location)];
    Ok((StatusCode::CREATED, etag(version), headers, axum::Json(image)))
}

/// Changes what an image is said to show, or its place.
#[utoipa::path(
    patch, path = "/api/v1/products/{id}/images/{image_id}", tag = "images", operation_id = "change_image",
    params(
        ("id" = ProductId, Path), ("image_id" = Uuid, Path),
        ("If-Match" = String, Header, description = "The ETag of the product that was read"),
    ),
    request_body = ImageChange,
    responses(
        (status = 200, description = "The images of the product", body = Page<Image>, headers(("ETag" = String, description = "Version of the product"))),
        (status = 403, body = Body),
        (status = 409, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn change(
    State(api): State<Api>,
    caller: Caller,
    Path((id, image_id)): Path<(ProductId, Uuid)>,
    version: IfMatch,
    Json(ImageChange { alt, position }): Json<ImageChange>,
) -> Result<impl IntoResponse> {
    let mut tx = api.pool.begin().await?;
    let (mut images, place) = lock(&mut tx, &caller, id, image_id, version).await?;
    if let Some(alt) = alt {
        if !is_short(&alt) {
            return Err(Problem::invalid_field("/alt", format!("up to {MAX_ALT} characters")));
        }
        text::line(&alt).map_err(|no| Problem::invalid_field("/alt", no.to_string()))?;
        db::update_alt(&mut tx, image_id, &alt).await?;
    }
    if let Some(position) = position {
        if position >= images.len() {
            return Err(Problem::invalid_field("/position", "the product has fewer images"));
        }
        let image = images.remove(place);
        images.insert(position, image);
        db::place_images(&mut tx, id, &ids(&images)).await?;
    }
    changed(&api, tx, id).await
}

/// Takes an image off a product.
#[utoipa::path(
    delete, path = "/api/v1/products/{id}/images/{image_id}", tag = "images", operation_id = "remove_image",
    params(
        ("id" = ProductId, Path), ("image_id" = Uuid, Path),
        ("If-Match" = String, Header, description = "The ETag of the product that was read"),
    ),
    responses(
        (status = 200, description = "The images that are left", body = Page<Image>, headers(("ETag" = String, description = "Version of the product"))),
        (status = 403, body = Body),
        (status = 409, body = Body),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path((id, image_id)): Path<(ProductId, Uuid)>,
    version: IfMatch,
) -> Result<impl IntoResponse> {
    let mut tx = api.pool.begin().await?;
    let (mut images, place) = lock(&mut tx, &caller, id, image_id, version).await?;
    db::delete_image(&mut tx, image_id).await?;
    images.remove(place);
    db::place_images(&mut tx, id, &ids(&images)).await?;
    changed(&api, tx, id).await
}

fn is_short(alt: &str) -> bool {
    alt.chars().count() <= MAX_ALT
}

fn refuse_full(images: usize) -> Result<()> {
    if images < MAX_IMAGES {
        return Ok(());
    }
    Err(Problem::new(CONFLICT, format!("a product has at most {MAX_IMAGES} images")))
}

/// A body, larger than that of other routes, and the most bytes that it may have by what is said about it.
fn announced(request: Request) -> Result<(Stream, usize)> {
    let body = request.into_body();
    match body.size_hint().exact().map(usize::try_from) {
        None => Ok((body, MAX_IMAGE_BYTES)),
        Some(Ok(length)) if length <= MAX_IMAGE_BYTES => Ok((body, length)),
        Some(_) => Err(too_large()),
    }
}

/// The whole body, in one buffer from the first byte: parts that are put together at the end are there twice.
async fn file(body: Stream, most: usize) -> Result<Vec<u8>> {
    let mut file = Vec::with_capacity(most);
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|_| Problem::new(MALFORMED, "the body broke off"))?;
        if part.len() > most - file.len() {
            return Err(too_large());
        }
        file.extend_from_slice(&part);
    }
    Ok(file)
}

fn too_large() -> Problem {
    Problem::new(TOO_LARGE, format!("a file has up to {MAX_IMAGE_BYTES} bytes"))
}

/// Makes what was stored an image of the product, which gets the version that is returned.
async fn attach(api: &Api, caller: &Caller, id: ProductId, image: &Stored) -> Result<i64> {
    let mut tx = api.pool.begin().await?;
    lasting(writable(caller, db::lock(&mut tx, id).await?)?)?;
    refuse_full(db::images(&mut tx, id).await?.len())?;
    if !db::claim_upload(&mut tx, image.id).await? {
        return Err(Problem::new(UNAVAILABLE, "the upload took too long, send it again"));
    }
    db::insert_image(&mut tx, id, image).await?;
    let version = db::next_version(&mut tx, id).await?;
    api.cache.invalidate(id, version).await;
    tx.commit().await?;
    api.cache.committed(id);
    Ok(version)
}

/// The images of a product as the caller has read it, and where the one in question stands among them.
async fn lock(
    tx: &mut PgConnection,
    caller: &Caller,
    id: ProductId,
    image: Uuid,
    version: IfMatch,
) -> Result<(Vec<Stored>, usize)> {
    lasting(current(tx, caller, id, version).await?)?;
    let images = db::images(tx, id).await?;
    let place = images.iter().position(|stored| stored.id == image);
    Ok((images, place.ok_or_else(|| Problem::not_found("image"))?))
}

/// Gives the product its next version and shows its images as they are then.
async fn changed(
    api: &Api,
    mut tx: sqlx::Transaction<'static, sqlx::Postgres>,
    id: ProductId,
) -> Result<impl IntoResponse + use<>> {
    let version = db::next_version(&mut tx, id).await?;
    let images = db::images(&mut tx, id).await?;
    api.cache.invalidate(id, version).await;
    tx.commit().await?;
    api.cache.committed(id);
    let items = images.into_iter().map(Image::from).collect();
    Ok((etag(version), axum::Json(Page { items, next_cursor: None })))
}

fn ids(images: &[Stored]) -> Vec<Uuid> {
    images.iter().map(|image| image.id).collect()
}
