//! WebSocket through the gateway.

use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message as Inside, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{gateway, serve};

/// Greets with the query and the client's address, then repeats what it hears.
async fn parrot() -> String {
    let upgrade = async |headers: HeaderMap, uri: axum::http::Uri, upgrade: WebSocketUpgrade| {
        let address = headers["x-forwarded-for"].to_str().unwrap().to_owned();
        let greeting = format!("{} {address}", uri.query().unwrap_or_default());
        upgrade.on_upgrade(async move |mut socket| {
            socket.send(Inside::Text(greeting.into())).await.unwrap();
            while let Some(Ok(message)) = socket.recv().await {
                if socket.send(message).await.is_err() {
                    break;
                }
            }
        })
    };
    serve(Router::new().route("/api/v1/live", get(upgrade))).await
}

#[tokio::test]
async fn messages_go_both_ways_until_the_gateway_ends() {
    let gateway = gateway(&[("NOTIFICATION_HTTP_URL", parrot().await)]).await;
    let url = format!("ws://{}/api/v1/live?access_token=t", gateway.bound.http);
    let (mut socket, answer) = connect_async(url).await.unwrap();
    assert_eq!(answer.status(), 101);
    let greeting = socket.next().await.unwrap().unwrap();
    assert_eq!(greeting, Message::text("access_token=t 127.0.0.1"));
    let large = "x".repeat(3 << 20);
    for text in ["hello", &large] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    gateway.stop().await.unwrap();
    let end = tokio::time::timeout(Duration::from_secs(20), socket.next()).await;
    let end = end.expect("the tunnel ends with the gateway");
    assert!(matches!(end, None | Some(Err(_))), "{end:?}");
}

#[tokio::test]
async fn pages_of_other_origins_open_no_sockets() {
    let live = parrot().await;
    let origins = ("CORS_ALLOWED_ORIGINS", "https://a.example");
    let gateway = gateway(&[("NOTIFICATION_HTTP_URL", live.as_str()), origins]).await;
    let own = format!("http://{}", gateway.bound.http);
    let open = async |origin: &str| {
        let url = format!("ws://{}/api/v1/live", gateway.bound.http);
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        match connect_async(request).await {
            Ok((_, answer)) => answer.status().as_u16(),
            Err(Error::Http(answer)) => answer.status().as_u16(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(open("https://a.example").await, 101);
    assert_eq!(open(&own).await, 101);
    for stranger in ["https://evil.example", "null", "https://a.example.evil"] {
        assert_eq!(open(stranger).await, 403, "{stranger}");
    }
}

#[tokio::test]
async fn a_service_may_refuse_to_change_the_protocol() {
    let refuse = async || (axum::http::StatusCode::FORBIDDEN, "not you");
    let service = serve(Router::new().route("/api/v1/live", get(refuse))).await;
    let gateway = gateway(&[("NOTIFICATION_HTTP_URL", service)]).await;
    let refused = connect_async(format!("ws://{}/api/v1/live", gateway.bound.http)).await;
    let Err(Error::Http(answer)) = refused else { panic!("{refused:?}") };
    assert_eq!(answer.status(), 403);
}
