//! Errors that clients see: RFC 9457 problem details.

use std::error::Error;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::telemetry;

/// Media type of problems.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// A kind of problem. Each is documented in `docs/problems/<slug>.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Last part of the `type` URI reference.
    pub slug: &'static str,
    /// Same for every problem of this kind.
    pub title: &'static str,
    /// HTTP status code.
    pub status: u16,
}

impl Kind {
    /// A kind of problem.
    pub const fn new(status: u16, slug: &'static str, title: &'static str) -> Self {
        Self { slug, title, status }
    }
}

/// The body, query or path cannot be read.
pub const MALFORMED: Kind = Kind::new(400, "malformed-request", "The request cannot be read");
/// Fields are readable but not acceptable; `errors` says which.
pub const INVALID: Kind = Kind::new(422, "invalid-fields", "Some fields are not valid");
/// No valid access token.
pub const UNAUTHENTICATED: Kind =
    Kind::new(401, "unauthenticated", "A valid access token is needed");
/// The caller may not do this.
pub const FORBIDDEN: Kind = Kind::new(403, "forbidden", "This is not allowed");
/// There is no such thing, or the caller may not know of it.
pub const NOT_FOUND: Kind = Kind::new(404, "not-found", "There is no such thing");
/// The path exists, the method does not.
pub const METHOD: Kind = Kind::new(405, "method-not-allowed", "The method is not allowed here");
/// The thing is in a state that forbids this.
pub const CONFLICT: Kind = Kind::new(409, "conflict", "The current state does not allow this");
/// The version in `If-Match` is not the current one.
pub const STALE: Kind = Kind::new(412, "stale-version", "The thing has changed meanwhile");
/// The body is too large.
pub const TOO_LARGE: Kind = Kind::new(413, "body-too-large", "The body is too large");
/// The body is of another type than the endpoint takes.
pub const MEDIA_TYPE: Kind =
    Kind::new(415, "unsupported-media-type", "The body must be application/json");
/// An update without `If-Match`.
pub const VERSION_REQUIRED: Kind =
    Kind::new(428, "version-required", "An If-Match header is needed");
/// Too many requests from this client.
pub const RATE_LIMITED: Kind = Kind::new(429, "rate-limited", "Too many requests");
/// A POST that must carry `Idempotency-Key` does not.
pub const KEY_MISSING: Kind =
    Kind::new(400, "idempotency-key-missing", "An Idempotency-Key header is needed");
/// The key was used for another request.
pub const KEY_REUSED: Kind =
    Kind::new(422, "idempotency-key-reused", "The Idempotency-Key belongs to another request");
/// The first request with this key is still under way.
pub const KEY_IN_FLIGHT: Kind =
    Kind::new(409, "idempotency-key-in-flight", "A request with this key is under way");
/// Something is broken on the server's side.
pub const INTERNAL: Kind = Kind::new(500, "internal", "Something went wrong on our side");
/// A part that is needed is not there right now.
pub const UNAVAILABLE: Kind = Kind::new(503, "unavailable", "Not available right now");
/// The request took too long.
pub const DEADLINE: Kind = Kind::new(504, "deadline-exceeded", "The request took too long");

/// One field that is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// JSON pointer into the body (RFC 6901), e.g. `/items/0/quantity`.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// An error on its way to the client. A 5xx shows nothing of its cause, which goes to the log.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Problem(Box<Inner>);

/// Boxed, so that the good case of a `Result` stays small.
#[derive(Debug, thiserror::Error)]
#[error("{}: {detail}", kind.slug)]
struct Inner {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    extensions: Map<String, Value>,
    headers: HeaderMap,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What every handler fails with.
pub type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    /// A problem of this kind; `detail` is for people.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let headers = HeaderMap::new();
        Self(Box::new(Inner {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            extensions: Map::new(),
            headers,
            source: None,
        }))
    }

    /// There is no such thing.
    pub fn not_found(what: &str) -> Self {
        Self::new(NOT_FOUND, format!("there is no such {what}"))
    }

    /// Fields that are not acceptable.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let mut problem = Self::new(INVALID, "see errors for each field");
        problem.0.errors = errors;
        problem
    }

    /// One field that is not acceptable.
    pub fn invalid_field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { pointer: pointer.into(), detail: detail.into() }])
    }

    /// Something broke; the cause is logged, not shown.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::caused(INTERNAL, source)
    }

    /// Something else is not there; the cause is logged, not shown.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let problem = Self::caused(UNAVAILABLE, source);
        problem.header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    fn caused(kind: Kind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut problem = Self::new(kind, "please try again later");
        problem.0.source = Some(source.into());
        problem
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Adds an extension member (RFC 9457, section 3.2): what a program needs to react.
    #[must_use]
    pub fn extend(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a field that is not acceptable.
    pub fn push(&mut self, error: FieldError) {
        self.0.errors.push(error);
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }
}

/// The body of every error: RFC 9457 with the trace id and, for fields, JSON pointers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct Body {
    /// URI reference of the kind, e.g. `/problems/not-found`.
    #[schema(example = "/problems/not-found")]
    r#type: String,
    /// Same for every problem of this type.
    title: String,
    /// HTTP status code.
    status: u16,
    /// What is wrong this time.
    detail: String,
    /// Fields that are not valid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// Trace id to quote in a question about this answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    /// Members of this type of problem alone.
    #[serde(flatten)]
    #[schema(ignore)]
    extensions: Map<String, Value>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (kind, trace_id) = (self.kind(), telemetry::trace_id());
        if kind.status >= 500 {
            let error = telemetry::chain(&self);
            tracing::error!(problem = kind.slug, error, trace_id, "failed");
        }
        let Inner { detail, errors, extensions, headers, .. } = *self.0;
        let body = Body {
            r#type: format!("/problems/{}", kind.slug),
            title: kind.title.to_owned(),
            status: kind.status,
            detail,
            errors,
            trace_id,
            extensions,
        };
        let status = StatusCode::from_u16(kind.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, headers, Json(body)).into_response();
        let media_type = HeaderValue::from_static(CONTENT_TYPE);
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        response
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
                Self::unavailable(error)
            }
            error if has_timed_out(&error) => Self::unavailable(error),
            error if is_unstorable(&error) => {
                tracing::warn!(error = telemetry::chain(&error), "Postgres refuses a value");
                Self::new(MALFORMED, "a value is not one that can be stored or compared")
            }
            _ => Self::internal(error),
        }
    }
}

/// Whether the statement was cancelled, which its timeout does (PostgreSQL, appendix A, 57014).
fn has_timed_out(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == "57014")
}

/// Values that the database refuses whatever the statement: text with NUL or outside of UTF-8, times and numbers out
/// of range, text that is too long (PostgreSQL, appendix A, class 22). They are the client's; no other part of the
/// program makes them.
const UNSTORABLE: [&str; 6] = ["22001", "22003", "22007", "22008", "22021", "22P05"];

fn is_unstorable(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| UNSTORABLE.contains(&&*code))
}

impl From<redis::RedisError> for Problem {
    fn from(error: redis::RedisError) -> Self {
        Self::unavailable(error)
    }
}

impl From<tonic::Status> for Problem {
    fn from(status: tonic::Status) -> Self {
        match status.code() {
            tonic::Code::NotFound => Self::new(NOT_FOUND, status.message()),
            _ => Self::unavailable(status),
        }
    }
}

/// Collects what is wrong with the fields of a request, so that all is said at once.
#[derive(Debug, Default)]
pub struct Fields(Vec<FieldError>);

impl Fields {
    /// Notes that a field is wrong unless `ok`.
    pub fn check(&mut self, ok: bool, pointer: impl Into<String>, detail: impl Into<String>) {
        if !ok {
            self.0.push(FieldError { pointer: pointer.into(), detail: detail.into() });
        }
    }

    /// Unwraps a parsed value, or notes why it could not be parsed.
    pub fn take<T, E: std::fmt::Display>(
        &mut self,
        pointer: impl Into<String>,
        parsed: std::result::Result<T, E>,
    ) -> Option<T> {
        parsed.map_err(|error| self.check(false, pointer, error.to_string())).ok()
    }

    /// Fails when anything was noted.
    pub fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::invalid(self.0)) }
    }
}
