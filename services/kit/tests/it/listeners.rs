//! Every port of a service refuses what would cost it its memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use kit::config::{Env, FromEnv};
use kit::testing::Running;
use kit::{App, Service, StartError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tonic::service::Routes;
use utoipa::openapi::OpenApi;

/// How long anything may take on a busy machine.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A service with all three ports, which anyone may connect to, or the gateway alone.
struct Ports<const PUBLIC: bool>;

impl<const PUBLIC: bool> FromEnv for Ports<PUBLIC> {
    fn from_env(_: &mut Env) -> Option<Self> {
        Some(Self)
    }
}

impl<const PUBLIC: bool> Service for Ports<PUBLIC> {
    const NAME: &'static str = "ports";
    type Config = Self;

    fn openapi() -> OpenApi {
        kit::openapi::document("Ports", "A test.")
    }

    async fn build(_: Self, app: App) -> Result<App, StartError> {
        let app = app.grpc(Routes::default());
        Ok(if PUBLIC { app.public() } else { app })
    }
}

/// Has six connections for HTTP, two for gRPC and 32 for the admin port.
async fn ports() -> (Running, [SocketAddr; 3]) {
    ports_of::<true>().await
}

async fn ports_of<const PUBLIC: bool>() -> (Running, [SocketAddr; 3]) {
    let variables = [("KAFKA_BROKERS", ""), ("MAX_CONNECTIONS", "8")];
    let running = Running::start::<Ports<PUBLIC>>(&variables).await;
    let bound = running.bound;
    (running, [bound.http, bound.grpc, bound.admin])
}

/// A connection from 127.0.0.`host`.
async fn connect(host: u8, port: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0))).unwrap();
    socket.connect(port).await.unwrap()
}

/// What comes until the server closes.
async fn rest(connection: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset ends it as well.
    let _ = timeout(TIMEOUT, connection.read_to_end(&mut text)).await.expect("it is closed");
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn no_port_waits_for_headers_that_do_not_end() {
    let (_running, ports) = ports().await;
    let partial = ports.map(async |port| {
        let mut connection = connect(2, port).await;
        connection.write_all(b"GET /live HTTP/1.1\r\nhost: a\r\n").await.unwrap();
        rest(&mut connection).await
    });
    assert_eq!(join_all(partial).await, ["", "", ""]);
}

#[tokio::test]
async fn no_port_buffers_headers_of_any_size() {
    let (_running, ports) = ports().await;
    for port in ports {
        let mut connection = connect(2, port).await;
        let header = vec![b'x'; 300 << 10];
        let _ = connection.write_all(b"GET /live HTTP/1.1\r\nx: ").await;
        let _ = connection.write_all(&header).await;
        let answer = rest(&mut connection).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{port}: {answer}");
    }
}

#[tokio::test]
async fn no_port_gives_one_peer_all_connections() {
    let (_running, ports) = ports().await;
    for port in ports {
        let mut greedy = Vec::new();
        for _ in 0..40 {
            greedy.push(connect(2, port).await);
        }
        // The last one was refused.
        assert_eq!(rest(greedy.last_mut().unwrap()).await, "");
        let mut honest = connect(3, port).await;
        honest.write_all(b"GET /live HTTP/1.0\r\n\r\n").await.unwrap();
        assert!(rest(&mut honest).await.starts_with("HTTP/1.0 "), "{port}");
    }
}

/// One pod of the gateway is one peer of every service behind it.
#[tokio::test]
async fn a_service_behind_the_gateway_gives_it_all_connections() {
    let (_running, [http, ..]) = ports_of::<false>().await;
    let mut all = Vec::new();
    for _ in 0..6 {
        let mut connection = connect(2, http).await;
        connection.write_all(b"GET /live HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let answered = timeout(TIMEOUT, connection.read(&mut [0; 1024])).await.unwrap();
        assert!(answered.unwrap() > 0, "connection {}", all.len());
        all.push(connection);
    }
    assert_eq!(rest(&mut connect(2, http).await).await, "", "all are taken");
}
