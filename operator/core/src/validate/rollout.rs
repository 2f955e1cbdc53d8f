//! Rollouts, resolved: whatever the strategy, a list of steps.

use super::{Scaling, errors::Errors};
use crate::crd::{CanarySettings, Rollout, RolloutStrategy, ServiceName, ServiceSpec};

/// How a new version takes over beside the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// By which strategy.
    pub strategy: RolloutStrategy,
    /// What the new version gets, one after the other; never empty.
    pub steps: Vec<Step>,
    /// What it must keep to in every step; nothing for a strategy that does not measure.
    pub thresholds: Option<Thresholds>,
    /// Whether somebody must ask for the step after the first.
    pub by_hand: bool,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Percent of the requests.
    pub weight: i32,
    /// Seconds that it lasts at least.
    pub seconds: i32,
}

/// What a new version must keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Percent of requests that do not fail.
    pub success_percent: i32,
    /// Milliseconds that a request may take.
    pub latency_milliseconds: i32,
    /// Percent of requests that take no longer.
    pub latency_percentile: i32,
    /// Requests to judge by.
    pub requests: i32,
}

impl Recipe {
    /// The largest share that the new version gets.
    pub fn largest_weight(&self) -> i32 {
        self.steps.iter().map(|step| step.weight).max().unwrap_or(100)
    }

    /// Pods that the new version needs where the old one has `pods`.
    pub fn pods(&self, pods: i32) -> i32 {
        let share = i64::from(pods) * i64::from(self.largest_weight());
        i32::try_from((share + 99) / 100).unwrap_or(i32::MAX).max(1)
    }
}

/// The steps of a service; nothing if its pods are replaced one by one.
pub(super) fn resolve(
    path: &str,
    settings: &ServiceSpec,
    scaling: Scaling,
    errors: &mut Errors,
) -> Option<Recipe> {
    let rollout = settings.rollout.as_ref()?;
    let recipe = match rollout.strategy {
        RolloutStrategy::RollingUpdate => return None,
        RolloutStrategy::Canary => {
            canary(path, &rollout.canary.clone().unwrap_or_default(), errors)
        }
        RolloutStrategy::BlueGreen => blue_green(rollout),
    };
    if settings.name == ServiceName::Gateway {
        let message = "the gateway itself can only be rolled out by RollingUpdate: it is what weighs \
                       requests, and nothing in front of it does";
        errors.invalid(format!("{path}.rollout.strategy"), message);
    }
    // Without pods there is nothing to compare a new version with.
    (scaling.min() > 0).then_some(recipe)
}

fn canary(path: &str, canary: &CanarySettings, errors: &mut Errors) -> Recipe {
    let falls = canary.steps.windows(2).position(|pair| pair[1].weight < pair[0].weight);
    if let Some(i) = falls {
        errors.invalid(
            format!("{path}.rollout.canary.steps[{}].weight", i + 1),
            "must not be less than that of the step before it",
        );
    }
    let steps = canary.steps.iter();
    Recipe {
        strategy: RolloutStrategy::Canary,
        steps: steps.map(|s| Step { weight: s.weight, seconds: s.pause_seconds }).collect(),
        thresholds: Some(Thresholds {
            success_percent: canary.min_success_percent,
            latency_milliseconds: canary.max_latency_milliseconds,
            latency_percentile: canary.latency_percentile,
            requests: canary.min_requests,
        }),
        by_hand: false,
    }
}

fn blue_green(rollout: &Rollout) -> Recipe {
    let settings = rollout.blue_green.clone().unwrap_or_default();
    let preview = Step { weight: 0, seconds: settings.preview_seconds };
    let switched = Step { weight: 100, seconds: settings.retain_seconds };
    Recipe {
        strategy: RolloutStrategy::BlueGreen,
        steps: vec![preview, switched],
        thresholds: None,
        by_hand: !settings.auto_promote,
    }
}
