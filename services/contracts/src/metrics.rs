//! Names of figures that somebody else than Prometheus reads: the operator judges a new version by them.

/// Histogram of the HTTP requests that a service has served, by method, route and status code.
pub const HTTP_SERVER_DURATION: &str = "http_server_request_duration_seconds";
/// Its label with the status code of the answer.
pub const HTTP_STATUS: &str = "http_response_status_code";
