//! Orders against real Postgres and Kafka. The catalog and the cart are the only parts that are
//! played: they are foreign to this service, and playing them lets prices and failures be chosen.

#![expect(clippy::unwrap_used, reason = "a test")]

mod bad_input;
mod expiry;
mod idempotency;
mod machine;
mod peers;
mod placing;
mod reading;
mod saga;
mod world;

#[test]
fn the_openapi_document_is_current() {
    kit::testing::check_openapi::<order::Order>(env!("CARGO_MANIFEST_DIR"));
}
