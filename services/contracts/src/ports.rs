//! The three ports of every service's pod, by name and number.

/// Public and service-to-service HTTP.
pub const HTTP: u16 = 8080;
/// Service-to-service gRPC.
pub const GRPC: u16 = 9090;
/// `/live`, `/ready` and `/metrics`; never exposed outside the cluster.
pub const ADMIN: u16 = 9091;

/// Name of [`HTTP`] in Services and pods.
pub const HTTP_NAME: &str = "http";
/// Name of [`GRPC`] in Services and pods.
pub const GRPC_NAME: &str = "grpc";
/// Name of [`ADMIN`] in Services and pods.
pub const ADMIN_NAME: &str = "admin";
