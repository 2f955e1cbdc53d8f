//! Whether a shop can distinguish its guests.

use super::assessment::{Assessment, Part};
use super::reason::Reason;

/// Whether the gateway knows the addresses of guests; a shop that no proxy is known to be in front of has no such state.
pub(super) fn part(assessment: &Assessment) -> Part {
    let Some(shop) = &assessment.valid else { return Part::Unknown };
    if !shop.gateway.trusted_proxies.is_empty() {
        let message = "X-Forwarded-For is believed from spec.gateway.trustedProxies";
        return Part::Ready(Reason::ProxiesTrusted, message.to_owned());
    }
    if !shop.is_behind_proxy() {
        let message = "the shop has no Ingress and no HTTPRoute";
        return Part::Missing(Reason::NotWanted, message.to_owned());
    }
    let message = "guests share the address of the Ingress controller or Gateway, and wider rate limits: set \
                   spec.gateway.trustedProxies to the addresses that its pods call from";
    Part::Missing(Reason::NoTrustedProxies, message.to_owned())
}
