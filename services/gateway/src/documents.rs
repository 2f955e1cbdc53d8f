//! The API's documentation: what each service says of itself, and all of it together. It is rendered once for all
//! callers: a caller that does not read an answer holds no memory of its own.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kit::problem::{Problem, Result};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::merge::merge;
use crate::postman;
use crate::proxy::Proxy;
use crate::routes::Upstream;

/// How long documents are good for.
const FRESH: Duration = Duration::from_mins(1);
/// How long they are if a service did not give its own.
const FRESH_IF_INCOMPLETE: Duration = Duration::from_secs(3);
/// How long a service may take to give its document.
const PATIENCE: Duration = Duration::from_secs(2);
/// How large a document may be, in bytes.
const LIMIT: usize = 4 << 20;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A document as it is sent.
#[derive(Clone, Debug)]
pub struct Rendered {
    text: Bytes,
    tag: HeaderValue,
}

impl Rendered {
    fn new(document: &Value) -> Self {
        let text = document.to_string();
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let tag = format!("\"{:016x}\"", hasher.finish());
        let tag = HeaderValue::try_from(tag).expect("digits are visible");
        Self { text: text.into(), tag }
    }

    /// The answer to a request with these headers: a client that has the document does not get it again.
    pub fn answer(&self, headers: &HeaderMap) -> Response {
        let tag = (header::ETAG, self.tag.clone());
        if self.is_one_of(headers.get_all(header::IF_NONE_MATCH).iter()) {
            return (StatusCode::NOT_MODIFIED, [tag]).into_response();
        }
        ([(header::CONTENT_TYPE, JSON), tag], self.text.clone()).into_response()
    }

    /// Whether any of these lists has its tag. Compression on the way makes a tag weak (RFC 9110, 13.1.2).
    fn is_one_of<'h>(&self, lists: impl Iterator<Item = &'h HeaderValue>) -> bool {
        let mut tags = lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(','));
        tags.any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == self.tag.as_bytes()
        })
    }
}

/// A collection for Postman, in parts: between them is the shop's address, which each client knows it by.
#[derive(Clone, Debug)]
pub struct Collection(Vec<Bytes>);

impl Collection {
    /// Stands for the address. No document has it (RFC 6761, 6.4).
    const ADDRESS: &str = "http://address.invalid";

    fn new(document: &Value) -> Self {
        let text = postman::collection(document, Self::ADDRESS).to_string();
        let address = Value::from(Self::ADDRESS).to_string();
        Self(text.split(&address).map(|part| Bytes::copy_from_slice(part.as_bytes())).collect())
    }

    /// The answer to a client that has reached the shop at this address.
    pub fn answer(&self, address: &str) -> Response {
        let address = Bytes::from(Value::from(address).to_string());
        let mut chunks = Vec::with_capacity(2 * self.0.len());
        for part in &self.0 {
            chunks.extend([part.clone(), address.clone()]);
        }
        // It stands between two parts only.
        chunks.pop();
        let body = Body::from_stream(stream::iter(chunks.into_iter().map(Ok::<_, Infallible>)));
        ([(header::CONTENT_TYPE, JSON)], body).into_response()
    }
}

/// The documents of all services at one time.
pub struct Documents {
    /// All of them together.
    pub merged: Rendered,
    /// The same as a collection.
    pub collection: Collection,
    each: Vec<(Upstream, Rendered)>,
    until: Instant,
}

impl Documents {
    fn new(own: Value, each: &[(Upstream, Value)], fresh: Duration) -> Self {
        let merged = merge(own, each);
        Self {
            merged: Rendered::new(&merged),
            collection: Collection::new(&merged),
            each: each.iter().map(|(of, document)| (*of, Rendered::new(document))).collect(),
            until: Instant::now() + fresh,
        }
    }

    /// The document of one service.
    pub fn of(&self, upstream: Upstream) -> Result<&Rendered> {
        let found = self.each.iter().find(|(of, _)| *of == upstream);
        found.map(|(_, document)| document).ok_or_else(|| {
            Problem::unavailable(format!("{} has not given its document", upstream.name()))
        })
    }
}

/// Asks services for their documents, seldom.
pub struct Library {
    own: Value,
    current: Mutex<Option<Arc<Documents>>>,
}

impl Library {
    /// A library with the gateway's own document.
    pub fn new(own: Value) -> Self {
        Self { own, current: Mutex::default() }
    }

    /// The documents, at most a minute old. Who asks while they are fetched waits for the same.
    pub async fn documents(&self, proxy: &Proxy) -> Arc<Documents> {
        let mut current = self.current.lock().await;
        if let Some(documents) = current.as_ref().filter(|d| Instant::now() < d.until) {
            return Arc::clone(documents);
        }
        let documents = Arc::new(self.fetch(proxy).await);
        *current = Some(Arc::clone(&documents));
        documents
    }

    async fn fetch(&self, proxy: &Proxy) -> Documents {
        let there = Upstream::ALL.into_iter().filter(|upstream| proxy.has(*upstream));
        let answers = join_all(there.map(async |upstream| {
            let asked = proxy.get_json(upstream, "/openapi.json", LIMIT);
            let answer = tokio::time::timeout(PATIENCE, asked).await;
            Some((upstream, answer.ok()?.ok()?))
        }))
        .await;
        let complete = answers.iter().all(Option::is_some);
        let each: Vec<(Upstream, Value)> = answers.into_iter().flatten().collect();
        let fresh = if complete { FRESH } else { FRESH_IF_INCOMPLETE };
        Documents::new(self.own.clone(), &each, fresh)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::json;

    use super::*;

    fn documents() -> Documents {
        let paths = json!({ "/api/v1/cart": { "get": { "operationId": "get_cart" } } });
        let own = json!({ "info": { "title": "Shop" }, "paths": paths });
        let cart = json!({ "info": { "title": "Cart" } });
        Documents::new(own, &[(Upstream::Cart, cart)], FRESH)
    }

    async fn chunks(response: Response) -> Vec<Bytes> {
        let (mut body, mut chunks) = (response.into_body(), Vec::new());
        while let Some(frame) = body.frame().await {
            chunks.push(frame.unwrap().into_data().unwrap());
        }
        chunks
    }

    #[tokio::test]
    async fn answers_share_the_bytes_of_a_document() {
        let (documents, none) = (documents(), HeaderMap::new());
        for document in [&documents.merged, documents.of(Upstream::Cart).unwrap()] {
            let (one, other) = (document.answer(&none), document.answer(&none));
            let (one, other) = (chunks(one).await, chunks(other).await);
            assert_eq!(one, other);
            assert_eq!((one.len(), one[0].as_ptr()), (1, other[0].as_ptr()));
        }
        assert_eq!(documents.of(Upstream::User).unwrap_err().kind().status, 503);
    }

    #[tokio::test]
    async fn answers_share_a_collection_but_for_the_address_in_it() {
        let collection = documents().collection;
        let evil = "https://\"shop\".example";
        let one = chunks(collection.answer("http://shop.example")).await;
        let other = chunks(collection.answer(evil)).await;
        assert_eq!((one.len(), other.len()), (3, 3));
        for shared in [0, 2] {
            assert_eq!(one[shared].as_ptr(), other[shared].as_ptr());
        }
        let read: Value = serde_json::from_slice(&other.concat()).unwrap();
        let expected = json!({ "key": "baseUrl", "value": evil, "type": "string" });
        assert!(read["variable"].as_array().unwrap().contains(&expected), "{read}");
    }
}
