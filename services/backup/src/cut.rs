//! One point in time for all databases of a shop, so that no event has an effect in one dump and no cause in another.

use std::str::FromStr as _;
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tracing::info;

use crate::Error;
use crate::config::Database;

/// How long requests and events may wait for us at most. A transaction that holds a lock longer is waited for
/// without holding any of ours.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '500ms'";
/// Between two attempts.
const BACKOFF: Duration = Duration::from_secs(1);
/// Attempts before the backup fails.
const MAX_ATTEMPTS: u32 = 60;
/// SQLSTATE of a lock that was not there in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Snapshots of all databases, of one moment. They are valid as long as this lives.
pub struct Cut {
    sessions: Vec<(PgConnection, String)>,
}

impl Cut {
    /// Takes the snapshots while nothing can be written to any outbox or inbox: whatever an inbox has by then, the
    /// outbox that it came from has too.
    pub async fn take(databases: &[Database]) -> Result<Self, Error> {
        for attempt in 1.. {
            match Self::attempt(databases).await {
                Err(Error::Busy { service }) if attempt < MAX_ATTEMPTS => {
                    info!(
                        attempt,
                        service, "a transaction holds its outbox or inbox; trying again"
                    );
                    tokio::time::sleep(BACKOFF).await;
                }
                result => return result,
            }
        }
        unreachable!("the last attempt has returned")
    }

    async fn attempt(databases: &[Database]) -> Result<Self, Error> {
        // Connected before anything is locked.
        let readers = all(databases.iter().map(open)).await?;
        let writers = all(databases.iter().map(open)).await?;
        let locks = join_all(databases.iter().zip(writers).map(|(of, it)| lock(of, it))).await;
        // All of them have to be held at the same time.
        let locks: Vec<PgConnection> = locks.into_iter().collect::<Result<_, _>>()?;
        let sessions = all(databases.iter().zip(readers).map(|(of, it)| export(of, it))).await;
        for connection in locks {
            // With its transaction go its locks.
            let _ = connection.close().await;
        }
        Ok(Self { sessions: sessions? })
    }

    /// The names of the snapshots, in the order of the databases.
    pub fn snapshots(&self) -> impl Iterator<Item = &str> {
        self.sessions.iter().map(|(_, snapshot)| snapshot.as_str())
    }

    /// Lets the snapshots go.
    pub async fn release(self) {
        for (connection, _) in self.sessions {
            let _ = connection.close().await;
        }
    }
}

async fn all<T, F: Future<Output = Result<T, Error>>>(
    futures: impl Iterator<Item = F>,
) -> Result<Vec<T>, Error> {
    join_all(futures).await.into_iter().collect()
}

fn failed(database: &Database, source: sqlx::Error) -> Error {
    let code = source.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let service = database.service.clone();
    if code.is_some_and(|code| code == LOCK_NOT_AVAILABLE) {
        return Error::Busy { service };
    }
    Error::Database { service, source }
}

async fn open(database: &Database) -> Result<PgConnection, Error> {
    let connect = async {
        let options = PgConnectOptions::from_str(database.url.expose())?;
        let options = options.application_name("backup");
        let mut connection = PgConnection::connect_with(&options).await?;
        // A server may be configured to end transactions that do nothing: these do, until the last dump has ended.
        let patient = "SET idle_in_transaction_session_timeout = 0";
        sqlx::raw_sql(patient).execute(&mut connection).await?;
        sqlx::raw_sql(LOCK_TIMEOUT).execute(&mut connection).await?;
        Ok(connection)
    };
    connect.await.map_err(|source| failed(database, source))
}

/// Waits for transactions that have written to the outbox or the inbox, and keeps others out until the connection is closed.
async fn lock(database: &Database, mut connection: PgConnection) -> Result<PgConnection, Error> {
    let locked = async {
        sqlx::raw_sql("BEGIN").execute(&mut connection).await?;
        // A database before its first migration has neither.
        let there = "SELECT to_regclass('outbox') IS NOT NULL AND to_regclass('inbox') IS NOT NULL";
        if sqlx::query_scalar(there).fetch_one(&mut connection).await? {
            // In the order in which event handlers write to them; the other order is a deadlock.
            let lock = "LOCK TABLE inbox, outbox IN SHARE MODE";
            sqlx::raw_sql(lock).execute(&mut connection).await?;
        }
        Ok(())
    };
    locked.await.map_err(|source| failed(database, source))?;
    Ok(connection)
}

/// Begins a transaction whose snapshot others may read by.
async fn export(
    database: &Database,
    mut connection: PgConnection,
) -> Result<(PgConnection, String), Error> {
    let exported = async {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        sqlx::raw_sql(begin).execute(&mut connection).await?;
        sqlx::query_scalar("SELECT pg_export_snapshot()").fetch_one(&mut connection).await
    };
    let snapshot = exported.await.map_err(|source| failed(database, source))?;
    Ok((connection, snapshot))
}
