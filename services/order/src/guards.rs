//! What keeps an order from being placed though all of its lines are for sale: it is not what the shopper has seen,
//! or was placed already. No I/O.

use std::time::Duration;

use contracts::events::OrderSource;
use contracts::limits::{NETWORK_ORDERS, UNVERIFIED_OPEN_UNITS};
use contracts::{Money, OrderId};
use kit::problem::{Kind, Problem, Result};
use serde_json::json;

use crate::event::State;

/// The cart is not as the shopper has seen it.
pub const CART_CHANGED: Kind = Kind::new(412, "cart-changed", "The cart has changed meanwhile");
/// The order costs something else than the shopper has seen.
pub const TOTAL_CHANGED: Kind = Kind::new(409, "total-changed", "The total has changed meanwhile");
/// The cart was ordered, and has not changed since.
pub const ORDER_OPEN: Kind = Kind::new(409, "order-open", "The cart has been ordered already");

/// The account has as many orders waiting as it may have.
pub const TOO_MANY_OPEN: Kind =
    Kind::new(409, "too-many-open-orders", "Too many orders wait for their payment");

/// The caller's network holds as much as it may by unconfirmed orders of unverified accounts.
pub const TOO_MANY_UNCONFIRMED: Kind = Kind::new(
    409,
    "too-many-unconfirmed-orders",
    "Too many orders from your network wait for a confirmation of their payment",
);

/// How long an order may wait for a second step of its payment before it counts against its network: shoppers who are
/// there confirm meanwhile.
pub const UNCONFIRMED_AFTER: Duration = Duration::from_mins(1);

/// How long an order of an unverified account still counts after its shopper has let it end unpaid: what it held for
/// nothing could be held again at once otherwise, and without end.
pub const LEFT_UNPAID_COUNTS_FOR: Duration = Duration::from_hours(1);

/// So many orders an unverified account may let end unpaid in that time. They hold their units for as long as their shopper
/// likes to cancel them; but banks decline, and carts are ordered by mistake.
pub const LEFT_UNPAID_ORDERS: usize = 20;

/// How long a paid order holds its cart, which forgets what was bought within seconds. Versions of carts are times: one that
/// a clock gave which was ahead is not reached by changes for as long.
pub const PAID_HOLDS_FOR: Duration = Duration::from_hours(1);

/// What one account may hold of the stock without having paid for it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Orders that are neither paid nor ended.
    pub orders: usize,
    /// Units in all of them.
    pub units: i64,
}

impl Limits {
    /// Those of an account whose e-mail address is not verified.
    #[must_use]
    pub fn unverified(self) -> Self {
        let units = (self.units / 100).max(UNVERIFIED_OPEN_UNITS);
        Self { units: units.min(self.units), ..self }
    }
}

/// What an account holds, or has held for nothing.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    /// Its open orders, each with its units.
    pub open: Vec<(OrderId, i64)>,
    /// Those that still count though they have ended; none: the account is not known to be unverified.
    pub left_unpaid: Option<LeftUnpaid>,
}

/// Orders that their shopper has let end unpaid.
#[derive(Clone, Debug, Default)]
pub struct LeftUnpaid {
    /// Units of each that ended while it waited for a second step. They count like open ones.
    pub unconfirmed: Vec<i64>,
    /// How many there are in all.
    pub orders: usize,
}

/// The last order of a cart.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// The order.
    pub order: OrderId,
    /// How far it has come.
    pub state: State,
    /// The cart's version when it was ordered.
    pub version: i64,
    /// Whether it has changed within [`PAID_HOLDS_FOR`].
    pub is_recent: bool,
}

/// Whether the cart is the one that the shopper has seen. A cart without a version was read by an older release of
/// its service: there is nothing to compare with.
pub fn expect_cart(expected: Option<i64>, source: &OrderSource) -> Result<()> {
    match (expected, source) {
        (Some(_), OrderSource::Items) => {
            Err(Problem::invalid_field("/cart_version", "is for orders of the cart, not of items"))
        }
        (Some(seen), OrderSource::Cart { version: Some(now), .. }) if seen != *now => {
            Err(Problem::new(CART_CHANGED, format!("the cart has version {now}"))
                .extend("cart_version", *now))
        }
        _ => Ok(()),
    }
}

/// Whether the total is the one that the shopper has seen.
pub fn expect_total(expected: Option<Money>, total: Money) -> Result<()> {
    if expected.is_none_or(|expected| expected == total) {
        return Ok(());
    }
    Err(Problem::new(TOTAL_CHANGED, format!("the total is {total}")).extend("total", json!(total)))
}

/// Whether a cart of this version may be ordered though this order was the last one of it. One that waits for stock
/// or money holds the cart whatever its version; one that is paid, and maybe shipped, holds it until its lines have changed,
/// as the cart forgets what was bought only later, but not for long; one that has ended unpaid holds nothing.
pub fn expect_free(last: Option<Held>, version: i64) -> Result<()> {
    let holds = |last: &Held| match last.state {
        State::Pending | State::Reserved => true,
        ended if ended.has_ended() => false,
        _ => last.is_recent && version <= last.version,
    };
    match last.filter(holds) {
        None => Ok(()),
        Some(Held { order, .. }) => {
            Err(Problem::new(ORDER_OPEN, format!("the cart is ordered by order {order}"))
                .extend("order_id", json!(order)))
        }
    }
}

/// Whether an account that holds this may place another order of so many units.
pub fn expect_room(holdings: &Holdings, units: i64, limits: Limits) -> Result<()> {
    let (Holdings { open, left_unpaid }, verified) = (holdings, holdings.left_unpaid.is_none());
    let Limits { orders, units: most } = if verified { limits } else { limits.unverified() };
    let left = left_unpaid.as_ref().map_or(0, |left| left.orders);
    let ended = left_unpaid.as_ref().map_or(&[][..], |left| &left.unconfirmed);
    let all = open.iter().map(|(_, units)| units).chain(ended);
    let held = all.fold(units, |sum, units| sum.saturating_add(*units));
    let more = if verified { "" } else { "; verify its e-mail address and renew the access token" };
    let detail = if open.len() >= orders {
        format!("pay or cancel an order first: {orders} may wait at a time")
    } else if open.len() + ended.len() >= orders {
        let ended = ended.len();
        format!("{ended} orders of the account have ended unconfirmed within an hour{more}")
    } else if left >= LEFT_UNPAID_ORDERS {
        format!("{left} orders of the account have ended unpaid within an hour{more}")
    } else if held > most {
        format!("the account's orders would hold {held} units, of at most {most}{more}")
    } else {
        return Ok(());
    };
    let open: Vec<_> = open.iter().map(|(order, _)| order).collect();
    Err(Problem::new(TOO_MANY_OPEN, detail).extend("order_ids", json!(open)))
}

/// Whether an unverified account may order so many units from a network where orders with this many units each wait,
/// unconfirmed, of unverified accounts. Whose these are is not revealed.
pub fn expect_network_room(waiting: &[i64], units: i64, limits: Limits) -> Result<()> {
    let held = waiting.iter().fold(units, |sum, units| sum.saturating_add(*units));
    if waiting.is_empty() || waiting.len() < NETWORK_ORDERS && held <= limits.units {
        return Ok(());
    }
    let detail = "verify the account's e-mail address and renew the access token, or try again in some minutes";
    Err(Problem::new(TOO_MANY_UNCONFIRMED, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_order_holds_its_cart_and_a_paid_one_until_the_cart_changes() {
        let free_after = |state, version, is_recent| {
            let held = Held { order: OrderId::new(), state, version: 7, is_recent };
            expect_free(Some(held), version).is_ok()
        };
        let free = |state, version| free_after(state, version, true);
        for (state, frees) in [
            (State::Pending, [false, false]),
            (State::Reserved, [false, false]),
            (State::Paid, [false, true]),
            (State::Shipped, [false, true]),
            (State::Delivered, [false, true]),
            (State::Cancelling, [false, true]),
            (State::Expired, [true, true]),
            (State::Rejected, [true, true]),
            (State::Cancelled, [true, true]),
        ] {
            assert_eq!([7, 8].map(|version| free(state, version)), frees, "{state:?}");
            assert_eq!(free(state, 6), frees[0], "{state:?}");
        }
        assert!(expect_free(None, 0).is_ok());
        assert!(free_after(State::Paid, 7, false) && !free_after(State::Reserved, 7, false));
    }

    #[test]
    fn open_orders_are_few_and_hold_few_units() {
        let limits = Limits { orders: 2, units: 10 };
        let room = |open: &[i64], units| {
            let open = open.iter().map(|units| (OrderId::new(), *units)).collect();
            expect_room(&Holdings { open, left_unpaid: None }, units, limits).is_ok()
        };
        assert!(room(&[], 10) && room(&[4], 6) && room(&[10], 0));
        assert!(!room(&[], 11) && !room(&[4], 7) && !room(&[i64::MAX], i64::MAX));
        assert!(!room(&[1, 1], 1), "no third one");
    }

    #[test]
    fn unverified_accounts_hold_fewer_units_and_their_unconfirmed_orders_count() {
        for (units, unverified) in [(1, 1), (100, 100), (10_000, 100), (1_000_000, 10_000)] {
            assert_eq!(Limits { orders: 3, units }.unverified().units, unverified);
        }
        let limits = Limits { orders: 3, units: 10_000 };
        let room = |open: &[i64], ended: &[i64], units| {
            let open = open.iter().map(|units| (OrderId::new(), *units)).collect();
            let left = LeftUnpaid { unconfirmed: ended.to_vec(), orders: ended.len() };
            let holdings = Holdings { open, left_unpaid: Some(left) };
            expect_room(&holdings, units, limits).is_ok()
        };
        assert!(room(&[], &[], 100) && room(&[50], &[49], 1) && room(&[1], &[1], 1));
        assert!(!room(&[], &[], 101) && !room(&[50], &[50], 1) && !room(&[], &[100], 1));
        assert!(!room(&[1], &[1, 1], 1) && !room(&[], &[1, 1, 1], 1), "no fourth one");
        let after = |orders| {
            let left_unpaid = Some(LeftUnpaid { unconfirmed: Vec::new(), orders });
            expect_room(&Holdings { open: Vec::new(), left_unpaid }, 100, limits).is_ok()
        };
        assert!(after(LEFT_UNPAID_ORDERS - 1) && !after(LEFT_UNPAID_ORDERS));
    }

    #[test]
    fn a_network_has_few_unconfirmed_orders_and_units() {
        let limits = Limits { orders: 1, units: 100 };
        let room = |waiting: &[i64], units| expect_network_room(waiting, units, limits).is_ok();
        assert!(room(&[], 100) && room(&[99], 1) && room(&[1; NETWORK_ORDERS - 1], 1));
        assert!(!room(&[99], 2) && !room(&[i64::MAX, 1], i64::MAX));
        assert!(!room(&[1; NETWORK_ORDERS], 1));
    }

    #[test]
    fn a_version_is_compared_where_there_is_one() {
        let cart = |version| OrderSource::Cart { id: "a".to_owned(), version };
        assert!(expect_cart(None, &cart(Some(1))).is_ok());
        assert!(expect_cart(Some(1), &cart(Some(1))).is_ok());
        assert!(expect_cart(Some(1), &cart(None)).is_ok());
        assert_eq!(expect_cart(Some(1), &cart(Some(2))).unwrap_err().kind(), CART_CHANGED);
        let of_items = expect_cart(Some(1), &OrderSource::Items).unwrap_err();
        assert_eq!(of_items.kind(), kit::problem::INVALID);
        assert!(expect_cart(None, &OrderSource::Items).is_ok());
    }
}
