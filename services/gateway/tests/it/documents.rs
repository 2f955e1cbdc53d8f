//! The API's documentation, put together at run time.

use std::collections::{BTreeMap, BTreeSet};
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
async fn a_document_that_has_not_changed_is_not_sent_again() {
    let cart = documented("/api/v1/cart", "cart").await;
    let gateway = gateway(&[("CART_HTTP_URL", &*cart)]).await;
    for path in ["/openapi.json", "/openapi/cart.json"] {
        let first = gateway.request("GET", path).send().await.unwrap();
        assert_eq!(first.headers()["content-type"], "application/json");
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        for (sent, status) in [
            (tag.clone(), 304),
            (format!("\"0\", W/{tag}"), 304),
            ("*".to_owned(), 304),
            ("\"0\"".to_owned(), 200),
        ] {
            let again = gateway.request("GET", path).header("If-None-Match", &sent);
            let again = again.send().await.unwrap();
            assert_eq!(again.status(), status, "{path} {sent}");
            assert_eq!(again.headers()["etag"], *tag);
            assert_eq!(again.bytes().await.unwrap().is_empty(), status == 304, "{path} {sent}");
        }
    }
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
    for path in ["/verify-email", "/reset-password", "/forgot-password"] {
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

/// Every `Kind::new(status, "slug", …)` of any service has a page, which says what it is and what a client does about
/// it; no page is about anything else; and all are in the index.
#[test]
fn every_type_of_problem_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.join("docs/problems");
    let index = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let kinds = kinds(&root.join("services"));
    assert!(kinds.contains_key("not-found") && kinds.contains_key("service-disabled"), "{kinds:?}");
    for (slug, status) in &kinds {
        let page = std::fs::read_to_string(folder.join(format!("{slug}.md")));
        let page = page.unwrap_or_else(|_| panic!("docs/problems/{slug}.md is missing"));
        let paragraphs: Vec<&str> = page.trim().split("\n\n").collect();
        assert!(paragraphs[0].starts_with("# "), "docs/problems/{slug}.md has no title");
        let head = format!("`type: /problems/{slug}`, status {status}");
        assert_eq!(paragraphs[1], head, "docs/problems/{slug}.md");
        let told =
            "must say in one paragraph what is wrong, in another what a client does about it";
        assert!(paragraphs.len() >= 4, "docs/problems/{slug}.md {told}");
        let row = format!("| {status} | [{slug}]({slug}.md) |");
        assert!(index.contains(&row), "docs/problems/README.md lacks {row}");
    }
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let slug = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(slug == "README" || kinds.contains_key(&slug), "nothing answers with {slug}");
    }
}

/// Slugs of the kinds of problems in the sources of a folder, and their status codes.
fn kinds(folder: &Path) -> BTreeMap<String, u16> {
    let (mut kinds, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = std::fs::read_to_string(path).unwrap();
                kinds.extend(source.split("Kind::new(").skip(1).filter_map(|made| {
                    let (status, rest) = made.split_once(',')?;
                    Some((rest.split('"').nth(1)?.to_owned(), status.trim().parse().ok()?))
                }));
            }
        }
    }
    kinds
}

#[test]
fn the_openapi_document_is_current() {
    kit::testing::check_openapi::<Gateway>(env!("CARGO_MANIFEST_DIR"));
}
