//! A cart service without Redis is of no use, and says so.

use kit::testing::{Running, engine, eventually};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Passes connections on to Redis for as long as the task lives.
async fn pass_on(listener: TcpListener) {
    let target = engine("TEST_REDIS_URL").replace("redis://", "");
    // Dropped with the task, and all connections with it.
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        let mut far = TcpStream::connect(&target).await.unwrap();
        connections.spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
    }
}

#[tokio::test]
async fn readiness_follows_redis() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let redis = tokio::spawn(pass_on(listener));
    let url = format!("redis://{address}");
    let nobody = "http://127.0.0.1:1";
    let variables =
        [("CATALOG_GRPC_URL", nobody), ("INVENTORY_GRPC_URL", nobody), ("REDIS_URL", url.as_str())];
    let service = Running::start::<cart::Cart>(&variables).await;
    let ready = format!("http://{}/ready", service.bound.admin);
    let status = async || reqwest::get(&ready).await.unwrap().status().as_u16();
    assert_eq!(status().await, 200);

    redis.abort();
    eventually("it is not ready", async || (status().await == 503).then_some(())).await;
    let answer = service.request("GET", "/api/v1/cart").header("X-Cart-Token", "A".repeat(43));
    assert_eq!(answer.send().await.unwrap().status(), 503);

    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(pass_on(listener));
    eventually("it is ready again", async || (status().await == 200).then_some(())).await;
}
