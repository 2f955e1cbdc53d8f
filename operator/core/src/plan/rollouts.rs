//! Rollouts in steps: what comes next, and what that means for the objects.
//!
//! The decision is that of [`crate::rollout`]. A service whose pods are replaced one by one costs nothing here.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::core::DynamicObject;

use super::basis::Basis;
use crate::apply::{Applicant, check_ownership};
use crate::build::{self, RolloutPlan, RolloutPlans};
use crate::child::Seen;
use crate::components::Need;
use crate::crd::{RolloutState, RolloutStatus};
use crate::names;
use crate::role::{Duty, Role};
use crate::rollout::{self, Canary, Decision, Sight, Stable};
use crate::status::Rollout;
use crate::validate::{Recipe, Scaling, ServiceInstance};

/// Every rollout of a Shop, and what it means for the objects.
#[derive(Default)]
pub(super) struct Rollouts {
    /// The states to record.
    pub(super) statuses: Vec<RolloutStatus>,
    /// What stands beside or instead of the desired versions.
    pub(super) plans: RolloutPlans,
}

impl Rollouts {
    /// Whether time alone may change something.
    pub(super) fn are_under_way(&self) -> bool {
        self.statuses.iter().any(|rollout| rollout.state != RolloutState::Failed)
    }
}

/// Decides what comes next for every service that is rolled out in steps.
pub(super) fn plan(basis: &Basis<'_>) -> Rollouts {
    let mut rollouts = Rollouts::default();
    for service in &basis.valid.services {
        let Some(recipe) = &service.recipe else { continue };
        let name = service.component.name;
        let Some(wanted) = build::template(&basis.valid, &basis.hashes, name) else { continue };
        let known = basis.facts.shop.status.iter().flat_map(|status| &status.rollouts);
        let old = known.into_iter().find(|rollout| rollout.name == name);
        let (decision, plan) = SteppedService { basis, service, recipe, old }.decide(&wanted);
        rollouts.statuses.extend(decision.status);
        rollouts.plans.insert(name, plan);
    }
    rollouts
}

/// One service.
struct SteppedService<'a> {
    basis: &'a Basis<'a>,
    service: &'a ServiceInstance,
    recipe: &'a Recipe,
    old: Option<&'a RolloutStatus>,
}

impl SteppedService<'_> {
    fn decide(&self, wanted: &PodTemplateSpec) -> (Decision, RolloutPlan) {
        let (name, facts) = (self.service.component.name, self.basis.facts);
        let hash = rollout::hash(&rollout::note(wanted));
        let live = self.deployment(Duty::Stable);
        let kept = live.and_then(|live| rollout::of_live(live, wanted));
        let pods = self.recipe.pods(self.pods(live));
        let stable = live.zip(kept.as_ref()).map(|(live, kept)| Stable {
            template: rollout::hash(&rollout::note(kept)),
            complete: is_complete(live, self.service.scaling.min()),
        });
        let is_new = stable.as_ref().is_some_and(|stable| stable.template != hash);
        let seen = Sight {
            stable,
            canary: if is_new { self.canary(&hash, pods) } else { Canary::Starting },
            counters: facts.counters.get(&name).filter(|_| is_new && self.old.is_some()).cloned(),
            may_start: !(self.service.component.needs(Need::Database)
                && self.service.migration_due),
            order: rollout::order(&facts.shop, name),
            wanted: hash,
        };
        let decision = if facts.is_paused() {
            rollout::at_rest(self.old, &seen)
        } else {
            rollout::advance(name, self.old, self.recipe, &seen, facts.now)
        };
        let plan = RolloutPlan {
            kept: kept.filter(|_| decision.keep_stable),
            canary: decision.canary.then_some(pods),
            weight: decision.weight(),
        };
        (decision, plan)
    }

    /// A Deployment of the Shop's own.
    fn deployment(&self, duty: Duty) -> Option<&DynamicObject> {
        let facts = self.basis.facts;
        let role = Role::Service(self.service.component.name, duty);
        let (name, uid) = (&self.basis.valid.name, facts.uid());
        let applicant = Applicant { name, uid: &uid };
        // What belongs to something else is a problem of its application.
        facts
            .deployments
            .get(&role)
            .filter(|live| check_ownership("Deployment", &live.metadata, applicant).is_ok())
    }

    /// Pods that the service's own Deployment has, or should have.
    fn pods(&self, live: Option<&DynamicObject>) -> i32 {
        let least = self.service.scaling.min();
        match self.service.scaling {
            Scaling::Fixed(_) => least,
            // The autoscaler says how many are needed now.
            Scaling::Auto { .. } => live.map_or(least, |live| {
                let pods = live.data["status"]["replicas"].as_i64().unwrap_or(0);
                least.max(i32::try_from(pods).unwrap_or(i32::MAX))
            }),
        }
    }

    fn canary(&self, wanted: &str, pods: i32) -> Canary {
        let Some(live) = self.deployment(Duty::Canary) else { return Canary::Starting };
        let noted = live.metadata.annotations.as_ref().and_then(|all| all.get(names::TEMPLATE));
        if noted.is_none_or(|note| rollout::hash(note) != wanted) || !is_observed(live) {
            return Canary::Starting;
        }
        match Rollout::of(&Seen::of(live), pods) {
            Rollout { stuck: true, .. } => Canary::Stuck,
            Rollout { complete: true, ready, desired, .. } if ready >= desired => Canary::Ready,
            _ => Canary::Starting,
        }
    }
}

/// Whether a Deployment has all of its pods, and every one is of its newest template and ready.
fn is_complete(live: &DynamicObject, least: i32) -> bool {
    let rollout = Rollout::of(&Seen::of(live), least);
    is_observed(live) && rollout.complete && rollout.ready >= rollout.desired
}

/// Whether the status of a Deployment is that of its newest template.
fn is_observed(live: &DynamicObject) -> bool {
    let observed = live.data["status"]["observedGeneration"].as_i64();
    observed.unwrap_or(0) >= live.metadata.generation.unwrap_or_default()
}
