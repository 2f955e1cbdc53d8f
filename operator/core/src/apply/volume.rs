//! Volumes that cannot have the size that they should have, in words that help.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::core::DynamicObject;

use crate::object::Object;
use crate::problem::Problem;
use crate::status::Reason;
use crate::validate::is_less;

/// Why a claim stays as large as it is, if that is what the API server's answer means: it says the same of many things.
pub(super) fn problem(
    desired: &Object,
    live: Option<&DynamicObject>,
    code: u16,
    message: &str,
) -> Option<Problem> {
    if desired.kind() != "PersistentVolumeClaim" || !matches!(code, 403 | 422) {
        return None;
    }
    let parse = |object: &DynamicObject| object.clone().try_parse::<PersistentVolumeClaim>().ok();
    let (wanted, live) = (size(&parse(&desired.body)?)?, parse(live?)?);
    let size = size(&live)?;
    let class = live.spec.and_then(|spec| spec.storage_class_name).unwrap_or_default();
    let phase = live.status.and_then(|status| status.phase);
    let stays = format!(
        "PersistentVolumeClaim {} stays as large as it is instead of {}",
        desired.name(),
        wanted.0
    );
    if is_less(&wanted, &size) {
        let message = format!("{stays}: it has {} and cannot shrink: ask for no less", size.0);
        return Some(Problem::permanent(Reason::VolumeCannotShrink, message));
    }
    if !is_less(&size, &wanted) {
        return None;
    }
    if phase.as_deref() != Some("Bound") {
        let message = format!("{stays}: it grows when it is bound to a volume");
        return Some(Problem::transient(Reason::VolumeNotBound, message));
    }
    message.contains("must support resize").then(|| {
        let message = format!(
            "{stays}: its storage class {class} lets no volume grow: set allowVolumeExpansion there if the class's \
             driver can do it, else move the data to another Shop"
        );
        Problem::permanent(Reason::VolumeCannotGrow, message)
    })
}

fn size(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage").cloned()
}
