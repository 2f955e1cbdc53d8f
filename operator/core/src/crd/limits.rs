//! What shoppers may hold without paying.

use contracts::limits;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::empty;

/// What shoppers may hold without paying: what is held for one cannot be sold to another.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Most orders of one account that are neither paid nor ended.
    #[serde(default = "default_open_orders")]
    #[schemars(range(min = 1, max = 1000))]
    pub open_orders: i32,

    /// Most units in all of them together; without a verified e-mail address 100, or a hundredth of this.
    #[serde(default = "default_open_units")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub open_units: i32,

    /// Seconds that an order is held while its payment waits for a second step of the shopper, e.g. at their bank.
    #[serde(default = "default_second_step_seconds")]
    #[schemars(range(min = 60, max = 1800))]
    pub second_step_seconds: i32,
}

fn default_open_orders() -> i32 {
    limits::OPEN_ORDERS.try_into().expect("it is in the range of the field")
}

fn default_open_units() -> i32 {
    limits::OPEN_UNITS.try_into().expect("it is in the range of the field")
}

fn default_second_step_seconds() -> i32 {
    limits::SECOND_STEP_SECONDS.try_into().expect("it is in the range of the field")
}

impl Default for Limits {
    fn default() -> Self {
        empty()
    }
}
