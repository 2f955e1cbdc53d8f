//! Payment against the real Postgres and Kafka.

#![expect(clippy::unwrap_used, reason = "a test")]

mod charges;
mod clocks;
mod crashes;
mod credit;
mod disputes;
mod http;
mod lanes;
mod methods;
mod owed;
mod providers;
mod reconciliation;
mod refunds;
mod requested;
mod second_step;
mod stripe;
mod traces;
mod webhooks;
mod world;

#[test]
fn openapi() {
    kit::testing::check_openapi::<payment::Payment>(env!("CARGO_MANIFEST_DIR"));
}
