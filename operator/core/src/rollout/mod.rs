//! Rollouts in steps: what was seen of a service decides what comes next.

mod judge;
mod machine;
mod template;

pub use judge::{Verdict, judge};
pub use machine::{Canary, Decision, Order, Sight, Stable, advance, at_rest};
pub use template::{hash, note, of_live};

use kube::ResourceExt as _;

use crate::crd::{ServiceName, Shop};
use crate::names;

/// What somebody asks for by an annotation of the Shop; taking back goes first.
pub fn order(shop: &Shop, service: ServiceName) -> Option<Order> {
    let names = |annotation: &str| {
        let value = shop.annotations().get(annotation).map_or("", String::as_str);
        value.split(',').any(|name| name.trim() == service.as_str())
    };
    if names(names::ABORT) {
        return Some(Order::Abort);
    }
    names(names::PROMOTE).then_some(Order::Promote)
}
