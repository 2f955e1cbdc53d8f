//! Bounds that services must agree on: what fits a cart fits an order.

/// Longest e-mail address (RFC 5321, 4.5.3.1.3, without the angle brackets).
pub const MAX_EMAIL: usize = 254;
/// Most lines of a cart or an order.
pub const MAX_LINES: usize = 100;
/// Largest quantity of one line; the smallest is 1.
pub const MAX_QUANTITY: u32 = 10_000;
/// Most orders of one account that are neither paid nor ended, unless configured otherwise.
pub const OPEN_ORDERS: usize = 3;
/// Most units in all of them together, unless configured otherwise.
pub const OPEN_UNITS: i64 = 10_000;
/// The same of an account whose e-mail address is not verified; a hundredth of what others may hold, where that is more.
/// Accounts cost nothing, and a cart for a household has a fifth of it.
pub const UNVERIFIED_OPEN_UNITS: i64 = 100;
/// Seconds that an order is held for a second step of its payment, unless configured otherwise. Banks give their
/// customers about five minutes to confirm.
pub const SECOND_STEP_SECONDS: u64 = 10 * 60;
/// Most unconfirmed orders of unverified accounts in one client network.
pub const NETWORK_ORDERS: usize = 20;
/// Most units of something of which few are left.
pub const FEW_LEFT: i64 = 10;
/// Largest file of an image, in bytes: what the catalog takes, the gateway lets through. Phones write 10 to 20 MB for 50
/// million pixels.
pub const MAX_IMAGE_BYTES: usize = 25 << 20;
