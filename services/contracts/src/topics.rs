//! Kafka topics: one per aggregate and shop, `<prefix>.<aggregate>.v1`.
//!
//! The operator creates them, services publish and consume them; nothing else invents a name.

use serde::{Deserialize, Serialize};

/// What an event is about. Events of one aggregate id keep their order, because the id is the
/// key of the Kafka record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// An account; key: user id.
    User,
    /// A product of the catalog; key: product id.
    Product,
    /// An order; key: order id.
    Order,
    /// The reservation of an order's lines; key: order id. Also what there is of a SKU; key: stock
    /// id. Also whether a product can be deleted; key: product id. A key has only to keep the order of what belongs together, and consumers go by the type,
    /// so that the latter needs no topic of its own, which every shop's broker would have to hold.
    Stock,
    /// The payment of an order; key: order id.
    Payment,
    /// A review; key: product id.
    Review,
}

impl Aggregate {
    /// Every aggregate, hence every topic of a shop.
    pub const ALL: [Self; 6] =
        [Self::User, Self::Product, Self::Order, Self::Stock, Self::Payment, Self::Review];

    /// The word used in topic names and in the outbox.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Product => "product",
            Self::Order => "order",
            Self::Stock => "stock",
            Self::Payment => "payment",
            Self::Review => "review",
        }
    }

    /// The aggregate of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str() == name)
    }

    /// The topic that carries this aggregate's events for the shop with this prefix.
    pub fn topic(self, prefix: &str) -> String {
        format!("{prefix}.{}.v1", self.as_str())
    }

    /// Where a record goes that a consumer has given up on.
    pub fn dead_letter_topic(self, prefix: &str) -> String {
        format!("{prefix}.{}.v1.dlq", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_named_by_prefix_aggregate_and_version() {
        assert_eq!(Aggregate::Order.topic("demo"), "demo.order.v1");
        assert_eq!(Aggregate::Order.dead_letter_topic("demo"), "demo.order.v1.dlq");
        for aggregate in Aggregate::ALL {
            assert_eq!(Aggregate::parse(aggregate.as_str()), Some(aggregate));
        }
    }
}
