//! What letters say.

use chrono::{DateTime, Utc};
use contracts::events::{CancelReason, OrderLine, Shortage};
use contracts::{Availability, Money};

use super::render::Part;
use super::{Letter, Sender, plain};

impl Letter {
    pub(super) fn subject(&self, shop: &str) -> String {
        match self {
            Self::Welcome => format!("Welcome to {shop}"),
            Self::VerifyEmail { .. } => format!("Your e-mail address at {shop}"),
            Self::ResetPassword { .. } => format!("Another password for {shop}"),
            Self::PasswordChanged => format!("Your password at {shop} was changed"),
            Self::RegistrationAttempted => format!("You already have an account at {shop}"),
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
                Some(name) => format!("{} is there again", plain::name(name)),
                None => format!("A favourite of yours at {shop} is there again"),
            },
            Self::StockLow { name, available, .. } => {
                format!("{available} left of {}", plain::name(name))
            }
            Self::PaymentDisputed { order_id, status, .. } => match status.as_str() {
                "won" => format!("You won the dispute about order {order_id}"),
                "lost" => format!("You lost the dispute about order {order_id}"),
                _ => format!("The payment of order {order_id} is disputed"),
            },
        }
    }

    pub(super) fn parts(&self, sender: &Sender) -> Vec<Part> {
        let say = |text: &str| Part::Paragraph(text.to_owned());
        match self {
            Self::Welcome => {
                vec![Part::Paragraph(format!("Your account at {} is open.", sender.shop))]
            }
            Self::VerifyEmail { token, expires_at } => vec![
                say("Please confirm that this e-mail address is yours:"),
                sender.link("verify-email", token),
                until(*expires_at),
                say(
                    "You did not create this account? Someone else has entered your address, and knows the account's \
                     password. Do not confirm it. To make the account yours, choose your own password:",
                ),
                sender.page("forgot-password"),
                say("Otherwise you can ignore this e-mail."),
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
            Self::RegistrationAttempted => vec![
                say(
                    "We received a registration with your e-mail address, which already has an account.",
                ),
                say(
                    "If it was you, log in. If you do not know the password, or never registered, choose \
                     another one where you log in: that ends all other sessions.",
                ),
                say("Otherwise there is nothing to do: your account has not changed."),
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
            Self::Cancelled { reason, .. } => vec![say(why(*reason))],
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
            Self::Returned { .. } => vec![say("We have got back what you had sent us. Thank you.")],
            Self::Refunded { amount, total, .. } => {
                let now = format!("{amount} goes back to you.");
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
            Self::PaymentDisputed { provider, dispute, reason, status, due_at, .. } => {
                disputed(provider, [dispute, reason, status], *due_at)
            }
        }
    }
}

/// What staff read about a dispute: its name, the bank's reason and how far it has come.
fn disputed(
    provider: &str,
    [dispute, reason, status]: [&str; 3],
    due_at: Option<DateTime<Utc>>,
) -> Vec<Part> {
    let row = |name: &str, value: &str| (name.to_owned(), plain::name(value));
    let due = due_at.filter(|_| status.ends_with("needs_response"));
    let due = due.map(|due| row("Answer by", &due.format("%Y-%m-%d %H:%M UTC").to_string()));
    let rows = [row("Dispute", dispute), row("Reason", reason), row("Status", status)];
    let advice = match status {
        "won" => "The bank has decided: the money stays with you.".to_owned(),
        "lost" => "The bank has decided: the money is lost.".to_owned(),
        _ => format!(
            "The shopper's bank wants the payment back. Answer in the dashboard of {}: without an answer the \
             money is lost. Do not refund it as well, the shopper would get it twice.",
            plain::name(provider)
        ),
    };
    vec![Part::Paragraph(advice), Part::Table(rows.into_iter().chain(due).collect())]
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

fn line(line: &OrderLine) -> (String, String) {
    let name = plain::name(&line.name);
    (format!("{} × {name}", line.quantity), format!("{} each", line.unit_price))
}

fn bill(lines: &[OrderLine], total: Money) -> Part {
    let total = ("Total".to_owned(), total.to_string());
    Part::Table(lines.iter().map(line).chain([total]).collect())
}

fn shortage(shortage: &Shortage) -> (String, String) {
    let Shortage { sku, requested, available } = shortage;
    // How many units there are is not the shopper's to know.
    let left = match Availability::from(*available) {
        Availability::SoldOut => "sold out",
        Availability::FewLeft => "few left",
        Availability::InStock => "not so many in stock",
    };
    (sku.to_string(), format!("{requested} ordered, {left}"))
}
