//! The status of a Shop that cannot be parsed.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Reason, conditions};
use crate::problem::Problem;

/// Sets `Degraded` in the status of a Shop that cannot be parsed, and keeps everything else: its services still run.
pub fn unreadable(old: &Value, generation: Option<i64>, error: &str, now: Timestamp) -> Value {
    let mut status = old.as_object().cloned().unwrap_or_default();
    let known = status.get("conditions").cloned();
    // Unreadable conditions are dropped; the next reconciliation sets all of them.
    let known = known.and_then(|known| serde_json::from_value(known).ok()).unwrap_or_default();
    let message = format!(
        "this version of the operator cannot parse the Shop: {error}. It does not reconcile it until it can: correct the \
         Shop, or upgrade the operator"
    );
    let problem = Problem::permanent(Reason::InvalidSpec, message);
    let conditions = conditions::degraded_by(&problem, known, generation, now);
    status.insert("conditions".to_owned(), json!(conditions));
    status.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_shops_keep_their_status_but_degraded() {
        let now = Timestamp::from_second(1).unwrap();
        let ready = json!({
            "type": "Ready", "status": "True", "reason": "Available", "message": "a shopper can buy",
            "lastTransitionTime": "1970-01-01T00:00:00Z", "observedGeneration": 1,
        });
        let old = json!({ "future": [1], "observedGeneration": 1, "conditions": [ready] });
        let new = unreadable(&old, Some(2), "spec.a: unknown variant", now);
        assert_eq!((&new["future"], &new["observedGeneration"]), (&json!([1]), &json!(1)));
        assert_eq!(new["conditions"][0]["type"], "Ready");
        assert_eq!(new["conditions"][0]["status"], "True");
        let degraded = &new["conditions"][1];
        assert_eq!((&degraded["type"], &degraded["status"]), (&json!("Degraded"), &json!("True")));
        assert_eq!(degraded["reason"], "InvalidSpec");
        assert!(degraded["message"].as_str().unwrap().contains("spec.a: unknown variant"));
        let later = Timestamp::from_second(9).unwrap();
        assert_eq!(unreadable(&new, Some(2), "spec.a: unknown variant", later), new);
    }

    #[test]
    fn unreadable_status_is_replaced() {
        let now = Timestamp::from_second(1).unwrap();
        for old in [Value::Null, json!(3), json!({ "conditions": "none" })] {
            let new = unreadable(&old, None, "why", now);
            assert_eq!(new["conditions"][0]["type"], "Degraded", "{old}");
        }
    }
}
