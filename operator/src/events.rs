//! Kubernetes events: one for each change of state.

use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource as _};
use operator_core::crd::{RolloutReason, RolloutState, RolloutStatus, Shop, ShopStatus};
use operator_core::names::OPERATOR;
use operator_core::status::{Reason, describe};
use tracing::warn;

/// Longest note that the API takes.
const NOTE_LIMIT: usize = 1024;

/// Records events about Shops.
#[derive(Clone)]
pub struct Events(Recorder);

impl Events {
    /// A recorder that reports as this pod.
    pub fn new(client: Client, pod: String) -> Self {
        let reporter = Reporter { controller: OPERATOR.to_owned(), instance: Some(pod) };
        Self(Recorder::new(client, reporter))
    }

    /// Records every step of every rollout, and how it ended.
    pub async fn rollouts(&self, shop: &Shop, new: &ShopStatus) {
        let old = shop.status.as_ref().map(|status| status.rollouts.as_slice()).unwrap_or_default();
        for rollout in &new.rollouts {
            let here = |r: &RolloutStatus| (r.name, r.template.clone(), r.state, r.reason, r.step);
            if old.iter().any(|old| here(old) == here(rollout)) {
                continue;
            }
            let (sort, reason) = match (rollout.state, rollout.reason) {
                (RolloutState::Failed, _) => (EventType::Warning, Reason::RolloutFailed),
                (RolloutState::Paused, RolloutReason::WaitsForPromotion) => {
                    (EventType::Normal, Reason::RolloutPaused)
                }
                (RolloutState::Paused, _) => (EventType::Warning, Reason::RolloutPaused),
                _ => (EventType::Normal, Reason::RolloutProgressing),
            };
            self.record(shop, sort, reason.as_str(), "RollOut", &describe(rollout)).await;
        }
        let left = |old: &&RolloutStatus| new.rollouts.iter().all(|new| new.name != old.name);
        let passed = old.iter().filter(|old| old.state == RolloutState::Promoting).filter(left);
        for rollout in passed {
            let note = format!("{}: the new version has taken over", rollout.name);
            let reason = Reason::RolloutSucceeded.as_str();
            self.record(shop, EventType::Normal, reason, "RollOut", &note).await;
        }
    }

    /// Records that the Shop became ready, or stopped being so, or waits for something else.
    pub async fn transition(&self, shop: &Shop, new: &ShopStatus) {
        for type_ in ["Ready", "Degraded"] {
            let find = |status: &ShopStatus| {
                let condition = status.conditions.iter().find(|c| c.type_ == type_);
                condition.map(|c| (c.status.clone(), c.reason.clone()))
            };
            let old = shop.status.as_ref().and_then(find);
            if find(new) == old {
                continue;
            }
            let Some(condition) = new.conditions.iter().find(|c| c.type_ == type_) else {
                continue;
            };
            let degraded = type_ == "Degraded";
            // That nothing needs help is worth a line only after something did.
            if degraded && condition.status == "False" && old.is_none() {
                continue;
            }
            let bad = degraded && condition.status == "True";
            let sort = if bad { EventType::Warning } else { EventType::Normal };
            self.record(shop, sort, &condition.reason, type_, &condition.message).await;
        }
    }

    /// Records a warning.
    pub async fn warn(&self, shop: &Shop, reason: Reason, action: &str, note: &str) {
        self.record(shop, EventType::Warning, reason.as_str(), action, note).await;
    }

    async fn record(&self, shop: &Shop, type_: EventType, reason: &str, action: &str, note: &str) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note.chars().take(NOTE_LIMIT).collect()),
            action: action.to_owned(),
            secondary: None,
        };
        // An event is for people; a lost one stops nothing.
        if let Err(error) = self.0.publish(&event, &shop.object_ref(&())).await {
            warn!(%error, reason, "could not record an event");
        }
    }
}
