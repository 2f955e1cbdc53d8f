//! The product page, from services that answer, fail, or take too long.

use std::future::pending;
use std::time::{Duration, Instant};

use contracts::proto::catalog::catalog_server::{Catalog, CatalogServer};
use contracts::proto::catalog::{
    GetProductRequest, GetProductsRequest, GetProductsResponse, Product, Variant,
};
use contracts::proto::inventory::inventory_server::{Inventory, InventoryServer};
use contracts::proto::inventory::{GetStockRequest, GetStockResponse, Stock};
use contracts::proto::review::reviews_server::{Reviews, ReviewsServer};
use contracts::proto::review::{GetRatingsRequest, GetRatingsResponse, Rating};
use contracts::proto::user::users_server::{Users, UsersServer};
use contracts::proto::user::{
    GetStandingRequest, GetUserRequest, ListBlockedRequest, ListBlockedResponse, Standing, User,
};
use contracts::{ProductId, UserId};
use kit::auth::Role;
use serde_json::{Value, json};
use tonic::service::Routes;
use tonic::{Request, Response, Status, async_trait};

use crate::support::{gateway, metric, problem, serve_grpc};

const PRODUCT: &str = "0190b0a0-0000-7000-8000-000000000001";
/// A product with variants, of which one is not known to inventory, nor is the product's own SKU.
const DYED: &str = "0190b0a0-0000-7000-8000-000000000003";
/// A product that the catalog shows to nobody without a token.
const HIDDEN: &str = "0190b0a0-0000-7000-8000-000000000004";
const SELLER: &str = "0190b0a0-0000-7000-8000-000000000002";

/// What the services behind the page do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Answers,
    KnowsNothing,
    Fails,
    NeverAnswers,
}

impl Mood {
    async fn show(self) -> Result<(), Status> {
        match self {
            Self::Answers | Self::KnowsNothing => Ok(()),
            Self::Fails => Err(Status::internal("broken")),
            Self::NeverAnswers => pending().await,
        }
    }
}

#[async_trait]
impl Catalog for Mood {
    async fn get_product(
        &self,
        request: Request<GetProductRequest>,
    ) -> Result<Response<Product>, Status> {
        self.show().await?;
        let token = request.metadata().get("authorization").cloned();
        let id = request.into_inner().id;
        if let Some(token) = token.filter(|_| id == HIDDEN) {
            if *self == Self::KnowsNothing {
                return Err(Status::unauthenticated("who is that?"));
            }
            // A real one sees to it that it is its seller's.
            let document = json!({ "id": id, "version": 1, "deletion": token.to_str().unwrap() });
            return Ok(Response::new(Product {
                sku: "MUG".to_owned(),
                document: document.to_string(),
                ..Product::default()
            }));
        }
        if id == DYED {
            let variant = |sku: &str| Variant { sku: sku.to_owned(), ..Variant::default() };
            return Ok(Response::new(Product {
                sku: "UNKNOWN-1".to_owned(),
                document: json!({ "id": id, "version": 1 }).to_string(),
                variants: ["MUG-RED", "UNKNOWN-2", "MUG-BLUE"].map(variant).to_vec(),
                ..Product::default()
            }));
        }
        if id != PRODUCT {
            return Err(Status::not_found("no such product"));
        }
        let document = json!({ "id": id, "name": "Mug", "version": 7, "tags": ["red"] });
        Ok(Response::new(Product {
            id,
            sku: "MUG".to_owned(),
            seller_id: SELLER.to_owned(),
            document: document.to_string(),
            ..Product::default()
        }))
    }

    async fn get_products(
        &self,
        _: Request<GetProductsRequest>,
    ) -> Result<Response<GetProductsResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }
}

#[async_trait]
impl Users for Mood {
    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        self.show().await?;
        if *self == Self::KnowsNothing {
            return Err(Status::not_found("no such account"));
        }
        let id = request.into_inner().id;
        Ok(Response::new(User { id, name: "Ada".to_owned() }))
    }

    async fn get_standing(
        &self,
        _: Request<GetStandingRequest>,
    ) -> Result<Response<Standing>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn list_blocked(
        &self,
        _: Request<ListBlockedRequest>,
    ) -> Result<Response<ListBlockedResponse>, Status> {
        Ok(Response::new(ListBlockedResponse::default()))
    }
}

#[async_trait]
impl Inventory for Mood {
    async fn get_stock(
        &self,
        request: Request<GetStockRequest>,
    ) -> Result<Response<GetStockResponse>, Status> {
        self.show().await?;
        let skus = request.into_inner().skus.into_iter();
        let mut stock: Vec<Stock> = skus.map(|sku| Stock { sku, available: 3 }).collect();
        stock.retain(|s| *self != Self::KnowsNothing && !s.sku.starts_with("UNKNOWN"));
        Ok(Response::new(GetStockResponse { stock }))
    }
}

#[async_trait]
impl Reviews for Mood {
    async fn get_ratings(
        &self,
        request: Request<GetRatingsRequest>,
    ) -> Result<Response<GetRatingsResponse>, Status> {
        self.show().await?;
        let ids = request.into_inner().product_ids.into_iter();
        let mut ratings: Vec<Rating> =
            ids.map(|product_id| Rating { product_id, count: 3, sum: 14 }).collect();
        ratings.retain(|_| *self != Self::KnowsNothing);
        Ok(Response::new(GetRatingsResponse { ratings }))
    }
}

/// A gateway before services in these moods: catalog, user, inventory, review.
async fn shop(moods: [Mood; 4]) -> kit::testing::Running {
    let [catalog, user, inventory, review] = moods;
    let urls = [
        ("CATALOG_GRPC_URL", serve_grpc(Routes::new(CatalogServer::new(catalog))).await),
        ("USER_GRPC_URL", serve_grpc(Routes::new(UsersServer::new(user))).await),
        ("INVENTORY_GRPC_URL", serve_grpc(Routes::new(InventoryServer::new(inventory))).await),
        ("REVIEW_GRPC_URL", serve_grpc(Routes::new(ReviewsServer::new(review))).await),
    ];
    gateway(&urls).await
}

async fn get(gateway: &kit::testing::Running, id: &str) -> reqwest::Response {
    gateway.request("GET", &format!("/api/v1/products/{id}")).send().await.unwrap()
}

#[tokio::test]
async fn a_page_is_the_product_and_its_parts() {
    let gateway = shop([Mood::Answers; 4]).await;
    let answer = get(&gateway, PRODUCT).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["etag"], "\"7\"");
    let page: Value = answer.json().await.unwrap();
    assert_eq!(
        page,
        json!({
            "id": PRODUCT, "name": "Mug", "version": 7, "tags": ["red"],
            "seller": { "id": SELLER, "name": "Ada" },
            "stock": { "availability": "few_left" },
            "rating": { "average": 4.67, "count": 3 },
        })
    );
}

#[tokio::test]
async fn a_page_shows_what_there_is_of_each_variant() {
    let gateway = shop([Mood::Answers; 4]).await;
    let page: Value = get(&gateway, DYED).await.json().await.unwrap();
    let variants = json!([
        { "sku": "MUG-RED", "availability": "few_left" },
        { "sku": "MUG-BLUE", "availability": "few_left" },
    ]);
    assert_eq!(page["stock"], json!({ "availability": null, "variants": variants }));
    let gateway = shop([Mood::Answers, Mood::Answers, Mood::KnowsNothing, Mood::Answers]).await;
    let page: Value = get(&gateway, DYED).await.json().await.unwrap();
    assert_eq!(page["stock"], Value::Null);
}

#[tokio::test]
async fn a_products_seller_and_administrators_see_how_many_units_there_are() {
    let gateway = shop([Mood::Answers; 4]).await;
    let seller: UserId = SELLER.parse().unwrap();
    for (who, role, units) in [
        (seller, Role::Seller, json!(3)),
        (UserId::new(), Role::Admin, json!(3)),
        (UserId::new(), Role::Seller, Value::Null),
        // They sell no more.
        (seller, Role::Customer, Value::Null),
    ] {
        let path = format!("/api/v1/products/{PRODUCT}");
        let answer = gateway.request_as(who, &[role], "GET", &path).send().await.unwrap();
        let page: Value = answer.json().await.unwrap();
        assert_eq!(page["stock"]["availability"], "few_left", "{role:?}");
        assert_eq!(page["stock"]["available"], units, "{role:?}");
    }
    let path = format!("/api/v1/products/{DYED}");
    let answer = gateway.request_as(UserId::new(), &[Role::Admin], "GET", &path).send().await;
    let page: Value = answer.unwrap().json().await.unwrap();
    assert_eq!(page["stock"]["variants"][0]["available"], 3);
}

#[tokio::test]
async fn parts_that_nobody_knows_are_null_and_an_unrated_product_has_no_average() {
    let nothing = Mood::KnowsNothing;
    let gateway = shop([Mood::Answers, nothing, nothing, nothing]).await;
    let page: Value = get(&gateway, PRODUCT).await.json().await.unwrap();
    assert_eq!(page["name"], "Mug");
    assert_eq!(page["seller"], Value::Null);
    assert_eq!(page["stock"], Value::Null);
    assert_eq!(page["rating"], json!({ "average": null, "count": 0 }));
}

#[tokio::test]
async fn services_that_fail_or_are_away_cost_only_their_part() {
    let catalog = serve_grpc(Routes::new(CatalogServer::new(Mood::Answers))).await;
    let user = serve_grpc(Routes::new(UsersServer::new(Mood::Fails))).await;
    // Inventory is away; reviews were turned off.
    let variables =
        [("CATALOG_GRPC_URL", &*catalog), ("USER_GRPC_URL", &user), ("REVIEW_GRPC_URL", "")];
    let gateway = gateway(&variables).await;
    let missing = "gateway_page_parts_missing_total{part=\"seller\"}";
    let before = metric(missing);
    let answer = get(&gateway, PRODUCT).await;
    assert_eq!(answer.status(), 200);
    let page: Value = answer.json().await.unwrap();
    assert_eq!(page["name"], "Mug");
    for part in ["seller", "stock", "rating"] {
        assert_eq!(page.get(part), Some(&Value::Null), "{part}");
    }
    assert!(metric(missing) > before);
}

#[tokio::test]
async fn a_slow_part_is_not_waited_for() {
    let gateway = shop([Mood::Answers, Mood::Answers, Mood::NeverAnswers, Mood::Answers]).await;
    let begun = Instant::now();
    let page: Value = get(&gateway, PRODUCT).await.json().await.unwrap();
    // 300 ms by the rules; any other limit on the way is 2 s or more.
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    assert_eq!(page["seller"]["name"], "Ada");
    assert_eq!(page["stock"], Value::Null);
    assert_eq!(page["rating"]["count"], 3);
}

#[tokio::test]
async fn a_product_that_is_not_there_is_a_404_and_a_catalog_that_is_not_a_503() {
    let gateway = shop([Mood::Answers; 4]).await;
    let other = ProductId::new().to_string();
    assert_eq!(problem(get(&gateway, &other).await).await, (404, "not-found".to_owned()));
    for mood in [Mood::Fails, Mood::NeverAnswers] {
        let gateway = shop([mood, Mood::Answers, Mood::Answers, Mood::Answers]).await;
        let answer = get(&gateway, PRODUCT).await;
        assert_eq!(answer.headers()["retry-after"], "1");
        assert_eq!(problem(answer).await, (503, "unavailable".to_owned()));
    }
}

#[tokio::test]
async fn sellers_see_products_that_are_not_on_sale_as_the_catalog_decides() {
    let gateway = shop([Mood::Answers; 4]).await;
    let path = format!("/api/v1/products/{HIDDEN}");
    let token = gateway.signer.token(UserId::new(), &[Role::Seller]);
    let answer = gateway.request("GET", &path).bearer_auth(&token).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["etag"]),
        (200, &"\"1\"".parse().unwrap())
    );
    let page: Value = answer.json().await.unwrap();
    assert_eq!(page["deletion"], format!("Bearer {token}"), "the catalog knows who asks");
    assert_eq!(page["stock"], json!({ "availability": "few_left" }), "it is another seller's");
    assert_eq!(problem(get(&gateway, HIDDEN).await).await, (404, "not-found".to_owned()));
    // A token that was good at the gateway a moment ago need not be so any more.
    let knows_nobody = [Mood::KnowsNothing, Mood::Answers, Mood::Answers, Mood::Answers];
    let gateway = shop(knows_nobody).await;
    let answer = gateway.request_as(UserId::new(), &[Role::Seller], "GET", &path).send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
    assert_eq!(problem(answer).await, (401, "unauthenticated".to_owned()));
}
