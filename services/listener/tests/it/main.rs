//! What connections may do, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test")]

mod streams;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http_body_util::StreamBody;
use hyper_util::rt::TokioIo;
use listener::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Limits of these tests: one that should act, and one that should not.
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_mins(10);
/// How long anything may take on a busy machine.
const TIMEOUT: Duration = Duration::from_mins(1);

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n";

fn limits() -> Limits {
    Limits {
        connections: 64,
        header_timeout: LONG,
        idle_timeout: LONG,
        write_timeout: LONG,
        ..Limits::default()
    }
}

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    /// Notified when a slow request is under way.
    begun: Arc<Notify>,
}

async fn server(limits: Limits) -> Server {
    let routes = Router::new()
        .route("/", get(async || "hello"))
        .route("/slow", get(slow))
        .route("/endless", get(async || Body::new(StreamBody::new(endless()))))
        .route("/echo", get(echo));
    let begun = Arc::new(Notify::new());
    let routes = routes.layer(Extension(Arc::clone(&begun)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    let serving = tokio::spawn(listener::serve("test", listener, routes, limits, stopped));
    Server { address, stop, serving, begun }
}

async fn slow(Extension(begun): Extension<Arc<Notify>>) {
    begun.notify_one();
    sleep(SHORT * 4).await;
}

fn endless() -> impl futures_util::Stream<Item = Result<http_body::Frame<Bytes>, Infallible>> {
    futures_util::stream::repeat_with(|| Ok(http_body::Frame::data(Bytes::from(vec![0; 1 << 16]))))
}

/// Changes to a protocol that repeats what it is sent.
async fn echo(mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
        let _ = tokio::io::copy(&mut read, &mut write).await;
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "echo")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

impl Server {
    async fn connect(&self) -> TcpStream {
        self.connect_from(1).await
    }

    /// A connection from 127.0.0.`host`.
    async fn connect_from(&self, host: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0))).unwrap();
        socket.connect(self.address).await.unwrap()
    }
}

/// What comes until the server closes.
async fn rest(connection: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset ends it as well.
    let _ = timeout(TIMEOUT, connection.read_to_end(&mut text)).await.expect("it is closed");
    String::from_utf8_lossy(&text).into_owned()
}

/// Sends this and reads until that has come; whether it has.
async fn ask(connection: &mut TcpStream, request: &[u8], wanted: &str) -> bool {
    let (mut seen, mut chunk) = (Vec::new(), [0; 4096]);
    let answered = async {
        connection.write_all(request).await.ok()?;
        while !String::from_utf8_lossy(&seen).contains(wanted) {
            let read = connection.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
            seen.extend_from_slice(&chunk[..read]);
        }
        Some(())
    };
    timeout(TIMEOUT, answered).await.expect("an answer or an end").is_some()
}

#[tokio::test]
async fn a_header_that_does_not_end_is_not_waited_for() {
    let server = server(Limits { header_timeout: SHORT, ..limits() }).await;
    let mut connection = server.connect().await;
    // Also where something comes now and then.
    connection.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nx: ").await.unwrap();
    let (mut reading, mut writing) = connection.into_split();
    let dripping = tokio::spawn(async move {
        while writing.write_all(b"x").await.is_ok() {
            sleep(SHORT / 10).await;
        }
    });
    let end = timeout(TIMEOUT, reading.read(&mut [0; 1])).await.expect("it is closed");
    assert!(matches!(end, Ok(0) | Err(_)));
    dripping.abort();

    // Nor is the second one.
    let mut connection = server.connect().await;
    assert!(ask(&mut connection, GET, "hello").await);
    connection.write_all(b"GET / HT").await.unwrap();
    assert_eq!(rest(&mut connection).await, "");
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() {
    let server = server(Limits { idle_timeout: SHORT, ..limits() }).await;
    let mut silent = server.connect().await;
    let mut idle = server.connect().await;
    assert!(ask(&mut idle, GET, "hello").await);
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!(rest(&mut idle).await, "");
}

#[tokio::test]
async fn headers_over_the_limit_are_refused() {
    let server = server(limits()).await;
    let mut connection = server.connect().await;
    let large = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "x".repeat(300 << 10));
    // The server may close before all of it is sent.
    let _ = connection.write_all(large.as_bytes()).await;
    let answer = rest(&mut connection).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");

    let mut connection = server.connect().await;
    let fits = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(16 << 10));
    assert!(ask(&mut connection, fits.as_bytes(), "hello").await);
}

#[tokio::test]
async fn one_peer_gets_half_of_the_connections() {
    let server = server(Limits { connections: 4, ..limits() }).await;
    let mut greedy = Vec::new();
    for _ in 0..2 {
        let mut connection = server.connect_from(2).await;
        assert!(ask(&mut connection, GET, "hello").await);
        greedy.push(connection);
    }
    let mut third = server.connect_from(2).await;
    assert!(!ask(&mut third, GET, "hello").await, "half of them are its own");
    let mut honest = server.connect_from(3).await;
    assert!(ask(&mut honest, GET, "hello").await);
    let mut other = server.connect_from(4).await;
    assert!(ask(&mut other, GET, "hello").await);
    let mut last = server.connect_from(5).await;
    assert!(!ask(&mut last, GET, "hello").await, "all are taken");
    // Places come back.
    drop(greedy);
    timeout(TIMEOUT, async {
        while !ask(&mut server.connect_from(2).await, GET, "hello").await {
            sleep(SHORT / 10).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_trusted_proxy_may_have_all_connections() {
    let trusted = "127.0.0.2".parse().unwrap();
    let server = server(Limits { connections: 4, trusted, ..limits() }).await;
    let mut all = Vec::new();
    for _ in 0..4 {
        let mut connection = server.connect_from(2).await;
        assert!(ask(&mut connection, GET, "hello").await);
        all.push(connection);
    }
}

#[tokio::test]
async fn the_gateway_alone_may_have_all_connections_of_what_is_behind_it() {
    let server = server(Limits { connections: 4, half_per_peer: false, ..limits() }).await;
    let mut all = Vec::new();
    for _ in 0..4 {
        let mut connection = server.connect_from(2).await;
        assert!(ask(&mut connection, GET, "hello").await);
        all.push(connection);
    }
    assert!(!ask(&mut server.connect_from(2).await, GET, "hello").await, "all are taken");
}

#[tokio::test]
async fn what_is_under_way_outlives_the_timeouts() {
    let server =
        server(Limits { connections: 1, idle_timeout: SHORT, header_timeout: SHORT, ..limits() });
    let server = server.await;
    let mut connection = server.connect().await;
    assert!(ask(&mut connection, SLOW, "200 OK").await, "a long response");
    let upgrade = b"GET /echo HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    assert!(ask(&mut connection, upgrade, "101 Switching").await);
    sleep(SHORT * 4).await;
    assert!(ask(&mut connection, b"still here", "still here").await, "a long tunnel");
    // It has the only place until it ends.
    assert!(!ask(&mut server.connect().await, GET, "hello").await);
    drop(connection);
    timeout(TIMEOUT, async {
        while !ask(&mut server.connect().await, GET, "hello").await {
            sleep(SHORT / 10).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_not_waited_for() {
    let server = server(Limits { connections: 1, write_timeout: SHORT, ..limits() }).await;
    let mut connection = server.connect().await;
    connection.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    // The answer has no end, so only the server can have given the place free.
    timeout(TIMEOUT, async {
        while !ask(&mut server.connect().await, GET, "hello").await {
            sleep(SHORT / 10).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn it_ends_when_what_is_under_way_is_answered() {
    let server = server(limits()).await;
    let (mut silent, mut idle, mut busy) =
        (server.connect().await, server.connect().await, server.connect().await);
    assert!(ask(&mut idle, GET, "hello").await);
    busy.write_all(SLOW).await.unwrap();
    server.begun.notified().await;
    server.stop.cancel();
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!(rest(&mut idle).await, "");
    assert!(rest(&mut busy).await.starts_with("HTTP/1.1 200 OK"));
    timeout(TIMEOUT, server.serving).await.expect("it ends").unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn an_old_connection_ends_after_its_answer() {
    let server = server(Limits { max_age: Some(SHORT), ..limits() }).await;
    let mut connection = server.connect().await;
    connection.write_all(SLOW).await.unwrap();
    let answer = rest(&mut connection).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}
