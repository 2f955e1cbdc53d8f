//! The API's documentation, put together at run time.

use std::collections::BTreeSet;
use std::path::Path;

use axum::routing::get;
use axum::{Json, Router};
use gateway::Gateway;
use gateway::merge::merge;
use gateway::routes::Upstream;
use serde_json::{Value, json};

use crate::support::{gateway, problem, serve};

async fn documented(path: &'static str, kind: &'static str) -> String {
    let document = json!({
        "openapi": "3.1.0",
        "info": { "title": path, "version": "1" },
        "paths": {
            path: { "get": {
                "operationId": "list",
                "responses": { "200": { "$ref": "#/components/schemas/Kind" } },
            } },
            "/internal": { "get": {} },
        },
        "components": { "schemas": { "Kind": { "enum": [kind] }, "Same": { "type": "string" } } },
    });
    serve(Router::new().route("/openapi.json", get(async move || Json(document)))).await
}

#[tokio::test]
async fn one_document_describes_all_services_that_answer() {
    let order = documented("/api/v1/orders", "order").await;
    let cart = documented("/api/v1/cart", "cart").await;
    let variables =
        [("ORDER_HTTP_URL", &*order), ("CART_HTTP_URL", &cart), ("REVIEW_HTTP_URL", "")];
    let gateway = gateway(&variables).await;
    let get = async |path: &str| gateway.request("GET", path).send().await.unwrap();
    let merged: Value = get("/openapi.json").await.json().await.unwrap();
    let paths: Vec<&str> =
        merged["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "/",
            "/api/v1/cart",
            "/api/v1/orders",
            "/api/v1/products/{id}",
            "/health",
            "/problems/{slug}"
        ]
    );
    let reference = |path: &str| merged["paths"][path]["get"]["responses"]["200"]["$ref"].clone();
    let schemas = &merged["components"]["schemas"];
    for (path, kind) in [("/api/v1/orders", "order"), ("/api/v1/cart", "cart")] {
        let name = reference(path);
        let name = name.as_str().unwrap().trim_start_matches("#/components/schemas/");
        assert_eq!(schemas[name]["enum"], json!([kind]), "{path}");
    }
    assert_eq!(schemas["Same"]["type"], "string");
    assert!(merged["components"]["securitySchemes"]["bearer"].is_object());

    let one: Value = get("/openapi/cart.json").await.json().await.unwrap();
    assert_eq!(one["info"]["title"], "/api/v1/cart");
    assert_eq!(problem(get("/openapi/user.json").await).await.0, 503);
    assert_eq!(problem(get("/openapi/review.json").await).await.0, 404);
    assert_eq!(problem(get("/openapi/etc%2Fpasswd.json").await).await.0, 404);
}

#[tokio::test]
async fn the_collection_for_postman_leads_back_to_this_shop() {
    let cart = documented("/api/v1/cart", "cart").await;
    let gateway = gateway(&[("CART_HTTP_URL", &*cart)]).await;
    let collection: Value =
        gateway.request("GET", "/postman.json").send().await.unwrap().json().await.unwrap();
    assert_eq!(collection["info"]["name"], "Shop");
    let folders = collection["item"].as_array().unwrap();
    let folders: Vec<&str> = folders.iter().filter_map(|folder| folder["name"].as_str()).collect();
    assert_eq!(folders, ["A purchase", "cart", "catalog", "gateway"]);
    let variables = collection["variable"].as_array().unwrap();
    let base = variables.iter().find(|variable| variable["key"] == "baseUrl").unwrap();
    assert_eq!(base["value"], format!("http://{}", gateway.bound.http));
}

/// What a shop with all services says of itself, as the services' own snapshots say it.
fn whole() -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let each = Upstream::ALL.map(|upstream| {
        let file = folder.join(upstream.name()).join("openapi.json");
        let text = std::fs::read_to_string(&file).unwrap();
        (upstream, serde_json::from_str(&text).unwrap())
    });
    merge(serde_json::to_value(kit::openapi::of::<Gateway>()).unwrap(), &each)
}

/// Compares a file of `docs/` with what it should be.
fn check_document(name: &str, value: &Value) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    let text = format!("{value:#}\n");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, text).unwrap();
        return;
    }
    let stored = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(stored == text, "{} is stale: run `make generate`", file.display());
}

#[test]
fn the_documents_of_a_whole_shop_are_current() {
    let document = whole();
    let mut ids = BTreeSet::new();
    for operation in document["paths"].as_object().unwrap().values() {
        for operation in operation.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "two operations are called {id}");
            assert!(operation["responses"]["429"].is_object() || id == "health", "{id}");
        }
    }
    check_document("openapi.json", &document);
    check_document(
        "postman.json",
        &gateway::postman::collection(&document, "http://localhost:8080"),
    );
}

#[tokio::test]
async fn swagger_ui_shows_the_services_of_this_shop() {
    let gateway = gateway(&[("REVIEW_HTTP_URL", "")]).await;
    let page = gateway.request("GET", "/swagger-ui/").send().await.unwrap();
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let script = gateway.request("GET", "/swagger-ui/swagger-initializer.js").send().await.unwrap();
    let script = script.text().await.unwrap();
    assert!(script.contains("\"/openapi.json\"") && script.contains("\"/openapi/cart.json\""));
    assert!(!script.contains("review"), "{script}");
}

#[tokio::test]
async fn people_find_their_way() {
    let gateway = gateway(&[("SHOP_NAME", "demo")]).await;
    let get = async |path: &str| gateway.request("GET", path).send().await.unwrap();
    let index: Value = get("/").await.json().await.unwrap();
    assert_eq!(index["shop"], "demo");
    for link in ["documentation", "openapi", "postman", "health"] {
        let answer = get(index[link].as_str().unwrap()).await;
        assert_eq!(answer.status(), 200, "{link}");
    }
    let page = get("/problems/rate-limited").await;
    assert_eq!(page.headers()["content-type"], "text/plain; charset=utf-8");
    assert!(page.text().await.unwrap().starts_with("# Too many requests"));
    assert_eq!(problem(get("/problems/README").await).await.0, 404);
    assert_eq!(problem(get("/problems/..%2FREADME").await).await.0, 404);
}

#[tokio::test]
async fn the_pages_that_letters_lead_to_need_nothing_from_elsewhere() {
    let gateway = gateway::<&str>(&[]).await;
    for path in ["/verify-email", "/reset-password"] {
        let answer = gateway.request("GET", path).send().await.unwrap();
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
        let page = answer.text().await.unwrap();
        let links = page.split(['"', ' ']).filter(|word| word.starts_with("account."));
        let links: BTreeSet<&str> = links.collect();
        assert_eq!(links, BTreeSet::from(["account.css", "account.js"]), "{page}");
        for link in links {
            let answer = gateway.request("GET", &format!("/{link}")).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let kind = if link == "account.js" { "text/javascript" } else { "text/css" };
            assert_eq!(answer.headers()["content-type"], kind);
        }
        assert!(!page.contains("://") && !page.contains("<script>") && !page.contains("style="));
    }
}

/// Every `Kind::new(…, "slug", …)` of any service has a page, and every page is in the index.
#[test]
fn every_type_of_problem_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pages = root.join("docs/problems");
    let index = std::fs::read_to_string(pages.join("README.md")).unwrap();
    let mut slugs = BTreeSet::new();
    let mut folders = vec![root.join("services")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = std::fs::read_to_string(path).unwrap();
                let made = source.split("Kind::new(").skip(1);
                let status =
                    |kind: &&str| kind.trim_start().starts_with(|c: char| c.is_ascii_digit());
                let kinds = made.filter(status).filter_map(|kind| kind.split('"').nth(1));
                slugs.extend(kinds.map(str::to_owned));
            }
        }
    }
    assert!(slugs.contains("not-found") && slugs.contains("service-disabled"), "{slugs:?}");
    for slug in slugs {
        let page = format!("{slug}.md");
        assert!(pages.join(&page).exists(), "docs/problems/{page} is missing");
        assert!(index.contains(&format!("({page})")), "docs/problems/README.md lacks {page}");
    }
}

#[test]
fn the_openapi_document_is_current() {
    kit::testing::check_openapi::<Gateway>(env!("CARGO_MANIFEST_DIR"));
}
