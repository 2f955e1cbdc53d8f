//! What is written to shoppers and sellers.

pub(crate) mod plain;
mod render;
mod short;
mod words;

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
    /// A registration was attempted with the address of the account.
    RegistrationAttempted,
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
    /// The goods have come back.
    Returned {
        /// The order.
        order_id: OrderId,
        /// What was paid for it.
        refunded: Option<Money>,
    },
    /// Money went back. It is the only mail that says so, whatever else has happened to the order.
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
    /// To staff: a shopper's bank wants a payment back, or has decided.
    PaymentDisputed {
        /// The order.
        order_id: OrderId,
        /// The provider.
        provider: String,
        /// The provider's name for the dispute.
        dispute: String,
        /// The bank's reason.
        reason: String,
        /// The provider's word for how far it has come.
        status: String,
        /// Until when it has to be answered.
        due_at: Option<DateTime<Utc>>,
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
                | Self::RegistrationAttempted
                | Self::PhoneCode { .. }
        )
    }

    /// The letter of this sender to the person of this name.
    pub fn render(&self, sender: &Sender, name: &str) -> Rendered {
        let shop = &sender.shop;
        let greeting = match &*plain::name(name) {
            "" => "Hello,".to_owned(),
            name => format!("Hello {name},"),
        };
        let greeting = Part::Paragraph(greeting);
        let farewell = Part::Paragraph(format!("Your {shop} shop"));
        let parts: Vec<Part> =
            std::iter::once(greeting).chain(self.parts(sender)).chain([farewell]).collect();
        let subject = plain::line(&self.subject(shop));
        Rendered { subject, text: text(&parts), html: html(&parts) }
    }
}

#[cfg(test)]
mod tests;
