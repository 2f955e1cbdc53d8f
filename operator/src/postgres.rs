//! Login roles and databases in Postgres: what is there, and one statement at a time.
//!
//! Whether a password is in sync is found out by logging in with it, as the service will.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use operator_core::crd::SslMode;
use operator_core::facts::{Comment, DatabaseServer, DatabaseState, Trouble, TroubleKind};
use operator_core::names;
use operator_core::plan::{DatabaseAddress, RolePassword, Sql};
use operator_core::problem::Problem;
use operator_core::status::Reason;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, raw_sql};
use telemetry::chain;
use tokio::time::timeout;

/// For each connection and statement; a server that is slower counts as unreachable.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// What can go wrong with a Postgres server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server does not answer, or is still starting.
    #[error("the database server does not answer")]
    Unreachable(#[source] Option<sqlx::Error>),
    /// A user name or password is wrong.
    #[error("the database server refuses the administrator's login")]
    LoginRefused(#[source] sqlx::Error),
    /// A statement failed.
    #[error("a statement failed on the database server")]
    Statement(#[source] sqlx::Error),
    /// A database was dropped or recreated since it was observed.
    #[error("database {0} has changed since it was observed")]
    Changed(String),
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

    /// The error as a fact.
    pub fn trouble(&self) -> Trouble {
        let kind = match self {
            Self::Unreachable(_) => TroubleKind::Unreachable,
            Self::LoginRefused(_) => TroubleKind::LoginRefused,
            Self::Statement(_) | Self::Changed(_) => TroubleKind::RequestFailed,
        };
        Trouble { kind, message: chain(self) }
    }

    /// The error of one statement, as a problem of a Shop.
    pub fn problem(&self) -> Problem {
        let reason = match self {
            Self::Unreachable(_) => Reason::DatabaseUnreachable,
            Self::LoginRefused(_) => Reason::DatabaseLoginRefused,
            Self::Statement(_) | Self::Changed(_) => Reason::DatabaseStatementFailed,
        };
        Problem::transient(reason, chain(self))
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
    pub async fn connect(address: &DatabaseAddress) -> Result<Self, Error> {
        let options = options(address).log_statements(tracing::log::LevelFilter::Trace);
        let mut connection = connect(&options).await?;
        let superuser = bounded(
            sqlx::query_scalar("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
                .fetch_one(&mut connection),
        )
        .await?;
        Ok(Self { connection, options, superuser })
    }

    /// Those of these roles and databases that exist, and how they are.
    pub async fn inventory(&mut self, wanted: &[RolePassword]) -> Result<DatabaseServer, Error> {
        let roles: Vec<&str> = wanted.iter().map(|wanted| wanted.role.as_str()).collect();
        let roles: Vec<String> = bounded(
            sqlx::query_scalar("SELECT rolname::text FROM pg_roles WHERE rolname = ANY($1)")
                .bind(roles)
                .fetch_all(&mut self.connection),
        )
        .await?;
        let roles = BTreeSet::from_iter(roles);
        let names: Vec<&str> = wanted.iter().map(|wanted| wanted.database.as_str()).collect();
        // By default every role may connect to every database.
        let found: Vec<(String, String, Option<String>, bool)> = bounded(
            sqlx::query_as(
                "SELECT datname::text, pg_get_userbyid(datdba)::text, shobj_description(oid, 'pg_database'), \
                 EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) AS grants \
                 WHERE grants.grantee = 0) FROM pg_database WHERE datname = ANY($1)",
            )
            .bind(names)
            .fetch_all(&mut self.connection),
        )
        .await?;
        let mut databases = BTreeMap::new();
        for (name, owner, comment, open_to_public) in found {
            let comment = Comment::parse(comment.as_deref());
            let mut state = DatabaseState {
                owner,
                comment,
                open_to_public,
                login_works: true,
                has_schema: false,
            };
            let wanted = wanted.iter().find(|wanted| wanted.database == name);
            if let Some(RolePassword { role, password: Some(password), .. }) = wanted
                && *role == state.owner
            {
                self.log_in(&name, role, password, &mut state).await?;
            }
            databases.insert(name, state);
        }
        Ok(DatabaseServer { roles, databases })
    }

    /// Logs in as a service will. Looks too whether a database without a comment was ever migrated: the history of its migrations is
    /// there and not empty.
    async fn log_in(
        &self,
        database: &str,
        role: &str,
        password: &str,
        state: &mut DatabaseState,
    ) -> Result<(), Error> {
        let own = self.options.clone().username(role).password(password).database(database);
        let mut connection = match connect(&own).await {
            Ok(connection) => connection,
            Err(Error::LoginRefused(_)) => {
                state.login_works = false;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if state.comment == Comment::None {
            let there = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
            let mut has = bounded(sqlx::query_scalar(there).fetch_one(&mut connection)).await?;
            if has {
                let rows = "SELECT EXISTS (SELECT FROM _sqlx_migrations)";
                has = bounded(sqlx::query_scalar(rows).fetch_one(&mut connection)).await?;
            }
            state.has_schema = has;
        }
        let _ = timeout(REQUEST_TIMEOUT, connection.close()).await;
        Ok(())
    }

    /// Executes one change.
    pub async fn execute(&mut self, sql: &Sql) -> Result<(), Error> {
        let text = match sql {
            Sql::CreateRole { role, password } => format!(
                "SET password_encryption = 'scram-sha-256'; \
                 CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}",
                identifier(role),
                literal(password)
            ),
            Sql::SetPassword { role, password } => format!(
                "SET password_encryption = 'scram-sha-256'; ALTER ROLE {} LOGIN PASSWORD {}",
                identifier(role),
                literal(password)
            ),
            Sql::CreateDatabase { database, role } => {
                if !self.superuser {
                    // To make it the owner, an administrator of a managed server must be a member.
                    self.run(format!("GRANT {} TO CURRENT_USER", identifier(role))).await?;
                }
                format!("CREATE DATABASE {} OWNER {}", identifier(database), identifier(role))
            }
            Sql::CloseToPublic { database } => {
                format!("REVOKE ALL ON DATABASE {} FROM PUBLIC", identifier(database))
            }
            Sql::Comment { database, image } => comment(database, image.as_deref()),
            Sql::RecordMigration { database, image } => {
                if !self.has_comment(database).await? {
                    return Err(Error::Changed(database.clone()));
                }
                comment(database, Some(image))
            }
            Sql::DropDatabase { database, role } => {
                if self.owner(database).await?.is_none_or(|owner| owner != *role) {
                    return Ok(());
                }
                format!("DROP DATABASE {} WITH (FORCE)", identifier(database))
            }
            Sql::DropRole { role } => format!("DROP ROLE IF EXISTS {}", identifier(role)),
        };
        self.run(text).await
    }

    /// Says goodbye, so that the server logs no lost connection.
    pub async fn close(self) {
        let _ = timeout(REQUEST_TIMEOUT, self.connection.close()).await;
    }

    async fn has_comment(&mut self, database: &str) -> Result<bool, Error> {
        let text: Option<Option<String>> = bounded(
            sqlx::query_scalar(
                "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1",
            )
            .bind(database)
            .fetch_optional(&mut self.connection),
        )
        .await?;
        Ok(Comment::parse(text.flatten().as_deref()) != Comment::None)
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

    /// Statements that take no parameters; every part was quoted by the caller.
    async fn run(&mut self, sql: String) -> Result<(), Error> {
        // Several statements in one message would run in one transaction, which CREATE DATABASE
        // and DROP DATABASE refuse; those are sent alone.
        bounded(raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection)).await?;
        Ok(())
    }
}

fn options(address: &DatabaseAddress) -> PgConnectOptions {
    let (user, password) = &address.login;
    PgConnectOptions::new_without_pgpass()
        .host(&address.host)
        .port(address.port)
        .username(user)
        .password(password)
        .database("postgres")
        .application_name(names::OPERATOR)
        .ssl_mode(match address.ssl_mode {
            SslMode::Disable => PgSslMode::Disable,
            SslMode::Prefer => PgSslMode::Prefer,
            SslMode::Require => PgSslMode::Require,
        })
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Error> {
    bounded(PgConnection::connect_with(options)).await
}

async fn bounded<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Error> {
    timeout(REQUEST_TIMEOUT, work).await.map_err(|_| Error::Unreachable(None))?.map_err(Error::new)
}

fn comment(database: &str, image: Option<&str>) -> String {
    let (database, text) = (identifier(database), literal(&Comment::text(image)));
    format!("COMMENT ON DATABASE {database} IS {text}")
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
