//! What keeps the pods of a shop from working, in the cluster's own words.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod, PodStatus,
};
use kube::ResourceExt as _;

use crate::role::Role;
use crate::status::Reason;

/// Restarts after which a container that is not ready counts as crashing, also in the moments when it runs.
const RESTARTS: i32 = 3;
/// The kubelet's reason for a container that it restarts later and later.
const BACK_OFF: &str = "CrashLoopBackOff";
/// The kubelet's reasons for an image that it cannot get (`pkg/kubelet/images/types.go`).
const NO_IMAGE: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];
/// The kubelet's reasons for a container that it cannot make or start (`pkg/kubelet/kuberuntime/kuberuntime_container.go`).
const NO_CONTAINER: [&str; 3] =
    ["CreateContainerConfigError", "CreateContainerError", "RunContainerError"];
/// How long the scheduler may look for a node: a new one, or one that a pod has just left.
const SCHEDULING: SignedDuration = SignedDuration::from_secs(10);

/// What keeps a pod from working.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodProblem {
    /// Role of the pod.
    pub role: Role,
    /// The kind of problem.
    pub reason: Reason,
    /// Pod and container, what is wrong, and what to do.
    pub message: String,
}

/// What is wrong with pods, one problem per role, always in the same order.
pub fn problems(pods: &[Pod], now: Timestamp) -> Vec<PodProblem> {
    let mut problems: Vec<PodProblem> = pods.iter().filter_map(|pod| problem(pod, now)).collect();
    problems.sort_by(|a, b| (a.role, &a.message).cmp(&(b.role, &b.message)));
    problems.dedup_by(|a, b| a.role == b.role);
    problems
}

fn problem(pod: &Pod, now: Timestamp) -> Option<PodProblem> {
    let role = Role::of(pod.labels())?;
    let status = pod.status.as_ref().filter(|_| pod.metadata.deletion_timestamp.is_none())?;
    let (reason, message) = unscheduled(pod, status, now).or_else(|| {
        let containers = [&status.init_container_statuses, &status.container_statuses];
        containers.into_iter().flatten().flatten().find_map(|container| stuck(pod, container))
    })?;
    Some(PodProblem { role, reason, message: format!("{role}: {message}") })
}

fn unscheduled(pod: &Pod, status: &PodStatus, now: Timestamp) -> Option<(Reason, String)> {
    let condition = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    let since = condition.last_transition_time.as_ref()?.0;
    let words = condition.message.as_deref().unwrap_or("no reason given");
    (now.duration_since(since) >= SCHEDULING).then(|| {
        let pod = pod.name_any();
        (Reason::Unschedulable, format!("no node takes pod {pod}: {words}"))
    })
}

fn stuck(pod: &Pod, container: &ContainerStatus) -> Option<(Reason, String)> {
    let (namespace, pod, name) =
        (pod.namespace().unwrap_or_default(), pod.name_any(), &container.name);
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    let kind = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default();
    if NO_IMAGE.contains(&kind) {
        let image = &container.image;
        let message = format!(
            "pod {pod} cannot get the image {image} of container {name} ({})",
            words(waiting)
        );
        return Some((Reason::ImageUnavailable, message));
    }
    if NO_CONTAINER.contains(&kind) {
        let message =
            format!("container {name} of pod {pod} cannot be started ({})", words(waiting));
        return Some((Reason::ContainerNotStarted, message));
    }
    let crashes = kind == BACK_OFF
        || !container.ready && container.restart_count >= RESTARTS && last(container).is_some();
    crashes.then(|| {
        let message = format!(
            "container {name} of pod {pod} crashes again and again ({}): see `kubectl logs --previous -n {namespace} \
             {pod} -c {name}`, and correct the Shop",
            ended(container)
        );
        (Reason::CrashLooping, message)
    })
}

/// What the kubelet says.
fn words(waiting: Option<&ContainerStateWaiting>) -> String {
    let said = |words: &Option<String>| words.clone().unwrap_or_default();
    waiting.map_or_else(String::new, |waiting| {
        let (reason, message) = (said(&waiting.reason), said(&waiting.message));
        if message.is_empty() { reason } else { format!("{reason}: {message}") }
    })
}

fn last(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    container.last_state.as_ref()?.terminated.as_ref()
}

/// How a container ended the last time, as the kubelet says it.
fn ended(container: &ContainerStatus) -> String {
    last(container).map_or_else(
        || BACK_OFF.to_owned(),
        |last| {
            let reason = last.reason.as_deref().unwrap_or("no reason given");
            format!("{reason}, exit code {}", last.exit_code)
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::names;

    fn pod(component: &str, container: &Value) -> Pod {
        let mut status = json!({
            "name": component, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {},
        });
        status.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
        serde_json::from_value(json!({
            "metadata": {
                "name": format!("demo-{component}-1"), "namespace": "shops",
                "labels": { names::COMPONENT_LABEL: component },
            },
            "status": { "containerStatuses": [status] },
        }))
        .unwrap()
    }

    fn found(pods: &[Pod]) -> Vec<(Reason, String)> {
        let problems = problems(pods, "2026-01-01T00:01:00Z".parse().unwrap());
        problems.into_iter().map(|problem| (problem.reason, problem.message)).collect()
    }

    #[test]
    fn a_container_that_is_restarted_later_and_later_crashes() {
        let terminated = json!({ "terminated": { "reason": "Error", "exitCode": 2 } });
        let back_off = json!({ "waiting": { "reason": BACK_OFF } });
        let waits = pod("order", &json!({ "state": back_off, "lastState": terminated }));
        let runs =
            json!({ "restartCount": 4, "lastState": terminated, "state": { "running": {} } });
        let found = found(&[waits.clone(), pod("cart", &runs), waits]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].1.starts_with("cart: container cart of pod demo-cart-1 crashes"));
        assert_eq!(found[1].0, Reason::CrashLooping);
        for part in ["container order of pod demo-order-1", "Error, exit code 2", "kubectl logs"] {
            assert!(found[1].1.contains(part), "{}", found[1].1);
        }
    }

    #[test]
    fn what_the_kubelet_waits_for_is_said_in_its_words() {
        let waits = |reason: &str, message: &str| {
            let waiting = json!({ "waiting": { "reason": reason, "message": message } });
            pod("order", &json!({ "image": "r/order:9", "state": waiting }))
        };
        let pull = "Back-off pulling image: ErrImagePull: not found";
        assert_eq!(
            found(&[waits("ImagePullBackOff", pull)]),
            [(
                Reason::ImageUnavailable,
                format!(
                    "order: pod demo-order-1 cannot get the image r/order:9 of container order (ImagePullBackOff: {pull})"
                )
            )]
        );
        let config = "secret \"keys\" not found";
        assert_eq!(
            found(&[waits("CreateContainerConfigError", config)]),
            [(
                Reason::ContainerNotStarted,
                format!(
                    "order: container order of pod demo-order-1 cannot be started (CreateContainerConfigError: {config})"
                )
            )]
        );
    }

    #[test]
    fn a_pod_that_no_node_takes_is_reported_after_ten_seconds() {
        let waits_since = |time: &str| {
            let mut pod = pod("postgres", &json!({}));
            let condition = json!([{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": "0/1 nodes are available: 1 Insufficient memory.", "lastTransitionTime": time,
            }]);
            pod.status = serde_json::from_value(json!({ "conditions": condition })).unwrap();
            pod
        };
        assert_eq!(found(&[waits_since("2026-01-01T00:00:51Z")]), []);
        let message = "postgres: no node takes pod demo-postgres-1: 0/1 nodes are available: 1 Insufficient memory.";
        assert_eq!(
            found(&[waits_since("2026-01-01T00:00:50Z")]),
            [(Reason::Unschedulable, message.to_owned())]
        );
    }

    #[test]
    fn a_container_that_starts_or_works_has_no_problem() {
        let terminated = json!({ "terminated": { "reason": "Error", "exitCode": 2 } });
        let mut going = pod("user", &json!({ "state": { "waiting": { "reason": BACK_OFF } } }));
        going.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        let pods = [
            pod("catalog", &json!({ "state": { "waiting": { "reason": "ContainerCreating" } } })),
            pod("cart", &json!({ "ready": true, "restartCount": 9, "lastState": terminated })),
            pod("order", &json!({ "restartCount": 1, "lastState": terminated })),
            going,
        ];
        assert_eq!(found(&pods), []);
    }
}
