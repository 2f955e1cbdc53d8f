//! Postgres' own programs, and the few questions that a database is asked.

use std::process::Stdio;
use std::str::FromStr as _;

use chrono::{DateTime, Utc};
use kit::restorations::TABLE;
use percent_encoding::percent_decode_str;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use url::Url;

use crate::Error;
use crate::config::Database;

/// Dumps a database in one consistent snapshot.
pub const DUMP: &str = "pg_dump";
/// Fills a database from a dump.
pub const RESTORE: &str = "pg_restore";
/// Most bytes of a program's complaints that are kept.
const COMPLAINTS: u64 = 64 << 10;

/// A program that runs, and what it complains of.
pub struct Running {
    program: &'static str,
    service: String,
    /// Its process.
    pub child: Child,
    complaints: JoinHandle<String>,
}

impl Running {
    /// Starts a program of Postgres on a database. The password goes by the environment, which nobody else
    /// in the pod can read, and is neither among the arguments nor in what is logged.
    pub fn start(
        program: &'static str,
        arguments: &[&str],
        database: &Database,
    ) -> Result<Self, Error> {
        let (url, password) = apart(database)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .args(["--no-password", "--no-owner", "--no-privileges", "--dbname", url.as_str()])
            .env("PGPASSWORD", password)
            .env("PGCONNECT_TIMEOUT", "30")
            .env("PGAPPNAME", "backup")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let failed = |source| Error::Program { program, source };
        let mut child = command.spawn().map_err(failed)?;
        let stderr = child.stderr.take().expect("it is piped");
        let complaints = tokio::spawn(async move {
            let (mut text, mut stderr) = (Vec::new(), stderr);
            let _ = (&mut stderr).take(COMPLAINTS).read_to_end(&mut text).await;
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Self { program, service: database.service.clone(), child, complaints })
    }

    /// Waits for its end, which must be a good one.
    pub async fn end(mut self) -> Result<(), Error> {
        drop(self.child.stdin.take());
        let status = self.child.wait().await;
        let status = status.map_err(|source| Error::Program { program: self.program, source })?;
        let complaints = self.complaints.await.unwrap_or_default();
        if status.success() {
            return Ok(());
        }
        // The first error is the cause; what follows it are its consequences.
        let line = complaints
            .lines()
            .find(|line| line.contains("error:"))
            .or_else(|| complaints.lines().last())
            .unwrap_or("it said nothing");
        Err(Error::Failed { program: self.program, service: self.service, line: line.to_owned() })
    }
}

/// The URL of a database without its password, and the password.
fn apart(database: &Database) -> Result<(Url, String), Error> {
    let wrong = |error: url::ParseError| Error::Database {
        service: database.service.clone(),
        source: sqlx::Error::Configuration(error.into()),
    };
    let mut url = Url::parse(database.url.expose()).map_err(wrong)?;
    let password = percent_decode_str(url.password().unwrap_or_default());
    let password = password.decode_utf8_lossy().into_owned();
    // It fails for an address without a host alone, which has no password either.
    let _ = url.set_password(None);
    Ok((url, password))
}

/// What a program of Postgres calls itself.
pub async fn version(program: &'static str) -> Result<String, Error> {
    let output = Command::new(program).arg("--version").output().await;
    let output = output.map_err(|source| Error::Program { program, source })?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A connection to a service's database.
pub struct Session<'a> {
    database: &'a Database,
    connection: PgConnection,
}

impl<'a> Session<'a> {
    /// Logs in as the service.
    pub async fn open(database: &'a Database) -> Result<Self, Error> {
        let service = database.service.clone();
        let connect = async {
            let options = PgConnectOptions::from_str(database.url.expose())?;
            PgConnection::connect_with(&options.application_name("backup")).await
        };
        let connection = connect.await.map_err(|source| Error::Database { service, source })?;
        Ok(Self { database, connection })
    }

    /// Whether there is no table, view, sequence or type in the database but Postgres' own.
    pub async fn is_empty(&mut self) -> Result<bool, Error> {
        let relations = "SELECT NOT EXISTS (SELECT FROM pg_class \
             JOIN pg_namespace ON pg_namespace.oid = relnamespace \
             WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%')";
        let empty = sqlx::query_scalar(relations).fetch_one(&mut self.connection).await;
        empty.map_err(|source| self.failed(source))
    }

    /// What somebody has written on the database.
    pub async fn comment(&mut self) -> Result<Option<String>, Error> {
        let comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database \
             WHERE datname = current_database()";
        let comment = sqlx::query_scalar(comment).fetch_one(&mut self.connection).await;
        comment.map_err(|source| self.failed(source))
    }

    /// Writes on the database.
    pub async fn write_comment(&mut self, text: &str) -> Result<(), Error> {
        let name = sqlx::query_scalar("SELECT quote_ident(current_database())");
        let name: Result<String, _> = name.fetch_one(&mut self.connection).await;
        let name = name.map_err(|source| self.failed(source))?;
        let sql = format!("COMMENT ON DATABASE {name} IS '{}'", text.replace('\'', "''"));
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await;
        done.map(drop).map_err(|source| self.failed(source))
    }

    /// Records what the database was filled from, once, and has the outbox publish the events again that were published
    /// since then; says how many.
    pub async fn resume(
        &mut self,
        (backup, at): (&str, DateTime<Utc>),
        since: DateTime<Utc>,
    ) -> Result<u64, Error> {
        let again = async {
            let there = sqlx::query_scalar("SELECT to_regclass('outbox') IS NOT NULL");
            if !there.fetch_one(&mut self.connection).await? {
                return Ok(0);
            }
            sqlx::raw_sql(TABLE).execute(&mut self.connection).await?;
            let record = "INSERT INTO restorations (backup, backup_at) VALUES ($1, $2)
                 ON CONFLICT DO NOTHING";
            sqlx::query(record).bind(backup).bind(at).execute(&mut self.connection).await?;
            let again = "UPDATE outbox SET published_at = NULL WHERE published_at >= $1";
            let done = sqlx::query(again).bind(since).execute(&mut self.connection).await?;
            Ok(done.rows_affected())
        };
        again.await.map_err(|source| self.failed(source))
    }

    /// Says goodbye, so that the server logs no lost connection.
    pub async fn close(self) {
        let _ = self.connection.close().await;
    }

    fn failed(&self, source: sqlx::Error) -> Error {
        Error::Database { service: self.database.service.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use kit::secret::Secret;

    use super::*;

    #[test]
    fn a_password_is_no_argument() {
        let url = Secret::new("postgres://shop:a%40b%2Fc@db:5432/orders?sslmode=disable");
        let (url, password) = apart(&Database { service: "order".to_owned(), url }).unwrap();
        assert_eq!(password, "a@b/c");
        assert_eq!(url.as_str(), "postgres://shop@db:5432/orders?sslmode=disable");
    }
}
