//! Requests of one HTTP/2 connection.

use axum::body::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use listener::Limits;
use tokio::time::{sleep, timeout};

use crate::{GET, SHORT, Server, TIMEOUT, ask, limits, server};

/// A connection of HTTP/2 from 127.0.0.`host`.
async fn http2(server: &Server, host: u8) -> SendRequest<Empty<Bytes>> {
    let stream = TokioIo::new(server.connect_from(host).await);
    let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Whether a request over HTTP/2 is answered, before the connection ends.
async fn asked(sender: &mut SendRequest<Empty<Bytes>>, server: &Server) -> bool {
    let uri = format!("http://{}/", server.address);
    let request = hyper::Request::get(uri).body(Empty::new()).unwrap();
    let answered = async {
        sender.ready().await.ok()?;
        sender.send_request(request).await.ok()
    };
    timeout(TIMEOUT, answered).await.expect("an answer or an end").is_some()
}

#[tokio::test]
async fn a_connection_of_http_2_counts_as_many_as_it_may_have_requests() {
    // Room for four of them, two of which are one peer's.
    let server = server(Limits { connections: 64, count_streams: true, ..limits() }).await;
    let mut first = http2(&server, 2).await;
    for _ in 0..40 {
        assert!(asked(&mut first, &server).await, "one request after the other takes no more");
    }
    let stream = TokioIo::new(server.connect_from(2).await);
    let (mut second, mut connection) =
        http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::select! {
        ended = &mut connection => panic!("{ended:?}"),
        answered = asked(&mut second, &server) => assert!(answered),
    }
    assert_eq!(connection.current_max_send_streams(), 16);
    assert!(!ask(&mut server.connect_from(2).await, GET, "hello").await, "half is taken");
    let mut honest = server.connect_from(3).await;
    assert!(ask(&mut honest, GET, "hello").await);
    let (mut third, mut fourth) = (http2(&server, 3).await, http2(&server, 3).await);
    assert!(asked(&mut third, &server).await);
    assert!(!asked(&mut fourth, &server).await, "15 places are left to this peer");
    // Places come back.
    drop((first, second, connection));
    timeout(TIMEOUT, async {
        loop {
            // A connection that is refused may end before its handshake.
            let stream = TokioIo::new(server.connect_from(2).await);
            let begun = http2::handshake(TokioExecutor::new(), stream).await;
            if let Ok((mut sender, connection)) = begun {
                tokio::spawn(connection);
                if asked(&mut sender, &server).await {
                    return;
                }
            }
            sleep(SHORT / 10).await;
        }
    })
    .await
    .unwrap();
}
