//! Rollouts in steps: what runs is looked at, what comes next is decided, and what that means for the objects.
//!
//! The decision is that of [`operator_core::rollout`]. A service whose pods are replaced one by one costs nothing here.

mod scrape;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::core::{ApiResource, DynamicObject};
use operator_core::build::{self, RolloutPlan, RolloutPlans, SecretHashes};
use operator_core::child::Seen;
use operator_core::components::Need;
use operator_core::crd::{PodCounters, RolloutState, RolloutStatus, Shop};
use operator_core::names;
use operator_core::role::{Duty, Role};
use operator_core::rollout::{self, Canary, Decision, Order, Sight, Stable};
use operator_core::status::Rollout;
use operator_core::validate::{Recipe, Scaling, ServiceInstance, ValidatedShop};

use crate::apply::Applier;
use crate::error::Error;

/// How often a rollout is looked at: what pods measure, no watch tells.
pub const TICK: Duration = Duration::from_secs(5);

/// Every rollout of a Shop, and what it means for the objects.
#[derive(Debug, Default)]
pub struct Rollouts {
    /// The states to remember.
    pub statuses: Vec<RolloutStatus>,
    /// What stands beside or instead of the wanted versions.
    pub plans: RolloutPlans,
}

impl Rollouts {
    /// Whether time alone may change something.
    pub fn are_under_way(&self) -> bool {
        self.statuses.iter().any(|rollout| rollout.state != RolloutState::Failed)
    }
}

/// Looks at every service that is rolled out in steps, and decides what comes next.
pub async fn observe(
    applier: &Applier<'_>,
    shop: &Shop,
    valid: &ValidatedShop,
    secrets: &SecretHashes,
) -> Result<Rollouts, Error> {
    let mut rollouts = Rollouts::default();
    for service in &valid.services {
        let Some(recipe) = &service.recipe else { continue };
        let name = service.component.name;
        let Some(wanted) = build::template(valid, secrets, name) else { continue };
        let known = shop.status.iter().flat_map(|status| &status.rollouts);
        let old = known.into_iter().find(|rollout| rollout.name == name);
        let look = Look { applier, valid, service, recipe, old };
        let (decision, plan) = look.decide(&wanted, rollout::order(shop, name)).await?;
        rollouts.statuses.extend(decision.status);
        rollouts.plans.insert(name, plan);
    }
    Ok(rollouts)
}

/// One service, looked at.
struct Look<'a> {
    applier: &'a Applier<'a>,
    valid: &'a ValidatedShop,
    service: &'a ServiceInstance,
    recipe: &'a Recipe,
    old: Option<&'a RolloutStatus>,
}

impl Look<'_> {
    async fn decide(
        &self,
        wanted: &PodTemplateSpec,
        order: Option<Order>,
    ) -> Result<(Decision, RolloutPlan), Error> {
        let name = self.service.component.name;
        let hash = rollout::hash(&rollout::note(wanted));
        let live = self.deployment(Duty::Stable).await?;
        let kept = live.as_ref().and_then(|live| rollout::of_live(live, wanted));
        let pods = self.recipe.pods(self.pods(live.as_ref()));
        let stable = live.as_ref().zip(kept.as_ref()).map(|(live, kept)| Stable {
            template: rollout::hash(&rollout::note(kept)),
            complete: is_complete(live, self.service.scaling.min()),
        });
        let is_new = stable.as_ref().is_some_and(|stable| stable.template != hash);
        let canary = match &stable {
            Some(_) if is_new => self.canary(&hash, pods).await?,
            _ => Canary::Starting,
        };
        let measures = is_new && self.old.is_some() && !self.applier.paused;
        let seen = Sight {
            stable,
            canary,
            counters: if measures { self.counters().await } else { None },
            may_start: !(self.service.component.needs(Need::Database)
                && self.service.migration_due),
            order,
            wanted: hash,
        };
        let decision = if self.applier.paused {
            rollout::at_rest(self.old, &seen)
        } else {
            rollout::advance(name, self.old, self.recipe, &seen, Timestamp::now())
        };
        let plan = RolloutPlan {
            kept: kept.filter(|_| decision.keep_stable),
            canary: decision.canary.then_some(pods),
            weight: decision.weight(),
        };
        Ok((decision, plan))
    }

    const fn role(&self, duty: Duty) -> Role {
        Role::Service(self.service.component.name, duty)
    }

    /// A Deployment of the Shop's own, as it is now.
    async fn deployment(&self, duty: Duty) -> Result<Option<DynamicObject>, Error> {
        let kind = ApiResource::erase::<Deployment>(&());
        let live =
            self.applier.get(&kind, &names::child(&self.valid.name, self.role(duty))).await?;
        // What belongs to somebody else is the next step's to complain of.
        Ok(live.filter(|live| self.applier.check_ownership(live, &kind).is_ok()))
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

    async fn canary(&self, wanted: &str, pods: i32) -> Result<Canary, Error> {
        let Some(live) = self.deployment(Duty::Canary).await? else { return Ok(Canary::Starting) };
        let noted = live.metadata.annotations.as_ref().and_then(|all| all.get(names::TEMPLATE));
        if noted.is_none_or(|note| rollout::hash(note) != wanted) || !is_observed(&live) {
            return Ok(Canary::Starting);
        }
        Ok(match Rollout::of(&Seen::of(&live), pods) {
            Rollout { stuck: true, .. } => Canary::Stuck,
            Rollout { complete: true, ready, desired, .. } if ready >= desired => Canary::Ready,
            _ => Canary::Starting,
        })
    }

    async fn counters(&self) -> Option<Vec<PodCounters>> {
        let limit = self.recipe.thresholds.as_ref()?.latency_milliseconds;
        let labels = names::selector(&self.valid.name, self.role(Duty::Canary));
        scrape::counters(self.applier.client, &self.valid.namespace, &labels, limit).await
    }
}

/// Whether a Deployment has all of its pods, and every one is of its newest template and ready.
fn is_complete(live: &DynamicObject, least: i32) -> bool {
    let rollout = Rollout::of(&Seen::of(live), least);
    is_observed(live) && rollout.complete && rollout.ready >= rollout.desired
}

/// Whether the status of a Deployment speaks of its newest template.
fn is_observed(live: &DynamicObject) -> bool {
    let observed = live.data["status"]["observedGeneration"].as_i64();
    observed.unwrap_or(0) >= live.metadata.generation.unwrap_or_default()
}
