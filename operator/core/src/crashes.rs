//! Containers of a shop that crash again and again.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use kube::ResourceExt as _;

use crate::role::Role;

/// Restarts after which a container that is not ready counts as crashing, also in the moments when it runs.
const RESTARTS: i32 = 3;
/// The kubelet's reason for a container that it restarts later and later.
const BACK_OFF: &str = "CrashLoopBackOff";

/// A container that crashes again and again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crash {
    /// Role of its pod.
    pub role: Role,
    /// What crashes, how, and what to do.
    pub message: String,
}

/// The crashing containers among pods, one per component, always in the same order.
pub fn crashes(pods: &[Pod]) -> Vec<Crash> {
    let mut crashes: Vec<Crash> = pods.iter().filter_map(crash).collect();
    crashes.sort();
    crashes.dedup_by(|a, b| a.role == b.role);
    crashes
}

fn crash(pod: &Pod) -> Option<Crash> {
    let role = Role::of(pod.labels())?;
    let status = pod.status.as_ref().filter(|_| pod.metadata.deletion_timestamp.is_none())?;
    let statuses = [&status.init_container_statuses, &status.container_statuses];
    let container = statuses.into_iter().flatten().flatten().find(|c| is_crashing(c))?;
    let (namespace, pod) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let name = &container.name;
    let message = format!(
        "{role}: container {name} of pod {pod} crashes again and again ({}): see `kubectl logs --previous -n \
         {namespace} {pod} -c {name}`, and correct the Shop",
        ended(container)
    );
    Some(Crash { role, message })
}

fn is_crashing(container: &ContainerStatus) -> bool {
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    let backs_off = waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some(BACK_OFF));
    backs_off
        || !container.ready && container.restart_count >= RESTARTS && last(container).is_some()
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

    #[test]
    fn a_container_that_is_restarted_later_and_later_crashes() {
        let terminated = json!({ "terminated": { "reason": "Error", "exitCode": 2 } });
        let back_off = json!({ "waiting": { "reason": BACK_OFF } });
        let waits = pod("order", &json!({ "state": back_off, "lastState": terminated }));
        let runs =
            json!({ "restartCount": 4, "lastState": terminated, "state": { "running": {} } });
        let pods = [waits.clone(), pod("cart", &runs), waits];
        let found = crashes(&pods);
        let components: Vec<String> = found.iter().map(|crash| crash.role.to_string()).collect();
        assert_eq!(components, ["cart", "order"]);
        for part in ["container order of pod demo-order-1", "Error, exit code 2", "kubectl logs"] {
            assert!(found[1].message.contains(part), "{}", found[1].message);
        }
    }

    #[test]
    fn a_container_that_starts_or_works_does_not_crash() {
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
        assert_eq!(crashes(&pods), []);
    }
}
