//! Those who move the money. They are foreign: slow, away, or done with something and unable to
//! say so. Hence every call carries an idempotency key, and every answer may be [`Unknown`].

mod test;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use contracts::Money;
use uuid::Uuid;

use crate::payment::Token;

pub use test::TestProvider;

/// What became of a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charge {
    /// The money is ours.
    Captured {
        /// The provider's name for the charge.
        reference: String,
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
    async fn charge(&self, key: Uuid, amount: Money, token: &Token) -> Result<Charge, Unknown>;

    /// Gives money back of the charge that the provider calls `reference`.
    async fn refund(&self, key: Uuid, reference: &str, amount: Money) -> Result<Refund, Unknown>;

    /// What became of the charge with this key; none when it never arrived.
    async fn find(&self, key: Uuid) -> Result<Option<Charge>, Unknown>;
}

/// The providers of this shop, by name.
#[derive(Clone, Default)]
pub struct Providers(HashMap<&'static str, Arc<dyn PaymentProvider>>);

impl Providers {
    /// Adds one.
    #[must_use]
    pub fn with(mut self, provider: impl PaymentProvider) -> Self {
        self.0.insert(provider.name(), Arc::new(provider));
        self
    }

    /// The provider of that name. A row may name one that this version does not have; its payment
    /// waits for a version that does.
    pub fn get(&self, name: &str) -> Result<&dyn PaymentProvider, Unknown> {
        let missing = || Unknown::because(format!("there is no provider {name:?}"));
        self.0.get(name).map(AsRef::as_ref).ok_or_else(missing)
    }
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
