//! The volumes of the bundled engines.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, Volume,
    VolumeResourceRequirements,
};

use super::meta;
use crate::{crd::Storage, names, role::EngineKind, validate::ValidatedShop};

/// The volume of an engine as its pod sees it.
pub(super) fn data(shop: &ValidatedShop, engine: EngineKind) -> Volume {
    let claim = PersistentVolumeClaimVolumeSource {
        claim_name: names::volume_claim(&shop.name, engine),
        read_only: None,
    };
    Volume { name: "data".into(), persistent_volume_claim: Some(claim), ..Volume::default() }
}

/// The volume of an engine. It is an object of its own, because a StatefulSet could neither grow
/// the ones it makes nor leave them to the next Shop of that name.
pub(super) fn claim(
    shop: &ValidatedShop,
    engine: EngineKind,
    storage: &Storage,
) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: meta::data(shop, names::volume_claim(&shop.name, engine), engine),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".into(), storage.size.clone())])),
                limits: None,
            }),
            storage_class_name: storage.storage_class_name.clone(),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}
