//! Login roles and databases in Postgres: one of each per service, one way, from spec to server.
//!
//! Everything is read first and written only where it differs. Whether a password is in sync is
//! found out by logging in with it, as the service will.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, raw_sql};
use tokio::time::timeout;

use crate::status::Reason;

/// Bounds each connection and statement; a server that is slower counts as not there yet.
const PATIENCE: Duration = Duration::from_secs(3);

impl Error {
    /// The word for conditions and metric labels.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Unreachable(_) => Reason::DatabaseUnreachable,
            Self::LoginRefused(_) => Reason::DatabaseLoginRefused,
            Self::Taken { .. } => Reason::DatabaseTaken,
            Self::Statement(_) => Reason::DatabaseStatementFailed,
        }
    }
}

/// A database and the role that owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Name of the database.
    pub database: String,
    /// Name of the login role.
    pub role: String,
}

/// What can go wrong with a Postgres server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers, or the server is still starting.
    #[error("the database server does not answer")]
    Unreachable(#[source] Option<sqlx::Error>),
    /// The administrator's user name or password is wrong.
    #[error("the database server refuses the administrator's login")]
    LoginRefused(#[source] sqlx::Error),
    /// A database of that name belongs to somebody else.
    #[error("database {database} exists and belongs to role {owner}, not to {role}")]
    Taken {
        /// The database.
        database: String,
        /// Who owns it.
        owner: String,
        /// Who should.
        role: String,
    },
    /// A statement failed.
    #[error("a statement failed on the database server")]
    Statement(#[source] sqlx::Error),
}

impl Error {
    /// Sorts errors of sqlx by what can be done about them.
    fn new(error: sqlx::Error) -> Self {
        let code =
            error.as_database_error().and_then(|e| e.code().map(std::borrow::Cow::into_owned));
        match (&error, code.as_deref()) {
            // invalid_password, invalid_authorization_specification
            (_, Some("28P01" | "28000")) => Self::LoginRefused(error),
            // cannot_connect_now, too_many_connections, admin_shutdown
            (_, Some("57P03" | "53300" | "57P01")) => Self::Unreachable(Some(error)),
            (sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut, _) => {
                Self::Unreachable(Some(error))
            }
            _ => Self::Statement(error),
        }
    }
}

/// An administrator's connection.
#[derive(Debug)]
pub struct Admin {
    connection: PgConnection,
    options: PgConnectOptions,
    superuser: bool,
}

impl Admin {
    /// Logs in as the administrator.
    pub async fn connect(options: PgConnectOptions) -> Result<Self, Error> {
        let options = options.log_statements(tracing::log::LevelFilter::Trace);
        let mut connection = connect(&options).await?;
        let superuser = bounded(
            sqlx::query_scalar("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
                .fetch_one(&mut connection),
        )
        .await?;
        Ok(Self { connection, options, superuser })
    }

    /// Makes role and database what they should be; true if anything had to be written.
    pub async fn ensure(&mut self, wanted: &Owned, password: &str) -> Result<bool, Error> {
        let created_role = self.ensure_role(wanted, password).await?;
        let created_database = self.ensure_database(wanted).await?;
        let closed = self.close_to_public(&wanted.database).await?;
        let synced = !created_role && self.sync_password(wanted, password).await?;
        Ok(created_role || created_database || closed || synced)
    }

    /// Drops database and role if the database is the role's own. Open connections are cut.
    pub async fn drop(&mut self, owned: &Owned) -> Result<(), Error> {
        match self.owner(&owned.database).await? {
            Some(other) if other != owned.role => return Ok(()),
            Some(_) => {
                let database = identifier(&owned.database);
                self.run(format!("DROP DATABASE {database} WITH (FORCE)")).await?;
            }
            None => {}
        }
        self.run(format!("DROP ROLE IF EXISTS {}", identifier(&owned.role))).await
    }

    /// Says goodbye, so that the server logs no lost connection.
    pub async fn close(self) {
        let _ = timeout(PATIENCE, self.connection.close()).await;
    }

    async fn ensure_role(&mut self, wanted: &Owned, password: &str) -> Result<bool, Error> {
        let exists: bool = bounded(
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
                .bind(&wanted.role)
                .fetch_one(&mut self.connection),
        )
        .await?;
        if exists {
            return Ok(false);
        }
        let role = identifier(&wanted.role);
        let password = literal(password);
        self.run(format!(
            "SET password_encryption = 'scram-sha-256'; \
             CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {password}"
        ))
        .await?;
        Ok(true)
    }

    async fn ensure_database(&mut self, wanted: &Owned) -> Result<bool, Error> {
        match self.owner(&wanted.database).await? {
            Some(owner) if owner == wanted.role => return Ok(false),
            Some(owner) => {
                let Owned { database, role } = wanted.clone();
                return Err(Error::Taken { database, owner, role });
            }
            None => {}
        }
        let (database, role) = (identifier(&wanted.database), identifier(&wanted.role));
        if !self.superuser {
            // To make it the owner, an administrator of a managed server must be a member.
            self.run(format!("GRANT {role} TO CURRENT_USER")).await?;
        }
        self.run(format!("CREATE DATABASE {database} OWNER {role}")).await?;
        Ok(true)
    }

    async fn owner(&mut self, database: &str) -> Result<Option<String>, Error> {
        bounded(
            sqlx::query_scalar(
                "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = $1",
            )
            .bind(database)
            .fetch_optional(&mut self.connection),
        )
        .await
    }

    /// By default every role may connect to every database.
    async fn close_to_public(&mut self, database: &str) -> Result<bool, Error> {
        let open: bool = bounded(
            sqlx::query_scalar(
                "SELECT EXISTS (SELECT FROM pg_database, \
                 aclexplode(coalesce(datacl, acldefault('d', datdba))) AS grants \
                 WHERE datname = $1 AND grants.grantee = 0)",
            )
            .bind(database)
            .fetch_one(&mut self.connection),
        )
        .await?;
        if open {
            self.run(format!("REVOKE ALL ON DATABASE {} FROM PUBLIC", identifier(database)))
                .await?;
        }
        Ok(open)
    }

    async fn sync_password(&mut self, wanted: &Owned, password: &str) -> Result<bool, Error> {
        let own = self.options.clone().username(&wanted.role).password(password);
        match connect(&own.database(&wanted.database)).await {
            Ok(connection) => {
                let _ = timeout(PATIENCE, connection.close()).await;
                Ok(false)
            }
            Err(Error::LoginRefused(_)) => {
                let (role, password) = (identifier(&wanted.role), literal(password));
                self.run(format!(
                    "SET password_encryption = 'scram-sha-256'; \
                     ALTER ROLE {role} LOGIN PASSWORD {password}"
                ))
                .await?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Statements that take no parameters; every part was quoted by the caller.
    async fn run(&mut self, sql: String) -> Result<(), Error> {
        // Several statements in one message would run in one transaction, which CREATE DATABASE
        // and DROP DATABASE refuse; those are sent alone.
        bounded(raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection)).await?;
        Ok(())
    }
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Error> {
    bounded(PgConnection::connect_with(options)).await
}

async fn bounded<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Error> {
    timeout(PATIENCE, work).await.map_err(|_| Error::Unreachable(None))?.map_err(Error::new)
}

/// An identifier as SQL text (PostgreSQL 4.1.1: quotes are doubled).
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string constant as SQL text (PostgreSQL 4.1.2: quotes are doubled).
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_cannot_leave_their_quotes() {
        assert_eq!(identifier(r#"a"; DROP TABLE x; --"#), r#""a""; DROP TABLE x; --""#);
        assert_eq!(literal("it's"), "'it''s'");
    }
}
