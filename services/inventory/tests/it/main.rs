//! Inventory against the real Postgres and Kafka.

#![expect(clippy::unwrap_used, reason = "a test")]

mod announcements;
mod available;
mod concurrency;
mod cursors;
mod deletion;
mod grpc;
mod history;
mod hot;
mod http;
mod low;
mod orders;
mod products;
mod restock;
mod sellers;
mod sweeper;
mod world;

#[test]
fn openapi() {
    kit::testing::check_openapi::<inventory::Inventory>(env!("CARGO_MANIFEST_DIR"));
}
