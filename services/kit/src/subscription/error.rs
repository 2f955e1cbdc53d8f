//! Why events are not processed, and how often they are tried again.

use redis::{ErrorKind, RedisError};
use sqlx::error::DatabaseError;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// SQLSTATEs, or the classes that they begin with, of a server that does not serve at the moment (PostgreSQL, appendix
/// A): connections, authorization and databases (a restore, a rotated password), read-only transactions, rollbacks,
/// resources, locks, and shutdowns. 57014, a statement that was cancelled, is not among them: the event may need too
/// much.
const INFRASTRUCTURE: [&str; 10] =
    ["08", "28", "3D", "25006", "40", "53", "55P03", "57P", "58", "F0"];
/// Classes of data that are not acceptable.
const DATA: [&str; 2] = ["22", "23"];
/// Codes of Redis that may be the command's fault.
const REDIS_COMMAND: [&str; 2] = ["ERR", "WRONGTYPE"];

/// Why a record was not processed.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// The infrastructure is to blame: tried again until it works, because skipping would lose the event.
    #[error("not possible right now")]
    Transient(#[source] Cause),
    /// It is not known which is to blame: tried for a while, then moved to the dead letter topic.
    #[error("the event was not processed")]
    Unknown(#[source] Cause),
    /// The record is to blame: tried a few times, then moved to the dead letter topic.
    #[error("the event cannot be processed")]
    Permanent(#[source] Cause),
}

impl HandlerError {
    /// The record is to blame.
    pub fn permanent(error: impl Into<Cause>) -> Self {
        Self::Permanent(error.into())
    }

    /// The infrastructure is to blame.
    pub fn transient(error: impl Into<Cause>) -> Self {
        Self::Transient(error.into())
    }

    /// It is not known which is to blame.
    pub fn unknown(error: impl Into<Cause>) -> Self {
        Self::Unknown(error.into())
    }

    /// How often an event is tried that fails like this; none: until it works.
    pub(crate) fn max_attempts(&self) -> Option<u32> {
        match self {
            Self::Transient(_) => None,
            Self::Unknown(_) => Some(10),
            Self::Permanent(_) => Some(5),
        }
    }
}

impl From<sqlx::Error> for HandlerError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{ColumnDecode, Encode, Io, PoolClosed, PoolTimedOut, Tls, WorkerCrashed};
        let code = error.as_database_error().and_then(DatabaseError::code).unwrap_or_default();
        let is = |classes: &[&str]| classes.iter().any(|class| code.starts_with(class));
        let (down, data) = (is(&INFRASTRUCTURE), is(&DATA));
        match error {
            Io(_) | Tls(_) | PoolTimedOut | PoolClosed | WorkerCrashed => Self::transient(error),
            ColumnDecode { .. } | Encode(_) => Self::permanent(error),
            _ if down => Self::transient(error),
            _ if data => Self::permanent(error),
            _ => Self::unknown(error),
        }
    }
}

impl From<RedisError> for HandlerError {
    fn from(error: RedisError) -> Self {
        let reply = matches!(error.kind(), ErrorKind::Parse | ErrorKind::UnexpectedReturnType);
        let command = error.code().is_some_and(|code| REDIS_COMMAND.contains(&code));
        if reply || command { Self::unknown(error) } else { Self::transient(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_counts_as_no_attempt() {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        for outage in [sqlx::Error::PoolTimedOut, sqlx::Error::Io(broken)] {
            assert_eq!(HandlerError::from(outage).max_attempts(), None);
        }
        assert_eq!(HandlerError::from(sqlx::Error::RowNotFound).max_attempts(), Some(10));
        let away = RedisError::from((ErrorKind::Io, "away"));
        assert_eq!(HandlerError::from(away).max_attempts(), None);
        let odd = RedisError::from((ErrorKind::UnexpectedReturnType, "odd"));
        assert_eq!(HandlerError::from(odd).max_attempts(), Some(10));
    }
}
