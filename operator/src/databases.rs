//! Login roles and databases in Postgres: one of each per service, one way, from spec to server.
//!
//! Everything is read first and written only where it differs. Whether a password is in sync is
//! found out by logging in with it, as the service will.

use std::collections::BTreeMap;
use std::time::Duration;

use operator_core::status::Reason;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, raw_sql};
use tokio::time::timeout;

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

/// What the comment on a database says. The operator writes there, and nowhere else, whose schema the database has: a
/// comment goes when its database goes, and no dump of a single database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comment {
    /// Nothing of ours.
    None,
    /// The image whose migrations were applied, if any were.
    Ours(Option<String>),
}

impl Comment {
    const PREFIX: &str = "shop-operator.io/migrated=";

    fn parse(text: Option<&str>) -> Self {
        let image = text.and_then(|text| text.strip_prefix(Self::PREFIX));
        let given = |image: &str| Some(image.to_owned()).filter(|image| !image.is_empty());
        image.map_or(Self::None, |image| Self::Ours(given(image)))
    }

    fn text(image: Option<&str>) -> String {
        format!("{}{}", Self::PREFIX, image.unwrap_or_default())
    }
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

    /// The comments on those of these databases that are there.
    pub async fn comments(&mut self, names: &[String]) -> Result<BTreeMap<String, Comment>, Error> {
        let found: Vec<(String, Option<String>)> = bounded(
            sqlx::query_as(
                "SELECT datname::text, shobj_description(oid, 'pg_database') \
                 FROM pg_database WHERE datname = ANY($1)",
            )
            .bind(names)
            .fetch_all(&mut self.connection),
        )
        .await?;
        let parsed = |(name, text): (String, Option<String>)| {
            let comment = Comment::parse(text.as_deref());
            (name, comment)
        };
        Ok(found.into_iter().map(parsed).collect())
    }

    /// Writes the comment on a database: the image whose migrations it has.
    pub async fn comment(&mut self, database: &str, migrated: Option<&str>) -> Result<(), Error> {
        let (database, text) = (identifier(database), literal(&Comment::text(migrated)));
        self.run(format!("COMMENT ON DATABASE {database} IS {text}")).await
    }

    /// Whether a service has ever migrated its database: the history of its migrations is there and not empty.
    pub async fn has_schema(&self, owned: &Owned, password: &str) -> Result<bool, Error> {
        let own = self.options.clone().username(&owned.role).password(password);
        let mut connection = connect(&own.database(&owned.database)).await?;
        let there = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
        let mut has: bool = bounded(sqlx::query_scalar(there).fetch_one(&mut connection)).await?;
        if has {
            let rows = "SELECT EXISTS (SELECT FROM _sqlx_migrations)";
            has = bounded(sqlx::query_scalar(rows).fetch_one(&mut connection)).await?;
        }
        let _ = timeout(PATIENCE, connection.close()).await;
        Ok(has)
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
    fn a_comment_reads_as_it_was_written() {
        for image in [None, Some("registry:5000/order:1@sha256:ab")] {
            let text = Comment::text(image);
            assert_eq!(Comment::parse(Some(&text)), Comment::Ours(image.map(str::to_owned)));
        }
        assert_eq!(Comment::parse(Some("sales, do not touch")), Comment::None);
        assert_eq!(Comment::parse(None), Comment::None);
    }

    #[test]
    fn names_and_texts_cannot_leave_their_quotes() {
        assert_eq!(identifier(r#"a"; DROP TABLE x; --"#), r#""a""; DROP TABLE x; --""#);
        assert_eq!(literal("it's"), "'it''s'");
    }
}
