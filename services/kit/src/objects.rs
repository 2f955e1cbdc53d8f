//! The object store of a shop, by its S3 API. Requests are signed in their address (signature
//! version 4), which is therefore never shown to anybody.

use std::time::Duration;

use axum::body::Bytes;
use contracts::env;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use reqwest::{Client, Response, Url};
use rusty_s3::actions::{DeleteObject, GetObject, ListObjectsV2, PutObject};
use rusty_s3::{Bucket, BucketError, Credentials, S3Action, UrlStyle};

use crate::config::{Env, FromEnv};
use crate::problem::Problem;
use crate::secret::Secret;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a signature is good for: longer than any request, and than clocks are apart.
const SIGNED_FOR: Duration = Duration::from_mins(5);
/// The region of stores that have none.
const REGION: &str = "us-east-1";

/// How to reach the store, if the shop has one.
#[derive(Clone, Debug)]
pub struct Settings(Option<Place>);

#[derive(Clone, Debug)]
struct Place {
    url: Url,
    bucket: String,
    region: String,
    access_key: Secret,
    secret_key: Secret,
    key_prefix: String,
}

impl FromEnv for Settings {
    fn from_env(env: &mut Env) -> Option<Self> {
        let Some(url) = env.optional(env::OBJECT_STORE_URL)? else { return Some(Self(None)) };
        let bucket = env.required(env::OBJECT_STORE_BUCKET);
        let region = env.or(env::OBJECT_STORE_REGION, REGION.to_owned());
        let access_key = env.required(env::OBJECT_STORE_ACCESS_KEY);
        let secret_key = env.required(env::OBJECT_STORE_SECRET_KEY);
        let key_prefix = env.or(env::OBJECT_STORE_KEY_PREFIX, String::new());
        Some(Self(Some(Place {
            url,
            bucket: bucket?,
            region: region?,
            access_key: access_key?,
            secret_key: secret_key?,
            key_prefix: key_prefix?,
        })))
    }
}

/// Why the store has not done what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("the shop has no object store")]
    None,
    /// It does not answer.
    #[error("the object store does not answer")]
    Unreachable(#[source] reqwest::Error),
    /// It answers something else.
    #[error("the object store answers {0}")]
    Refused(StatusCode),
    /// Its list of objects cannot be read.
    #[error("the object store's list cannot be read: {0}")]
    Unreadable(String),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::unavailable(error)
    }
}

/// The settings name no bucket.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The address cannot be used.
    #[error("the address of the object store")]
    Address(#[source] BucketError),
    /// There can be no client.
    #[error("no HTTP client for the object store")]
    Client(#[source] reqwest::Error),
}

/// The store.
pub struct Store(Option<Open>);

struct Open {
    client: Client,
    bucket: Bucket,
    credentials: Credentials,
    key_prefix: String,
}

impl Store {
    /// The store of these settings. Nothing is asked of it yet. `patience` is how long an answer, with
    /// what is sent before it, or the next part of one may take.
    pub fn new(settings: Settings, patience: Duration) -> Result<Self, Unusable> {
        let Some(place) = settings.0 else { return Ok(Self(None)) };
        let Place { url, bucket, region, access_key, secret_key, key_prefix } = place;
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(patience)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(Unusable::Client)?;
        // Every server understands addresses of this style; not every one has a name for each bucket.
        let bucket = Bucket::new(url, UrlStyle::Path, bucket, region).map_err(Unusable::Address)?;
        let credentials = Credentials::new(access_key.expose(), secret_key.expose());
        Ok(Self(Some(Open { client, bucket, credentials, key_prefix })))
    }

    /// Whether the shop has one.
    pub const fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Stores an object, or another in its place.
    pub async fn put(&self, name: &str, kind: &'static str, bytes: Bytes) -> Result<(), Error> {
        let open = self.open()?;
        let key = open.key(name);
        let url = PutObject::new(&open.bucket, Some(&open.credentials), &key).sign(SIGNED_FOR);
        let answer = open.send(Method::PUT, url, Some((kind, bytes))).await?;
        succeeded(&answer)
    }

    /// An object as it comes, if it is there.
    pub async fn get(&self, name: &str) -> Result<Option<Response>, Error> {
        let open = self.open()?;
        let key = open.key(name);
        let url = GetObject::new(&open.bucket, Some(&open.credentials), &key).sign(SIGNED_FOR);
        let answer = open.send(Method::GET, url, None).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            let status = answer.status();
            let why = answer.text().await.map_err(unreachable)?;
            // Without the bucket nobody knows what is there.
            let lost = why.contains("NoSuchBucket");
            return if lost { Err(Error::Refused(status)) } else { Ok(None) };
        }
        succeeded(&answer)?;
        Ok(Some(answer))
    }

    /// Makes sure that an object is not there.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let open = self.open()?;
        let key = open.key(name);
        let url = DeleteObject::new(&open.bucket, Some(&open.credentials), &key).sign(SIGNED_FOR);
        let answer = open.send(Method::DELETE, url, None).await?;
        if answer.status() == StatusCode::NOT_FOUND { Ok(()) } else { succeeded(&answer) }
    }

    /// The names of all objects that begin with this, in their order.
    pub async fn list(&self, beginning: &str) -> Result<Vec<String>, Error> {
        let open = self.open()?;
        let (prefix, mut names, mut token) = (open.key(beginning), Vec::new(), None);
        loop {
            let mut page = ListObjectsV2::new(&open.bucket, Some(&open.credentials));
            page.with_prefix(prefix.as_str());
            if let Some(token) = token.take() {
                page.with_continuation_token(token);
            }
            let answer = open.send(Method::GET, page.sign(SIGNED_FOR), None).await?;
            succeeded(&answer)?;
            let text = answer.text().await.map_err(unreachable)?;
            let page = ListObjectsV2::parse_response(&text);
            let page = page.map_err(|error| Error::Unreadable(error.to_string()))?;
            let ours = |key: String| key.strip_prefix(&open.key_prefix).map(str::to_owned);
            names.extend(page.contents.into_iter().filter_map(|object| ours(object.key)));
            match page.next_continuation_token {
                Some(next) => token = Some(next),
                None => return Ok(names),
            }
        }
    }

    fn open(&self) -> Result<&Open, Error> {
        self.0.as_ref().ok_or(Error::None)
    }
}

impl Open {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.key_prefix)
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Response, Error> {
        let uri: Uri = url.as_str().parse().expect("an address of a bucket is one of HTTP");
        let send = async {
            let mut headers = HeaderMap::new();
            crate::http::propagate_trace(&mut headers);
            let mut request = self.client.request(method.clone(), url).headers(headers);
            if let Some((kind, bytes)) = body {
                request = request.header(header::CONTENT_TYPE, kind).body(bytes);
            }
            request.send().await
        };
        crate::http::call(&method, &uri, Response::status, send).await.map_err(unreachable)
    }
}

fn unreachable(error: reqwest::Error) -> Error {
    Error::Unreachable(error.without_url())
}

fn succeeded(answer: &Response) -> Result<(), Error> {
    let status = answer.status();
    if status.is_success() { Ok(()) } else { Err(Error::Refused(status)) }
}

/// All of an object.
pub async fn content(answer: Response) -> Result<Bytes, Error> {
    answer.bytes().await.map_err(unreachable)
}
