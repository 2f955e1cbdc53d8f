//! A row of the table: a request, and what it must be answered with.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use uuid::Uuid;

use super::Setting;

/// How long an answer may be lost: who is refused in the middle of a large body may see the connection close before
/// the answer, and asks again.
const PATIENCE: Duration = Duration::from_secs(20);

/// Words of the inside, in lower case: libraries, engines, addresses, statements, places in the source.
const INSIDE: [&str; 15] = [
    "sqlx",
    "postgres",
    "redis",
    "kafka",
    "hyper",
    "reqwest",
    "tokio",
    "serde",
    "panick",
    "unwrap",
    ".rs:",
    "select ",
    "insert ",
    "cluster.local",
    "://",
];

/// Who sends a request.
#[derive(Clone, Copy)]
pub(super) enum By {
    Guest,
    Customer,
    Admin,
}

enum Expected {
    /// A problem of this type.
    Problem(u16, &'static str),
    /// A list without items.
    Nothing,
    /// No HTTP that anybody here could answer; the parser says so.
    NoHttp(u16),
}

/// A row.
pub(super) struct Case {
    /// What is wrong.
    pub(super) what: &'static str,
    by: By,
    method: Method,
    path: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
    expected: Expected,
}

impl Case {
    pub(super) fn new(what: &'static str, by: By, method: Method, path: impl Into<String>) -> Self {
        let expected = Expected::Problem(422, "invalid-fields");
        Self { what, by, method, path: path.into(), headers: vec![], body: vec![], expected }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With so many headers.
    pub(super) fn many_headers(self, count: usize) -> Self {
        (0..count).fold(self, |case, _| case.header("X-Many", "1"))
    }

    /// With a new `Idempotency-Key`.
    pub(super) fn key(self) -> Self {
        let key = Uuid::new_v4().to_string();
        self.header("Idempotency-Key", key)
    }

    /// With this body, which calls itself JSON.
    pub(super) fn json(self, body: impl Into<Vec<u8>>) -> Self {
        self.header("Content-Type", "application/json").body(body)
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) fn is(mut self, status: u16, slug: &'static str) -> Self {
        self.expected = Expected::Problem(status, slug);
        self
    }

    pub(super) fn finds_nothing(mut self) -> Self {
        self.expected = Expected::Nothing;
        self
    }

    pub(super) fn beyond_http(mut self, status: u16) -> Self {
        self.expected = Expected::NoHttp(status);
        self
    }

    /// Sends the request and looks at the answer.
    pub(super) async fn run(self, setting: &Setting) -> Result<()> {
        let answer = eventually("there is an answer", PATIENCE, async || {
            Ok(self.request(setting).send().await?)
        })
        .await?;
        match self.expected {
            Expected::Problem(status, slug) => problem(answer, status, slug).await,
            Expected::Nothing => {
                let status = answer.status();
                let body: Value = answer.json().await?;
                let empty = body["items"].as_array().is_some_and(Vec::is_empty);
                ensure!(status == 200 && empty, "{status}: {body}");
                Ok(())
            }
            Expected::NoHttp(status) => {
                ensure!(answer.status() == status, "{}", answer.status());
                let body = answer.text().await?;
                ensure!(body.is_empty(), "{body}");
                Ok(())
            }
        }
    }

    fn request(&self, setting: &Setting) -> RequestBuilder {
        let by = match self.by {
            By::Guest => &setting.guest,
            By::Customer => &setting.customer,
            By::Admin => &setting.admin,
        };
        let request = by.request_to(self.method.clone(), &self.path);
        let headers = self.headers.iter();
        let request =
            headers.fold(request, |request, (name, value)| request.header(*name, &**value));
        if self.body.is_empty() { request } else { request.body(self.body.clone()) }
    }
}

/// The answer is this problem, whole, and tells nothing that only we should know.
async fn problem(answer: Response, status: u16, slug: &str) -> Result<()> {
    let (got, headers) = (answer.status(), answer.headers().clone());
    let text = answer.text().await?;
    let body: Value = serde_json::from_str(&text).with_context(|| format!("{got}: {text:?}"))?;
    let expected = format!("/problems/{slug}");
    let is_it = got == status && body["status"] == status && body["type"] == *expected;
    ensure!(is_it, "expected {status} {slug}, got {got}: {text}");
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    ensure!(media_type == Some("application/problem+json"), "its media type is {media_type:?}");
    let trace = body["trace_id"].as_str().unwrap_or_default();
    let is_trace = trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure!(is_trace, "no trace id: {text}");
    ensure!(!headers.contains_key("server"), "the program names itself");
    tells_nothing(&headers, &text)
}

fn tells_nothing(headers: &HeaderMap, text: &str) -> Result<()> {
    let said = format!("{headers:?} {text}").to_lowercase();
    let word = INSIDE.into_iter().find(|word| said.contains(word));
    ensure!(word.is_none(), "{word:?} is of the inside: {text}");
    Ok(())
}
