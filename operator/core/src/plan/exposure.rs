//! What leads to the services from outside.

use super::basis::Basis;
use crate::child::Seen;
use crate::object::{CustomKind, Desired, HTTP_ROUTE, SERVICE_MONITOR, Stage};
use crate::status::{self, Part, Reason};
use crate::validate::MissingApi;

/// Whether Prometheus finds the services.
pub(super) fn monitoring(basis: &Basis<'_>, desired: &Desired) -> Part {
    let shop = &basis.valid;
    if !shop.service_monitors {
        // The shop sells without it.
        return if shop.missing_apis.contains(&MissingApi::ServiceMonitor) {
            Part::Missing(Reason::ApiMissing, missing(MissingApi::ServiceMonitor))
        } else {
            let message = "spec.observability.serviceMonitors is false";
            Part::Missing(Reason::NotWanted, message.to_owned())
        };
    }
    match current(basis, desired, SERVICE_MONITOR) {
        Some(_) => {
            let message = "Prometheus finds every service".to_owned();
            Part::Ready(Reason::ServiceMonitorsApplied, message)
        }
        None => Part::Waiting(Reason::NotApplied, "the ServiceMonitor is not applied".to_owned()),
    }
}

/// Whether the Gateways lead to the shop.
pub(super) fn route(basis: &Basis<'_>, desired: &Desired) -> Part {
    let shop = &basis.valid;
    let Some(spec) = &shop.gateway.http_route else {
        let message = "spec.gateway.httpRoute is not set".to_owned();
        return Part::Missing(Reason::NotWanted, message);
    };
    if !shop.http_route {
        return Part::Failed(Reason::ApiMissing, missing(MissingApi::HttpRoute));
    }
    match current(basis, desired, HTTP_ROUTE) {
        Some(live) => status::route(&shop.namespace, &spec.parent_refs, live),
        None => Part::Waiting(Reason::NotApplied, "the HTTPRoute is not applied".to_owned()),
    }
}

/// The object of a kind of which a shop has one, if it is as it should be.
fn current<'f>(basis: &Basis<'f>, desired: &Desired, kind: CustomKind) -> Option<&'f Seen> {
    let mut exposed = desired.stage(Stage::Exposure).iter();
    basis.facts.current(exposed.find(|object| object.kind() == kind.2)?)
}

fn missing(api: MissingApi) -> String {
    format!("the cluster has no {}", api.as_str())
}
