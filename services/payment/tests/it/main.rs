//! Payment against the real Postgres and Kafka.

#![expect(clippy::unwrap_used, reason = "a test")]

mod charges;
mod crashes;
mod http;
mod refunds;
mod traces;
mod world;

#[test]
fn openapi() {
    kit::testing::check_openapi::<payment::Payment>(env!("CARGO_MANIFEST_DIR"));
}
