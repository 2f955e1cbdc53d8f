//! One line per request, and nothing secret in it.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kit::testing::eventually;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use crate::support::{Echo, echo, gateway, nowhere};

/// What this thread logs. A test of Tokio is one thread, the gateway inside it included.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn record(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber =
            tracing_subscriber::fmt().json().flatten_event(true).with_writer(self.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn lines(&self, target: &str) -> Vec<Value> {
        let bytes = self.0.lock().unwrap();
        let lines = std::str::from_utf8(&bytes).unwrap().lines();
        let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["target"] == target).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn each_request_leaves_one_line_without_secrets() {
    let log = Log::default();
    let _guard = log.record();
    let gateway = gateway(&[("NOTIFICATION_HTTP_URL", echo("notification").await)]).await;
    let path = "/api/v1/live?access_token=eyJhbGciOi";
    let answer = gateway.request("GET", path).send().await.unwrap();
    let length = answer.text().await.unwrap().len();
    gateway.request("GET", "/nothing?password=hunter2").send().await.unwrap();
    let refused = gateway.request("GET", "/api/v1/cart").bearer_auth("not.a.token");
    refused.send().await.unwrap();
    let lines = eventually("three requests are logged", async || {
        let lines = log.lines("access");
        (lines.len() == 3).then_some(lines)
    })
    .await;
    let seen: Vec<_> = lines
        .iter()
        .map(|line| (line["route"].as_str().unwrap(), line["status"].as_u64().unwrap()))
        .collect();
    assert_eq!(seen, [("/api/v1/live", 200), ("unmatched", 404), ("/api/v1/cart", 401)]);
    let first = lines.first().unwrap();
    assert_eq!(first["method"], "GET");
    assert_eq!(first["client"], "127.0.0.1");
    assert_eq!(first["bytes"].as_u64(), Some(length as u64));
    assert!(first["duration_seconds"].as_f64().unwrap() > 0.0);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for secret in ["eyJhbGciOi", "hunter2", "not.a.token"] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn services_continue_the_trace_of_the_client() {
    let tracer = SdkTracerProvider::builder().build().tracer("test");
    let layer = tracing_opentelemetry::layer().with_tracer(tracer);
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let gateway = gateway(&[("CART_HTTP_URL", echo("cart").await)]).await;
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let request = gateway.request("GET", "/api/v1/cart");
    let request = request.header("traceparent", format!("00-{trace}-{span}-01"));
    let echo: Echo = request.send().await.unwrap().json().await.unwrap();
    let passed_on = echo.header("traceparent").unwrap();
    assert!(passed_on.starts_with(&format!("00-{trace}-")), "{passed_on}");
    assert!(!passed_on.contains(span), "it is a span of ours that the service continues");
}

#[tokio::test]
async fn a_redis_that_is_away_limits_nobody_and_is_told_once() {
    let log = Log::default();
    let _guard = log.record();
    let (address, socket) = nowhere();
    let (redis, cart) = (format!("redis://{address}"), echo("cart").await);
    let variables =
        [("REDIS_URL", redis.as_str()), ("CART_HTTP_URL", &cart), ("RATE_LIMIT_PER_MINUTE", "1")];
    let gateway = gateway(&variables).await;
    let begun = Instant::now();
    // It is asked anew every second.
    while begun.elapsed() < Duration::from_millis(2500) {
        let answer = gateway.request("GET", "/api/v1/cart").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(!answer.headers().contains_key("ratelimit"));
    }
    assert_eq!(log.lines("gateway::limit").len(), 1);
    let figures = gateway.metrics().await;
    assert!(figures.contains("gateway_rate_limit_unavailable_total"), "{figures}");

    tokio::spawn(lead_to_redis(socket.listen(8).unwrap()));
    eventually("clients are limited again", async || {
        let answer = gateway.request("GET", "/api/v1/cart").send().await.unwrap();
        (answer.status() == 429).then_some(())
    })
    .await;
    let lines = log.lines("gateway::limit");
    assert_eq!(lines.len(), 2);
    assert!(lines[1]["message"].as_str().unwrap().starts_with("Redis is back"), "{lines:?}");
}

/// Passes connections on to the real Redis.
async fn lead_to_redis(listener: TcpListener) {
    let redis = kit::testing::engine("TEST_REDIS_URL");
    let redis = redis.trim_start_matches("redis://").to_owned();
    while let Ok((mut near, _)) = listener.accept().await {
        let mut far = TcpStream::connect(&redis).await.unwrap();
        tokio::spawn(async move { copy_bidirectional(&mut near, &mut far).await });
    }
}
