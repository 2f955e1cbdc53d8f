//! Operations that take no body. Content that is sent to them all the same would be ignored, and its sender believe that
//! it was not; so it is refused. `{}` and `null`, which many clients send by themselves, have no content.

use std::collections::HashSet;
use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::Method;
use serde_json::Value;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};

use crate::extract::{parse, pointer_to};
use crate::problem::{Fields, MALFORMED, Problem, Result, TOO_LARGE};

/// Largest body that is looked at, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// Most fields that a refusal names.
const MAX_NAMED: usize = 20;

/// The operations of a service that take no body, by method and path.
#[derive(Debug, Default)]
pub(crate) struct Bodiless(HashSet<(Method, String)>);

impl Bodiless {
    /// Those of this document.
    pub(crate) fn of(document: &OpenApi) -> Self {
        let paths = document.paths.paths.iter();
        let without = paths.flat_map(|(path, item)| {
            let PathItem { put, post, patch, .. } = item;
            let all = [(Method::PUT, put), (Method::POST, post), (Method::PATCH, patch)];
            let bodiless = all.into_iter().filter(|(method, operation)| {
                operation.as_ref().is_some_and(|operation| takes_none(method, operation))
            });
            bodiless.map(|(method, _)| (method, path.clone()))
        });
        Self(without.collect())
    }

    fn has(&self, request: &Request) -> bool {
        let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        path.is_some_and(|path| self.0.contains(&(request.method().clone(), path.to_owned())))
    }
}

/// Whether an operation takes no body though its method is made for one: content of `GET` and `DELETE` has no meaning
/// (RFC 9110, 9.3.1 and 9.3.5).
pub(crate) fn takes_none(method: &Method, operation: &Operation) -> bool {
    let is_made_for_one = [Method::POST, Method::PUT, Method::PATCH].contains(method);
    is_made_for_one && operation.request_body.is_none()
}

/// Refuses content that an operation would ignore.
pub(crate) async fn refuse_ignored(
    State(bodiless): State<Arc<Bodiless>>,
    request: Request,
    next: Next,
) -> Result<Response> {
    if request.body().is_end_stream() || !bodiless.has(&request) {
        return Ok(next.run(request).await);
    }
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_BYTES).await;
    expect_none(&body.map_err(|_| Problem::new(TOO_LARGE, "this operation takes no body"))?)?;
    Ok(next.run(Request::from_parts(parts, Body::empty())).await)
}

fn expect_none(body: &[u8]) -> Result<()> {
    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    match parse(body) {
        Ok(Value::Null) => Ok(()),
        Ok(Value::Object(content)) => {
            let mut fields = Fields::default();
            for name in content.keys().take(MAX_NAMED) {
                let detail = "unknown field: this operation takes no body";
                fields.check(false, pointer_to(name), detail);
            }
            fields.finish()
        }
        _ => Err(Problem::new(MALFORMED, "this operation takes no body")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::INVALID;

    #[test]
    fn content_is_refused_and_its_absence_is_not() {
        for empty in ["", " \r\n", "{}", " { } ", "null"] {
            assert!(expect_none(empty.as_bytes()).is_ok(), "{empty:?}");
        }
        for (body, kind) in [
            (r#"{"tracking_number": "1Z"}"#, INVALID),
            (r#"{"": {}}"#, INVALID),
            ("[]", MALFORMED),
            ("0", MALFORMED),
            ("{} {}", MALFORMED),
            ("tracking_number=1Z", MALFORMED),
            (r#"{"a": "\u0000"}"#, MALFORMED),
        ] {
            assert_eq!(expect_none(body.as_bytes()).unwrap_err().kind(), kind, "{body}");
        }
    }
}
