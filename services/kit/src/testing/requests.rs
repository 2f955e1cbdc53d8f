//! Requests that many send at once.

use reqwest::{RequestBuilder, Response, StatusCode};

use super::eventually;

/// Sends a request whose body is in memory, again while the service is not available: on a busy machine no database
/// connection may be free in time.
pub async fn send_when_available(request: RequestBuilder) -> Response {
    eventually("the service is available", async || {
        let again = request.try_clone().expect("the body is in memory");
        let answer = again.send().await.expect("an answer");
        (answer.status() != StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await
}
