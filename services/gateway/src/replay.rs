//! Request bodies that can be sent a second time, as long as nobody has read of them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http_body_util::{LengthLimitError, Limited};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

struct Shared {
    body: Limited<Body>,
    read: bool,
}

/// A body whose clones are the same body: a request that never left can be made again with it.
#[derive(Clone)]
pub struct Replay(Arc<Mutex<Shared>>);

impl Replay {
    /// A body of at most that many bytes.
    pub fn new(body: Body, limit: usize) -> Self {
        let body = Limited::new(body, limit);
        Self(Arc::new(Mutex::new(Shared { body, read: false })))
    }

    /// Whether all of it is still there.
    pub fn is_whole(&self) -> bool {
        !self.lock().read
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Replay {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut shared = self.lock();
        // Reading the end of an empty body takes nothing away.
        shared.read |= !shared.body.is_end_stream();
        Pin::new(&mut shared.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().body.size_hint()
    }
}

/// Whether something failed because a body was larger than its limit.
pub fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .any(<dyn std::error::Error>::is::<LengthLimitError>)
}
