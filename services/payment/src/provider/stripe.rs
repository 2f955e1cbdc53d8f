//! Stripe, by its real API: payment intents that are confirmed as they are made, and refunds.
//! (<https://docs.stripe.com/api>)

mod answers;
mod books;
mod units;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use contracts::{Money, UserId};
use kit::secret::Secret;
use reqwest::{Client, Method, RequestBuilder};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use self::answers::{Answer, Found, Intent, MethodObject, Named, RefundObject, Refunds, with_key};
use self::books::{IntentRow, LIMIT, List, RefundRow, Row};
use self::units::units;
use super::{
    BookedCharge, BookedRefund, Charge, Kept, Page, PaymentProvider, Refund, Unknown, Wanted,
};
use crate::payment::Token;

/// The version of the API that the answers are read by.
const VERSION: &str = "2024-06-20";
/// How long a connection may take, and a call as a whole; the worker waits a little longer.
const CONNECT: Duration = Duration::from_secs(3);
const CALL: Duration = Duration::from_secs(9);
/// By how much the clock here may be ahead of Stripe's.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::hours(1);

/// How Stripe is reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The secret key of the account.
    pub key: Secret,
    /// Where the API is, without a slash at its end.
    pub url: String,
    /// Where shoppers come back to from their bank.
    pub return_url: String,
}

/// Charges through Stripe.
#[derive(Clone, Debug)]
pub struct StripeProvider {
    client: Client,
    settings: Settings,
}

type Form = Vec<(&'static str, String)>;

impl StripeProvider {
    /// Its name.
    pub const NAME: &'static str = "stripe";

    /// A client of this account's API.
    pub fn new(settings: Settings) -> reqwest::Result<Self> {
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .timeout(CALL)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { client, settings })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}/v1/{path}", self.settings.url))
            .bearer_auth(self.settings.key.expose())
            .header("stripe-version", VERSION)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Unknown> {
        Answer::of(self.request(Method::GET, path)).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        key: &str,
        form: &Form,
    ) -> Result<Answer<T>, Unknown> {
        let request = self.request(Method::POST, path).header("idempotency-key", key);
        Answer::of(request.form(form)).await
    }

    /// A page of a list of what was made since then.
    async fn list<T: Row + DeserializeOwned>(
        &self,
        path: &str,
        since: DateTime<Utc>,
        after: Option<&str>,
        further: &[(&str, &str)],
    ) -> Result<Page<T::Entry>, Unknown> {
        let since = since.timestamp().to_string();
        let mut query = vec![("created[gte]", &*since), ("limit", LIMIT)];
        query.extend(after.map(|after| ("starting_after", after)));
        query.extend_from_slice(further);
        let list = self.request(Method::GET, path).query(&query);
        match Answer::<List<T>>::of(list).await? {
            Answer::Good(list) => list.page(),
            Answer::Refused(refusal) => Err(refusal.into()),
        }
    }

    /// The intent with this key among all that were made within a day of the payment, which its key says: an order is open for
    /// less.
    async fn listed(&self, key: Uuid) -> Result<Option<Intent>, Unknown> {
        let made = key.get_timestamp().and_then(|made| i64::try_from(made.to_unix().0).ok());
        let made = made.and_then(|made| DateTime::from_timestamp(made, 0));
        let made = made.ok_or_else(|| Unknown::because("the key does not say when it was made"))?;
        let (since, until) = (made - CLOCKS_DIFFER, (made + TimeDelta::days(1)).timestamp());
        let until = [("created[lte]", &*until.to_string())];
        let mut after = None;
        loop {
            let page = self.list::<Intent>("payment_intents", since, after.as_deref(), &until);
            let page = page.await?;
            let found = with_key(page.items, key);
            if found.is_some() || page.next.is_none() {
                return Ok(found);
            }
            after = page.next;
        }
    }

    async fn intent(&self, reference: &str) -> Result<Charge, Unknown> {
        match self.get::<Intent>(&format!("payment_intents/{reference}")).await? {
            Answer::Good(intent) => intent.outcome(),
            Answer::Refused(refusal) => Err(refusal.into()),
        }
    }
}

#[async_trait]
impl PaymentProvider for StripeProvider {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn charge(&self, wanted: &Wanted) -> Result<Charge, Unknown> {
        if wanted.amount.amount == 0 {
            // Stripe charges no less than about half a euro; there is nothing to ask it for.
            return Ok(Charge::Captured { reference: format!("free_{}", wanted.key.simple()) });
        }
        let Some(amount) = units(wanted.amount) else {
            return Ok(Charge::Declined { reason: "amount_not_chargeable".to_owned() });
        };
        let mut form = vec![
            ("amount", amount.to_string()),
            ("currency", wanted.amount.currency.as_str().to_lowercase()),
            ("confirm", "true".to_owned()),
            ("payment_method", wanted.token.as_str().to_owned()),
            ("payment_method_types[]", "card".to_owned()),
            ("return_url", self.settings.return_url.clone()),
            ("metadata[payment_id]", wanted.key.to_string()),
            ("metadata[order_id]", wanted.order.to_string()),
        ];
        form.extend(wanted.customer.clone().map(|customer| ("customer", customer)));
        match self.post::<Intent>("payment_intents", &wanted.key.to_string(), &form).await? {
            Answer::Good(intent) => intent.outcome(),
            Answer::Refused(refusal) => Ok(Charge::Declined { reason: refusal.reason() }),
        }
    }

    /// Without a reference the charge is sought by what was written on it, and where searches are refused in the list of
    /// all. The index may be behind by a minute; then the same idempotency key brings the same answer.
    async fn find(&self, key: Uuid, reference: Option<&str>) -> Result<Option<Charge>, Unknown> {
        if let Some(reference) = reference {
            return self.intent(reference).await.map(Some);
        }
        let query = [("query", format!("metadata['payment_id']:'{key}'"))];
        let search = self.request(Method::GET, "payment_intents/search").query(&query);
        let intent = match Answer::<Found>::of(search).await? {
            Answer::Good(found) => with_key(found.data, key),
            // Accounts of some countries cannot search.
            Answer::Refused(_) => self.listed(key).await?,
        };
        intent.map(Intent::outcome).transpose()
    }

    /// "Under a minute" is what is promised, and "propagation may be delayed during outages".
    /// (<https://docs.stripe.com/search#data-freshness>)
    fn finds_after(&self) -> Duration {
        Duration::from_mins(10)
    }

    async fn cancel(&self, key: Uuid, reference: &str) -> Result<Charge, Unknown> {
        let path = format!("payment_intents/{reference}/cancel");
        match self.post::<Intent>(&path, &format!("{key}-cancel"), &Vec::new()).await? {
            Answer::Good(intent) => intent.outcome(),
            // It was captured, or cancelled before.
            Answer::Refused(_) => self.intent(reference).await,
        }
    }

    async fn refund(&self, key: Uuid, reference: &str, amount: Money) -> Result<Refund, Unknown> {
        let Some(amount) = units(amount) else {
            return Ok(Refund::Refused { reason: "amount_not_refundable".to_owned() });
        };
        let form = vec![
            ("payment_intent", reference.to_owned()),
            ("amount", amount.to_string()),
            ("metadata[refund_id]", key.to_string()),
        ];
        match self.post::<RefundObject>("refunds", &key.to_string(), &form).await? {
            Answer::Good(refund) => Ok(refund.outcome()),
            Answer::Refused(refusal) => Ok(Refund::Refused { reason: refusal.reason() }),
        }
    }

    /// The latest hundred refunds of a charge are looked through: more than that has none.
    async fn find_refund(&self, key: Uuid, reference: &str) -> Result<Option<Refund>, Unknown> {
        let query = [("payment_intent", reference), ("limit", "100")];
        let list = self.request(Method::GET, "refunds").query(&query);
        match Answer::<Refunds>::of(list).await? {
            Answer::Good(found) => Ok(found.of(key).map(RefundObject::outcome)),
            // There is no such charge; the refund will be refused too.
            Answer::Refused(_) => Ok(None),
        }
    }

    async fn charges_since(
        &self,
        since: DateTime<Utc>,
        after: Option<&str>,
    ) -> Result<Page<BookedCharge>, Unknown> {
        let expand = [("expand[]", "data.latest_charge")];
        self.list::<IntentRow>("payment_intents", since, after, &expand).await
    }

    async fn refunds_since(
        &self,
        since: DateTime<Utc>,
        after: Option<&str>,
    ) -> Result<Page<BookedRefund>, Unknown> {
        self.list::<RefundRow>("refunds", since, after, &[]).await
    }

    /// A method is charged once unless it belongs to a customer; each gets one of its own, so that
    /// nothing is shared between them.
    async fn keep(&self, user: UserId, token: &Token) -> Result<Option<Kept>, Unknown> {
        let method = format!("payment_methods/{}", token.as_str());
        let method = match self.get::<MethodObject>(&method).await? {
            Answer::Good(method) => method,
            Answer::Refused(_) => return Ok(None),
        };
        let Some(card) = method.card else { return Ok(None) };
        let key = format!("{user}-{}", token.as_str());
        let form = vec![("metadata[user_id]", user.to_string())];
        let customer = match self.post::<Named>("customers", &key, &form).await? {
            Answer::Good(customer) => customer.id,
            Answer::Refused(refusal) => return Err(refusal.into()),
        };
        let path = format!("payment_methods/{}/attach", token.as_str());
        let form = vec![("customer", customer.clone())];
        match self.post::<MethodObject>(&path, &format!("{key}-attach"), &form).await? {
            Answer::Good(_) => {
                Ok(Some(Kept { brand: card.brand, last4: card.last4, customer: Some(customer) }))
            }
            Answer::Refused(_) => Ok(None),
        }
    }

    async fn forget(&self, token: &Token) -> Result<(), Unknown> {
        let path = format!("payment_methods/{}/detach", token.as_str());
        let key = Uuid::now_v7().to_string();
        match self.post::<MethodObject>(&path, &key, &Vec::new()).await? {
            Answer::Good(_) | Answer::Refused(_) => Ok(()),
        }
    }
}
