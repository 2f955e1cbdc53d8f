//! Somebody who shops, through the gateway.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use uuid::Uuid;

use crate::eventually;
use crate::kubectl::Address;

/// How long an order may take to reach its end.
pub const SAGA_PATIENCE: Duration = Duration::from_mins(1);

/// Most units of which the shop says that few are left.
const FEW_LEFT: i64 = 10;

/// What the gateway answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: StatusCode,
    /// JSON body; null when there is none.
    pub body: Value,
}

impl Answer {
    /// The body of a good answer; a bad one is an error that shows the problem.
    pub fn ok(self) -> Result<Value> {
        ensure!(self.status.is_success(), "{}: {}", self.status, self.body);
        Ok(self.body)
    }

    /// Fails unless the answer is this problem.
    pub fn problem(self, status: u16, slug: &str) -> Result<Value> {
        let expected = format!("/problems/{slug}");
        ensure!(
            self.status == status && self.body["type"] == expected.as_str(),
            "expected {status} {slug}, got {}: {}",
            self.status,
            self.body
        );
        Ok(self.body)
    }
}

/// A shopper with an account.
#[derive(Clone, Debug)]
pub struct Shopper {
    at: Address,
    client: Client,
    /// E-mail address.
    pub email: String,
    password: String,
    access_token: String,
    refresh_token: String,
    traceparent: Option<String>,
}

impl Shopper {
    /// Opens an account at the shop and logs in.
    pub async fn register(at: &Address) -> Result<Self> {
        let email = format!("shopper-{}@example.com", Uuid::new_v4().simple());
        let mut shopper = Self::new(at, email, format!("correct horse {}", Uuid::new_v4()))?;
        let account = json!({"email": shopper.email, "password": shopper.password, "name": "Ada"});
        shopper.post("/auth/register", &account).await?.ok()?;
        shopper.login().await?;
        Ok(shopper)
    }

    /// Logs somebody in who has an account already.
    pub async fn with_account(at: &Address, email: &str, password: &str) -> Result<Self> {
        let mut shopper = Self::new(at, email.to_owned(), password.to_owned())?;
        shopper.login().await?;
        Ok(shopper)
    }

    fn new(at: &Address, email: String, password: String) -> Result<Self> {
        Ok(Self {
            at: at.clone(),
            client: crate::client()?,
            email,
            password,
            access_token: String::new(),
            refresh_token: String::new(),
            traceparent: None,
        })
    }

    /// The same shopper at another address of the shop.
    #[must_use]
    pub fn moved(mut self, at: &Address) -> Self {
        self.at = at.clone();
        self
    }

    /// The same shopper, whose requests belong to this span (W3C Trace Context).
    #[must_use]
    pub fn tracing(mut self, traceparent: &str) -> Self {
        self.traceparent = Some(traceparent.to_owned());
        self
    }

    /// What nobody else may get to know.
    pub fn secrets(&self) -> [&str; 4] {
        [&self.email, &self.password, &self.access_token, &self.refresh_token]
    }

    /// Logs in with the password.
    pub async fn login(&mut self) -> Result<()> {
        let credentials = json!({"email": self.email, "password": self.password});
        let tokens = self.post("/auth/login", &credentials).await?.ok()?;
        self.keep(&tokens)
    }

    /// Gets new tokens for the refresh token.
    pub async fn refresh(&mut self) -> Result<()> {
        let tokens = self
            .post("/auth/refresh", &json!({"refresh_token": self.refresh_token}))
            .await?
            .ok()?;
        self.keep(&tokens)
    }

    fn keep(&mut self, tokens: &Value) -> Result<()> {
        let token = |name: &str| {
            let token = tokens[name].as_str().map(str::to_owned);
            token.with_context(|| format!("no {name} in {tokens}"))
        };
        self.access_token = token("access_token")?;
        self.refresh_token = token("refresh_token")?;
        Ok(())
    }

    /// Somebody without an account.
    pub fn guest(at: &Address) -> Result<Self> {
        Self::new(at, String::new(), String::new())
    }

    /// Where the shop is, for other programs.
    pub fn url(&self) -> &str {
        &self.at.url
    }

    /// What other programs prove by that they act for this shopper.
    pub fn access_token(&self) -> &str {
        &self.access_token
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_to(method, &format!("/api/v1{path}"))
    }

    /// A request to any path of the shop, to be sent however it is.
    pub fn request_to(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.at.url));
        let request =
            self.traceparent.iter().fold(request, |r, span| r.header("traceparent", span));
        if self.access_token.is_empty() { request } else { request.bearer_auth(&self.access_token) }
    }

    async fn send(request: RequestBuilder) -> Result<Answer> {
        let answer = request.send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(Answer { status, body })
    }

    /// GET below `/api/v1`, again while the shop says that it is not available right now.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.patiently(|| self.request(Method::GET, path)).await
    }

    /// GET below `/api/v1`, whatever the answer.
    pub async fn get_once(&self, path: &str) -> Result<Answer> {
        Self::send(self.request(Method::GET, path)).await
    }

    /// Does what every client does about 503 with Retry-After. Only for what may be repeated.
    async fn patiently(&self, request: impl Fn() -> RequestBuilder) -> Result<Answer> {
        eventually("the shop is available", SAGA_PATIENCE, || {
            let request = request();
            async move {
                let answer = Self::send(request).await?;
                ensure!(answer.status != StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
                Ok(answer)
            }
        })
        .await
    }

    /// POST below `/api/v1`.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        Self::send(self.request(Method::POST, path).json(body)).await
    }

    /// POST with an `Idempotency-Key`.
    pub async fn post_once(&self, path: &str, key: &str, body: &Value) -> Result<Answer> {
        self.patiently(|| {
            self.request(Method::POST, path).header("Idempotency-Key", key).json(body)
        })
        .await
    }

    /// A product of the catalog that has at least so many units in stock. Shoppers see no count: beyond a few units only
    /// administrators find one.
    pub async fn find_product(&self, units: i64) -> Result<Value> {
        let products = self.get("/products?limit=50").await?.ok()?;
        for product in products["items"].as_array().context("no items")? {
            let id = product["id"].as_str().context("a product has an id")?;
            let page = self.get(&format!("/products/{id}")).await?.ok()?;
            let stock = &page["stock"];
            let enough = match (stock["available"].as_i64(), stock["availability"].as_str()) {
                (Some(available), _) => available >= units,
                (None, Some("in_stock")) => units <= FEW_LEFT,
                (None, Some("few_left")) => units <= 1,
                _ => false,
            };
            if enough {
                return Ok(page);
            }
        }
        anyhow::bail!("nothing in the catalog has {units} units in stock")
    }

    /// Units of a product that can be bought now, as administrators see them.
    pub async fn available(&self, product: &str) -> Result<i64> {
        let page = self.get(&format!("/products/{product}")).await?.ok()?;
        page["stock"]["available"].as_i64().with_context(|| format!("no stock in {page}"))
    }

    /// Orders so many units of a product; returns the order's id.
    pub async fn order(&self, product: &str, quantity: u32, token: &str) -> Result<String> {
        let body = json!({
            "items": [{"product_id": product, "quantity": quantity}],
            "payment_token": token,
        });
        // A shopper whose request broke off sends it again, with the same key.
        let key = Uuid::new_v4().to_string();
        let order = eventually("the order is taken", SAGA_PATIENCE, async || {
            self.post_once("/orders", &key, &body).await?.ok()
        })
        .await?;
        order["id"].as_str().map(str::to_owned).with_context(|| format!("no id in {order}"))
    }

    /// Orders what is in the cart; returns the order's id.
    pub async fn check_out(&self) -> Result<String> {
        let key = Uuid::new_v4().to_string();
        let body = json!({"payment_token": "tok_visa"});
        let order = self.post_once("/orders", &key, &body).await?.ok()?;
        order["id"].as_str().map(str::to_owned).with_context(|| format!("no id in {order}"))
    }

    /// Waits until an order has reached this state.
    pub async fn wait_for(&self, order: &str, state: &str) -> Result<Value> {
        eventually(&format!("order {order} is {state}"), SAGA_PATIENCE, async || {
            let order = self.get(&format!("/orders/{order}")).await?.ok()?;
            ensure!(order["status"] == state, "it is {}", order["status"]);
            Ok(order)
        })
        .await
    }

    /// Waits until an order has come to its end, whichever it is.
    pub async fn wait_for_end(&self, order: &str) -> Result<Value> {
        eventually(&format!("order {order} has ended"), SAGA_PATIENCE, async || {
            let order = self.get(&format!("/orders/{order}")).await?.ok()?;
            let open = order["status"] == "pending" || order["status"] == "reserved";
            ensure!(!open, "it is {}", order["status"]);
            Ok(order)
        })
        .await
    }

    /// Opens the live updates.
    pub async fn live(&self) -> Result<Live> {
        let url = self.at.url.replacen("http", "ws", 1);
        let mut request = format!("{url}/api/v1/live").into_client_request()?;
        let offered = format!("shop.live.v1, bearer.{}", self.access_token);
        request.headers_mut().insert("sec-websocket-protocol", offered.parse()?);
        let (socket, _) = tokio_tungstenite::connect_async(request).await?;
        Ok(Live(socket))
    }
}

/// Live updates of a shopper's orders.
#[derive(Debug)]
pub struct Live(
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
);

impl Live {
    /// Waits for the message that says that this order has this status; returns all up to it.
    pub async fn until(&mut self, order: &str, status: &str) -> Result<Vec<Value>> {
        let read = async {
            let mut seen = Vec::new();
            while let Some(message) = self.0.next().await {
                let Message::Text(text) = message? else { continue };
                let update: Value = serde_json::from_str(&text)?;
                let found = update["order_id"] == order && update["status"] == status;
                seen.push(update);
                if found {
                    return Ok(seen);
                }
            }
            anyhow::bail!("the socket was closed after {seen:?}")
        };
        tokio::time::timeout(SAGA_PATIENCE, read).await.context("no such update in time")?
    }
}
