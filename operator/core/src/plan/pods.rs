//! What keeps pods from working, or from being made at all.

use serde_json::Value;

use crate::facts::Facts;
use crate::pods::PodProblem;
use crate::role::{EngineKind, Role};
use crate::status::{Part, Reason};

/// The problems of a Shop's pods, by role.
pub(super) fn problems(facts: &Facts) -> Vec<PodProblem> {
    let mut problems = facts.pod_problems.clone();
    problems.extend(refused(facts));
    problems.sort_by_key(|problem| problem.role);
    problems
}

/// The state of an engine whose pods have a problem.
pub(super) fn of_engine(facts: &Facts, engine: EngineKind) -> Option<Part> {
    let mut problems = facts.pod_problems.iter();
    let problem = problems.find(|problem| problem.role == Role::Engine(engine))?;
    Some(Part::Failed(problem.reason, problem.message.clone()))
}

/// Deployments whose pods the API server refuses: a quota, an admission webhook, a policy.
fn refused(facts: &Facts) -> impl Iterator<Item = PodProblem> {
    let uid = facts.uid();
    let deployments = facts.children.iter().filter(|(key, _)| &*key.resource == "deployments.apps");
    deployments.filter(move |(_, child)| child.seen.owner.as_deref() == Some(&*uid)).filter_map(
        |(key, child)| {
            let role = child.seen.role?;
            let conditions = child.seen.status["conditions"].as_array()?;
            let failure = conditions.iter().find(|condition| is_refusal(condition))?;
            let words = failure["message"].as_str().unwrap_or("no reason given");
            let message = format!("{role}: no pod of Deployment {} can be made: {words}", key.name);
            Some(PodProblem { role, reason: Reason::PodsRefused, message })
        },
    )
}

fn is_refusal(condition: &Value) -> bool {
    condition["type"] == "ReplicaFailure" && condition["status"] == "True"
}
