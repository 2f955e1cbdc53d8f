//! Bounds that services must agree on: what fits a cart fits an order.

/// Most lines of a cart or an order.
pub const MAX_LINES: usize = 100;
/// Largest quantity of one line; the smallest is 1.
pub const MAX_QUANTITY: u32 = 10_000;
/// Most orders of one account that are neither paid nor ended, unless configured otherwise.
pub const OPEN_ORDERS: usize = 3;
/// Most units in all of them together, unless configured otherwise.
pub const OPEN_UNITS: i64 = 10_000;
/// Largest file of an image, in bytes: what the catalog takes, the gateway lets through.
pub const MAX_IMAGE_BYTES: usize = 10 << 20;
