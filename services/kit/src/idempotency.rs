//! `Idempotency-Key`: a request that is sent twice takes effect once and gets the same answer.
//! Key, effect and outbox rows are one transaction; keys belong to a user and live for 24 hours.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use contracts::UserId;
use http::StatusCode;
use http::request::Parts;
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool, PgTransaction};

use crate::problem::{KEY_IN_FLIGHT, KEY_MISSING, KEY_REUSED, MALFORMED, Problem, Result};

/// The key that a client has chosen for a request.
#[derive(Clone, Debug)]
pub struct IdempotencyKey(String);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let value = parts.headers.get("idempotency-key").ok_or_else(|| {
            Problem::new(KEY_MISSING, "choose a new key, e.g. a UUID, for each new request")
        })?;
        let key = value.to_str().unwrap_or_default().trim();
        if key.is_empty() || key.len() > 255 {
            return Err(Problem::new(MALFORMED, "Idempotency-Key: 1 to 255 visible characters"));
        }
        Ok(Self(key.to_owned()))
    }
}

/// The request that a key stands for.
#[derive(Debug)]
pub struct Request {
    user: UserId,
    key: String,
    hash: Vec<u8>,
}

/// What is to be done about a request.
#[derive(Debug)]
pub enum Begun {
    /// It is new: do it in this transaction, then [`Request::finish`].
    New(PgTransaction<'static>),
    /// It was done before; this is the answer.
    Done(Response),
}

impl Request {
    /// A request of this user; `operation` and `body` are what must be the same when it is repeated.
    pub fn new(
        user: UserId,
        key: IdempotencyKey,
        operation: &str,
        body: &impl Serialize,
    ) -> Result<Self> {
        let body = serde_json::to_vec(body).map_err(Problem::internal)?;
        let mut hash = Sha256::new();
        hash.update(operation);
        hash.update([0]);
        hash.update(body);
        Ok(Self { user, key: key.0, hash: hash.finalize().to_vec() })
    }

    /// The stored answer, if the request was done before. For handlers that ask other services
    /// first: a repeated request must get its answer also when those are gone, and no transaction
    /// should wait for them. [`Request::begin`] decides afterwards.
    pub async fn answered(&self, pool: &PgPool) -> Result<Option<Response>> {
        let mut connection = pool.acquire().await?;
        self.stored(&mut connection).await
    }

    /// Begins the transaction, or finds the stored answer.
    pub async fn begin(&self, pool: &PgPool) -> Result<Begun> {
        let mut tx = pool.begin().await?;
        // Held until the transaction ends, however it ends: nothing stays in flight after a crash.
        let free = sqlx::query_scalar!(
            r#"SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS "free!""#,
            format!("{} {}", self.user, self.key),
        )
        .fetch_one(&mut *tx)
        .await?;
        if !free {
            return Err(Problem::new(KEY_IN_FLIGHT, "wait for its answer, then repeat"));
        }
        match self.stored(&mut tx).await? {
            None => Ok(Begun::New(tx)),
            Some(answer) => Ok(Begun::Done(answer)),
        }
    }

    async fn stored(&self, connection: &mut PgConnection) -> Result<Option<Response>> {
        let stored = sqlx::query!(
            "SELECT request_hash, status, body FROM idempotency_keys
             WHERE user_id = $1 AND key = $2 AND created_at > now() - interval '24 hours'",
            self.user.uuid(),
            self.key,
        )
        .fetch_optional(connection)
        .await?;
        match stored {
            None => Ok(None),
            Some(stored) if stored.request_hash != self.hash => {
                Err(Problem::new(KEY_REUSED, "choose a new key for a new request"))
            }
            Some(stored) => answer(stored.status, stored.body).map(Some),
        }
    }

    /// Stores the answer and commits.
    pub async fn finish(
        self,
        mut tx: PgTransaction<'static>,
        status: StatusCode,
        body: &impl Serialize,
    ) -> Result<Response> {
        let body = serde_json::to_value(body).map_err(Problem::internal)?;
        let status = i16::try_from(status.as_u16()).map_err(Problem::internal)?;
        sqlx::query!(
            "INSERT INTO idempotency_keys (user_id, key, request_hash, status, body)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (user_id, key) DO UPDATE
             SET request_hash = $3, status = $4, body = $5, created_at = now()",
            self.user.uuid(),
            self.key,
            self.hash,
            status,
            body,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        answer(status, body)
    }
}

fn answer(status: i16, body: serde_json::Value) -> Result<Response> {
    let status = u16::try_from(status).map_err(Problem::internal)?;
    let status = StatusCode::from_u16(status).map_err(Problem::internal)?;
    Ok((status, axum::Json(body)).into_response())
}
