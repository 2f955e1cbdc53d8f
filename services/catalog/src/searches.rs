//! Connections for questions about all products at once, which anyone may ask and which cost Postgres most.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::is_public;
use http::{HeaderValue, header};
use kit::postgres;
use kit::problem::{Problem, RATE_LIMITED, Result};
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Searches of one client at a time. Others of the same client wait.
const PER_CLIENT: usize = 2;
/// How long they wait.
const WAIT: Duration = Duration::from_secs(3);
/// Longer than any of a shop with 100,000 products takes, and shorter than callers wait.
const STATEMENT_TIMEOUT: (&str, &str) = ("statement_timeout", "5s");

/// Lists and counts products with connections of their own, so that no number of them keeps the rest of the catalog
/// from Postgres.
#[derive(Clone)]
pub(crate) struct Searches {
    pool: PgPool,
    clients: Arc<Mutex<HashMap<IpAddr, Arc<Semaphore>>>>,
}

impl Searches {
    /// With two fifths as many connections as the rest of the catalog has, beside those.
    pub(crate) fn new(
        settings: &postgres::Settings,
        service: &str,
    ) -> std::result::Result<Self, sqlx::Error> {
        let connections = (settings.max_connections * 2 / 5).max(1);
        let pool = settings.pool_of(service, connections, [STATEMENT_TIMEOUT])?;
        Ok(Self { pool, clients: Arc::default() })
    }

    /// A connection for one search. Clients behind a proxy that the gateway does not know are not distinguished.
    pub(crate) async fn begin(&self, client: Option<IpAddr>) -> Result<Search> {
        let turn = match client.filter(|client| is_public(*client)) {
            Some(client) => Some(self.turn(client).await?),
            None => None,
        };
        Ok(Search { connection: self.pool.acquire().await?, _turn: turn })
    }

    async fn turn(&self, client: IpAddr) -> Result<OwnedSemaphorePermit> {
        let turns = {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            // Permits and those who wait for one hold it as well.
            clients.retain(|_, turns| Arc::strong_count(turns) > 1);
            let turns = clients.entry(client).or_insert_with(|| Semaphore::new(PER_CLIENT).into());
            Arc::clone(turns)
        };
        if let Ok(permit) = timeout(WAIT, turns.acquire_owned()).await {
            return permit.map_err(Problem::internal);
        }
        let problem = Problem::new(RATE_LIMITED, "wait for the answers to earlier searches");
        Err(problem.header(header::RETRY_AFTER, HeaderValue::from_static("5")))
    }
}

/// A search under way.
pub(crate) struct Search {
    connection: PoolConnection<Postgres>,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Deref for Search {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Search {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
