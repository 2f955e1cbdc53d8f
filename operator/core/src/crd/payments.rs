//! Who moves the shoppers' money.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{empty, yes};

/// Who moves the shoppers' money, beside store credit, which every shop has.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.testProvider || has(self.stripe)")
    .message("a shop needs a payment provider: keep testProvider, or set stripe"))]
pub struct Payments {
    /// The provider for demos and tests, whose tokens begin with `tok_`. It moves no money: turn it off where real goods are sold.
    /// Where `stripe` is set it is off, whatever this says, unless `allowTestProviderBesideStripe` is true.
    #[serde(default = "yes")]
    pub test_provider: bool,

    /// Stripe, which charges payment methods that begin with `pm_`. Absent: the shop has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stripe: Option<Stripe>,

    /// Keeps `testProvider` on where `stripe` is set. For tests alone: anyone can then get goods without paying, and the condition
    /// `TestPaymentsEnabled` says so.
    #[serde(default)]
    pub allow_test_provider_beside_stripe: bool,
}

impl Payments {
    /// Whether the provider for demos and tests takes payments. The API server stores its default, so a stored `true`
    /// does not say that it was chosen: beside a provider that moves money it does not count.
    pub const fn takes_test_payments(&self) -> bool {
        self.test_provider && (self.stripe.is_none() || self.allow_test_provider_beside_stripe)
    }

    /// Names of the payment providers, as the payment service calls them. Store credit, which every shop has, is none.
    pub fn providers(&self) -> Vec<&'static str> {
        let test = self.takes_test_payments().then_some("test");
        test.into_iter().chain(self.stripe.as_ref().map(|_| "stripe")).collect()
    }
}

impl Default for Payments {
    fn default() -> Self {
        empty()
    }
}

/// An account at Stripe. Its webhooks go to `<url of the shop>/api/v1/webhooks/payments/stripe`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stripe {
    /// Where the keys of the account are.
    pub secret_ref: StripeSecretRef,

    /// Where Stripe's API is, without a slash at its end: another one for tests. Its port is opened by the network policies.
    #[serde(default = "default_api_url")]
    #[schemars(length(max = 255), regex(pattern = r"^https?://[A-Za-z0-9][A-Za-z0-9.:-]*$"))]
    pub api_url: String,
}

fn default_api_url() -> String {
    "https://api.stripe.com".into()
}

/// The keys of an account at Stripe, in a Secret in the shop's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StripeSecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Key of the account's secret key (`sk_…`, or a restricted one that may write payment intents, refunds, customers and payment methods).
    #[serde(default = "default_api_key_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._A-Za-z0-9]+$"))]
    pub api_key_key: String,

    /// Key of the secret that webhooks are signed with (`whsec_…`); of several, separated by commas, while one takes the place of another.
    #[serde(default = "default_webhook_secret_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._A-Za-z0-9]+$"))]
    pub webhook_secret_key: String,
}

fn default_api_key_key() -> String {
    "apiKey".into()
}

fn default_webhook_secret_key() -> String {
    "webhookSecret".into()
}
