//! Reads what pods have measured, from the pods themselves.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use contracts::{metrics, ports};
use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::Selector;
use kube::{Api, Client, ResourceExt as _};
use operator_core::crd::PodCounters;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

/// How long a pod may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// Longest answer that is read, in bytes. It is never in memory as a whole.
const LIMIT: u64 = 8 << 20;
/// Longest line, in bytes: a name, its labels and a number.
const LINE_LIMIT: u64 = 16 << 10;
/// Series of the histogram that one pod may have: methods, statuses and routes.
const MAX_SERIES: usize = 16_384;
/// Pods that are asked: so many are enough to judge by.
const PODS: usize = 32;
/// Pods that are asked at a time.
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
        let asked = ask(SocketAddr::new(address, ports::ADMIN), limit_milliseconds).await;
        let counted = asked.map_err(|error| debug!(pod, %error, "cannot read metrics")).ok()?;
        Some(PodCounters { pod, ..counted })
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

/// What a pod says that it has counted.
async fn ask(pod: SocketAddr, limit_milliseconds: i32) -> std::io::Result<PodCounters> {
    let ask = async {
        let mut stream = TcpStream::connect(pod).await?;
        // HTTP/1.0, so that the answer ends with the connection.
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
        // What is cut off would count too little: one byte more than the limit is an error.
        count(BufReader::new(stream.take(LIMIT + 1)), limit_milliseconds).await
    };
    timeout(ANSWER, ask).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

/// Counts the HTTP requests in an answer, line by line.
async fn count(
    answer: impl AsyncBufRead + Unpin,
    limit_milliseconds: i32,
) -> std::io::Result<PodCounters> {
    let mut lines = Lines { answer, line: Vec::new(), read: 0 };
    let status = lines.next().await?.ok_or(ErrorKind::UnexpectedEof)?;
    if status.split(' ').nth(1) != Some("200") {
        return Err(Error::new(ErrorKind::InvalidData, status.trim_end().to_owned()));
    }
    while !lines.next().await?.ok_or(ErrorKind::UnexpectedEof)?.trim_end().is_empty() {}
    let mut tally = Tally::new(limit_milliseconds);
    while let Some(line) = lines.next().await? {
        tally.add(line.trim_end())?;
    }
    Ok(tally.counters())
}

/// Lines of an answer, one at a time in memory.
struct Lines<R> {
    answer: R,
    line: Vec<u8>,
    read: u64,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    /// The next line with its end; nothing after the last.
    async fn next(&mut self) -> std::io::Result<Option<&str>> {
        self.line.clear();
        (&mut self.answer).take(LINE_LIMIT).read_until(b'\n', &mut self.line).await?;
        let length = u64::try_from(self.line.len()).map_err(Error::other)?;
        self.read += length;
        if self.read > LIMIT || (length == LINE_LIMIT && !self.line.ends_with(b"\n")) {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let line = std::str::from_utf8(&self.line);
        let line = line.map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
        Ok((!line.is_empty()).then_some(line))
    }
}

/// Counts the HTTP requests in a text of Prometheus' format. One that took longer than the limit is in none of the
/// buckets up to the first bound that is not less than the limit.
struct Tally {
    limit: f64,
    counters: PodCounters,
    quick: i64,
    /// Hashes of the series whose bucket was counted: those of a series are in ascending order, and the first counts.
    series: HashSet<u64>,
}

impl Tally {
    fn new(limit_milliseconds: i32) -> Self {
        let limit = f64::from(limit_milliseconds) / 1000.0;
        Self { limit, counters: PodCounters::default(), quick: 0, series: HashSet::new() }
    }

    fn add(&mut self, line: &str) -> std::io::Result<()> {
        let Some(sample) = line.strip_prefix(metrics::HTTP_SERVER_DURATION) else { return Ok(()) };
        let Some((series, value)) = sample.rsplit_once(' ') else { return Ok(()) };
        let Some(count) = whole(value) else { return Ok(()) };
        if let Some(labels) = series.strip_prefix("_count") {
            let counters = &mut self.counters;
            counters.requests = counters.requests.saturating_add(count);
            let status = label(labels, metrics::HTTP_STATUS);
            if status.is_some_and(|status| status.starts_with('5')) {
                counters.failures = counters.failures.saturating_add(count);
            }
        } else if let Some(labels) = series.strip_prefix("_bucket")
            && let Some(bound) = label(labels, "le")
            && bound.parse::<f64>().is_ok_and(|bound| bound >= self.limit)
        {
            let mut hasher = DefaultHasher::new();
            labels.replace(&format!("le=\"{bound}\""), "").hash(&mut hasher);
            if self.series.insert(hasher.finish()) {
                self.quick = self.quick.saturating_add(count);
            }
            if self.series.len() > MAX_SERIES {
                return Err(Error::new(ErrorKind::InvalidData, "too many series"));
            }
        }
        Ok(())
    }

    fn counters(self) -> PodCounters {
        let slow = self.counters.requests.saturating_sub(self.quick).max(0);
        PodCounters { slow, ..self.counters }
    }
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
    use std::sync::Arc;

    use axum::Router;
    use axum::routing::get;
    use tokio::io::duplex;
    use tokio::net::TcpListener;
    use tokio::sync::Barrier;
    use tokio::task::JoinSet;

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

    const HEAD: &str = "HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\n";

    async fn counted(answer: &str, limit: i32) -> std::io::Result<(i64, i64, i64)> {
        let PodCounters { requests, failures, slow, .. } = count(answer.as_bytes(), limit).await?;
        Ok((requests, failures, slow))
    }

    #[tokio::test]
    async fn requests_failures_and_slow_ones_are_counted() {
        let answer = format!("{HEAD}{TEXT}");
        for (limit, expected) in [
            (500, (107, 7, 10)),
            // The next larger bound counts.
            (501, (107, 7, 5)),
            (1000, (107, 7, 5)),
            // All that is known is that they took longer than 1 s.
            (5000, (107, 7, 0)),
        ] {
            assert_eq!(counted(&answer, limit).await.unwrap(), expected, "{limit}");
        }
        assert_eq!(counted(&format!("{HEAD}# nothing\n"), 500).await.unwrap(), (0, 0, 0));
    }

    #[tokio::test]
    async fn what_is_not_whole_is_no_answer() {
        let long = format!("{HEAD}{TEXT}{}\n", "x".repeat(20_000));
        let large = format!("{HEAD}{}", TEXT.repeat(10_000));
        let bucket = format!("{}_bucket", metrics::HTTP_SERVER_DURATION);
        let series = |n: u32| format!("{bucket}{{r=\"{n}\",le=\"1\"}} 1\n");
        let series: Vec<_> = (0..20_000).map(series).collect();
        let series = series.concat();
        let many = format!("{HEAD}{series}");
        let failed = format!("HTTP/1.0 500 Internal Server Error\r\n\r\n{TEXT}");
        for (what, answer) in [
            ("a long line", &*long),
            ("a large answer", &large),
            ("many series", &many),
            ("an error", &failed),
            ("no body", "HTTP/1.0 200 OK\r\n"),
            ("nothing", ""),
        ] {
            assert!(counted(answer, 500).await.is_err(), "{what}");
        }
    }

    /// Resident memory of this process, in bytes.
    fn resident() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    #[tokio::test]
    async fn answers_are_not_held_in_memory() {
        const ANSWERS: usize = 16;
        let body = format!("{}\n", "x".repeat(4095)).repeat(16);
        let (all, released) =
            (Arc::new(Barrier::new(ANSWERS + 1)), Arc::new(Barrier::new(ANSWERS + 1)));
        let before = resident();
        let mut reading = JoinSet::new();
        for _ in 0..ANSWERS {
            let (mut pod, answer) = duplex(4096);
            let (body, all, released) = (body.clone(), all.clone(), released.clone());
            tokio::spawn(async move {
                pod.write_all(HEAD.as_bytes()).await.unwrap();
                for _ in 0..100 {
                    pod.write_all(body.as_bytes()).await.unwrap();
                }
                all.wait().await;
                released.wait().await;
            });
            reading.spawn(async move { count(BufReader::new(answer), 500).await });
        }
        all.wait().await;
        // All have sent what they have, 100 MiB, and none of the answers has ended.
        let grown = resident().saturating_sub(before);
        released.wait().await;
        assert!(reading.join_all().await.iter().all(Result::is_ok));
        assert!(grown < 32 << 20, "{} MiB", grown >> 20);
    }

    #[tokio::test]
    async fn a_pod_is_asked_and_an_error_is_no_answer() {
        let serve = async |routes: Router| {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(async { axum::serve(listener, routes).await });
            address
        };
        let routes = Router::new().route("/metrics", get(async || TEXT));
        assert_eq!(ask(serve(routes).await, 500).await.unwrap().requests, 107);
        assert!(ask(serve(Router::new()).await, 500).await.is_err());
    }
}
