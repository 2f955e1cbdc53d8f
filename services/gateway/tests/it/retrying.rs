//! Services that are away, and what shoppers notice of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kit::testing::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Echo, echo, gateway, listener, metric, nowhere, problem, url_of};

#[tokio::test]
async fn a_service_that_is_away_is_a_503_that_says_when_to_come_back() {
    let gateway = gateway::<&str>(&[]).await;
    let retries = "gateway_upstream_retries_total{upstream=\"payment\"}";
    let before = metric(retries);
    let post = gateway.request("POST", "/api/v1/payments").body("money");
    let answer = post.send().await.unwrap();
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_eq!(problem(answer).await, (503, "unavailable".to_owned()));
    // No other test asks payment: without a connection nothing was sent, so even this is repeated.
    assert!((metric(retries) - before - 3.0).abs() < 0.1);
}

#[tokio::test]
async fn a_pod_that_comes_in_time_gets_the_whole_request() {
    let retries = "gateway_upstream_retries_total{upstream=\"inventory\"}";
    // On a busy machine the pod may come too late for one request; never for all.
    eventually("a request that began before the pod did succeeds", async || {
        let (address, socket) = nowhere();
        let gateway = gateway(&[("INVENTORY_HTTP_URL", format!("http://{address}"))]).await;
        let before = metric(retries);
        let post = gateway.request("POST", "/api/v1/stock").body("five bytes").send();
        let post = tokio::spawn(post);
        while metric(retries) - before < 0.5 && !post.is_finished() {
            tokio::task::yield_now().await;
        }
        let listener = socket.listen(1).unwrap();
        let serving =
            axum::serve(listener, axum::Router::new().fallback(async |body: String| body));
        tokio::spawn(async { serving.await });
        let answer = post.await.unwrap().unwrap();
        (answer.status() == 200 && answer.text().await.unwrap() == "five bytes").then_some(())
    })
    .await;
}

/// A service that hangs up on its first clients after it has read their requests.
async fn hangs_up(times: usize) -> (String, Arc<AtomicUsize>) {
    let listener = listener().await;
    let (url, served) = (url_of(&listener), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&served);
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 1024]).await;
            if count.fetch_add(1, Ordering::SeqCst) >= times {
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        }
    });
    (url, served)
}

#[tokio::test]
async fn a_connection_that_breaks_is_noticed_only_where_a_repetition_could_do_harm() {
    let (url, served) = hangs_up(2).await;
    let reading = gateway(&[("ORDER_HTTP_URL", url)]).await;
    let answer = reading.request("GET", "/api/v1/orders").send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "ok");
    assert_eq!(served.load(Ordering::SeqCst), 3);

    // Others may have changed the thing meanwhile, so not even what is idempotent is repeated.
    for (method, body) in
        [("POST", "{}"), ("POST", ""), ("PUT", "{}"), ("PUT", ""), ("PATCH", ""), ("DELETE", "")]
    {
        let (url, served) = hangs_up(2).await;
        let writing = gateway(&[("ORDER_HTTP_URL", url)]).await;
        let request = writing.request(method, "/api/v1/orders").body(body);
        let answer = request.send().await.unwrap();
        assert_eq!(problem(answer).await, (503, "unavailable".to_owned()));
        assert_eq!(served.load(Ordering::SeqCst), 1, "an order must not be placed twice");
    }
}

#[tokio::test]
async fn who_drains_says_so_and_keeps_serving() {
    let cart = echo("cart").await;
    let gateway = gateway(&[("CART_HTTP_URL", cart.as_str()), ("DRAIN_SECONDS", "600")]).await;
    let client = reqwest::Client::new();
    let url = |path: &str| format!("http://{}{path}", gateway.bound.http);
    let (health, cart) = (url("/health"), url("/api/v1/cart"));
    let answer = client.get(&cart).send().await.unwrap();
    assert!(!answer.headers().contains_key("connection"));
    assert_eq!(client.get(&health).send().await.unwrap().status(), 200);

    let stopping = tokio::spawn(gateway.stop());
    eventually("the gateway drains", async || {
        let answer = client.get(&health).send().await.unwrap();
        (answer.status() == 503).then(|| assert_eq!(answer.headers()["retry-after"], "1"))
    })
    .await;
    let answer = client.get(&cart).send().await.unwrap();
    assert_eq!(answer.headers()["connection"], "close");
    assert_eq!(answer.json::<Echo>().await.unwrap().service, "cart");
    stopping.abort();
}
