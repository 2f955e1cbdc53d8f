//! Lists of payment intents and refunds. (<https://docs.stripe.com/api/pagination>)

use std::collections::HashMap;

use chrono::DateTime;
use contracts::{Currency, Money};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::units::money;
use crate::provider::{BookedCharge, BookedRefund, BookedStatus, Page, Unknown};

/// The largest page that there is.
pub(super) const LIMIT: &str = "100";

/// A page as Stripe answers it, the latest first.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    data: Vec<T>,
    #[serde(default)]
    has_more: bool,
}

/// A row of a list, and what it is in our words.
pub(super) trait Row {
    type Entry;

    fn id(&self) -> &str;

    /// None: it is not about a payment of a shop, or has come to nothing.
    fn entry(self) -> Result<Option<Self::Entry>, Unknown>;
}

impl<T: Row> List<T> {
    pub(super) fn page(self) -> Result<Page<T::Entry>, Unknown> {
        let last = self.data.last().map(|row| row.id().to_owned());
        let next = last.filter(|_| self.has_more);
        let items = self.data.into_iter().filter_map(|row| row.entry().transpose());
        Ok(Page { items: items.collect::<Result<_, _>>()?, next })
    }
}

/// A payment intent with its latest charge.
#[derive(Debug, Deserialize)]
pub(super) struct IntentRow {
    id: String,
    status: String,
    amount: i64,
    currency: String,
    created: i64,
    #[serde(default)]
    metadata: HashMap<String, String>,
    /// Its id, or all of it if that was asked for.
    #[serde(default)]
    latest_charge: Value,
}

#[derive(Debug, Deserialize)]
pub(super) struct RefundRow {
    id: String,
    #[serde(default)]
    status: Option<String>,
    amount: i64,
    currency: String,
    #[serde(default)]
    payment_intent: Option<String>,
    #[serde(default)]
    metadata: Option<HashMap<String, String>>,
}

impl Row for IntentRow {
    type Entry = BookedCharge;

    fn id(&self) -> &str {
        &self.id
    }

    fn entry(self) -> Result<Option<BookedCharge>, Unknown> {
        let id = |name| self.metadata.get(name).and_then(|id| Uuid::parse_str(id).ok());
        let Some(key) = id("payment_id") else { return Ok(None) };
        let status = match &*self.status {
            "succeeded" => BookedStatus::Captured,
            // Nothing more is done with an intent whose method was declined: we confirm each once.
            "canceled" | "requires_payment_method" => return Ok(None),
            _ => BookedStatus::Open,
        };
        let refunded = self.latest_charge.get("amount_refunded").and_then(Value::as_i64);
        let refunded = counted(refunded.unwrap_or(0), &self.currency);
        let amount = counted(self.amount, &self.currency);
        let strange = || Unknown::because(format!("an amount in {}", self.currency));
        let (amount, refunded) = amount.zip(refunded).ok_or_else(strange)?;
        let created_at = DateTime::from_timestamp(self.created, 0).unwrap_or_default();
        let (order, refunded) = (id("order_id"), refunded.amount);
        let reference = self.id;
        Ok(Some(BookedCharge { key, order, reference, status, amount, refunded, created_at }))
    }
}

impl Row for RefundRow {
    type Entry = BookedRefund;

    fn id(&self) -> &str {
        &self.id
    }

    fn entry(self) -> Result<Option<BookedRefund>, Unknown> {
        if matches!(self.status.as_deref(), Some("failed" | "canceled")) {
            return Ok(None);
        }
        // What the shop cannot count is not of a charge of the shop's.
        let found = self.payment_intent.zip(counted(self.amount, &self.currency));
        let Some((charge, amount)) = found else { return Ok(None) };
        let key = self.metadata.as_ref().and_then(|metadata| metadata.get("refund_id"));
        let key = key.and_then(|key| Uuid::parse_str(key).ok());
        Ok(Some(BookedRefund { key, reference: self.id, charge, amount }))
    }
}

fn counted(amount: i64, currency: &str) -> Option<Money> {
    money(amount, currency.to_uppercase().parse::<Currency>().ok()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn intents_of_shops_that_took_or_may_take_money_are_charges() {
        let (key, order) = (Uuid::now_v7(), Uuid::now_v7());
        let intent = |id: &str, status: &str, metadata: Value| {
            json!({"id": id, "status": status, "amount": 1999, "currency": "eur", "metadata": metadata,
                "created": 1_700_000_000, "latest_charge": {"amount_refunded": 99}})
        };
        let ours = json!({"payment_id": key, "order_id": order});
        let list = json!({"has_more": true, "data": [
            intent("pi_1", "succeeded", ours.clone()),
            intent("pi_2", "requires_action", ours.clone()),
            intent("pi_3", "canceled", ours.clone()),
            intent("pi_4", "requires_payment_method", ours),
            intent("pi_5", "succeeded", json!({}))]});
        let page = serde_json::from_value::<List<IntentRow>>(list).unwrap().page().unwrap();
        assert_eq!(page.next.as_deref(), Some("pi_5"));
        let found: Vec<_> = page.items.iter().map(|item| (&*item.reference, item.status)).collect();
        assert_eq!(found, [("pi_1", BookedStatus::Captured), ("pi_2", BookedStatus::Open)]);
        let first = &page.items[0];
        assert_eq!((first.key, first.order, first.refunded), (key, Some(order), 99));
        assert_eq!(first.amount.amount, 1999);
    }

    #[test]
    fn refunds_of_intents_that_went_through_are_refunds() {
        let key = Uuid::now_v7();
        let list = json!({"data": [
            {"id": "re_1", "status": "succeeded", "amount": 5, "currency": "jpy",
             "payment_intent": "pi_1", "metadata": {"refund_id": key}},
            {"id": "re_2", "status": "failed", "amount": 5, "currency": "eur", "payment_intent": "pi_1"},
            {"id": "re_3", "status": "pending", "amount": 5, "currency": "eur", "payment_intent": null}]});
        let page = serde_json::from_value::<List<RefundRow>>(list).unwrap().page().unwrap();
        assert_eq!((page.items.len(), page.next), (1, None));
        let refund = &page.items[0];
        assert_eq!((&*refund.charge, refund.key), ("pi_1", Some(key)));
        assert_eq!(refund.amount, Money::new(5, "JPY".parse().unwrap()));
    }
}
