//! Stock and what may happen to it. Rules only: no I/O, no await.

use std::collections::BTreeMap;

use contracts::Sku;
use contracts::events::OrderLine;
use serde::{Deserialize, Serialize};

/// Why units moved.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[schema(as = MovementKind)]
pub enum Kind {
    /// Units came in.
    Supply,
    /// Somebody counted, and the count was another.
    Adjustment,
    /// Units are held for an order.
    Reserve,
    /// Units are no longer held and can be sold again.
    Release,
    /// Held units have left.
    Commit,
    /// Units that had left came back.
    Return,
}

impl Kind {
    /// What one unit does to available and to reserved. The CHECK `movements_kind` says the same.
    pub const fn signs(self) -> (i64, i64) {
        match self {
            Self::Supply | Self::Adjustment | Self::Return => (1, 0),
            Self::Reserve => (-1, 1),
            Self::Release => (1, -1),
            Self::Commit => (0, -1),
        }
    }

    /// Whether it brings in units. Held units are not gone, so releasing them is no restock: otherwise each hold of the last
    /// units that is given up would be announced to everyone who waits for the product.
    pub const fn restocks(self) -> bool {
        match self {
            Self::Supply | Self::Adjustment | Self::Return => true,
            Self::Reserve | Self::Release | Self::Commit => false,
        }
    }
}

/// Where the units of a SKU are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Units that can be reserved.
    pub available: i64,
    /// Units that are held.
    pub reserved: i64,
}

impl Levels {
    /// The levels after that many units have moved; none when there are not so many.
    pub fn after(self, kind: Kind, quantity: i64) -> Option<Self> {
        let (available, reserved) = kind.signs();
        let available = self.available.checked_add(quantity.checked_mul(available)?)?;
        let reserved = self.reserved.checked_add(quantity.checked_mul(reserved)?)?;
        (available >= 0 && reserved >= 0).then_some(Self { available, reserved })
    }
}

/// The threshold that the available units have come down to, if they were above it before or it was
/// below them; none where the stock is not low, or was so already. Each side is the available units
/// and the threshold, which a SKU need not have.
pub fn falls_low(before: (i64, Option<i64>), after: (i64, Option<i64>)) -> Option<i64> {
    let low = |(available, threshold): (i64, Option<i64>)| threshold.filter(|at| available <= *at);
    low(after).filter(|_| low(before).is_none())
}

/// Whether there are units again that somebody can buy after there were none.
pub const fn comes_back(before: i64, after: i64) -> bool {
    before <= 0 && after > 0
}

/// How far the reservation of an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum State {
    /// Every line is held.
    Pending,
    /// There was too little; nothing is held.
    Rejected,
    /// The goods have left.
    Committed,
    /// Given up before payment; nothing is held.
    Released,
    /// Ran out of time; nothing is held.
    Expired,
    /// The goods had left and came back.
    Returned,
}

/// What is to be done about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It has happened already.
    Nothing,
    /// Let the held units leave.
    Commit,
    /// Nothing is held, but money was taken: hold and commit in one go, or say that it is not
    /// possible, so that the money goes back.
    ReserveAndCommit,
    /// Give held units back.
    Release,
    /// Take units back that had left.
    Return,
    /// Note that the order has ended, so that nothing is ever held for it.
    Close,
}

impl Step {
    /// How units come back by this step, and what the reservation is then.
    pub const fn back(self) -> Option<(Kind, State)> {
        match self {
            Self::Release => Some((Kind::Release, State::Released)),
            Self::Return => Some((Kind::Return, State::Returned)),
            Self::Nothing | Self::Commit | Self::ReserveAndCommit | Self::Close => None,
        }
    }
}

/// What an order's payment asks for.
pub fn when_paid(state: Option<State>) -> Step {
    match state {
        Some(State::Pending) => Step::Commit,
        Some(State::Committed) => Step::Nothing,
        // The order decides what is paid; whatever stood here before, silence would keep the money.
        Some(State::Expired | State::Released | State::Rejected | State::Returned) | None => {
            Step::ReserveAndCommit
        }
    }
}

/// What the end of an order asks for.
pub fn when_ended(state: Option<State>) -> Step {
    match state {
        Some(State::Pending) => Step::Release,
        Some(State::Committed) => Step::Return,
        Some(State::Expired | State::Released | State::Rejected | State::Returned) => Step::Nothing,
        None => Step::Close,
    }
}

/// What an order needs: units per SKU, sorted by SKU, so that two orders never wait for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand(BTreeMap<Sku, i64>);

/// The lines are none that an order can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DemandError {
    /// An order of nothing.
    #[error("the order has no lines")]
    Empty,
    /// A line of nothing.
    #[error("a line has the quantity 0")]
    ZeroQuantity,
}

impl Demand {
    /// Merges lines of one SKU.
    pub fn of(lines: &[OrderLine]) -> Result<Self, DemandError> {
        let mut units: BTreeMap<Sku, i64> = BTreeMap::new();
        for line in lines {
            if line.quantity == 0 {
                return Err(DemandError::ZeroQuantity);
            }
            // 2³² lines of 2³² units would overflow; a record of that size does not exist.
            *units.entry(line.sku.clone()).or_default() += i64::from(line.quantity);
        }
        if units.is_empty() { Err(DemandError::Empty) } else { Ok(Self(units)) }
    }

    /// SKUs and their quantities.
    pub fn lines(&self) -> impl Iterator<Item = (&Sku, i64)> {
        self.0.iter().map(|(sku, quantity)| (sku, *quantity))
    }

    /// SKUs and their quantities, side by side.
    pub fn columns(&self) -> (Vec<String>, Vec<i64>) {
        self.0.iter().map(|(sku, quantity)| (sku.to_string(), *quantity)).unzip()
    }
}

#[cfg(test)]
mod tests {
    use contracts::{Currency, Money, ProductId};

    use super::*;

    fn line(sku: &str, quantity: u32) -> OrderLine {
        OrderLine {
            product_id: ProductId::new(),
            sku: sku.parse().unwrap(),
            name: sku.to_owned(),
            quantity,
            unit_price: Money::new(100, Currency::EUR),
        }
    }

    #[test]
    fn lines_are_merged_and_sorted() {
        let demand = Demand::of(&[line("B", 1), line("A", u32::MAX), line("B", 2), line("A", 1)]);
        let expected = (vec!["A".to_owned(), "B".to_owned()], vec![1_i64 << 32, 3]);
        assert_eq!(demand.unwrap().columns(), expected);
    }

    #[test]
    fn orders_of_nothing_are_refused() {
        assert_eq!(Demand::of(&[]), Err(DemandError::Empty));
        assert_eq!(Demand::of(&[line("A", 1), line("B", 0)]), Err(DemandError::ZeroQuantity));
    }

    #[test]
    fn levels_are_never_negative_and_never_overflow() {
        let levels = Levels { available: 5, reserved: 1 };
        let held = levels.after(Kind::Reserve, 5);
        assert_eq!(held, Some(Levels { available: 0, reserved: 6 }));
        assert_eq!(levels.after(Kind::Reserve, 6), None);
        assert_eq!(levels.after(Kind::Commit, 2), None);
        assert_eq!(levels.after(Kind::Adjustment, -6), None);
        assert_eq!(levels.after(Kind::Supply, i64::MAX), None);
        assert_eq!(levels.after(Kind::Adjustment, i64::MIN), None);
    }

    #[test]
    fn stock_becomes_low_when_the_line_is_crossed_whichever_has_moved() {
        assert_eq!(falls_low((6, Some(5)), (5, Some(5))), Some(5));
        assert_eq!(falls_low((5, Some(5)), (4, Some(5))), None, "it was low already");
        assert_eq!(falls_low((9, Some(5)), (6, Some(5))), None);
        assert_eq!(falls_low((4, Some(5)), (9, Some(5))), None, "it is no more");
        assert_eq!(falls_low((4, None), (4, Some(5))), Some(5));
        assert_eq!(falls_low((4, Some(5)), (4, None)), None);
    }

    #[test]
    fn units_come_back_where_there_were_none() {
        assert!(comes_back(0, 1));
        assert!(!comes_back(1, 2), "there were some");
        assert!(!comes_back(0, 0));
        assert!(!comes_back(1, 0));
    }

    #[test]
    fn every_state_has_its_step() {
        assert_eq!(when_paid(Some(State::Pending)), Step::Commit);
        assert_eq!(when_paid(Some(State::Committed)), Step::Nothing);
        assert_eq!(when_ended(Some(State::Pending)), Step::Release);
        assert_eq!(when_ended(Some(State::Committed)), Step::Return);
        assert_eq!(when_ended(None), Step::Close);
        for ended in [State::Expired, State::Released, State::Rejected, State::Returned] {
            assert_eq!(when_paid(Some(ended)), Step::ReserveAndCommit, "{ended:?}");
            assert_eq!(when_ended(Some(ended)), Step::Nothing, "{ended:?}");
        }
    }
}
