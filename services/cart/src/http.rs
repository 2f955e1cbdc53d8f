//! The HTTP API.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use contracts::limits::{MAX_LINES, MAX_QUANTITY};
use contracts::{Currency, ProductId, Sku};
use http::{HeaderValue, StatusCode};
use kit::auth::Caller;
use kit::extract::{Json, Path, Query};
use kit::openapi::Refused;
use kit::problem::{Problem, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::cart::{Cart, Contents, Offer, Seen, Thing, offer_of};
use crate::id::{CartId, GuestToken};
use crate::peers::{Catalog, Inventory};
use crate::store::{How, Put, Store};
use crate::visitor::{Brought, TOKEN_HEADER, Visitor};

/// What the handlers need.
pub struct Api {
    /// The carts.
    pub store: Store,
    /// Says what things are and cost.
    pub catalog: Catalog,
    /// Says how many there are.
    pub inventory: Inventory,
    /// What the shop sells in.
    pub currency: Currency,
}

/// All routes.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    let document = kit::openapi::document("cart", "Carts of guests and users.");
    OpenApiRouter::with_openapi(document)
        .routes(routes!(read, open, clear))
        .routes(routes!(add))
        .routes(routes!(set, remove))
        .routes(routes!(merge))
}

/// A product to add.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddItem {
    /// The product.
    product_id: ProductId,
    /// Stock keeping unit of a variant of it; the product's own by default.
    #[serde(default)]
    sku: Option<Sku>,
    /// How many more, 1 to 10 000; the line may hold as many.
    #[schema(minimum = 1, maximum = 10_000)]
    quantity: u32,
}

/// Which kind of a product a line is about.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Stock keeping unit of a variant of the product; the product's own by default.
    sku: Option<Sku>,
}

/// Why something cannot be put into a cart.
enum Missing {
    /// The product is unknown or not on sale.
    Product,
    /// The product has no such variant.
    Variant,
}

/// How many there are to be of a product.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetQuantity {
    /// 1 to 10 000.
    #[schema(minimum = 1, maximum = 10_000)]
    quantity: u32,
}

/// A cart that was given to a guest.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct OpenedCart {
    /// Send it as `X-Cart-Token`; null for users, whose cart is found by their access token.
    token: Option<String>,
    /// What is in it.
    #[serde(flatten)]
    cart: Cart,
}

/// Read the cart
///
/// Names, prices and stock are those of now; marks say what has changed since the shopper last
/// touched a line.
#[utoipa::path(
    get, path = "/api/v1/cart", tag = "cart", security((), ("bearer" = [])),
    params(("X-Cart-Token" = Option<String>, Header, description = "A guest's cart")),
    responses(
        (status = 200, description = "The cart", body = Cart),
        Refused,
    ),
)]
async fn read(State(api): State<Arc<Api>>, visitor: Visitor) -> Result<axum::Json<Cart>> {
    api.show(visitor.cart().as_ref()).await.map(axum::Json)
}

/// Open a cart
///
/// Gives a guest the token of a new cart, also in the header `X-Cart-Token`. Whoever has a cart
/// gets that one.
#[utoipa::path(
    post, path = "/api/v1/cart", tag = "cart", security((), ("bearer" = [])),
    params(("X-Cart-Token" = Option<String>, Header, description = "A guest's cart")),
    responses(
        (status = 200, description = "The cart that there is", body = OpenedCart),
        (status = 201, description = "A new cart", body = OpenedCart),
        Refused,
    ),
)]
async fn open(State(api): State<Arc<Api>>, visitor: Visitor) -> Result<Response> {
    let cart = api.show(visitor.cart().as_ref()).await?;
    Ok(match visitor {
        Visitor::User(_) => axum::Json(OpenedCart { token: None, cart }).into_response(),
        Visitor::Guest(token) => {
            let token = Some(token.expose().to_owned());
            axum::Json(OpenedCart { token, cart }).into_response()
        }
        Visitor::New => {
            let token = GuestToken::new();
            let body = OpenedCart { token: Some(token.expose().to_owned()), cart };
            (StatusCode::CREATED, header(&token)?, axum::Json(body)).into_response()
        }
    })
}

/// Empty the cart
#[utoipa::path(
    delete, path = "/api/v1/cart", tag = "cart", security((), ("bearer" = [])),
    params(("X-Cart-Token" = Option<String>, Header, description = "A guest's cart")),
    responses(
        (status = 204, description = "Empty"),
        Refused,
    ),
)]
async fn clear(State(api): State<Arc<Api>>, visitor: Visitor) -> Result<StatusCode> {
    if let Some(cart) = visitor.cart() {
        api.store.clear(&cart).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Add a product, or a variant of one
///
/// A guest without a cart gets one; its token is in the header `X-Cart-Token` of the answer.
#[utoipa::path(
    post, path = "/api/v1/cart/items", tag = "cart", security((), ("bearer" = [])),
    params(("X-Cart-Token" = Option<String>, Header, description = "A guest's cart")),
    request_body = AddItem,
    responses(
        (status = 200, description = "The cart", body = Cart),
        Refused,
    ),
)]
async fn add(
    State(api): State<Arc<Api>>,
    visitor: Visitor,
    Json(body): Json<AddItem>,
) -> Result<Response> {
    check(body.quantity)?;
    let offer = api.offer(body.product_id, body.sku).await?.map_err(|missing| match missing {
        Missing::Product => {
            Problem::invalid_field("/product_id", format!("{} is not on sale", body.product_id))
        }
        Missing::Variant => Problem::invalid_field("/sku", "the product has no such variant"),
    })?;
    api.put(visitor, offer, How::Add, body.quantity).await
}

/// Set the quantity of a product
///
/// Adds the product when it is not in the cart.
#[utoipa::path(
    put, path = "/api/v1/cart/items/{product_id}", tag = "cart", security((), ("bearer" = [])),
    params(
        ("product_id" = ProductId, Path),
        Which,
        ("X-Cart-Token" = Option<String>, Header, description = "A guest's cart"),
    ),
    request_body = SetQuantity,
    responses(
        (status = 200, description = "The cart", body = Cart),
        Refused,
    ),
)]
async fn set(
    State(api): State<Arc<Api>>,
    visitor: Visitor,
    Path(product): Path<ProductId>,
    Query(which): Query<Which>,
    Json(body): Json<SetQuantity>,
) -> Result<Response> {
    check(body.quantity)?;
    let offer = api.offer(product, which.sku).await?.map_err(|missing| match missing {
        Missing::Product => Problem::not_found("product"),
        Missing::Variant => Problem::not_found("variant"),
    })?;
    api.put(visitor, offer, How::Set, body.quantity).await
}

/// Remove a product
///
/// Does nothing when it is not in the cart.
#[utoipa::path(
    delete, path = "/api/v1/cart/items/{product_id}", tag = "cart", security((), ("bearer" = [])),
    params(
        ("product_id" = ProductId, Path),
        Which,
        ("X-Cart-Token" = Option<String>, Header, description = "A guest's cart"),
    ),
    responses(
        (status = 200, description = "The cart", body = Cart),
        Refused,
    ),
)]
async fn remove(
    State(api): State<Arc<Api>>,
    visitor: Visitor,
    Path(product): Path<ProductId>,
    Query(which): Query<Which>,
) -> Result<axum::Json<Cart>> {
    let cart = visitor.cart();
    if let Some(cart) = &cart {
        api.store.remove(cart, product, which.sku).await?;
    }
    api.show(cart.as_ref()).await.map(axum::Json)
}

/// Bring a guest's cart along
///
/// After logging in: moves the lines of the guest's cart into the user's. Quantities of the same
/// product are added up to the limit; lines that find no place stay in the guest's cart.
#[utoipa::path(
    post, path = "/api/v1/cart/merge", tag = "cart", security(("bearer" = [])),
    params(("X-Cart-Token" = String, Header, description = "The guest's cart")),
    responses(
        (status = 200, description = "The user's cart", body = Cart),
        Refused,
    ),
)]
async fn merge(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Brought(token): Brought,
) -> Result<axum::Json<Cart>> {
    let cart = caller.user_id.into();
    api.store.merge(&(&token).into(), &cart).await?;
    api.show(Some(&cart)).await.map(axum::Json)
}

impl Api {
    /// What is offered of a product, or of a variant of it, if it can be bought.
    async fn offer(
        &self,
        product: ProductId,
        sku: Option<Sku>,
    ) -> Result<std::result::Result<(Thing, Offer), Missing>> {
        let mut offers = self.catalog.offers(std::iter::once(product)).await?;
        let Some(offers) = offers.remove(&product).filter(|offers| offers.own.on_sale) else {
            return Ok(Err(Missing::Product));
        };
        Ok(offers.thing(product, sku).ok_or(Missing::Variant))
    }

    /// Changes a line and shows the cart; whoever is new gets the token of a new cart.
    async fn put(
        &self,
        visitor: Visitor,
        (thing, offer): (Thing, Offer),
        how: How,
        quantity: u32,
    ) -> Result<Response> {
        let (cart, fresh) = if let Some(cart) = visitor.cart() {
            (cart, None)
        } else {
            let token = GuestToken::new();
            (CartId::from(&token), Some(header(&token)?))
        };
        let available = self.inventory.stock(std::iter::once(&offer.sku)).await;
        let available = available.get(&offer.sku).copied();
        let seen = Seen { sku: offer.sku, name: offer.name, price: offer.price, available };
        match self.store.put(&cart, &thing, how, quantity, &seen).await? {
            Put::Done => {}
            Put::TooMuch => {
                let detail = format!("the line would hold more than {MAX_QUANTITY}");
                return Err(Problem::invalid_field("/quantity", detail));
            }
            Put::TooManyLines => {
                let detail = format!("a cart has at most {MAX_LINES} lines");
                return Err(Problem::invalid_field("", detail));
            }
        }
        let cart = axum::Json(self.show(Some(&cart)).await?);
        Ok(match fresh {
            Some(header) => (header, cart).into_response(),
            None => cart.into_response(),
        })
    }

    /// A cart beside what is offered and in stock now.
    async fn show(&self, cart: Option<&CartId>) -> Result<Cart> {
        let contents = match cart {
            Some(cart) => self.store.contents(cart).await?,
            None => Contents { lines: Vec::new(), version: 0 },
        };
        let lines = &contents.lines;
        let offers = self.catalog.offers(lines.iter().map(|line| line.thing.product_id)).await?;
        let offered = lines.iter().filter_map(|line| offer_of(line, &offers));
        let stock = self.inventory.stock(offered.map(|offer| &offer.sku)).await;
        Ok(Cart::new(contents, &offers, &stock, self.currency))
    }
}

fn check(quantity: u32) -> Result<()> {
    if (1..=MAX_QUANTITY).contains(&quantity) {
        return Ok(());
    }
    Err(Problem::invalid_field("/quantity", format!("must be from 1 to {MAX_QUANTITY}")))
}

fn header(token: &GuestToken) -> Result<[(http::HeaderName, HeaderValue); 1]> {
    let value = HeaderValue::from_str(token.expose()).map_err(Problem::internal)?;
    Ok([(TOKEN_HEADER, value)])
}
