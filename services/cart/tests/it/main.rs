//! Carts against real Redis and Kafka. Catalog and inventory are the only parts that are played:
//! they are foreign to this service, and playing them lets prices, stock and failures be chosen.

#![expect(clippy::unwrap_used, reason = "a test")]

mod bought;
mod changing;
mod deleted;
mod guests;
mod peers;
mod readiness;
mod sharing;
mod showing;
mod variants;
mod versions;
mod world;

#[test]
fn the_openapi_document_is_current() {
    kit::testing::check_openapi::<cart::Cart>(env!("CARGO_MANIFEST_DIR"));
}
