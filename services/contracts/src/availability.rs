//! What shoppers may know of stock: not how many units there are, which would say what has to be held for all of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::limits::FEW_LEFT;

/// How much there is of something, as shoppers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// More than ten units can be bought now.
    InStock,
    /// From one to ten units can be bought now.
    FewLeft,
    /// No unit can be bought now.
    SoldOut,
}

impl From<i64> for Availability {
    /// Of so many units.
    fn from(units: i64) -> Self {
        match units {
            ..=0 => Self::SoldOut,
            1..=FEW_LEFT => Self::FewLeft,
            _ => Self::InStock,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_shown_coarsely() {
        let shown = |units| serde_json::to_value(Availability::from(units)).unwrap();
        for (units, word) in
            [(i64::MIN, "sold_out"), (0, "sold_out"), (1, "few_left"), (10, "few_left")]
        {
            assert_eq!(shown(units), word, "{units}");
        }
        assert_eq!((shown(11), shown(i64::MAX)), ("in_stock".into(), "in_stock".into()));
    }
}
