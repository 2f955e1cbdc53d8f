//! What Stripe answers, and what it means.

use std::collections::HashMap;

use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::books::Row;
use crate::provider::{Charge, Refund, Unknown};

/// An answer that is final.
#[derive(Debug)]
pub(super) enum Answer<T> {
    /// It was done.
    Good(T),
    /// It was not, and will not be.
    Refused(Refusal),
}

impl<T: DeserializeOwned> Answer<T> {
    /// Sends a request. Whatever may be different the next time is unknown: no answer, a limit, a
    /// fault of theirs, a key of ours that is not valid.
    pub(super) async fn of(request: RequestBuilder) -> Result<Self, Unknown> {
        // The URL of an error may name a token.
        let unknown = |error: reqwest::Error| Unknown::because(error.without_url());
        let answer = request.send().await.map_err(unknown)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(unknown)?;
        Self::read(status, &body)
    }

    fn read(status: StatusCode, body: &[u8]) -> Result<Self, Unknown> {
        if status.is_success() {
            return serde_json::from_slice(body).map(Self::Good).map_err(Unknown::because);
        }
        let failure = serde_json::from_slice::<Failure>(body);
        let told = format!("Stripe answers {status}");
        let Ok(Failure { error }) = failure else { return Err(Unknown::because(told)) };
        let kind = error.r#type.as_str();
        match status.as_u16() {
            400 | 402 | 404 if matches!(kind, "card_error" | "invalid_request_error") => {
                Ok(Self::Refused(error))
            }
            // Never the message: it may repeat what was sent.
            _ => Err(Unknown::because(format!("{told}, {kind}"))),
        }
    }
}

#[derive(Deserialize)]
struct Failure {
    error: Refusal,
}

/// Why something was not done.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Refusal {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    decline_code: Option<String>,
}

impl Refusal {
    /// A word that is fit to be shown.
    pub(super) fn reason(self) -> String {
        match (self.decline_code, self.code) {
            // A card that is said to be stolen is for the bank to talk about.
            (Some(code), _) if matches!(&*code, "lost_card" | "stolen_card" | "fraudulent") => {
                "card_declined".to_owned()
            }
            (Some(code), _) | (None, Some(code)) => code,
            (None, None) => "refused".to_owned(),
        }
    }
}

impl From<Refusal> for Unknown {
    fn from(refusal: Refusal) -> Self {
        Self::because(format!("Stripe refuses: {}", refusal.reason()))
    }
}

/// A payment intent.
#[derive(Debug, Deserialize)]
pub(super) struct Intent {
    id: String,
    status: String,
    #[serde(default)]
    next_action: Option<NextAction>,
    #[serde(default)]
    last_payment_error: Option<Refusal>,
    #[serde(default)]
    metadata: HashMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct NextAction {
    #[serde(default)]
    redirect_to_url: Option<Redirect>,
}

#[derive(Debug, Deserialize)]
struct Redirect {
    url: String,
}

impl Intent {
    /// What became of the charge.
    pub(super) fn outcome(self) -> Result<Charge, Unknown> {
        let reference = self.id;
        let redirect = self.next_action.and_then(|action| action.redirect_to_url);
        Ok(match (&*self.status, redirect) {
            ("succeeded", _) => Charge::Captured { reference },
            ("requires_action", Some(redirect)) => {
                Charge::ActionRequired { reference, url: redirect.url }
            }
            // Something that only a page of theirs can do.
            ("requires_action", None) => {
                Charge::Declined { reason: "authentication_required".to_owned() }
            }
            ("requires_payment_method", _) => {
                let error = self.last_payment_error.filter(|error| error.r#type == "card_error");
                let reason = error.map_or_else(|| "card_declined".to_owned(), Refusal::reason);
                Charge::Declined { reason }
            }
            ("canceled", _) => Charge::Declined { reason: "given_up".to_owned() },
            (status, _) => return Err(Unknown::because(format!("the intent is {status}"))),
        })
    }
}

impl Row for Intent {
    type Entry = Self;

    fn id(&self) -> &str {
        &self.id
    }

    fn entry(self) -> Result<Option<Self>, Unknown> {
        Ok(Some(self))
    }
}

/// The intent with this key on it, whatever else was found.
pub(super) fn with_key(found: Vec<Intent>, key: Uuid) -> Option<Intent> {
    let key = key.to_string();
    found.into_iter().find(|intent| intent.metadata.get("payment_id") == Some(&key))
}

/// What a search has found.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    /// The intents.
    pub(super) data: Vec<Intent>,
}

/// A refund.
#[derive(Debug, Deserialize)]
pub(super) struct RefundObject {
    id: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    failure_reason: Option<String>,
    #[serde(default)]
    metadata: Option<HashMap<String, String>>,
}

/// The refunds of a charge.
#[derive(Debug, Deserialize)]
pub(super) struct Refunds {
    data: Vec<RefundObject>,
}

impl Refunds {
    /// The refund with this key on it.
    pub(super) fn of(self, key: Uuid) -> Option<RefundObject> {
        let key = key.to_string();
        let has = |refund: &RefundObject| refund.metadata.as_ref()?.get("refund_id").cloned();
        self.data.into_iter().find(|refund| has(refund).as_ref() == Some(&key))
    }
}

impl RefundObject {
    /// What became of it. A pending one is on its way; if it fails later, a webhook says so.
    pub(super) fn outcome(self) -> Refund {
        match self.status.as_deref() {
            Some("failed" | "canceled") => {
                let reason = self.failure_reason.unwrap_or_else(|| "refused".to_owned());
                Refund::Refused { reason }
            }
            _ => Refund::Done { reference: self.id },
        }
    }
}

/// A payment method.
#[derive(Debug, Deserialize)]
pub(super) struct MethodObject {
    #[serde(default)]
    pub(super) card: Option<Card>,
}

/// What is said of a card.
#[derive(Debug, Deserialize)]
pub(super) struct Card {
    pub(super) brand: String,
    pub(super) last4: String,
}

/// Whatever has a name.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub(super) id: String,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn outcome(mut intent: Value) -> Result<Charge, Unknown> {
        intent["id"] = "pi_1".into();
        serde_json::from_value::<Intent>(intent).unwrap().outcome()
    }

    #[test]
    fn an_intent_says_what_became_of_the_charge() {
        let declined = |reason: &str| Charge::Declined { reason: reason.to_owned() };
        for (intent, expected) in [
            (json!({"status": "succeeded"}), Charge::Captured { reference: "pi_1".into() }),
            (
                json!({"status": "requires_action", "next_action": {
                    "type": "redirect_to_url", "redirect_to_url": {"url": "https://bank"}}}),
                Charge::ActionRequired { reference: "pi_1".into(), url: "https://bank".into() },
            ),
            (
                json!({"status": "requires_action", "next_action": {"type": "use_stripe_sdk"}}),
                declined("authentication_required"),
            ),
            (
                json!({"status": "requires_payment_method", "last_payment_error": {
                    "type": "card_error", "code": "card_declined",
                    "decline_code": "insufficient_funds"}}),
                declined("insufficient_funds"),
            ),
            (json!({"status": "requires_payment_method"}), declined("card_declined")),
            (json!({"status": "canceled"}), declined("given_up")),
        ] {
            assert_eq!(outcome(intent.clone()).unwrap(), expected, "{intent}");
        }
        for status in ["processing", "requires_capture", "requires_confirmation", "new"] {
            outcome(json!({ "status": status })).unwrap_err();
        }
    }

    fn read(status: u16, body: &Value) -> Result<Answer<Named>, Unknown> {
        Answer::read(StatusCode::from_u16(status).unwrap(), body.to_string().as_bytes())
    }

    #[test]
    fn only_what_will_not_change_is_final() {
        let error = |kind: &str| json!({"error": {"type": kind, "decline_code": "stolen_card"}});
        for (status, body) in [(402, error("card_error")), (404, error("invalid_request_error"))] {
            let Ok(Answer::Refused(refusal)) = read(status, &body) else {
                panic!("{status} is a refusal");
            };
            assert_eq!(refusal.reason(), "card_declined", "nobody is told that it is stolen");
        }
        for (status, body) in [
            (400, error("idempotency_error")),
            (401, error("invalid_request_error")),
            (409, error("idempotency_error")),
            (429, error("invalid_request_error")),
            (500, error("api_error")),
            (502, json!("<html>")),
            (200, json!({})),
        ] {
            assert!(read(status, &body).is_err(), "{status} {body}");
        }
    }

    #[test]
    fn a_search_finds_only_what_has_the_key() {
        let key = Uuid::now_v7();
        let found = json!({"data": [
            {"id": "pi_1", "status": "succeeded"},
            {"id": "pi_2", "status": "succeeded", "metadata": {"payment_id": key.to_string()}}]});
        let find =
            |key| with_key(serde_json::from_value::<Found>(found.clone()).unwrap().data, key);
        assert_eq!(find(key).unwrap().id, "pi_2");
        assert!(find(Uuid::now_v7()).is_none());
    }

    #[test]
    fn of_the_refunds_of_a_charge_only_the_one_with_the_key_is_ours() {
        let key = Uuid::now_v7();
        let refunds = json!({"data": [
            {"id": "re_1", "metadata": null},
            {"id": "re_2", "metadata": {"refund_id": key.to_string()}},
            {"id": "re_3"}]});
        let find = |key| serde_json::from_value::<Refunds>(refunds.clone()).unwrap().of(key);
        assert_eq!(find(key).unwrap().id, "re_2");
        assert!(find(Uuid::now_v7()).is_none());
    }

    #[test]
    fn a_refund_that_failed_is_refused() {
        let outcome = |text: Value| serde_json::from_value::<RefundObject>(text).unwrap().outcome();
        let failed = json!({"id": "re_1", "status": "failed", "failure_reason": "declined"});
        assert_eq!(outcome(failed), Refund::Refused { reason: "declined".into() });
        for status in ["succeeded", "pending"] {
            let done = outcome(json!({"id": "re_1", "status": status}));
            assert_eq!(done, Refund::Done { reference: "re_1".into() });
        }
    }
}
