//! What is written to shoppers, and how it looks as plain text and as HTML.

use contracts::events::{CancelReason, OrderLine, Shortage};
use contracts::{Money, OrderId};
use serde::{Deserialize, Serialize};

/// The substance of a message, as it is stored until it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Letter {
    /// An account was opened.
    Welcome,
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
    Table(Vec<(String, String)>),
}

impl Letter {
    /// The letter of this shop to the person of this name.
    pub fn render(&self, shop: &str, name: &str) -> Rendered {
        let greeting = Part::Paragraph(format!("Hello {name},"));
        let farewell = Part::Paragraph(format!("Your {shop} shop"));
        let parts: Vec<Part> =
            std::iter::once(greeting).chain(self.parts(shop)).chain([farewell]).collect();
        Rendered { subject: self.subject(shop), text: text(&parts), html: html(&parts) }
    }

    fn subject(&self, shop: &str) -> String {
        match self {
            Self::Welcome => format!("Welcome to {shop}"),
            Self::Placed { order_id, .. } => format!("We have your order {order_id}"),
            Self::Paid { order_id, .. } => format!("Your order {order_id} is paid"),
            Self::Rejected { order_id, .. } => format!("We cannot deliver your order {order_id}"),
            Self::Cancelled { order_id, .. } => format!("Your order {order_id} is cancelled"),
            Self::Expired { order_id } => format!("Your order {order_id} has expired"),
        }
    }

    fn parts(&self, shop: &str) -> Vec<Part> {
        let say = |text: &str| Part::Paragraph(text.to_owned());
        match self {
            Self::Welcome => vec![Part::Paragraph(format!("Your account at {shop} is open."))],
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
        Part::Paragraph(text) => text.clone(),
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
        let mail = paid("Red Mug").render("demo", "Ada");
        for body in [&mail.text, &mail.html] {
            for part in ["Hello Ada,", "2 × Red Mug", "9.90 EUR each", "19.80 EUR"] {
                assert!(body.contains(part), "{part} is not in {body}");
            }
        }
    }

    #[test]
    fn nobody_brings_markup() {
        let mail = paid("<img src=x onerror=\"alert('1')\">").render("demo", "<b>Eve</b> & co");
        assert!(mail.html.contains("Hello &lt;b&gt;Eve&lt;/b&gt; &amp; co,"), "{}", mail.html);
        assert!(mail.html.contains("&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;"));
        assert!(!mail.html.contains("<img") && !mail.html.contains("<b>"));
        assert!(mail.text.contains("<b>Eve</b> & co"), "plain text is as it is");
    }

    #[test]
    fn every_letter_survives_being_stored() {
        let order_id = OrderId::new();
        let sku = "MUG-01-C".parse().unwrap();
        for letter in [
            Letter::Welcome,
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
