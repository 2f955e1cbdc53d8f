//! The state machine of rollouts: what it never does, whatever it sees, and how the usual ways end.

use jiff::{SignedDuration, Timestamp};
use operator_core::{
    crd::{PodCounters, RolloutReason, RolloutState, RolloutStatus, ServiceName},
    rollout::{Canary, Decision, Order, Sight, Stable, Verdict, advance, at_rest, judge},
    validate::Recipe,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::validated;

/// The steps of a service with these settings.
fn recipe(rollout: &Value) -> Recipe {
    let shop = validated(json!({ "services": [{ "name": "catalog", "rollout": rollout }] }));
    let catalog = shop.service(ServiceName::Catalog).expect("every shop has a catalog");
    catalog.recipe.clone().expect("it is rolled out in steps")
}

fn canary() -> Recipe {
    recipe(&json!({ "strategy": "Canary", "canary": {
        "steps": [{ "weight": 10, "pauseSeconds": 60 }, { "weight": 50, "pauseSeconds": 60 }],
        "minRequests": 20,
    } }))
}

fn blue_green(auto: bool) -> Recipe {
    recipe(&json!({ "strategy": "BlueGreen", "blueGreen": {
        "previewSeconds": 60, "autoPromote": auto, "retainSeconds": 60,
    } }))
}

/// The old version runs, and nothing of the new one.
fn begun() -> Sight {
    Sight {
        wanted: "new".into(),
        stable: Some(Stable { template: "old".into(), complete: true }),
        canary: Canary::Starting,
        counters: None,
        may_start: true,
        order: None,
    }
}

fn counted(requests: i64, failures: i64, slow: i64) -> Vec<PodCounters> {
    vec![PodCounters { pod: "p".into(), requests, failures, slow }]
}

/// A rollout over time, as the operator goes through it.
#[derive(Clone)]
struct Walk {
    recipe: Recipe,
    sight: Sight,
    status: Option<RolloutStatus>,
    now: Timestamp,
}

impl Walk {
    fn new(recipe: Recipe) -> Self {
        Self { recipe, sight: begun(), status: None, now: Timestamp::UNIX_EPOCH }
    }

    /// Looks at it so many seconds later.
    fn after(&mut self, seconds: i64, change: impl FnOnce(&mut Sight)) -> Decision {
        let later = self.now.checked_add(SignedDuration::from_secs(seconds));
        self.now = later.expect("no test takes as long as that");
        change(&mut self.sight);
        let old = self.status.as_ref();
        let decision = advance(ServiceName::Catalog, old, &self.recipe, &self.sight, self.now);
        self.status.clone_from(&decision.status);
        self.sight.order = None;
        decision
    }

    fn state(&self) -> Option<(RolloutState, RolloutReason, i32)> {
        self.status.as_ref().map(|status| (status.state, status.reason, status.weight))
    }
}

use RolloutReason as Reason;
use RolloutState as State;

#[test]
fn a_canary_that_does_well_takes_over_step_by_step() {
    let mut walk = Walk::new(canary());
    let first = walk.after(0, |_| {});
    assert!(
        first.keep_stable && first.canary && first.weight() == 0,
        "no request before its pods are ready"
    );
    walk.after(5, |sight| (sight.canary, sight.counters) = (Canary::Ready, Some(counted(0, 0, 0))));
    assert_eq!(walk.state(), Some((State::Progressing, Reason::StepLasts, 10)));
    walk.after(59, |sight| sight.counters = Some(counted(100, 1, 1)));
    assert_eq!(walk.state(), Some((State::Progressing, Reason::StepLasts, 10)));
    walk.after(1, |_| {});
    assert_eq!(walk.state(), Some((State::Progressing, Reason::StepLasts, 50)));
    let last = walk.after(60, |sight| sight.counters = Some(counted(200, 2, 2)));
    assert_eq!(walk.state(), Some((State::Promoting, Reason::StepsPassed, 50)));
    assert!(
        !last.keep_stable && last.canary,
        "the new pods beside serve until their own are there"
    );
    let taking = walk.after(5, |sight| {
        sight.stable = Some(Stable { template: "new".into(), complete: false });
    });
    assert!(taking.canary && taking.weight() == 50 && !taking.keep_stable);
    let done = walk.after(5, |sight| {
        sight.stable = Some(Stable { template: "new".into(), complete: true });
    });
    assert_eq!(done, Decision { status: None, keep_stable: false, canary: false });
}

#[test]
fn a_clock_that_was_set_back_a_day_begins_the_step_again() {
    let mut walk = Walk::new(canary());
    walk.after(0, |sight| (sight.canary, sight.counters) = (Canary::Ready, Some(counted(0, 0, 0))));
    walk.after(30, |sight| sight.counters = Some(counted(100, 0, 0)));
    walk.after(-86_400, |_| {});
    assert_eq!(walk.state(), Some((State::Progressing, Reason::StepLasts, 10)));
    walk.after(60, |_| {});
    assert_eq!(walk.state(), Some((State::Progressing, Reason::StepLasts, 50)));
}

#[test]
fn each_step_is_judged_by_its_own_figures() {
    let mut walk = Walk::new(canary());
    walk.after(0, |sight| {
        (sight.canary, sight.counters) = (Canary::Ready, Some(counted(1000, 0, 0)));
    });
    walk.after(1, |sight| sight.counters = Some(counted(1019, 1, 0)));
    assert_eq!(walk.state(), Some((State::Progressing, Reason::StepLasts, 10)), "too few to judge");
    walk.after(1, |sight| sight.counters = Some(counted(1020, 1, 0)));
    assert_eq!(walk.state(), Some((State::Failed, Reason::TooManyFailures, 0)));
    let message = &walk.status.as_ref().unwrap().message;
    assert!(message.starts_with("1 of 20 requests failed, 99 percent must not"), "{message}");
}

#[test]
fn too_slow_is_too_bad() {
    let mut walk = Walk::new(canary());
    walk.after(0, |sight| (sight.canary, sight.counters) = (Canary::Ready, Some(counted(0, 0, 0))));
    walk.after(1, |sight| sight.counters = Some(counted(100, 0, 2)));
    assert_eq!(walk.state(), Some((State::Failed, Reason::TooSlow, 0)));
}

#[test]
fn without_figures_it_waits_and_goes_on_when_they_come() {
    let mut walk = Walk::new(canary());
    walk.after(0, |sight| (sight.canary, sight.counters) = (Canary::Ready, Some(counted(0, 0, 0))));
    walk.after(1000, |sight| sight.counters = None);
    assert_eq!(walk.state(), Some((State::Paused, Reason::NoData, 10)));
    walk.after(1000, |sight| sight.counters = Some(counted(19, 0, 0)));
    assert_eq!(walk.state(), Some((State::Paused, Reason::NoData, 10)));
    walk.after(1, |sight| sight.counters = Some(counted(20, 0, 0)));
    assert_eq!(walk.state(), Some((State::Progressing, Reason::StepLasts, 50)));
    walk.after(1, |sight| sight.order = Some(Order::Promote));
    assert_eq!(walk.state(), Some((State::Promoting, Reason::Promoted, 50)));
}

#[test]
fn a_template_that_failed_is_not_tried_again_and_another_is() {
    let mut walk = Walk::new(canary());
    walk.after(0, |sight| sight.canary = Canary::Stuck);
    assert_eq!(walk.state(), Some((State::Failed, Reason::NotReady, 0)));
    let later = walk.after(100_000, |sight| sight.canary = Canary::Ready);
    assert!(later.keep_stable && !later.canary);
    walk.after(1, |sight| sight.wanted = "newer".into());
    assert_eq!(walk.state(), Some((State::Progressing, Reason::StepLasts, 10)));
    walk.after(1, |sight| sight.wanted = "old".into());
    assert_eq!(walk.state(), None, "what runs is wanted again");
}

#[test]
fn a_switch_waits_for_the_preview_and_for_somebody_if_it_is_to() {
    for auto in [true, false] {
        let mut walk = Walk::new(blue_green(auto));
        let preview = walk.after(0, |sight| sight.canary = Canary::Ready);
        assert!(preview.canary && preview.weight() == 0);
        walk.after(60, |_| {});
        if !auto {
            assert_eq!(walk.state(), Some((State::Paused, Reason::WaitsForPromotion, 0)));
            walk.after(9999, |_| {});
            assert_eq!(walk.state(), Some((State::Paused, Reason::WaitsForPromotion, 0)));
            walk.after(1, |sight| sight.order = Some(Order::Promote));
        }
        assert_eq!(walk.state(), Some((State::Progressing, Reason::StepLasts, 100)));
        if !auto {
            // An order that is seen twice, because its taker died, does not shorten what follows.
            walk.after(1, |sight| sight.order = Some(Order::Promote));
            assert_eq!(walk.state(), Some((State::Progressing, Reason::StepLasts, 100)));
        }
        let mut back = walk.clone();
        back.after(1, |sight| sight.order = Some(Order::Abort));
        assert_eq!(back.state(), Some((State::Failed, Reason::Aborted, 0)));
        walk.after(60, |_| {});
        assert_eq!(walk.state(), Some((State::Promoting, Reason::StepsPassed, 100)));
    }
}

#[test]
fn the_first_version_and_a_migration_have_their_time() {
    let mut walk = Walk::new(canary());
    let first = walk.after(0, |sight| sight.stable = None);
    assert_eq!(first, Decision { status: None, keep_stable: false, canary: false });
    let mut walk = Walk::new(canary());
    let held = walk.after(0, |sight| sight.may_start = false);
    assert!(held.keep_stable && !held.canary);
    assert_eq!(walk.state(), Some((State::Starting, Reason::WaitsForMigration, 0)));
    let promoted = walk.after(1, |sight| sight.order = Some(Order::Promote));
    assert!(promoted.keep_stable, "nothing goes before its migration");
    assert!(walk.after(1, |sight| sight.may_start = true).canary);
    assert_eq!(walk.state(), Some((State::Promoting, Reason::Promoted, 0)), "it was asked for");
}

#[test]
fn a_counter_that_begins_anew_counts_from_there() {
    let thresholds = canary().thresholds.unwrap();
    let before = counted(500, 9, 0);
    let restarted = counted(30, 0, 0);
    assert_eq!(judge(&thresholds, &before, &restarted), Verdict::Good);
    let restarted = counted(30, 3, 0);
    assert!(matches!(judge(&thresholds, &before, &restarted), Verdict::Bad(..)));
    assert_eq!(judge(&thresholds, &before, &[]), Verdict::Open);
}

#[test]
fn pods_of_a_new_version_are_as_many_as_its_largest_share_needs() {
    assert_eq!(canary().pods(1), 1);
    assert_eq!(canary().pods(3), 2);
    assert_eq!(blue_green(true).pods(3), 3);
}

/// So many seconds later: the pods, what they have counted since, what somebody asks for, whether it may start.
type Look = (i64, Canary, Option<(i64, i64, i64)>, Option<Order>, bool);

/// Anything that may be seen at some time.
fn anything() -> impl Strategy<Value = Look> {
    let canary = prop_oneof![Just(Canary::Starting), Just(Canary::Ready), Just(Canary::Stuck)];
    let ready = prop_oneof![6 => Just(Canary::Ready), 1 => canary];
    let figures = proptest::option::of((0..60_i64, 0..3_i64, 0..3_i64));
    let order = prop_oneof![
        12 => Just(None), 1 => Just(Some(Order::Promote)), 1 => Just(Some(Order::Abort))
    ];
    (0..90_i64, ready, figures, order, prop::bool::weighted(0.9))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_is_seen_nothing_unproven_takes_over(
        which in 0..3_usize,
        seen in prop::collection::vec(anything(), 1..40),
    ) {
        let recipe = [canary(), blue_green(true), blue_green(false)][which].clone();
        let mut walk = Walk::new(recipe.clone());
        let (mut requests, mut failures, mut slow) = (0, 0, 0);
        for (seconds, pods, figures, order, may_start) in seen {
            let before = walk.status.clone();
            if let Some((more, failed, late)) = figures {
                (requests, failures, slow) =
                    (requests + more, failures + failed.min(more), slow + late.min(more));
            }
            let decision = walk.after(seconds, |sight| {
                sight.canary = pods;
                sight.counters = figures.map(|_| counted(requests, failures, slow));
                sight.order = order;
                sight.may_start = may_start;
            });
            let status = decision.status.clone().expect("the old version is not the wanted one");
            let old = before.as_ref();
            let was = old.map_or(State::Starting, |old| old.state);
            // The old version keeps what it has until the new one takes over.
            prop_assert_eq!(decision.keep_stable, status.state != State::Promoting);
            // No request goes where there are no pods, or before they were all ready.
            prop_assert!(decision.weight() == 0 || decision.canary);
            prop_assert!(status.state != State::Starting || decision.weight() == 0);
            prop_assert!(was != State::Starting || status.weight == 0 || pods == Canary::Ready);
            // What was taken back stays away; what takes over is not stopped.
            prop_assert!(was != State::Failed || (Some(&status) == old && !decision.canary));
            if was != State::Failed && was != State::Promoting {
                prop_assert!(order != Some(Order::Abort) || status.state == State::Failed);
                prop_assert!(pods != Canary::Stuck || status.state == State::Failed);
            }
            // Shares only grow.
            let share = old.map_or(0, |old| old.weight);
            prop_assert!(status.state == State::Failed || status.weight >= share);
            if status.state == State::Promoting && was != State::Promoting {
                let promised = old.is_some_and(|old| old.promoted);
                let asked = promised || order == Some(Order::Promote);
                prop_assert!(asked || pods == Canary::Ready);
                if let (Some(thresholds), false) = (&recipe.thresholds, asked) {
                    let baseline = old.map(|old| old.baseline.clone()).unwrap_or_default();
                    let counters = walk.sight.counters.clone().expect("no figures, no promotion");
                    prop_assert_eq!(judge(thresholds, &baseline, &counters), Verdict::Good);
                }
            }
            // Nothing moves while the Shop is paused.
            let rest = at_rest(Some(&status), &walk.sight);
            prop_assert_eq!(rest.status, Some(status));
        }
    }

    #[test]
    fn an_operator_that_forgets_never_gives_a_version_up_or_away(
        seen in prop::collection::vec((anything(), prop::bool::weighted(0.1)), 1..40),
    ) {
        let mut walk = Walk::new(canary());
        for ((seconds, pods, figures, _, may_start), forgets) in seen {
            if forgets {
                walk.status = None;
            }
            let decision = walk.after(seconds, |sight| {
                sight.canary = pods;
                sight.counters = figures.map(|(requests, ..)| counted(requests.min(19), 0, 0));
                sight.may_start = may_start;
            });
            // Too little was measured at all times, so the old version is there at all times.
            prop_assert!(decision.keep_stable);
        }
    }
}
