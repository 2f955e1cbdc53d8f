//! What it takes to apply an object, given what is there: nothing, a write, or a problem to report.

mod handover;
mod volume;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::core::DynamicObject;
use serde_json::Value;

use crate::drift;
use crate::names::{self, INSTANCE_LABEL, MANAGED_BY_LABEL, OPERATOR};
use crate::object::Object;
use crate::problem::Problem;
use crate::status::Reason;

pub use handover::HANDOVER;

/// The Shop that an object is applied for.
#[derive(Clone, Copy, Debug)]
pub struct Applicant<'a> {
    /// Name of the Shop.
    pub name: &'a str,
    /// UID of the Shop.
    pub uid: &'a str,
}

/// What it takes to apply an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing: it is as it should be.
    Unchanged,
    /// A server-side apply. Before it, this one by the manager [`HANDOVER`].
    Write(Option<Value>),
}

/// What to do after the API server refused an apply.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// Delete the object of the UID and version that was read, and apply again: a field that cannot change has to.
    Recreate {
        /// Whether its pods stay.
        orphan: bool,
    },
    /// Report.
    Report(Problem),
}

/// Compares an object with what is there. Foreign objects, objects of a deleted Shop and objects that are being deleted are
/// left alone.
pub fn decide(
    object: &Object,
    live: Option<&DynamicObject>,
    shop: Applicant<'_>,
) -> Result<Step, Problem> {
    let Some(live) = live else { return Ok(Step::Write(None)) };
    check_ownership(object.kind(), &live.metadata, shop)?;
    let live = serde_json::to_value(live).unwrap_or_default();
    let desired = object.value();
    if drift::is_applied(&desired, &live, OPERATOR) {
        return Ok(Step::Unchanged);
    }
    Ok(Step::Write(handover::replicas(&desired, &live, OPERATOR)))
}

/// What to do when the API server refuses an apply with this code and message.
pub fn refused(object: &Object, live: Option<&DynamicObject>, code: u16, message: &str) -> Refusal {
    if live.is_some() && is_immutable(code, message) {
        match object.kind() {
            // What its pods did belongs to the old Job.
            "Job" => return Refusal::Recreate { orphan: false },
            "StatefulSet" => return Refusal::Recreate { orphan: true },
            _ => {}
        }
    }
    let id = format!("{} {}", object.kind(), object.name());
    Refusal::Report(volume::problem(object, live, code, message).unwrap_or_else(|| Problem {
        reason: Reason::ApplyFailed,
        message: format!("apply {id}: {message}"),
        permanent: is_permanent(code),
    }))
}

/// Whether the API server understood a request and will refuse it again.
pub const fn is_permanent(code: u16) -> bool {
    matches!(code, 400 | 403 | 405 | 422)
}

/// Whether an object may be changed for a Shop: its own, or one that a Shop of this name left.
pub fn check_ownership(
    kind: &str,
    metadata: &ObjectMeta,
    shop: Applicant<'_>,
) -> Result<(), Problem> {
    let name = metadata.name.as_deref().unwrap_or_default();
    let id = format!("{kind} {name}");
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    match owners.iter().find(|owner| owner.controller == Some(true)) {
        Some(owner) if owner.uid == shop.uid => {}
        Some(OwnerReference { kind, name, .. }) if kind == "Shop" && name == shop.name => {
            let message = format!("{id} of a deleted Shop of this name is not gone yet");
            return Err(Problem::transient(Reason::PredecessorNotGone, message));
        }
        None if is_labelled(metadata, shop.name) || is_marked(metadata, shop.uid) => {}
        None if has_mark(metadata) => return Err(unlabelled(kind, name, shop.name)),
        Some(_) | None => {
            let message = format!("{id} exists and is not the Shop's: rename or delete it");
            return Err(Problem::permanent(Reason::NameTaken, message));
        }
    }
    if metadata.deletion_timestamp.is_some() {
        let message = format!("{id} is being deleted");
        return Err(Problem::transient(Reason::ObjectTerminating, message));
    }
    Ok(())
}

/// What a Shop of this name has left, and something has removed the labels of.
fn unlabelled(kind: &str, name: &str, shop: &str) -> Problem {
    let message = format!(
        "{kind} {name} was left by a Shop and has lost its labels: if it was the Shop {shop}, set them again with \
         `kubectl label {} {name} {MANAGED_BY_LABEL}={OPERATOR} {INSTANCE_LABEL}={shop}`, else rename it",
        kind.to_lowercase()
    );
    Problem::permanent(Reason::NameTaken, message)
}

fn is_labelled(metadata: &ObjectMeta, shop: &str) -> bool {
    let label = |name| metadata.labels.as_ref().and_then(|labels| labels.get(name));
    label(MANAGED_BY_LABEL).is_some_and(|value| value == OPERATOR)
        && label(INSTANCE_LABEL).is_some_and(|value| value == shop)
}

fn is_marked(metadata: &ObjectMeta, uid: &str) -> bool {
    names::shop_uid(metadata).is_some_and(|mark| mark == uid)
}

fn has_mark(metadata: &ObjectMeta) -> bool {
    names::shop_uid(metadata).is_some()
}

/// Whether the API server refused to change a field that cannot change. It has no code of its own.
fn is_immutable(code: u16, message: &str) -> bool {
    code == 422
        && (message.contains("field is immutable")
            || message.contains("updates to statefulset spec"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: Applicant<'static> = Applicant { name: "demo", uid: "u" };

    fn metadata(value: Value) -> ObjectMeta {
        serde_json::from_value(value).unwrap()
    }

    fn reason(value: Value) -> Option<Reason> {
        check_ownership("Secret", &metadata(value), SHOP).err().map(|problem| problem.reason)
    }

    #[test]
    fn only_own_and_left_objects_are_changed() {
        let owner = |uid: &str, name: &str| serde_json::json!([{ "apiVersion": "v", "kind": "Shop", "name": name, "uid": uid, "controller": true }]);
        let labels = names::object_labels("demo", crate::role::Role::Shop);
        assert_eq!(reason(serde_json::json!({ "ownerReferences": owner("u", "demo") })), None);
        assert_eq!(reason(serde_json::json!({ "labels": labels })), None, "a Shop left it");
        let marked =
            |uid: &str| serde_json::json!({ "name": "s", "annotations": { names::SHOP_UID: uid } });
        assert_eq!(reason(marked("u")), None, "it has lost its labels");
        assert_eq!(reason(marked("other")), Some(Reason::NameTaken));
        let problem = check_ownership("Secret", &metadata(marked("other")), SHOP).unwrap_err();
        assert!(problem.message.contains("kubectl label secret s "), "{}", problem.message);
        let old = serde_json::json!({ "labels": labels, "ownerReferences": owner("old", "demo") });
        assert_eq!(reason(old), Some(Reason::PredecessorNotGone));
        let other = serde_json::json!({ "labels": labels, "ownerReferences": owner("x", "other") });
        assert_eq!(reason(other), Some(Reason::NameTaken));
        assert_eq!(reason(serde_json::json!({})), Some(Reason::NameTaken));
        let going =
            serde_json::json!({ "labels": labels, "deletionTimestamp": "2026-01-01T00:00:00Z" });
        assert_eq!(reason(going), Some(Reason::ObjectTerminating));
    }
}
