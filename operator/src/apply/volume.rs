//! Volumes that cannot have the size that they should have, in words that help.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::core::{DynamicObject, Status};
use operator_core::object::Object;
use operator_core::status::Reason;
use operator_core::validate::is_less;

/// Why a claim stays as large as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// Only a bound claim can grow.
    #[error("it grows when it is bound to a volume")]
    Unbound,
    /// The class of the volume forbids it.
    #[error(
        "its storage class {class} lets no volume grow: set allowVolumeExpansion there if the class's \
         driver can do it, else move the data to another Shop"
    )]
    Class {
        /// The storage class.
        class: String,
    },
    /// The volume of a Shop that was deleted is larger.
    #[error("it has {size} and cannot shrink: ask for no less")]
    Larger {
        /// Its size.
        size: String,
    },
}

impl Obstacle {
    /// The word for conditions and metric labels.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Unbound => Reason::VolumeNotBound,
            Self::Class { .. } => Reason::VolumeCannotGrow,
            Self::Larger { .. } => Reason::VolumeCannotShrink,
        }
    }

    /// Whether only a change can help.
    pub const fn is_permanent(&self) -> bool {
        !matches!(self, Self::Unbound)
    }
}

/// What a claim should have, and why it cannot, if that is what the API server's answer means: it
/// says the same of many things.
pub(super) fn obstacle(
    wanted: &Object,
    live: Option<&DynamicObject>,
    answer: &Status,
) -> Option<(Quantity, Obstacle)> {
    if wanted.kind() != "PersistentVolumeClaim" || !matches!(answer.code, 403 | 422) {
        return None;
    }
    let parse = |object: &DynamicObject| object.clone().try_parse::<PersistentVolumeClaim>().ok();
    let (wanted, live) = (size(&parse(&wanted.body)?)?, parse(live?)?);
    let size = size(&live)?;
    let class = live.spec.and_then(|spec| spec.storage_class_name).unwrap_or_default();
    let phase = live.status.and_then(|status| status.phase);
    let obstacle = if is_less(&wanted, &size) {
        Obstacle::Larger { size: size.0 }
    } else if !is_less(&size, &wanted) {
        return None;
    } else if phase.as_deref() != Some("Bound") {
        Obstacle::Unbound
    } else if answer.message.contains("must support resize") {
        Obstacle::Class { class }
    } else {
        return None;
    };
    Some((wanted, obstacle))
}

fn size(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage").cloned()
}
