//! Rollouts in steps, in words.

use super::assessment::{Assessment, Part};
use super::reason::Reason;
use crate::crd::{RolloutReason, RolloutState, RolloutStatus};

/// How the services are that are rolled out in steps; a shop without any has no such state.
pub(super) fn part(assessment: &Assessment) -> Part {
    if !assessment.valid.as_ref().is_some_and(crate::validate::ValidatedShop::rolls_out_in_steps) {
        let message = "every service is rolled out pod by pod".to_owned();
        return Part::Missing(Reason::NotWanted, message);
    }
    let Some(rollouts) = &assessment.rollouts else { return Part::Unknown };
    let of = |states: &[RolloutState]| {
        let such: Vec<_> = rollouts.iter().filter(|r| states.contains(&r.state)).collect();
        let words: Vec<String> = such.iter().map(|rollout| describe(rollout)).collect();
        (!words.is_empty()).then(|| words.join("; "))
    };
    if let Some(words) = of(&[RolloutState::Failed]) {
        return Part::Failed(Reason::RolloutFailed, words);
    }
    if let Some(words) = of(&[RolloutState::Paused]) {
        return Part::Waiting(Reason::RolloutPaused, words);
    }
    let under_way = [RolloutState::Starting, RolloutState::Progressing, RolloutState::Promoting];
    match of(&under_way) {
        Some(words) => Part::Waiting(Reason::RolloutProgressing, words),
        None => {
            Part::Ready(Reason::RolloutsSettled, "every service has its wanted version".to_owned())
        }
    }
}

/// A rollout in one sentence, which stays the same while nothing happens.
pub fn describe(rollout: &RolloutStatus) -> String {
    let RolloutStatus { name, step, weight, message, .. } = rollout;
    let step = i64::from(*step) + 1;
    let share = format!("the new version gets {weight} percent of the requests in step {step}");
    let text = match (rollout.state, rollout.reason) {
        (RolloutState::Starting, RolloutReason::WaitsForMigration) => {
            "the new version waits for its migration".to_owned()
        }
        (RolloutState::Starting, _) => "the pods of the new version start".to_owned(),
        (RolloutState::Progressing, _) => share,
        (RolloutState::Paused, RolloutReason::WaitsForPromotion) => {
            format!("{share} and waits to be promoted")
        }
        (RolloutState::Paused, RolloutReason::NoData) => {
            format!("{share}, too few to judge it by")
        }
        (RolloutState::Paused, _) => format!("{share}, and its pods are not all ready"),
        (RolloutState::Promoting, _) => "the new version takes over".to_owned(),
        (RolloutState::Failed, _) => format!("the new version was taken back: {message}"),
    };
    format!("{name}: {text}")
}
