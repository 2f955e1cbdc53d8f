//! What clients send and nobody reads.
//!
//! A request may be answered before its body is read: its method, its token or its headers were wrong. hyper then
//! closes the connection, and the client, which was not told, sends its next request into it. So the rest
//! is read after the answer and thrown away, and the connection lives on.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use http_body::{Frame, SizeHint};

/// How much is thrown away, in bytes. Of what is larger, reading it costs more than another connection.
const MOST: usize = 256 << 10;
/// How long it may take to come.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads what a handler leaves of a body.
pub(crate) async fn read(request: Request, next: Next) -> Response {
    let keep = |body: Body| {
        if body.is_end_stream() { body } else { Body::new(Watched(Some(body))) }
    };
    next.run(request.map(keep)).await
}

/// A body that is thrown away when it is dropped before its end.
struct Watched(Option<Body>);

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = self.0.as_mut() else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        // After an error nothing follows.
        if !matches!(frame, Some(Ok(_))) {
            self.0 = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let rest = self.0.take().filter(|body| !body.is_end_stream());
        if let (Some(rest), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(PATIENCE, throw_away(rest)));
        }
    }
}

async fn throw_away(body: Body) {
    let (mut chunks, mut read) = (body.into_data_stream(), 0);
    while let Some(Ok(chunk)) = chunks.next().await {
        read += chunk.len();
        if read > MOST {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use axum::{Router, middleware};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn connection() -> TcpStream {
        let routes = Router::new().route("/", get(async || "hello").post(async |body: Bytes| body));
        let routes = routes.layer(middleware::from_fn(read));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        TcpStream::connect(address).await.unwrap()
    }

    /// Reads until this has come.
    async fn until(connection: &mut TcpStream, wanted: &str) {
        let (mut seen, mut chunk) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&seen).contains(wanted) {
            let read = connection.read(&mut chunk).await.unwrap();
            assert!(read > 0, "closed after {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&chunk[..read]);
        }
    }

    #[tokio::test]
    async fn a_connection_outlives_an_answer_that_comes_before_the_body() {
        let mut connection = connection().await;
        for _ in 0..3 {
            let head = b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n";
            connection.write_all(head).await.unwrap();
            until(&mut connection, "405 Method Not Allowed").await;
            connection.write_all(b"12345").await.unwrap();
        }
        let whole = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nwhole!";
        connection.write_all(whole).await.unwrap();
        until(&mut connection, "\r\n\r\nwhole!").await;
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_not_waited_for() {
        let mut connection = connection().await;
        let head = b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n";
        connection.write_all(head).await.unwrap();
        until(&mut connection, "405 Method Not Allowed").await;
        let chunk = vec![0; 64 << 10];
        let mut sent = 0;
        while connection.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
            assert!(sent < 100_000_000, "it is read for ever");
        }
    }
}
