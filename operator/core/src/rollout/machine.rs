//! The state machine of a rollout: `(state, what was seen, now) → (state, what to do)`, without I/O.
//!
//! What runs is the truth: whether the new version has taken over is read from the Deployments, and the
//! state only says how far the way there is. So a lost state costs time and never a wrong version.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::judge::{Verdict, judge};
use crate::crd::{
    PodCounters, RolloutReason as Reason, RolloutState as State, RolloutStatus, ServiceName,
};
use crate::validate::Recipe;

/// What is known of a service when its rollout is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Hash of the pod template that the spec asks for.
    pub wanted: String,
    /// The Deployment that has always been there; nothing before it was first made.
    pub stable: Option<Stable>,
    /// The pods of the wanted template beside it.
    pub canary: Canary,
    /// What these pods have counted; nothing if that could not be read.
    pub counters: Option<Vec<PodCounters>>,
    /// Whether the wanted version may run: its migration is applied.
    pub may_start: bool,
    /// What somebody asks for.
    pub order: Option<Order>,
}

/// The Deployment that has always been there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stable {
    /// Hash of its pod template.
    pub template: String,
    /// Whether every pod has that template and is ready.
    pub complete: bool,
}

/// The pods of a new version beside those of the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// There are none, or they start.
    Starting,
    /// They have not become ready in time.
    Stuck,
    /// All of them are ready.
    Ready,
}

/// What somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Go on although the conditions for that are not met.
    Promote,
    /// Take the new version back.
    Abort,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The state to remember; nothing when the old version is the wanted one.
    pub status: Option<RolloutStatus>,
    /// Whether the stable Deployment keeps its template, whatever the spec asks for.
    pub keep_stable: bool,
    /// Whether there are pods of the wanted template beside it.
    pub canary: bool,
}

impl Decision {
    /// The wanted template runs, alone.
    const SETTLED: Self = Self { status: None, keep_stable: false, canary: false };

    /// Percent of the requests that go to the new version.
    pub fn weight(&self) -> i32 {
        self.status.as_ref().filter(|_| self.canary).map_or(0, |status| status.weight)
    }
}

/// The next state.
pub fn advance(
    service: ServiceName,
    old: Option<&RolloutStatus>,
    recipe: &Recipe,
    seen: &Sight,
    now: Timestamp,
) -> Decision {
    let Some(stable) = &seen.stable else { return Decision::SETTLED };
    let of_wanted = old.filter(|old| old.template == seen.wanted);
    if stable.template == seen.wanted {
        return match of_wanted {
            Some(old) if old.state != State::Failed && !stable.complete => taking_over(old, now),
            _ => Decision::SETTLED,
        };
    }
    let machine = Machine { service, recipe, seen, now };
    let next = match of_wanted {
        Some(old) if old.state == State::Failed => old.clone(),
        // Another strategy is another way, and its steps are other steps.
        Some(old) if old.strategy == recipe.strategy => machine.follow(old),
        _ => machine.follow(&machine.begin()),
    };
    Decision {
        keep_stable: next.state != State::Promoting,
        canary: has_pods(&next, seen),
        status: Some(next),
    }
}

/// What the last decision means while nothing may change.
pub fn at_rest(old: Option<&RolloutStatus>, seen: &Sight) -> Decision {
    let Some(old) = old.filter(|old| old.template == seen.wanted) else { return Decision::SETTLED };
    let taken_over = seen.stable.as_ref().is_none_or(|stable| stable.template == seen.wanted);
    if taken_over && old.state == State::Failed {
        return Decision::SETTLED;
    }
    Decision {
        keep_stable: !taken_over && old.state != State::Promoting,
        canary: has_pods(old, seen),
        status: Some(old.clone()),
    }
}

fn has_pods(status: &RolloutStatus, seen: &Sight) -> bool {
    match status.state {
        State::Failed => false,
        State::Starting => seen.may_start,
        State::Progressing | State::Paused | State::Promoting => true,
    }
}

/// The stable Deployment gets the new pods; those beside it serve until it has them all.
fn taking_over(old: &RolloutStatus, now: Timestamp) -> Decision {
    let mut status = old.clone();
    if status.state != State::Promoting {
        // The process that decided so has not lived to write it down.
        status.state = State::Promoting;
        status.reason = Reason::StepsPassed;
        status.since = Time(now);
        status.message = String::new();
    }
    Decision { status: Some(status), keep_stable: false, canary: true }
}

struct Machine<'a> {
    service: ServiceName,
    recipe: &'a Recipe,
    seen: &'a Sight,
    now: Timestamp,
}

impl Machine<'_> {
    fn begin(&self) -> RolloutStatus {
        RolloutStatus {
            name: self.service,
            strategy: self.recipe.strategy,
            state: State::Starting,
            reason: Reason::PodsStart,
            message: String::new(),
            step: 0,
            weight: 0,
            since: Time(self.now),
            template: self.seen.wanted.clone(),
            promoted: false,
            baseline: Vec::new(),
        }
    }

    fn follow(&self, old: &RolloutStatus) -> RolloutStatus {
        if self.seen.order == Some(Order::Abort) {
            return self.failed(old, Reason::Aborted, "aborted by annotation");
        }
        if self.seen.canary == Canary::Stuck {
            let message = "its pods have not become ready in time";
            return self.failed(old, Reason::NotReady, message);
        }
        match old.state {
            State::Starting => self.start(old),
            State::Progressing | State::Paused => self.go_on(old),
            State::Promoting | State::Failed => old.clone(),
        }
    }

    fn start(&self, old: &RolloutStatus) -> RolloutStatus {
        // What is asked for during a migration holds after it.
        let promoted = old.promoted || self.seen.order == Some(Order::Promote);
        let old = RolloutStatus { promoted, ..old.clone() };
        if !self.seen.may_start {
            return RolloutStatus { reason: Reason::WaitsForMigration, ..old };
        }
        if promoted && self.measures() {
            return self.promoting(&old, Reason::Promoted);
        }
        match self.seen.canary {
            Canary::Ready => self.enter(&old, 0),
            Canary::Starting | Canary::Stuck => RolloutStatus { reason: Reason::PodsStart, ..old },
        }
    }

    /// Begins a step. What was counted before it counts no more.
    fn enter(&self, old: &RolloutStatus, step: usize) -> RolloutStatus {
        RolloutStatus {
            state: State::Progressing,
            reason: Reason::StepLasts,
            message: String::new(),
            step: i32::try_from(step).unwrap_or(i32::MAX),
            weight: self.recipe.steps.get(step).map_or(0, |step| step.weight),
            since: Time(self.now),
            baseline: match self.recipe.thresholds {
                Some(_) => self.seen.counters.clone().unwrap_or_default(),
                None => Vec::new(),
            },
            ..old.clone()
        }
    }

    fn go_on(&self, old: &RolloutStatus) -> RolloutStatus {
        // The list may have become shorter meanwhile.
        let last = self.recipe.steps.len().saturating_sub(1);
        let index = usize::try_from(old.step).unwrap_or(0).min(last);
        let Some(step) = self.recipe.steps.get(index) else { return old.clone() };
        let mut here = old.clone();
        here.step = i32::try_from(index).unwrap_or(i32::MAX);
        here.weight = step.weight;
        // A clock that was set back makes no step longer than twice.
        here.since.0 = here.since.0.min(self.now);
        if self.seen.order == Some(Order::Promote) && (self.measures() || !here.promoted) {
            // What is asked for is the switch: the old version is still kept for a while then.
            if self.measures() || index == last {
                return self.promoting(&here, Reason::Promoted);
            }
            here.promoted = true;
        }
        let verdict = self.verdict(&here);
        if let Verdict::Bad(reason, message) = verdict {
            return self.failed(&here, reason, &message);
        }
        let over = self.now.duration_since(here.since.0).as_secs() >= i64::from(step.seconds);
        let asked_for = here.promoted && index < last;
        if !over && !asked_for {
            return RolloutStatus { state: State::Progressing, reason: Reason::StepLasts, ..here };
        }
        let paused = |reason| RolloutStatus { state: State::Paused, reason, ..here.clone() };
        if self.seen.canary != Canary::Ready {
            return paused(Reason::PodsStart);
        }
        if verdict == Verdict::Open {
            return paused(Reason::NoData);
        }
        if self.recipe.by_hand && index < last && !here.promoted {
            return paused(Reason::WaitsForPromotion);
        }
        if index < last {
            self.enter(&here, index + 1)
        } else {
            self.promoting(&here, Reason::StepsPassed)
        }
    }

    /// Whether figures decide, or time and people alone.
    const fn measures(&self) -> bool {
        self.recipe.thresholds.is_some()
    }

    fn verdict(&self, here: &RolloutStatus) -> Verdict {
        match (&self.recipe.thresholds, &self.seen.counters) {
            (None, _) => Verdict::Good,
            (Some(_), None) => Verdict::Open,
            (Some(thresholds), Some(counters)) => judge(thresholds, &here.baseline, counters),
        }
    }

    fn promoting(&self, old: &RolloutStatus, reason: Reason) -> RolloutStatus {
        let (state, since, message) = (State::Promoting, Time(self.now), String::new());
        RolloutStatus { state, reason, since, message, baseline: Vec::new(), ..old.clone() }
    }

    fn failed(&self, old: &RolloutStatus, reason: Reason, message: &str) -> RolloutStatus {
        let (state, since, weight) = (State::Failed, Time(self.now), 0);
        let message = format!(
            "{message}; the version before it serves; another image or configuration is tried again"
        );
        RolloutStatus { state, reason, since, message, weight, baseline: Vec::new(), ..old.clone() }
    }
}
