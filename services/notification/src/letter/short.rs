//! What goes by short message.

use contracts::{Money, OrderId};

use super::{Letter, Sender};

impl Letter {
    /// Whether it goes by short message too, to whoever wants that: what a shopper waits for, or has to do.
    pub const fn goes_by_sms(&self) -> bool {
        matches!(
            self,
            Self::Shipped { .. }
                | Self::Delivered { .. }
                | Self::Cancelled { refunded: Some(_), .. }
                | Self::Returned { .. }
                | Self::ActionRequired { .. }
        )
    }

    /// The letter as a short message; none: it goes by mail alone. Of ids the first part has to do, so that it fits the
    /// 160 characters that are one message (3GPP TS 23.038), all of them plain.
    pub fn short(&self, sender: &Sender) -> Option<String> {
        let shop = &sender.shop;
        let id =
            |order: &OrderId| order.to_string().split('-').next().unwrap_or_default().to_owned();
        let back = |money: &Option<Money>| {
            money.map_or_else(String::new, |m| format!(" {m} goes back to you."))
        };
        Some(match self {
            Self::PhoneCode { token } => {
                format!("{shop}: {token} is your code, good for ten minutes.")
            }
            Self::Shipped { order_id } => {
                format!("{shop}: your order {} is on its way.", id(order_id))
            }
            Self::Delivered { order_id, .. } => {
                format!("{shop}: your order {} has arrived.", id(order_id))
            }
            Self::Cancelled { order_id, refunded, .. } => {
                format!("{shop}: your order {} is cancelled.{}", id(order_id), back(refunded))
            }
            Self::Returned { order_id, refunded, .. } => {
                format!(
                    "{shop}: your order {} has come back to us.{}",
                    id(order_id),
                    back(refunded)
                )
            }
            Self::ActionRequired { order_id, url } => {
                format!("{shop}: please confirm the payment of your order {}: {url}", id(order_id))
            }
            _ => return None,
        })
    }
}
