//! Requests find their services, and both directions arrive as they were sent.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::routing::{get, post};
use bytes::Bytes;
use contracts::TrustedProxies;
use contracts::limits::MAX_IMAGE_BYTES;
use gateway::client::Client;
use gateway::proxy::Proxy;
use gateway::routes::Upstream;
use http::HeaderMap;
use kit::testing::eventually;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{Mutex, Notify};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::support::{Echo, echo, gateway, problem, serve};

#[tokio::test]
async fn every_path_goes_to_its_service_as_it_is() {
    let mut variables = Vec::new();
    for name in ["user", "catalog", "cart", "order", "payment", "inventory", "review"] {
        variables.push((contracts::env::http_url(name), echo(name).await));
    }
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, url)| (name.as_str(), url.as_str())).collect();
    let gateway = gateway(&variables).await;
    for (method, path, service) in [
        ("GET", "/.well-known/jwks.json", "user"),
        ("POST", "/api/v1/auth/login", "user"),
        ("GET", "/api/v1/users/7", "user"),
        ("PUT", "/api/v1/me/favourites/7", "user"),
        ("GET", "/api/v1/products?q=a%20b&cursor=x", "catalog"),
        ("GET", "/api/v1/products/facets", "catalog"),
        ("GET", "/api/v1/products/facets?attribute=a:b%20c&attribute=a:d", "catalog"),
        ("PATCH", "/api/v1/products/0190b0a0-0000-7000-8000-000000000000", "catalog"),
        ("GET", "/api/v1/products/7/reviews?limit=3", "review"),
        ("GET", "/api/v1/categories", "catalog"),
        ("DELETE", "/api/v1/reviews/7", "review"),
        ("GET", "/api/v1/cart", "cart"),
        ("POST", "/api/v1/orders", "order"),
        ("POST", "/api/v1/webhooks/payments/stripe", "payment"),
        ("DELETE", "/api/v1/payment-methods/7", "payment"),
        ("GET", "/api/v1/credit?limit=3", "payment"),
        ("GET", "/api/v1/stock/MUG%2F1", "inventory"),
    ] {
        let answer = gateway.request(method, path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let echo: Echo = answer.json().await.unwrap();
        assert_eq!((echo.service.as_str(), echo.method.as_str()), (service, method), "{path}");
        assert_eq!(echo.uri, path);
    }
}

/// Providers sign the bytes that they send: JSON that were read and written anew would not be theirs.
#[tokio::test]
async fn a_webhook_arrives_byte_for_byte_with_its_signature() {
    let came_back = async |request: Request| {
        let signature = request.headers()["stripe-signature"].clone();
        let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
        ([("x-signature", signature)], body)
    };
    let payment = serve(Router::new().fallback(came_back)).await;
    let gateway = gateway(&[("PAYMENT_HTTP_URL", payment)]).await;
    let body = b"{ \"b\":1.0e2,\r\n\t\"a\" : \"\\u00e9\xc3\xa9\" ,\"a\":2}\n\n".as_slice();
    let answer = gateway
        .request("POST", "/api/v1/webhooks/payments/stripe")
        .header("Stripe-Signature", "t=1,v1=00,v1=01")
        .header("Content-Type", "application/json; charset=utf-8")
        // Whatever a proxy on the way has added is no token of ours.
        .header("Authorization", "Bearer nonsense")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-signature"], "t=1,v1=00,v1=01");
    assert_eq!(answer.bytes().await.unwrap(), body);
}

#[tokio::test]
async fn other_paths_and_services_that_the_shop_lacks_are_problems() {
    let gateway = gateway(&[("REVIEW_HTTP_URL", ""), ("NOTIFICATION_HTTP_URL", "")]).await;
    for (path, kind) in [
        ("/api/v1/nothing", "not-found"),
        ("/api/v2/products", "not-found"),
        ("/metrics", "not-found"),
        ("/api/v1/reviews", "service-disabled"),
        ("/api/v1/live", "service-disabled"),
    ] {
        let answer = gateway.request("GET", path).send().await.unwrap();
        assert_eq!(problem(answer).await, (404, kind.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn nobody_can_say_that_they_are_somebody_else() {
    let cart = echo("cart").await;
    let gateway = gateway(&[("CART_HTTP_URL", cart)]).await;
    let outside = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = gateway
        .request("GET", "/api/v1/cart")
        .header("X-User-Id", "0190b0a0-0000-7000-8000-000000000000")
        .header("X-Roles", "admin")
        .header("X-User-Roles", "admin")
        .header("Forwarded", "for=198.51.100.1")
        .header("X-Forwarded-For", "198.51.100.1")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Prefix", "/evil")
        .header("X-Real-Ip", "198.51.100.1")
        .header("Connection", "keep-alive, X-Once")
        .header("X-Once", "1")
        .header("TE", "trailers")
        .header("X-Cart-Token", "kept")
        .header("traceparent", outside)
        .send()
        .await
        .unwrap();
    let echo: Echo = answer.json().await.unwrap();
    for gone in ["x-user-id", "x-roles", "x-user-roles", "forwarded", "x-forwarded-prefix"] {
        assert_eq!(echo.header(gone), None, "{gone}");
    }
    for gone in ["connection", "x-once", "te"] {
        assert_eq!(echo.header(gone), None, "{gone}");
    }
    assert_eq!(echo.header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(echo.header("x-real-ip").as_deref(), Some("127.0.0.1"));
    assert_eq!(echo.header("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(echo.header("x-forwarded-host"), Some(gateway.bound.http.to_string()));
    assert_eq!(echo.header("x-cart-token").as_deref(), Some("kept"));
    // Without a subscriber there is no trace to pass on, and that of the outside stays outside.
    assert_eq!(echo.header("traceparent"), None);
}

/// Services limit by the address that is passed on: with the address of a load balancer they would count the whole shop as one.
#[tokio::test]
async fn addresses_that_clients_share_are_not_passed_on() {
    let cart = echo("cart").await;
    let gateway = gateway(&[("CART_HTTP_URL", cart.as_str()), ("SHARED_ADDRESSES", "true")]).await;
    let request = gateway.request("GET", "/api/v1/cart");
    let request = request.header("X-Forwarded-For", "198.51.100.1").header("X-Real-Ip", "::1");
    let echo: Echo = request.send().await.unwrap().json().await.unwrap();
    for gone in ["x-forwarded-for", "x-real-ip"] {
        assert_eq!(echo.header(gone), None, "{gone}");
    }
    assert_eq!(echo.header("x-forwarded-host"), Some(gateway.bound.http.to_string()));
}

#[tokio::test]
async fn what_ends_at_a_hop_ends_also_on_the_way_back() {
    let headers = [("connection", "x-inside"), ("x-inside", "1"), ("etag", "\"7\"")];
    let cart = serve(Router::new().fallback(async move || (headers, "body"))).await;
    let gateway = gateway(&[("CART_HTTP_URL", cart)]).await;
    let answer = gateway.request("GET", "/api/v1/cart").send().await.unwrap();
    assert!(!answer.headers().contains_key("x-inside"));
    assert_eq!(answer.headers()["etag"], "\"7\"");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    assert_eq!(answer.text().await.unwrap(), "body");
}

#[tokio::test]
async fn clients_may_speak_http_2() {
    let cart = echo("cart").await;
    let gateway = gateway(&[("CART_HTTP_URL", &cart)]).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let url = format!("http://{}/api/v1/cart", gateway.bound.http);
    let answer = client.get(url).send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    let echo: Echo = answer.json().await.unwrap();
    assert_eq!(echo.header("x-forwarded-host"), Some(gateway.bound.http.to_string()));
    assert_eq!(echo.header("host").as_deref(), cart.strip_prefix("http://"));
}

#[tokio::test]
async fn answers_stream() {
    let go_on = Arc::new(Notify::new());
    let answer = async |State(go_on): State<Arc<Notify>>| {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            sender.send(Ok::<_, std::io::Error>("first")).await.unwrap();
            go_on.notified().await;
            sender.send(Ok("second")).await.unwrap();
        });
        Body::from_stream(ReceiverStream::new(receiver))
    };
    let router = Router::new().route("/api/v1/orders", get(answer)).with_state(go_on.clone());
    let gateway = gateway(&[("ORDER_HTTP_URL", serve(router).await)]).await;
    let answer = gateway.request("GET", "/api/v1/orders").send().await.unwrap();
    let mut chunks = answer.bytes_stream();
    // If the gateway waited for the end, there would be no first part before the second is sent.
    assert_eq!(chunks.next().await.unwrap().unwrap(), "first");
    go_on.notify_one();
    assert_eq!(chunks.next().await.unwrap().unwrap(), "second");
    assert!(chunks.next().await.is_none());
}

/// What waits for a client that does not read is a few chunks, whatever the service has sent.
#[tokio::test]
async fn answers_come_in_small_chunks_however_fast_the_service_is() {
    const BYTES: usize = 4 << 20;
    let file = async || vec![0_u8; BYTES];
    let service = serve(Router::new().route("/api/v1/images/7-320.jpg", get(file))).await;
    let bases = HashMap::from([(Upstream::Catalog, service.parse().unwrap())]);
    let proxy = Proxy::new(bases, Arc::default(), CancellationToken::new());
    let client = Client::of([127, 0, 0, 1].into(), &HeaderMap::new(), &TrustedProxies::default());
    let request = Request::get("/api/v1/images/7-320.jpg").body(Body::empty()).unwrap();
    let answer = proxy.forward(Upstream::Catalog, request, &client).await.unwrap();
    let mut chunks = answer.into_body().into_data_stream();
    let mut seen = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.unwrap();
        assert!(chunk.len() <= 16 << 10, "{} bytes", chunk.len());
        seen += chunk.len();
        // Gives the service time to fill what there is to be filled.
        tokio::task::yield_now().await;
    }
    assert_eq!(seen, BYTES);
}

#[tokio::test]
async fn requests_stream() {
    let seen = Arc::new(Mutex::new(Vec::<u8>::new()));
    let answer = async |State(seen): State<Arc<Mutex<Vec<u8>>>>, request: Request| {
        let mut chunks = request.into_body().into_data_stream();
        while let Some(chunk) = chunks.next().await {
            seen.lock().await.extend(chunk.unwrap());
        }
        "done"
    };
    let router = Router::new().route("/api/v1/orders", post(answer)).with_state(seen.clone());
    let gateway = gateway(&[("ORDER_HTTP_URL", serve(router).await)]).await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let body = reqwest::Body::wrap_stream(ReceiverStream::new(receiver));
    let sent = tokio::spawn(gateway.request("POST", "/api/v1/orders").body(body).send());
    sender.send(Ok::<_, std::io::Error>(Bytes::from("first"))).await.unwrap();
    eventually("the first part arrives before the second is sent", async || {
        (*seen.lock().await == b"first").then_some(())
    })
    .await;
    sender.send(Ok(Bytes::from(" second"))).await.unwrap();
    drop(sender);
    assert_eq!(sent.await.unwrap().unwrap().text().await.unwrap(), "done");
    assert_eq!(*seen.lock().await, b"first second");
}

#[tokio::test]
async fn bodies_have_a_limit() {
    const LIMIT: usize = 2 << 20;
    let gateway = gateway(&[("ORDER_HTTP_URL", echo("order").await)]).await;
    let post = || gateway.request("POST", "/api/v1/orders");
    let streamed = |bytes: usize| {
        let chunks = (0..bytes / 1024).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![0; 1024])));
        reqwest::Body::wrap_stream(tokio_stream::iter(chunks))
    };
    let fits = post().body(vec![0; LIMIT]).send().await.unwrap();
    assert_eq!(fits.json::<Echo>().await.unwrap().bytes, LIMIT);
    let fits = post().body(streamed(LIMIT)).send().await.unwrap();
    assert_eq!(fits.json::<Echo>().await.unwrap().bytes, LIMIT);
    // Cart is nowhere: who announces too much is refused before any service is asked.
    let announced = gateway.request("PUT", "/api/v1/cart").body(vec![0; LIMIT + 1]);
    let announced = announced.send().await.unwrap();
    assert_eq!(problem(announced).await, (413, "body-too-large".to_owned()));
    let unannounced = post().body(streamed(LIMIT + 1024)).send().await.unwrap();
    assert_eq!(problem(unannounced).await, (413, "body-too-large".to_owned()));
}

#[tokio::test]
async fn files_of_images_may_be_larger_than_other_bodies() {
    let gateway = gateway(&[("CATALOG_HTTP_URL", echo("catalog").await)]).await;
    let post = |path: &str, bytes| gateway.request("POST", path).body(vec![0; bytes]);
    let images = "/api/v1/products/7/images";
    let fits = post(images, MAX_IMAGE_BYTES).send().await.unwrap();
    assert_eq!(fits.json::<Echo>().await.unwrap().bytes, MAX_IMAGE_BYTES);
    for (path, bytes) in [(images, MAX_IMAGE_BYTES + 1), ("/api/v1/products", MAX_IMAGE_BYTES)] {
        let answer = post(path, bytes).send().await.unwrap();
        assert_eq!(problem(answer).await, (413, "body-too-large".to_owned()), "{path}");
    }
}
