//! The access log: one line per request, written when the last byte of its answer has left or the
//! client has gone. Queries are not in it: they may hold tokens.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::{Body, Bytes};
use http::Method;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tracing::Span;

/// What is logged for a client that did not wait for the answer, as nginx does.
const GONE: u16 = 499;

/// One line of the log; written when it is dropped.
#[derive(Debug)]
pub struct Line {
    begun: Instant,
    span: Span,
    trace_id: Option<String>,
    method: Method,
    client: IpAddr,
    /// Route that answered.
    pub route: String,
    /// Status code of the answer.
    pub status: u16,
    bytes: u64,
}

impl Line {
    /// A request has come in.
    pub fn begin(method: Method, client: IpAddr) -> Self {
        Self {
            begun: Instant::now(),
            span: Span::current(),
            trace_id: kit::telemetry::trace_id(),
            method,
            client,
            route: String::new(),
            status: GONE,
            bytes: 0,
        }
    }

    /// Counts what is sent of the answer, and ends with it.
    pub fn follow(self, body: Body) -> Body {
        Body::new(Counted { body, line: self })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        tracing::info!(
            target: "access",
            parent: &self.span,
            method = %self.method,
            route = self.route,
            status = self.status,
            duration_seconds = self.begun.elapsed().as_secs_f64(),
            bytes = self.bytes,
            client = %self.client,
            trace_id = self.trace_id,
            "request",
        );
    }
}

struct Counted {
    body: Body,
    line: Line,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.line.bytes += u64::try_from(data.len()).unwrap_or(u64::MAX);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
