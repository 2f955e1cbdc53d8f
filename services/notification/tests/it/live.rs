//! Live updates over WebSocket.

use std::time::Duration;

use chrono::Utc;
use contracts::events::OrderExpired;
use contracts::{EventId, OrderId, UserId};
use futures_util::{SinkExt, StreamExt};
use kit::testing::{Running, Signer, engine, eventually};
use notification::db;
use notification::live::{LiveEvent, Step};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::{paid, placed, start, start_with};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Browser(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Browser {
    /// Opens a socket as a page does, which can set no header but the protocol.
    pub(crate) async fn open(service: &Running, token: &str, query: &str) -> Self {
        let url = format!("ws://{}/api/v1/live{query}", service.bound.http);
        let mut request = url.into_client_request().unwrap();
        let offered = format!("shop.live.v1, bearer.{token}").parse().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", offered);
        let (socket, answer) = connect_async(request).await.unwrap();
        assert_eq!(answer.headers()["sec-websocket-protocol"], "shop.live.v1");
        Self(socket)
    }

    async fn message(&mut self) -> Message {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await;
            match message.expect("a message in time").expect("the socket is open").unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    pub(crate) async fn event(&mut self) -> LiveEvent {
        match self.message().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?} is no event"),
        }
    }

    async fn close_code(&mut self) -> u16 {
        match self.message().await {
            Message::Close(Some(frame)) => frame.code.into(),
            other => panic!("{other:?} is no farewell"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_hear_of_their_own_orders_as_they_happen() {
    let service = start().await;
    let (ada, eve, order) = (UserId::new(), UserId::new(), OrderId::new());
    let mut query = Browser::open(&service, &service.signer.token(ada, &[]), "").await;
    let url = format!("ws://{}/api/v1/live", service.bound.http);
    let mut request = url.into_client_request().unwrap();
    let bearer = format!("Bearer {}", service.signer.token(ada, &[]));
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    let mut header = Browser(connect_async(request).await.unwrap().0);

    service.publish(&placed(eve, OrderId::new())).await;
    let placed_id = service.publish(&placed(ada, order)).await;
    let paid_id = service.publish(&paid(ada, order)).await;
    for browser in [&mut query, &mut header] {
        let event = browser.event().await;
        assert_eq!((event.id, event.order_id), (placed_id, order), "{event:?}");
        assert_eq!((event.r#type.as_str(), event.status.as_str()), ("order.placed", "pending"));
        let event = browser.event().await;
        assert_eq!((event.id, event.status.as_str()), (paid_id, "paid"));
    }
    assert!(service.metrics().await.contains("\nlive_connections "));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_hear_of_what_another_has_stored() {
    let service = start().await;
    let (user, id) = (UserId::new(), EventId::new());
    let mut browser = Browser::open(&service, &service.signer.token(user, &[]), "").await;
    let mut tx = service.pool().begin().await.unwrap();
    db::push(&mut tx, user, OrderId::new(), (Step::Paid, None), (id, Utc::now())).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(browser.event().await.id, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_comes_back_hears_what_it_has_missed() {
    let service = start().await;
    let (user, order) = (UserId::new(), OrderId::new());
    let token = service.signer.token(user, &[]);
    let mut browser = Browser::open(&service, &token, "").await;
    let first = service.publish(&placed(user, order)).await;
    assert_eq!(browser.event().await.id, first);
    browser.0.close(None).await.unwrap();

    let second = service.publish(&paid(user, order)).await;
    let third = service.publish(&OrderExpired { order_id: order, user_id: user }).await;
    let resume = format!("?last_event_id={first}");
    let mut browser = Browser::open(&service, &token, &resume).await;
    assert_eq!(browser.event().await.id, second);
    assert_eq!(browser.event().await.id, third);

    let forgotten = format!("?last_event_id={}", EventId::new());
    let mut browser = Browser::open(&service, &token, &forgotten).await;
    assert_eq!(browser.event().await.id, first, "from the beginning rather than with a gap");

    // Without resuming, from now on only.
    let mut browser = Browser::open(&service, &token, "").await;
    let fourth = service.publish(&placed(user, OrderId::new())).await;
    assert_eq!(browser.event().await.id, fourth);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_missed_events_come_in_order() {
    let service = start().await;
    let user = UserId::new();
    let mut ids = Vec::new();
    let mut tx = service.pool().begin().await.unwrap();
    for _ in 0..100 {
        let id = EventId::new();
        let told = (id, Utc::now());
        db::push(&mut tx, user, OrderId::new(), (Step::Placed, None), told).await.unwrap();
        ids.push(id);
    }
    tx.commit().await.unwrap();
    let resume = format!("?last_event_id={}", ids[0]);
    let mut browser = Browser::open(&service, &service.signer.token(user, &[]), &resume).await;
    for id in &ids[1..] {
        assert_eq!(browser.event().await.id, *id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_valid_token_nothing_is_upgraded() {
    let service = start().await;
    let user = UserId::new();
    let mut expired = Signer::claims(user, &[]);
    expired.exp -= 400;
    let (expired, other) = (service.signer.sign(&expired), Signer::new().token(user, &[]));
    let good = service.signer.token(user, &[]);
    let open = async |query: &str, protocols: &str| {
        let request = service
            .request("GET", &format!("/api/v1/live{query}"))
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", protocols);
        request.send().await.unwrap()
    };
    for protocols in [
        "shop.live.v1".to_owned(),
        "shop.live.v1, bearer.".to_owned(),
        "shop.live.v1, bearer.a.b.c".to_owned(),
        format!("shop.live.v1, bearer.{expired}"),
        format!("shop.live.v1, bearer.{other}"),
        good.clone(),
    ] {
        let answer = open("", &protocols).await;
        assert_eq!(answer.status(), 401, "{protocols}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["type"], "/problems/unauthenticated", "{protocols}");
    }
    // A token in a URL ends in logs, however good it is.
    let in_url = open(&format!("?access_token={good}"), "shop.live.v1").await;
    assert_eq!(in_url.status(), 400);
    let plain = service.request_as(user, &[], "GET", "/api/v1/live").send().await.unwrap();
    assert_eq!(plain.status(), 426);
    assert_eq!(plain.json::<Value>().await.unwrap()["type"], "/problems/upgrade-required");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_ends_with_its_token() {
    let service = start().await;
    let mut claims = Signer::claims(UserId::new(), &[]);
    claims.exp = claims.iat + 2;
    let mut browser = Browser::open(&service, &service.signer.sign(&claims), "").await;
    assert_eq!(browser.close_code().await, 4401);
    assert!(Utc::now().timestamp() >= claims.exp, "not before its time");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_too_many_sockets_of_one_user_the_oldest_ends() {
    let service = start().await;
    let (user, order) = (UserId::new(), OrderId::new());
    let token = service.signer.token(user, &[]);
    let mut other = Browser::open(&service, &service.signer.token(UserId::new(), &[]), "").await;
    let mut browsers = Vec::new();
    for _ in 0..11 {
        browsers.push(Browser::open(&service, &token, "").await);
    }
    let mut left = browsers.split_off(1);
    assert_eq!(browsers[0].close_code().await, 4429);
    service.publish(&placed(user, order)).await;
    for browser in &mut left {
        assert_eq!(browser.event().await.order_id, order);
    }
    let quiet = tokio::time::timeout(Duration::from_millis(100), other.message()).await;
    assert!(quiet.is_err(), "nobody else's socket ends: {quiet:?}");
}

/// All of them from one peer, as the gateway is.
#[tokio::test(flavor = "multi_thread")]
async fn sockets_leave_room_for_other_requests() {
    let mail = engine("TEST_SMTP_URL");
    let service = start_with(&mail, &[("MAX_CONNECTIONS", "8")]).await;
    let token = |user| service.signer.token(user, &[]);
    let mut browsers = Vec::new();
    for _ in 0..7 {
        browsers.push(Browser::open(&service, &token(UserId::new()), "").await);
    }
    let url = format!("ws://{}/api/v1/live", service.bound.http);
    let mut one_more = url.into_client_request().unwrap();
    let bearer = format!("Bearer {}", token(UserId::new()));
    one_more.headers_mut().insert("authorization", bearer.parse().unwrap());
    let Err(Error::Http(refused)) = connect_async(one_more).await else {
        panic!("there is no room for an eighth")
    };
    assert_eq!(refused.status(), 503);
    let list = || service.request_as(UserId::new(), &[], "GET", "/api/v1/notifications").send();
    // The connection of the one that was refused has to end first.
    let listed = eventually("there is room for a request", async || list().await.ok()).await;
    assert_eq!(listed.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stops_says_goodbye() {
    let service = start().await;
    let token = service.signer.token(UserId::new(), &[]);
    let mut browser = Browser::open(&service, &token, "").await;
    let (code, stopped) = tokio::join!(browser.close_code(), service.stop());
    assert_eq!(code, 1001);
    assert!(stopped.is_ok(), "{stopped:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn talkative_clients_are_cut_off() {
    let service = start().await;
    let token = service.signer.token(UserId::new(), &[]);
    let mut browser = Browser::open(&service, &token, "").await;
    browser.0.send(Message::text("x".repeat(100_000))).await.unwrap();
    let end = tokio::time::timeout(PATIENCE, browser.0.next()).await.unwrap();
    assert!(!matches!(end, Some(Ok(Message::Text(_)))), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_happened_is_listed_the_newest_first() {
    let service = start().await;
    let (user, order) = (UserId::new(), OrderId::new());
    let mut browser = Browser::open(&service, &service.signer.token(user, &[]), "").await;
    service.publish(&placed(UserId::new(), OrderId::new())).await;
    for _ in 0..3 {
        service.publish(&placed(user, order)).await;
        browser.event().await;
    }
    let list = async |query: &str| {
        let path = format!("/api/v1/notifications?limit=2{query}");
        let request = service.request_as(user, &[], "GET", &path);
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let first = list("").await;
    let second = list(&format!("&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    let page = |page: &Value| page["items"].as_array().unwrap().clone();
    let all = [page(&first), page(&second)].concat();
    let all: Vec<LiveEvent> = serde_json::from_value(json!(all)).unwrap();
    assert_eq!(all.len(), 3);
    assert!(all.is_sorted_by(|a, b| a.id > b.id), "{all:?}");
    assert_eq!(second["next_cursor"], Value::Null);
    let unknown = service.request("GET", "/api/v1/notifications").send().await.unwrap();
    assert_eq!(unknown.status(), 401);
}
