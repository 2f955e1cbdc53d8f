//! What is written to shoppers, and how it looks as plain text and as HTML.

use chrono::{DateTime, Utc};
use contracts::events::{CancelReason, OrderLine, Shortage};
use contracts::{EmailToken, Money, OrderId};
use serde::{Deserialize, Serialize};

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
    },
    /// An order was not paid in time.
    Expired {
        /// The order.
        order_id: OrderId,
    },
}

/// Whose letters these are.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Name of the shop.
    pub shop: String,
    /// Where shoppers find it, without a slash at the end.
    pub url: String,
}

/// A letter that can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Subject line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

/// A part of a letter. Both bodies are made of the same parts, and HTML in one place only, so that
/// no name or product can bring markup of its own.
enum Part {
    Paragraph(String),
    Link(String),
    Table(Vec<(String, String)>),
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

    fn subject(&self, shop: &str) -> String {
        match self {
            Self::Welcome => format!("Welcome to {shop}"),
            Self::VerifyEmail { .. } => format!("Your e-mail address at {shop}"),
            Self::ResetPassword { .. } => format!("Another password for {shop}"),
            Self::PasswordChanged => format!("Your password at {shop} was changed"),
            Self::Placed { order_id, .. } => format!("We have your order {order_id}"),
            Self::Paid { order_id, .. } => format!("Your order {order_id} is paid"),
            Self::Rejected { order_id, .. } => format!("We cannot deliver your order {order_id}"),
            Self::Cancelled { order_id, .. } => format!("Your order {order_id} is cancelled"),
            Self::Expired { order_id } => format!("Your order {order_id} has expired"),
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
            Self::Cancelled { reason, .. } => vec![say(match reason {
                CancelReason::PaymentDeclined => {
                    "Your payment was declined, so the order is cancelled. Nothing was charged."
                }
                CancelReason::ByCustomer => "The order is cancelled, as you have asked.",
                CancelReason::ByStaff => "We had to cancel the order. We are sorry.",
            })],
            Self::Expired { .. } => {
                vec![say("The order was not paid in time. You can order again at any time.")]
            }
        }
    }
}

impl Sender {
    /// The page of the shop that gives a token back. In the fragment, which browsers keep to themselves: no
    /// log on the way has it, and no program that follows links in mails spends it.
    fn link(&self, page: &str, token: &EmailToken) -> Part {
        Part::Link(format!("{}/{page}#{}", self.url, token.expose()))
    }
}

fn until(time: DateTime<Utc>) -> Part {
    Part::Paragraph(format!("The link is good until {}, once.", time.format("%Y-%m-%d %H:%M UTC")))
}

fn bill(lines: &[OrderLine], total: Money) -> Part {
    let line = |line: &OrderLine| {
        (format!("{} × {}", line.quantity, line.name), format!("{} each", line.unit_price))
    };
    let total = ("Total".to_owned(), total.to_string());
    Part::Table(lines.iter().map(line).chain([total]).collect())
}

fn shortage(shortage: &Shortage) -> (String, String) {
    let Shortage { sku, requested, available } = shortage;
    (sku.to_string(), format!("{requested} ordered, {available} in stock"))
}

fn text(parts: &[Part]) -> String {
    let part = |part: &Part| match part {
        Part::Paragraph(text) | Part::Link(text) => text.clone(),
        Part::Table(rows) => rows
            .iter()
            .map(|(left, right)| format!("{left}: {right}"))
            .collect::<Vec<_>>()
            .join("\n"),
    };
    parts.iter().map(part).collect::<Vec<_>>().join("\n\n") + "\n"
}

fn html(parts: &[Part]) -> String {
    let part = |part: &Part| match part {
        Part::Paragraph(text) => format!("<p>{}</p>", escape(text)),
        Part::Link(url) => {
            let url = escape(url);
            format!("<p><a href=\"{url}\">{url}</a></p>")
        }
        Part::Table(rows) => {
            let row = |(left, right): &(String, String)| {
                format!("<tr><td>{}</td><td>{}</td></tr>", escape(left), escape(right))
            };
            format!("<table>{}</table>", rows.iter().map(row).collect::<String>())
        }
    };
    let body: String = parts.iter().map(part).collect();
    format!("<!doctype html><html><head><meta charset=\"utf-8\"></head><body>{body}</body></html>")
}

/// Text as HTML shows it, in content and in quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use contracts::{Currency, ProductId};

    use super::*;

    fn demo() -> Sender {
        Sender { shop: "demo".to_owned(), url: "https://demo.example".to_owned() }
    }

    fn paid(product: &str) -> Letter {
        let line = OrderLine {
            product_id: ProductId::new(),
            sku: "MUG-01-C".parse().unwrap(),
            name: product.to_owned(),
            quantity: 2,
            unit_price: Money::new(990, Currency::EUR),
        };
        let total = Money::new(1980, Currency::EUR);
        Letter::Paid { order_id: OrderId::new(), lines: vec![line], total }
    }

    #[test]
    fn both_bodies_say_the_same() {
        let mail = paid("Red Mug").render(&demo(), "Ada");
        for body in [&mail.text, &mail.html] {
            for part in ["Hello Ada,", "2 × Red Mug", "9.90 EUR each", "19.80 EUR"] {
                assert!(body.contains(part), "{part} is not in {body}");
            }
        }
    }

    #[test]
    fn links_are_to_pages_of_the_shop_and_can_be_followed_in_both_bodies() {
        let token = EmailToken::new("s3cret".to_owned());
        let expires_at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mail = Letter::ResetPassword { token, expires_at }.render(&demo(), "Ada");
        let url = "https://demo.example/reset-password#s3cret";
        assert!(mail.text.contains(&format!("\n{url}\n")), "{}", mail.text);
        assert!(mail.html.contains(&format!("<a href=\"{url}\">{url}</a>")), "{}", mail.html);
        assert!(mail.text.contains("until 2027-01-15 08:00 UTC"), "{}", mail.text);
    }

    #[test]
    fn nobody_brings_markup() {
        let mail = paid("<img src=x onerror=\"alert('1')\">").render(&demo(), "<b>Eve</b> & co");
        assert!(mail.html.contains("Hello &lt;b&gt;Eve&lt;/b&gt; &amp; co,"), "{}", mail.html);
        assert!(mail.html.contains("&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;"));
        assert!(!mail.html.contains("<img") && !mail.html.contains("<b>"));
        assert!(mail.text.contains("<b>Eve</b> & co"), "plain text is as it is");
    }

    #[test]
    fn every_letter_survives_being_stored() {
        let (order_id, expires_at) = (OrderId::new(), Utc::now());
        let token = EmailToken::new("s3cret".to_owned());
        let sku = "MUG-01-C".parse().unwrap();
        for letter in [
            Letter::Welcome,
            Letter::VerifyEmail { token: token.clone(), expires_at },
            Letter::ResetPassword { token, expires_at },
            Letter::PasswordChanged,
            paid("Red Mug"),
            Letter::Rejected {
                order_id,
                shortages: vec![Shortage { sku, requested: 2, available: 1 }],
            },
            Letter::Cancelled { order_id, reason: CancelReason::ByCustomer },
            Letter::Expired { order_id },
        ] {
            let stored = serde_json::to_value(&letter).unwrap();
            assert_eq!(serde_json::from_value::<Letter>(stored).unwrap(), letter);
        }
    }
}
