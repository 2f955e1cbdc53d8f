//! What is written to shoppers and sellers.

mod render;

use chrono::{DateTime, Utc};
use contracts::events::{CancelReason, OrderLine, Shortage};
use contracts::{EmailToken, Money, OrderId, ProductId, Sku};
use serde::{Deserialize, Serialize};

use self::render::{Part, html, text};
pub use self::render::{Rendered, Sender};

/// The substance of a message, as it is stored until it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Letter {
    /// An account was opened.
    Welcome,
    /// Somebody is to show that the address is theirs.
    VerifyEmail {
        /// To be given back.
        token: EmailToken,
        /// Until when it is good.
        expires_at: DateTime<Utc>,
    },
    /// Somebody has forgotten a password.
    ResetPassword {
        /// To be given back.
        token: EmailToken,
        /// Until when it is good.
        expires_at: DateTime<Utc>,
    },
    /// The account has another password.
    PasswordChanged,
    /// Somebody is to show that a telephone number is theirs. It goes by short message alone.
    PhoneCode {
        /// Six digits.
        token: String,
    },
    /// An order has arrived.
    Placed {
        /// The order.
        order_id: OrderId,
        /// What was ordered.
        lines: Vec<OrderLine>,
        /// What it costs.
        total: Money,
    },
    /// An order is paid.
    Paid {
        /// The order.
        order_id: OrderId,
        /// What was bought.
        lines: Vec<OrderLine>,
        /// What was paid.
        total: Money,
    },
    /// An order could not be served from stock.
    Rejected {
        /// The order.
        order_id: OrderId,
        /// What there was too little of.
        shortages: Vec<Shortage>,
    },
    /// An order was given up.
    Cancelled {
        /// The order.
        order_id: OrderId,
        /// Why.
        reason: CancelReason,
        /// What was paid for it and went back; absent: nothing was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refunded: Option<Money>,
    },
    /// An order was not paid in time.
    Expired {
        /// The order.
        order_id: OrderId,
    },
    /// The goods have left.
    Shipped {
        /// The order.
        order_id: OrderId,
    },
    /// The goods have arrived.
    Delivered {
        /// The order.
        order_id: OrderId,
        /// What has arrived.
        lines: Vec<OrderLine>,
    },
    /// The goods have come back, and so has the money.
    Returned {
        /// The order.
        order_id: OrderId,
        /// What was paid for it.
        refunded: Option<Money>,
    },
    /// Money went back, though not because of the order's own end.
    Refunded {
        /// The order.
        order_id: OrderId,
        /// What went back now.
        amount: Money,
        /// What has gone back in all, where that is more.
        total: Option<Money>,
    },
    /// The shopper's bank or provider wants them to confirm the payment.
    ActionRequired {
        /// The order.
        order_id: OrderId,
        /// Where they do it.
        url: String,
    },
    /// A favourite can be bought again.
    FavouriteAvailable {
        /// The product.
        product_id: ProductId,
        /// Its name, unless it is not known.
        name: Option<String>,
    },
    /// There is little left of something that a seller sells.
    StockLow {
        /// What of.
        sku: Sku,
        /// Its name.
        name: String,
        /// What is left.
        available: i64,
        /// At or below how many it is low.
        threshold: i64,
    },
}

impl Letter {
    /// Whether it is about the account itself, so that nobody can go without.
    pub const fn is_about_the_account(&self) -> bool {
        matches!(
            self,
            Self::Welcome
                | Self::VerifyEmail { .. }
                | Self::ResetPassword { .. }
                | Self::PasswordChanged
                | Self::PhoneCode { .. }
        )
    }

    /// The letter of this sender to the person of this name.
    pub fn render(&self, sender: &Sender, name: &str) -> Rendered {
        let shop = &sender.shop;
        let greeting = Part::Paragraph(format!("Hello {name},"));
        let farewell = Part::Paragraph(format!("Your {shop} shop"));
        let parts: Vec<Part> =
            std::iter::once(greeting).chain(self.parts(sender)).chain([farewell]).collect();
        Rendered { subject: self.subject(shop), text: text(&parts), html: html(&parts) }
    }

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

    fn subject(&self, shop: &str) -> String {
        match self {
            Self::Welcome => format!("Welcome to {shop}"),
            Self::VerifyEmail { .. } => format!("Your e-mail address at {shop}"),
            Self::ResetPassword { .. } => format!("Another password for {shop}"),
            Self::PasswordChanged => format!("Your password at {shop} was changed"),
            Self::PhoneCode { .. } => format!("Your code for {shop}"),
            Self::Placed { order_id, .. } => format!("We have your order {order_id}"),
            Self::Paid { order_id, .. } => format!("Your order {order_id} is paid"),
            Self::Rejected { order_id, .. } => format!("We cannot deliver your order {order_id}"),
            Self::Cancelled { order_id, .. } => format!("Your order {order_id} is cancelled"),
            Self::Expired { order_id } => format!("Your order {order_id} has expired"),
            Self::Shipped { order_id } => format!("Your order {order_id} is on its way"),
            Self::Delivered { order_id, .. } => format!("Your order {order_id} has arrived"),
            Self::Returned { order_id, .. } => format!("Your order {order_id} has come back to us"),
            Self::Refunded { order_id, amount, .. } => {
                format!("We have given back {amount} of your order {order_id}")
            }
            Self::ActionRequired { order_id, .. } => {
                format!("Please confirm the payment of your order {order_id}")
            }
            Self::FavouriteAvailable { name, .. } => match name {
                Some(name) => format!("{name} is there again"),
                None => format!("A favourite of yours at {shop} is there again"),
            },
            Self::StockLow { name, available, .. } => format!("{available} left of {name}"),
        }
    }

    fn parts(&self, sender: &Sender) -> Vec<Part> {
        let say = |text: &str| Part::Paragraph(text.to_owned());
        match self {
            Self::Welcome => {
                vec![Part::Paragraph(format!("Your account at {} is open.", sender.shop))]
            }
            Self::VerifyEmail { token, expires_at } => vec![
                say("Please show us that this address is yours:"),
                sender.link("verify-email", token),
                until(*expires_at),
                say("If you have not opened an account with us, there is nothing to do."),
            ],
            Self::ResetPassword { token, expires_at } => vec![
                say("Choose another password here:"),
                sender.link("reset-password", token),
                until(*expires_at),
                say("If you have not asked for it, there is nothing to do: your password stays."),
            ],
            Self::PasswordChanged => vec![
                say("Your account has another password, and all sessions have ended."),
                say("If that was not you, choose another one now: ask for it where you log in."),
            ],
            Self::PhoneCode { token } => vec![Part::Paragraph(token.clone())],
            Self::Placed { lines, total, .. } => vec![
                say("Thank you for your order. We are reserving it for you:"),
                bill(lines, *total),
            ],
            Self::Paid { lines, total, .. } => {
                vec![
                    say("We have your payment. This is what you have bought:"),
                    bill(lines, *total),
                ]
            }
            Self::Rejected { shortages, .. } => vec![
                say(
                    "There is too little in stock for your order. What you may have paid goes back to you.",
                ),
                Part::Table(shortages.iter().map(shortage).collect()),
            ],
            Self::Cancelled { reason, refunded, .. } => {
                std::iter::once(say(why(*reason))).chain(refunded.map(given_back)).collect()
            }
            Self::Expired { .. } => {
                vec![say("The order was not paid in time. You can order again at any time.")]
            }
            Self::Shipped { .. } => {
                vec![say("What you have bought has left us and is on its way.")]
            }
            Self::Delivered { lines, .. } => vec![
                say("What you have bought has arrived:"),
                Part::Table(lines.iter().map(line).collect()),
                say("Something is not as it should be? You can send it back."),
            ],
            Self::Returned { refunded, .. } => {
                std::iter::once(say("We have got back what you had sent us. Thank you."))
                    .chain(refunded.map(given_back))
                    .collect()
            }
            Self::Refunded { amount, total, .. } => {
                let now = format!("{amount} goes back to you, the way that you have paid.");
                let all = total.map(|total| format!("That makes {total} of this order in all."));
                std::iter::once(now).chain(all).map(Part::Paragraph).collect()
            }
            Self::ActionRequired { url, .. } => vec![
                say(
                    "Your bank wants you to confirm the payment before it pays. You can do so here:",
                ),
                Part::Link(url.clone()),
                say("We hold the goods for you for a while. Without it, the order expires."),
            ],
            Self::FavouriteAvailable { product_id, .. } => vec![
                say("You keep it among your favourites, and it can be bought again:"),
                sender.product(*product_id),
            ],
            Self::StockLow { sku, available, threshold, .. } => vec![
                say("There is little left of what you sell:"),
                Part::Table(vec![
                    ("SKU".to_owned(), sku.to_string()),
                    ("Left".to_owned(), available.to_string()),
                    ("Low at".to_owned(), threshold.to_string()),
                ]),
            ],
        }
    }
}

fn until(time: DateTime<Utc>) -> Part {
    Part::Paragraph(format!("The link is good until {}, once.", time.format("%Y-%m-%d %H:%M UTC")))
}

const fn why(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::PaymentDeclined => {
            "Your payment was declined, so the order is cancelled. Nothing was charged."
        }
        CancelReason::ByCustomer => "The order is cancelled, as you have asked.",
        CancelReason::ByStaff => "We had to cancel the order. We are sorry.",
    }
}

fn given_back(amount: Money) -> Part {
    Part::Paragraph(format!("{amount} goes back to you, the way that you have paid."))
}

fn line(line: &OrderLine) -> (String, String) {
    (format!("{} × {}", line.quantity, line.name), format!("{} each", line.unit_price))
}

fn bill(lines: &[OrderLine], total: Money) -> Part {
    let total = ("Total".to_owned(), total.to_string());
    Part::Table(lines.iter().map(line).chain([total]).collect())
}

fn shortage(shortage: &Shortage) -> (String, String) {
    let Shortage { sku, requested, available } = shortage;
    (sku.to_string(), format!("{requested} ordered, {available} in stock"))
}

#[cfg(test)]
mod tests;
