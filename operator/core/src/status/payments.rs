//! Whether a shop can be bought from without money.

use super::assessment::{Assessment, Part};
use super::reason::Reason;

/// Whether the test provider takes payments; a shop that has turned it off has no such state.
pub(super) fn part(assessment: &Assessment) -> Part {
    let Some(payments) = assessment.valid.as_ref().map(|shop| &shop.payments) else {
        return Part::Unknown;
    };
    if !payments.test_provider {
        return Part::Missing(Reason::NotWanted, "spec.payments.testProvider is false".to_owned());
    }
    if !payments.takes_test_payments() {
        let message = "spec.payments.testProvider is ignored because spec.payments.stripe is set; \
                       spec.payments.allowTestProviderBesideStripe keeps it on for tests";
        return Part::Missing(Reason::StripeConfigured, message.to_owned());
    }
    if payments.stripe.is_some() {
        let message = "anyone can order without paying, by a token of the test provider: set \
                       spec.payments.allowTestProviderBesideStripe to false before the shop sells";
        return Part::Ready(Reason::TestProviderAllowed, message.to_owned());
    }
    let message = "the test provider is the only one, and it moves no money: set spec.payments.stripe \
                   before the shop sells";
    Part::Ready(Reason::TestProviderAlone, message.to_owned())
}
