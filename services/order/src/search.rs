//! What staff look for orders by. No I/O.

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use contracts::{OrderId, ProductId, Sku, UserId};
use kit::problem::{MALFORMED, Problem, Result};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::event::State;

/// By how much the time in an order's id may differ from when it was placed: the id is made within
/// the same request, which has a deadline of seconds, and a clock may have been set meanwhile.
const SLACK: TimeDelta = TimeDelta::minutes(1);

/// What orders must have in common; what is absent narrows nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// How far they have come.
    pub state: Option<State>,
    /// Whose they are.
    pub user: Option<UserId>,
    /// What one of their lines is about.
    pub product: Option<ProductId>,
    /// What one of their lines takes from stock; with a product, the same line.
    pub sku: Option<Sku>,
    /// Placed then or later.
    pub placed_from: Option<DateTime<Utc>>,
    /// Placed earlier.
    pub placed_before: Option<DateTime<Utc>>,
    /// Smallest total, in minor units.
    pub total_min: Option<i64>,
    /// Largest total, in minor units.
    pub total_max: Option<i64>,
}

impl Filter {
    /// Refuses what cannot be meant, and times that Postgres does not know.
    pub fn check(&self) -> Result<()> {
        let malformed = |what: &str| Err(Problem::new(MALFORMED, what));
        let mut times = [self.placed_from, self.placed_before].into_iter().flatten();
        if !times.all(|at| (1970..=9999).contains(&at.year())) {
            return malformed("placed_from and placed_before lie in the years 1970 to 9999");
        }
        if matches!((self.placed_from, self.placed_before), (Some(from), Some(to)) if from >= to) {
            return malformed("placed_from must be earlier than placed_before");
        }
        if matches!((self.total_min, self.total_max), (Some(min), Some(max)) if min > max) {
            return malformed("total_min must not be more than total_max");
        }
        Ok(())
    }

    /// What the lines contain, as Postgres compares JSON; none: anything.
    pub fn line(&self) -> Option<Value> {
        let mut line = serde_json::Map::new();
        if let Some(product) = self.product {
            line.insert("product_id".to_owned(), json!(product));
        }
        if let Some(sku) = &self.sku {
            line.insert("sku".to_owned(), json!(sku));
        }
        (!line.is_empty()).then(|| json!([line]))
    }

    /// The ids that orders of these times can have, the first and the one after the last. They
    /// spare Postgres the way through all that was placed later: ids are sorted by time.
    pub fn ids(&self) -> (Option<Uuid>, Option<Uuid>) {
        let from = self.placed_from.map(|at| first_id(at - SLACK));
        (from, self.placed_before.map(|at| first_id(at + SLACK)))
    }

    /// Ids before this one are wanted: before that of the last order seen, if there is one.
    pub fn end(&self, after: Option<OrderId>) -> Option<Uuid> {
        let (after, end) = (after.map(OrderId::uuid), self.ids().1);
        after.into_iter().chain(end).min()
    }
}

/// The smallest UUIDv7 of a time: it begins with 48 bits of milliseconds (RFC 9562, 5.7).
fn first_id(at: DateTime<Utc>) -> Uuid {
    let milliseconds = u128::try_from(at.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(milliseconds << 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_time_lie_between_its_bounds() {
        let (now, id) = (Utc::now(), OrderId::new());
        let ids = |from: DateTime<Utc>, before: DateTime<Utc>| {
            Filter { placed_from: Some(from), placed_before: Some(before), ..Filter::default() }
                .ids()
        };
        let (first, end) = ids(now, now + TimeDelta::milliseconds(1));
        assert!(first.unwrap() < id.uuid() && id.uuid() < end.unwrap());
        let (later, _) = ids(now + SLACK * 2, now + SLACK * 3);
        assert!(id.uuid() < later.unwrap());
        let (_, earlier) = ids(now - SLACK * 3, now - SLACK * 2);
        assert!(earlier.unwrap() < id.uuid());
        let (first, _) = ids(DateTime::UNIX_EPOCH, now);
        assert_eq!(first, Some(Uuid::nil()), "there is nothing earlier");
    }

    #[test]
    fn the_cursor_narrows_the_time_further() {
        let id = OrderId::new();
        assert_eq!(Filter::default().end(None), None);
        assert_eq!(Filter::default().end(Some(id)), Some(id.uuid()));
        let filter = |at| Filter { placed_before: Some(at), ..Filter::default() };
        let later = filter(Utc::now() + SLACK * 2);
        assert_eq!(later.end(Some(id)), Some(id.uuid()));
        let earlier = filter(Utc::now() - SLACK * 2);
        assert_eq!(earlier.end(Some(id)), earlier.ids().1);
    }
}
