//! One connection: hyper's, watched.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use http::Version;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use prometheus::{IntCounterVec, register_int_counter_vec};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::Limits;
use crate::activity::{Activity, Overdue, Underway};
use crate::capacity::{PUBLIC_STREAMS, STREAMS};
use crate::slots::Slot;

/// How large the headers of a request may be, in bytes.
const MAX_HEADER_SIZE: usize = 32 << 10;
const HTTP2_MAX_HEADER_SIZE: u32 = 32 << 10;
/// What is buffered of the bodies that one HTTP/2 connection sends, and of each that it is sent, in bytes.
const HTTP2_WINDOW: u32 = 256 << 10;
const HTTP2_SEND_BUFFER: usize = 64 << 10;
/// The latter where requests count.
const COUNTED_SEND_BUFFER: usize = 16 << 10;
/// How often a connection is looked at, at least, while nothing is due.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// How long the peer may take to end a connection that was idle.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

static CLOSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Connections that were ended because of their peers, by listener and reason \
                (header_timeout, idle, write_timeout).";
    register_int_counter_vec!("server_connections_closed_total", help, &["listener", "reason"])
        .expect("metric names are unique")
});

/// A connection that was accepted.
pub(crate) struct Connection {
    socket: Socket,
    slot: Arc<Slot>,
    peer: SocketAddr,
    limits: Arc<Limits>,
}

impl Connection {
    pub(crate) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        slot: Slot,
        limits: Arc<Limits>,
    ) -> Self {
        let slot = Arc::new(slot);
        let socket = Socket { stream, activity: Activity::new(), _slot: Arc::clone(&slot) };
        Self { socket, slot, peer, limits }
    }

    /// Serves until either side ends it. What it was upgraded to lives on by itself.
    pub(crate) async fn serve(self, routes: Router, stopping: CancellationToken) {
        let Self { socket, slot, peer, limits } = self;
        let listener = slot.listener();
        let (activity, crowded) = (socket.activity.clone(), CancellationToken::new());
        let places = if limits.count_streams { PUBLIC_STREAMS as usize } else { 1 };
        let service = service_fn({
            let (activity, crowded) = (activity.clone(), crowded.clone());
            move |request: hyper::Request<Incoming>| {
                if request.version() == Version::HTTP_2 && !slot.widen(places) {
                    crowded.cancel();
                }
                let underway = activity.begin(request.version());
                let answer = answer(routes.clone(), request, peer, underway);
                // A connection that has no place ends before anything is done for it.
                let crowded = crowded.clone();
                async move {
                    if crowded.is_cancelled() {
                        return std::future::pending().await;
                    }
                    answer.await
                }
            }
        });
        let builder = builder(&limits);
        let mut connection =
            pin!(builder.serve_connection_with_upgrades(TokioIo::new(socket), service));
        let old = async {
            match limits.max_age {
                Some(age) => tokio::time::sleep(age).await,
                None => std::future::pending().await,
            }
        };
        let (mut old, mut overdue) = (pin!(old), pin!(overdue(&activity, &limits)));
        let (mut asked, mut ended) = (false, None::<Instant>);
        loop {
            let close = async {
                match ended {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                served = &mut connection => {
                    if let Err(error) = served {
                        tracing::debug!(listener, %peer, %error, "a connection broke");
                    }
                    return;
                }
                () = stopping.cancelled(), if !asked => asked = true,
                () = &mut old, if !asked => asked = true,
                reason = &mut overdue, if ended.is_none() => {
                    CLOSED.with_label_values(&[listener, reason.as_str()]).inc();
                    tracing::debug!(listener, %peer, reason = reason.as_str(), "a connection is ended");
                    if reason != Overdue::Idle {
                        return;
                    }
                    (asked, ended) = (true, Some(Instant::now() + CLOSE_TIMEOUT));
                }
                () = crowded.cancelled() => return,
                () = close => return,
            }
            connection.as_mut().graceful_shutdown();
        }
    }
}

/// Waits until the connection has outstayed one of its limits.
async fn overdue(activity: &Activity, limits: &Limits) -> Overdue {
    loop {
        let deadline = activity.deadline(limits);
        let now = Instant::now();
        let next = match deadline {
            Some((at, reason)) if at <= now => return reason,
            Some((at, _)) => at,
            None => now + CHECK_INTERVAL,
        };
        // A deadline can come nearer meanwhile: a header begins.
        let interval = CHECK_INTERVAL.min(limits.header_timeout / 2);
        tokio::time::sleep_until(next.min(now + interval)).await;
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let (streams, send_buffer) = if limits.count_streams {
        (PUBLIC_STREAMS, COUNTED_SEND_BUFFER)
    } else {
        (STREAMS, HTTP2_SEND_BUFFER)
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Times are ours: hyper's would not see a peer that says nothing at all, and would end idle connections as
    // soon as slow ones.
    builder.http1().header_read_timeout(None).max_buf_size(MAX_HEADER_SIZE);
    builder
        .http2()
        .max_header_list_size(HTTP2_MAX_HEADER_SIZE)
        .max_concurrent_streams(streams)
        .initial_connection_window_size(HTTP2_WINDOW)
        .initial_stream_window_size(HTTP2_WINDOW)
        .max_send_buf_size(send_buffer);
    builder
}

async fn answer(
    routes: Router,
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    underway: Underway,
) -> Result<Response<Answer>, std::convert::Infallible> {
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    let response = routes.oneshot(request).await?;
    Ok(response.map(|body| Answer { body, _underway: underway }))
}

/// The body of an answer; its request is under way until it is sent or dropped.
struct Answer {
    body: Body,
    _underway: Underway,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket that reports what it does, and keeps its place for as long as it lives, whatever protocol it speaks.
struct Socket {
    stream: TcpStream,
    activity: Activity,
    _slot: Arc<Slot>,
}

impl Socket {
    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.activity.written(result.is_ready());
        result
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.read();
        }
        result
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, data);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, data);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
