//! The API's documentation: what each service says of itself, and all of it together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use kit::problem::{Problem, Result};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::merge::merge;
use crate::proxy::Proxy;
use crate::routes::Upstream;

/// How long documents are good for.
const FRESH: Duration = Duration::from_mins(1);
/// How long they are if a service did not give its own.
const FRESH_IF_INCOMPLETE: Duration = Duration::from_secs(3);
/// How long a service may take to give its document.
const PATIENCE: Duration = Duration::from_secs(2);
/// How large a document may be, in bytes.
const LIMIT: usize = 4 << 20;

/// The documents of all services at one time.
pub struct Documents {
    /// All of them together.
    pub merged: Value,
    each: Vec<(Upstream, Value)>,
    until: Instant,
}

impl Documents {
    /// The document of one service.
    pub fn of(&self, upstream: Upstream) -> Result<Value> {
        let found = self.each.iter().find(|(of, _)| *of == upstream);
        found.map(|(_, document)| document.clone()).ok_or_else(|| {
            Problem::unavailable(format!("{} has not given its document", upstream.name()))
        })
    }
}

/// Asks services for their documents, seldom.
pub struct Library {
    own: Value,
    current: Mutex<Option<Arc<Documents>>>,
}

impl Library {
    /// A library with the gateway's own document.
    pub fn new(own: Value) -> Self {
        Self { own, current: Mutex::default() }
    }

    /// The documents, at most a minute old. Who asks while they are fetched waits for the same.
    pub async fn documents(&self, proxy: &Proxy) -> Arc<Documents> {
        let mut current = self.current.lock().await;
        if let Some(documents) = current.as_ref().filter(|d| Instant::now() < d.until) {
            return Arc::clone(documents);
        }
        let documents = Arc::new(self.fetch(proxy).await);
        *current = Some(Arc::clone(&documents));
        documents
    }

    async fn fetch(&self, proxy: &Proxy) -> Documents {
        let there = Upstream::ALL.into_iter().filter(|upstream| proxy.has(*upstream));
        let answers = join_all(there.map(async |upstream| {
            let asked = proxy.get_json(upstream, "/openapi.json", LIMIT);
            let answer = tokio::time::timeout(PATIENCE, asked).await;
            Some((upstream, answer.ok()?.ok()?))
        }))
        .await;
        let complete = answers.iter().all(Option::is_some);
        let each: Vec<(Upstream, Value)> = answers.into_iter().flatten().collect();
        let fresh = if complete { FRESH } else { FRESH_IF_INCOMPLETE };
        let merged = merge(self.own.clone(), &each);
        Documents { merged, each, until: Instant::now() + fresh }
    }
}
