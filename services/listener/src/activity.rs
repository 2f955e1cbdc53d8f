//! What a connection is doing, and until when it may.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Version;
use tokio::time::Instant;

use crate::Limits;

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// A request has begun and its headers are not complete.
    Header,
    /// There was no request.
    Idle,
    /// The peer does not read.
    Write,
}

impl Overdue {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header_timeout",
            Self::Idle => "idle",
            Self::Write => "write_timeout",
        }
    }
}

struct State {
    http2: bool,
    /// When each request began that has not been answered completely.
    requests: BTreeMap<u64, Instant>,
    next: u64,
    idle_since: Instant,
    /// When the first bytes came since then.
    header_since: Option<Instant>,
    /// Since when the socket takes nothing.
    blocked_since: Option<Instant>,
}

/// What a connection is doing; clones are of the same one.
#[derive(Clone)]
pub(crate) struct Activity(Arc<Mutex<State>>);

impl Activity {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            http2: false,
            requests: BTreeMap::new(),
            next: 0,
            idle_since: Instant::now(),
            header_since: None,
            blocked_since: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes have come.
    pub(crate) fn read(&self) {
        let mut state = self.lock();
        if state.requests.is_empty() && state.header_since.is_none() {
            state.header_since = Some(Instant::now());
        }
    }

    /// The socket has taken bytes, or has not.
    pub(crate) fn written(&self, taken: bool) {
        let mut state = self.lock();
        if taken {
            state.blocked_since = None;
        } else {
            state.blocked_since.get_or_insert_with(Instant::now);
        }
    }

    /// The headers of a request are complete. It is under way until the guard is dropped.
    pub(crate) fn begin(&self, version: Version) -> Underway {
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        state.http2 = version == Version::HTTP_2;
        state.header_since = None;
        state.requests.insert(id, Instant::now());
        Underway { activity: self.clone(), id }
    }

    /// When the connection is to be ended unless something happens before, and why.
    pub(crate) fn deadline(&self, limits: &Limits) -> Option<(Instant, Overdue)> {
        let state = self.lock();
        if let Some(since) = state.blocked_since {
            return Some((since + limits.write_timeout, Overdue::Write));
        }
        if let Some(begun) = state.requests.values().next() {
            return state.http2.then(|| (*begun + limits.write_timeout, Overdue::Write));
        }
        // HTTP/2 says much between requests that begins none.
        match state.header_since.filter(|_| !state.http2) {
            Some(since) => Some((since + limits.header_timeout, Overdue::Header)),
            None => Some((state.idle_since + limits.idle_timeout, Overdue::Idle)),
        }
    }
}

/// A request that is under way.
pub(crate) struct Underway {
    activity: Activity,
    id: u64,
}

impl Drop for Underway {
    fn drop(&mut self) {
        let mut state = self.activity.lock();
        state.requests.remove(&self.id);
        if state.requests.is_empty() {
            state.idle_since = Instant::now();
            state.header_since = None;
        }
    }
}
