//! Services inside the test. What is tested is what the gateway makes of a request, of an answer,
//! and of services that are slow, broken or gone: real ones would hide the first two and cannot be
//! told to do the rest. `e2e/` drives the gateway with the real services behind it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::extract::Request;
use axum::{Json, Router};
use gateway::Gateway;
use gateway::routes::Upstream;
use kit::testing::Running;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpSocket};
use uuid::Uuid;

/// What a service inside the test has got.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Echo {
    pub service: String,
    pub method: String,
    pub uri: String,
    pub headers: BTreeMap<String, Vec<String>>,
    pub bytes: usize,
}

impl Echo {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|values| values.join("|"))
    }
}

/// A service that answers with what it has got.
pub(crate) async fn echo(service: &'static str) -> String {
    let answer = async move |request: Request| {
        let mut headers = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in request.headers() {
            let value = value.to_str().unwrap().to_owned();
            headers.entry(name.to_string()).or_default().push(value);
        }
        let (method, uri) = (request.method().to_string(), request.uri().to_string());
        let body = axum::body::to_bytes(request.into_body(), usize::MAX).await;
        let bytes = body.map_or(0, |body| body.len());
        Json(Echo { service: service.to_owned(), method, uri, headers, bytes })
    };
    serve(Router::new().fallback(answer)).await
}

/// Serves until the test ends; returns the URL.
pub(crate) async fn serve(router: Router) -> String {
    let listener = listener().await;
    let url = url_of(&listener);
    tokio::spawn(async { axum::serve(listener, router).await });
    url
}

/// Serves gRPC until the test ends; returns the URL.
pub(crate) async fn serve_grpc(routes: tonic::service::Routes) -> String {
    let listener = listener().await;
    let url = url_of(&listener);
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder().add_routes(routes);
    tokio::spawn(server.serve_with_incoming(incoming));
    url
}

pub(crate) async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

pub(crate) fn url_of(listener: &TcpListener) -> String {
    format!("http://{}", listener.local_addr().unwrap())
}

/// An address where nobody listens, nor will for as long as the socket lives.
pub(crate) fn nowhere() -> (SocketAddr, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    (socket.local_addr().unwrap(), socket)
}

/// A gateway whose services are nowhere, except for these variables.
pub(crate) async fn gateway<V: AsRef<str>>(further: &[(&str, V)]) -> Running {
    let (nowhere, socket) = nowhere();
    // Otherwise another test could be given the port.
    std::mem::forget(socket);
    let nowhere = format!("http://{nowhere}");
    let mut variables = BTreeMap::new();
    for upstream in Upstream::ALL {
        variables.insert(contracts::env::http_url(upstream.name()), nowhere.clone());
        variables.insert(contracts::env::grpc_url(upstream.name()), nowhere.clone());
    }
    // Counters in Redis belong to a shop.
    variables.insert("SHOP_NAME".to_owned(), format!("t{}", Uuid::now_v7().simple()));
    // It has nothing to do with events.
    variables.insert("KAFKA_BROKERS".to_owned(), String::new());
    for (name, value) in further {
        variables.insert((*name).to_owned(), value.as_ref().to_owned());
    }
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Running::start::<Gateway>(&variables).await
}

/// The value of a metric of this process, 0 if there is none yet.
pub(crate) fn metric(name_and_labels: &str) -> f64 {
    let text = kit::metrics::text();
    let line = text.lines().find_map(|line| line.strip_prefix(name_and_labels));
    line.map_or(0.0, |value| value.trim().parse().unwrap())
}

/// What a problem says: its status, its type.
pub(crate) async fn problem(answer: reqwest::Response) -> (u16, String) {
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(body["status"], status);
    (status, body["type"].as_str().unwrap().trim_start_matches("/problems/").to_owned())
}
