//! Leaves `replicas` to an autoscaler without a moment of one replica.
//!
//! An apply that no longer names a field of which it was the only owner removes the field, and
//! the API server then fills in the default: one replica, under load. So the number is first
//! given to another manager, as the documentation of server-side apply advises
//! (Kubernetes: Server-Side Apply, "Transferring ownership").

use serde_json::{Value, json};

/// The manager that holds `replicas` until the autoscaler writes it.
pub const HANDOVER: &str = "shop-operator-handover";

/// What to apply as [`HANDOVER`] before `desired`, if `live` has replicas that only `manager` owns.
pub(super) fn replicas(desired: &Value, live: &Value, manager: &str) -> Option<Value> {
    if desired["kind"] != "Deployment" || !desired["spec"]["replicas"].is_null() {
        return None;
    }
    let owners = live["metadata"]["managedFields"].as_array()?.iter().filter(|entry| {
        !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null() && entry["subresource"] != "status"
    });
    let only_ours = owners.clone().count() > 0 && owners.clone().all(|e| e["manager"] == manager);
    only_ours.then(|| {
        json!({
            "apiVersion": desired["apiVersion"],
            "kind": desired["kind"],
            "metadata": { "name": desired["metadata"]["name"] },
            "spec": { "replicas": live["spec"]["replicas"] },
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(manager: &str) -> Value {
        json!({
            "metadata": { "managedFields": [
                { "manager": manager, "fieldsV1": { "f:spec": { "f:replicas": {} } } },
            ] },
            "spec": { "replicas": 5 },
        })
    }

    #[test]
    fn only_a_number_that_is_ours_is_handed_over() {
        let desired = json!({ "kind": "Deployment", "metadata": { "name": "a" }, "spec": {} });
        assert_eq!(replicas(&desired, &live("us"), "us").unwrap()["spec"]["replicas"], 5);
        assert_eq!(replicas(&desired, &live("autoscaler"), "us"), None);
        let fixed = json!({ "kind": "Deployment", "spec": { "replicas": 2 } });
        assert_eq!(replicas(&fixed, &live("us"), "us"), None);
    }
}
