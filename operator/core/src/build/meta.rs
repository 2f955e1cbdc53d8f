//! Metadata of objects.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::{names, role::Role, validate::ValidatedShop};

/// Metadata of an object that goes when the Shop goes.
pub(super) fn owned(shop: &ValidatedShop, name: String, role: impl Into<Role>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(shop.namespace.clone()),
        labels: Some(names::object_labels(&shop.name, role)),
        owner_references: Some(vec![shop.owner.clone()]),
        ..ObjectMeta::default()
    }
}

/// Metadata of an object that holds data: whether it goes with the Shop is decided when that is deleted.
pub(super) fn data(shop: &ValidatedShop, name: String, role: impl Into<Role>) -> ObjectMeta {
    ObjectMeta {
        owner_references: None,
        annotations: Some(names::unowned_annotations(&shop.owner.uid)),
        ..owned(shop, name, role)
    }
}

/// Metadata of `<shop>-<component>`.
pub(super) fn child(shop: &ValidatedShop, role: impl Into<Role>) -> ObjectMeta {
    let role = role.into();
    owned(shop, names::child(&shop.name, role), role)
}

/// The same, with the version that the image names.
pub(super) fn versioned(mut metadata: ObjectMeta, image: &str) -> ObjectMeta {
    if let Some(version) = names::version_label(image) {
        metadata.labels.get_or_insert_default().insert(names::VERSION_LABEL.to_owned(), version);
    }
    metadata
}
