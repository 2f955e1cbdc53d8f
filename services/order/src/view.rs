//! What the HTTP API takes and shows.

use chrono::{DateTime, Utc};
use contracts::events::{OrderLine, Shortage};
use contracts::{Availability, Money, OrderId, Sku, UserId};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use crate::checkout::Item;
use crate::event::{Actor, Event, Fulfilment, Past, Payment, Reason, State};
use crate::order::{Illegal, Order};
use crate::token::PaymentToken;

/// An order to place.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "payment_token": "tok_visa" }))]
pub struct PlaceOrder {
    /// What to order; without it, what is in the caller's cart.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 100)]
    pub items: Option<Vec<Item>>,
    /// The `version` of the cart that the shopper has seen: with another one nothing is ordered. Not beside `items`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub cart_version: Option<i64>,
    /// The total that the shopper has seen: for another one nothing is ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_total: Option<Money>,
    /// The provider's token for the payment method; never a card number. Required unless the shop has the test
    /// provider alone: then it is `tok_visa` by default.
    #[serde(default, serialize_with = "or_default")]
    pub payment_token: Option<PaymentToken>,
}

/// Idempotency keys know a request by what is written here, and older releases wrote the default: the same request,
/// sent again during an update, is still the same.
#[expect(clippy::ref_option, reason = "serde calls it with a reference to the field")]
fn or_default<S: Serializer>(
    token: &Option<PaymentToken>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    token.clone().unwrap_or_else(PaymentToken::of_test_provider).serialize(serializer)
}

/// A wish to send an order back.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskReturn {
    /// Why, up to 500 characters.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

/// Why goods are not taken back.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefuseReturn {
    /// Shown to the shopper; 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// An order as its owner and staff see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Order)]
pub struct OrderView {
    /// Its id.
    pub id: OrderId,
    /// Whose it is.
    pub user_id: UserId,
    /// How far it has come.
    pub status: State,
    /// Where the money is.
    pub payment: Payment,
    /// Where the goods are.
    pub fulfilment: Fulfilment,
    /// Why it has ended without goods, or is about to.
    pub reason: Option<Reason>,
    /// More about the reason; of a return, the shopper's own words or why it was refused.
    pub reason_detail: Option<String>,
    /// What was ordered, at the prices of that time.
    pub lines: Vec<OrderLine>,
    /// Sum of all lines.
    pub total: Money,
    /// What went back of it.
    pub refunded: Money,
    /// When it ends unless it is paid; one whose payment needs a second step may end earlier.
    pub expires_at: DateTime<Utc>,
    /// How often it has changed.
    pub version: i64,
    /// When it was placed.
    pub created_at: DateTime<Utc>,
    /// When it changed last.
    pub updated_at: DateTime<Utc>,
}

impl From<Order> for OrderView {
    fn from(order: Order) -> Self {
        Self {
            id: order.id,
            user_id: order.user_id,
            status: order.state,
            payment: order.payment,
            fulfilment: order.fulfilment,
            reason: order.reason,
            reason_detail: order.reason_detail,
            lines: order.lines,
            total: order.total,
            refunded: order.refunded,
            expires_at: order.expires_at,
            version: order.version,
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }
}

/// An event of an order, and what the order was afterwards.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HistoryEntry {
    /// Place in the history, from 1.
    pub seq: i64,
    /// What happened.
    #[schema(example = "reserved")]
    pub r#type: &'static str,
    /// When.
    pub created_at: DateTime<Utc>,
    /// How far the order had come.
    pub status: State,
    /// Where the money was.
    pub payment: Payment,
    /// Where the goods were.
    pub fulfilment: Fulfilment,
    /// Why it had ended without goods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Who made it happen; for staff, and absent in older events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// What there was too little of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shortages: Vec<ShortageView>,
}

/// A line that stock could not serve.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Shortage)]
pub struct ShortageView {
    /// The stock keeping unit.
    pub sku: Sku,
    /// How many were asked for.
    pub requested: u32,
    /// What there was of it.
    pub availability: Availability,
    /// How many units there were; for staff.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available: Option<i64>,
}

impl ShortageView {
    fn new(shortage: &Shortage, for_staff: bool) -> Self {
        let Shortage { sku, requested, available } = shortage.clone();
        let units = for_staff.then_some(available);
        Self { sku, requested, availability: available.into(), available: units }
    }
}

/// Shows a history, to staff with who made it and counts of stock; fails when it cannot have happened.
pub fn entries(history: &[Past], for_staff: bool) -> Result<Vec<HistoryEntry>, Illegal> {
    let mut order: Option<Order> = None;
    let mut entries = Vec::with_capacity(history.len());
    for Past { event, at, actor } in history {
        let Some(after) = Order::after(order.as_ref(), event, *at)? else {
            continue;
        };
        let shortages = match event {
            Event::Rejected { shortages } => {
                shortages.iter().map(|shortage| ShortageView::new(shortage, for_staff)).collect()
            }
            _ => Vec::new(),
        };
        entries.push(HistoryEntry {
            seq: after.version,
            r#type: event.name(),
            created_at: *at,
            status: after.state,
            payment: after.payment,
            fulfilment: after.fulfilment,
            reason: after.reason,
            actor: actor.filter(|_| for_staff),
            shortages,
        });
        order = Some(after);
    }
    Ok(entries)
}
