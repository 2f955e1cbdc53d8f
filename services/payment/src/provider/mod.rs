//! Those who move the money. They are foreign: slow, away, or done with something and unable to
//! say so. Hence every call carries an idempotency key, and every answer may be [`Unknown`].

mod books;
mod credit;
mod stripe;
mod test;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use contracts::{Money, OrderId, UserId};
use uuid::Uuid;

use crate::payment::Token;

pub use books::{BookedCharge, BookedRefund, BookedStatus, Page};
pub use credit::CreditProvider;
pub use stripe::{Settings as StripeSettings, StripeProvider};
pub use test::TestProvider;

/// A charge to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The same charge, however often it is sent.
    pub key: Uuid,
    /// What is paid.
    pub order: OrderId,
    /// Who pays.
    pub user: UserId,
    /// How much.
    pub amount: Money,
    /// With what.
    pub token: Token,
    /// The provider's name for whom a saved token belongs to.
    pub customer: Option<String>,
}

/// What became of a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charge {
    /// The money is ours.
    Captured {
        /// The provider's name for the charge.
        reference: String,
    },
    /// Nothing is charged before the shopper has done something.
    ActionRequired {
        /// The provider's name for the charge.
        reference: String,
        /// Where the shopper does it.
        url: String,
    },
    /// Nothing was charged, and trying again will not help.
    Declined {
        /// Why, fit to be shown.
        reason: String,
    },
}

/// What became of a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refund {
    /// The money is on its way back.
    Done {
        /// The provider's name for the refund.
        reference: String,
    },
    /// Nothing was given back, and trying again will not help.
    Refused {
        /// Why.
        reason: String,
    },
}

/// A means of payment that a provider keeps for a shopper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Whose it is, e.g. `visa`.
    pub brand: String,
    /// The last four digits.
    pub last4: String,
    /// The provider's name for whom it belongs to, if it wants one with each charge.
    pub customer: Option<String>,
}

/// It is not known whether the provider did it. Ask again with the same key.
#[derive(Debug, thiserror::Error)]
#[error("the outcome is not known")]
pub struct Unknown(#[source] pub Box<dyn std::error::Error + Send + Sync>);

impl Unknown {
    /// For this reason.
    pub fn because(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(reason.into())
    }
}

/// Somebody who moves money. The same key means the same charge or refund, however often it is
/// sent: the provider does it once and answers the same.
#[async_trait]
pub trait PaymentProvider: Send + Sync + 'static {
    /// How rows and figures call it.
    fn name(&self) -> &'static str;

    /// Takes the money.
    async fn charge(&self, wanted: &Wanted) -> Result<Charge, Unknown>;

    /// What became of the charge with this key, by its reference if there is one; none when it
    /// never arrived.
    async fn find(&self, key: Uuid, reference: Option<&str>) -> Result<Option<Charge>, Unknown>;

    /// How long after a charge has arrived it is found for certain without a reference.
    fn finds_after(&self) -> Duration {
        Duration::ZERO
    }

    /// Goes on with a charge that has waited for the shopper, who says that it is done.
    async fn confirm(&self, key: Uuid, reference: &str) -> Result<Charge, Unknown> {
        let found = self.find(key, Some(reference)).await?;
        found.ok_or_else(|| Unknown::because("the charge that waits is not in the books"))
    }

    /// Gives up a charge that waits for the shopper. It may have been captured meanwhile.
    async fn cancel(&self, key: Uuid, reference: &str) -> Result<Charge, Unknown>;

    /// Gives money back of the charge that the provider calls `reference`.
    async fn refund(&self, key: Uuid, reference: &str, amount: Money) -> Result<Refund, Unknown>;

    /// What became of the refund with this key, of the charge that the provider calls `reference`; none when it never
    /// arrived. For those that forget keys sooner than refunds.
    async fn find_refund(&self, _key: Uuid, _reference: &str) -> Result<Option<Refund>, Unknown> {
        Ok(None)
    }

    /// Charges that were made since then, after the place where another page has ended. One whose books are in the
    /// shop's own database never knows more than the shop: they are in the same backup.
    async fn charges_since(
        &self,
        _since: DateTime<Utc>,
        _after: Option<&str>,
    ) -> Result<Page<BookedCharge>, Unknown> {
        Ok(Page::default())
    }

    /// Refunds that were made since then, as [`Self::charges_since`].
    async fn refunds_since(
        &self,
        _since: DateTime<Utc>,
        _after: Option<&str>,
    ) -> Result<Page<BookedRefund>, Unknown> {
        Ok(Page::default())
    }

    /// Keeps a token for further charges of the same user; none: it is not one of its own, or not
    /// of a kind that can be kept.
    async fn keep(&self, _user: UserId, _token: &Token) -> Result<Option<Kept>, Unknown> {
        Ok(None)
    }

    /// Lets go of a token that was kept.
    async fn forget(&self, _token: &Token) -> Result<(), Unknown> {
        Ok(())
    }
}

/// Every provider that this version can be configured with.
pub const NAMES: [&str; 3] = [CreditProvider::NAME, StripeProvider::NAME, TestProvider::NAME];

/// The providers of this shop, by name.
#[derive(Clone, Default)]
pub struct Providers(HashMap<&'static str, Entry>);

#[derive(Clone)]
struct Entry {
    provider: Arc<dyn PaymentProvider>,
    open: bool,
}

impl Providers {
    /// Adds one that takes new charges.
    #[must_use]
    pub fn with(self, provider: impl PaymentProvider) -> Self {
        self.add(provider, true)
    }

    /// Adds one that takes no new charges: what it has charged before can still be found and refunded, and what waits
    /// for a shopper is cancelled.
    #[must_use]
    pub fn with_closed(self, provider: impl PaymentProvider) -> Self {
        self.add(provider, false)
    }

    fn add(mut self, provider: impl PaymentProvider, open: bool) -> Self {
        self.0.insert(provider.name(), Entry { provider: Arc::new(provider), open });
        self
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// Whether it is configured, for new charges or for old ones alone.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The provider of that name, if it takes new charges: orders and saved payment methods can name no other.
    pub fn open(&self, name: &str) -> Option<&dyn PaymentProvider> {
        self.0.get(name).filter(|entry| entry.open).map(|entry| entry.provider.as_ref())
    }

    /// The provider of that name, for what it has charged. A row may name one that this version does not have; its
    /// payment waits for a version that does.
    pub fn get(&self, name: &str) -> Result<&dyn PaymentProvider, Unknown> {
        let missing = || Unknown::because(format!("there is no provider {name:?}"));
        self.0.get(name).map(|entry| entry.provider.as_ref()).ok_or_else(missing)
    }
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
