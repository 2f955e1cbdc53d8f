//! Reads what pods have measured, from the pods themselves.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use contracts::{metrics, ports};
use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::Selector;
use kube::{Api, Client, ResourceExt as _};
use operator_core::crd::PodCounters;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

/// How long a pod may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// Longest answer that is read, in bytes.
const LIMIT: u64 = 8 << 20;
/// Pods that are asked: so many are enough to judge by.
const PODS: usize = 32;
/// Pods that are asked at a time: so many answers may be in memory.
const CONCURRENCY: usize = 4;

/// What the pods with these labels have counted; nothing if some of them do not say.
pub(super) async fn counters(
    client: &Client,
    namespace: &str,
    labels: &BTreeMap<String, String>,
    limit_milliseconds: i32,
) -> Option<Vec<PodCounters>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let selector: Selector = labels.clone().into_iter().collect();
    let list = pods.list(&ListParams::default().labels_from(&selector)).await;
    let list = list.map_err(|error| debug!(%error, "cannot list pods")).ok()?;
    let mut pods: Vec<(String, IpAddr)> = list.items.iter().filter_map(running).collect();
    pods.sort();
    pods.truncate(PODS);
    let asked = pods.into_iter().map(|(pod, address)| async move {
        let text = text(SocketAddr::new(address, ports::ADMIN)).await;
        let text = text.map_err(|error| debug!(pod, %error, "cannot read figures")).ok()?;
        Some(read(pod, &text, limit_milliseconds))
    });
    let (mut answers, mut counters) = (stream::iter(asked).buffered(CONCURRENCY), Vec::new());
    while let Some(answer) = answers.next().await {
        counters.push(answer?);
    }
    Some(counters)
}

/// UID and address of a pod that is there to stay.
fn running(pod: &Pod) -> Option<(String, IpAddr)> {
    let address = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    (pod.metadata.deletion_timestamp.is_none()).then_some((pod.uid()?, address))
}

/// Everything that a pod measures, in the text format of Prometheus.
async fn text(pod: SocketAddr) -> std::io::Result<String> {
    let ask = async {
        let mut stream = TcpStream::connect(pod).await?;
        // HTTP/1.0, so that the answer ends with the connection.
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        let read = stream.take(LIMIT + 1).read_to_string(&mut answer).await?;
        // What is cut off would count too little.
        if u64::try_from(read).is_ok_and(|read| read > LIMIT) {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.split(' ').nth(1) == Some("200") => Ok(body.to_owned()),
            _ => Err(std::io::ErrorKind::InvalidData.into()),
        }
    };
    timeout(ANSWER, ask).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

/// Counts the HTTP requests in a text of Prometheus' format. One that took longer than the limit is in none of the
/// buckets up to the first bound that is not less than the limit.
fn read(pod: String, text: &str, limit_milliseconds: i32) -> PodCounters {
    let limit = f64::from(limit_milliseconds) / 1000.0;
    let mut counters = PodCounters { pod, ..PodCounters::default() };
    // Each series has its own buckets, which are in ascending order.
    let mut quick: BTreeMap<String, i64> = BTreeMap::new();
    for line in text.lines() {
        let Some(sample) = line.strip_prefix(metrics::HTTP_SERVER_DURATION) else { continue };
        let Some((series, value)) = sample.rsplit_once(' ') else { continue };
        let Some(count) = whole(value) else { continue };
        if let Some(labels) = series.strip_prefix("_count") {
            counters.requests = counters.requests.saturating_add(count);
            let status = label(labels, metrics::HTTP_STATUS);
            if status.is_some_and(|status| status.starts_with('5')) {
                counters.failures = counters.failures.saturating_add(count);
            }
        } else if let Some(labels) = series.strip_prefix("_bucket")
            && let Some(bound) = label(labels, "le").and_then(|bound| bound.parse::<f64>().ok())
            && bound >= limit
        {
            let others =
                labels.replace(&format!("le=\"{}\"", label(labels, "le").unwrap_or_default()), "");
            quick.entry(others).or_insert(count);
        }
    }
    let quick: i64 = quick.values().sum();
    counters.slow = counters.requests.saturating_sub(quick).max(0);
    counters
}

/// A counter's value. The format knows floats only; counts of requests are whole.
fn whole(value: &str) -> Option<i64> {
    let value: f64 = value.trim().parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole, and far from the limit")]
    (value.is_finite() && (0.0..9.0e15).contains(&value)).then_some(value as i64)
}

/// The value of a label in `{a="1",b="2"}`. Those that are asked for have no quotes inside.
fn label<'l>(labels: &'l str, name: &str) -> Option<&'l str> {
    let begin = [format!("{{{name}=\""), format!(",{name}=\"")];
    let (_, rest) = begin.iter().find_map(|begin| labels.split_once(begin.as_str()))?;
    rest.split_once('"').map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;

    const TEXT: &str = r#"# HELP http_server_request_duration_seconds Duration of HTTP requests.
# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_bucket{http_request_method="GET",http_response_status_code="200",http_route="/a",le="0.5"} 90
http_server_request_duration_seconds_bucket{http_request_method="GET",http_response_status_code="200",http_route="/a",le="1"} 95
http_server_request_duration_seconds_bucket{http_request_method="GET",http_response_status_code="200",http_route="/a",le="+Inf"} 100
http_server_request_duration_seconds_sum{http_request_method="GET",http_response_status_code="200",http_route="/a"} 12.5
http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/a"} 100
http_server_request_duration_seconds_bucket{http_request_method="GET",http_response_status_code="503",http_route="/a",le="0.5"} 7
http_server_request_duration_seconds_bucket{http_request_method="GET",http_response_status_code="503",http_route="/a",le="1"} 7
http_server_request_duration_seconds_bucket{http_request_method="GET",http_response_status_code="503",http_route="/a",le="+Inf"} 7
http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="503",http_route="/a"} 7
http_server_active_requests 3
rpc_server_duration_seconds_count{rpc_method="m"} 9
"#;

    #[test]
    fn requests_failures_and_slow_ones_are_counted() {
        let counters = |limit| {
            let PodCounters { requests, failures, slow, .. } = read("p".to_owned(), TEXT, limit);
            (requests, failures, slow)
        };
        assert_eq!(counters(500), (107, 7, 10));
        assert_eq!(counters(501), (107, 7, 5), "the next larger bound counts");
        assert_eq!(counters(1000), (107, 7, 5));
        assert_eq!(
            counters(5000),
            (107, 7, 0),
            "all that is known is that they took longer than 1 s"
        );
        let nothing = read("p".to_owned(), "# nothing\n", 500);
        assert_eq!((nothing.requests, nothing.failures, nothing.slow), (0, 0, 0));
    }

    #[tokio::test]
    async fn a_pod_is_asked_and_an_error_is_no_answer() {
        let routes = Router::new().route("/metrics", get(async || TEXT));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, routes).await });
        assert_eq!(text(address).await.unwrap(), TEXT);
        let large = Router::new().route("/metrics", get(async || TEXT.repeat(10_000)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, large).await });
        assert!(text(address).await.is_err(), "it is cut off");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, Router::new()).await });
        assert!(text(address).await.is_err());
    }
}
