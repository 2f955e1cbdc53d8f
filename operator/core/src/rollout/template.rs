//! What tells one version of a service from another: the template of its pods.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::core::DynamicObject;
use serde_json::Value;

use crate::drift;
use crate::names;

/// Where a Deployment has the template of its pods.
const PATH: [&str; 2] = ["spec", "template"];

/// The template as it is noted in [`names::TEMPLATE`]. The hash of Secrets is no part of it: a new password is for
/// all pods, whatever their version.
pub fn note(template: &PodTemplateSpec) -> String {
    let mut template = serde_json::to_value(template).unwrap_or_default();
    if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("annotations");
    }
    template.to_string()
}

/// A short stand-in for a noted template.
pub fn hash(note: &str) -> String {
    names::short_hash(note)
}

fn read(note: &str) -> Option<PodTemplateSpec> {
    serde_json::from_str(note).ok()
}

/// The template that the operator last gave the pods of a Deployment: as noted there, or, before anything was noted,
/// what it has set.
pub fn of_live(live: &DynamicObject, wanted: &PodTemplateSpec) -> Option<PodTemplateSpec> {
    let noted = live.metadata.annotations.as_ref().and_then(|all| all.get(names::TEMPLATE));
    if let Some(mut template) = noted.and_then(|note| read(note)) {
        let path = "/spec/template/metadata/annotations";
        let hash = live.data.pointer(path).and_then(|all| all[names::SECRETS_HASH].as_str());
        let hash = hash.map(|hash| (names::SECRETS_HASH.to_owned(), hash.to_owned()));
        template.metadata.get_or_insert_default().annotations = hash.map(|hash| [hash].into());
        return Some(template);
    }
    let live = serde_json::to_value(live).ok()?;
    // The server may have put it into other words; what it means is the same.
    let same = serde_json::to_value(wanted).ok()?;
    if drift::is_part_applied(&same, &live, names::OPERATOR, &PATH) {
        return Some(wanted.clone());
    }
    serde_json::from_value(drift::applied_part(&live, names::OPERATOR, &PATH)?).ok()
}
