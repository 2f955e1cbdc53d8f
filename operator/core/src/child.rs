//! Cached state of the objects of a Shop: identity, version, role and status.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, DynamicObject};
use serde_json::Value;

use crate::names;
use crate::object::Object;
use crate::role::Role;

/// Kind and name of a child; its namespace is that of its Shop.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildKey {
    /// Plural and group, e.g. `deployments.apps`: unlike the kind it is unique.
    pub resource: Arc<str>,
    /// Name of the object.
    pub name: String,
}

impl ChildKey {
    /// The key of an object of a kind.
    pub fn new(resource: &ApiResource, name: &str) -> Self {
        Self { resource: resource_name(resource), name: name.to_owned() }
    }

    /// The key of a desired object.
    pub fn of(object: &Object) -> Self {
        Self::new(&object.resource, object.name())
    }

    /// Whether it is the key of an object of this kind.
    pub fn is_of(&self, resource: &ApiResource) -> bool {
        self.resource == resource_name(resource)
    }

    /// The key of a Secret.
    pub fn secret(name: &str) -> Self {
        Self { resource: "secrets.".into(), name: name.to_owned() }
    }
}

/// Plural and group of a kind.
pub fn resource_name(resource: &ApiResource) -> Arc<str> {
    format!("{}.{}", resource.plural, resource.group).into()
}

/// A child as it was last seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub version: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// UID of the controller in `metadata.ownerReferences`.
    pub owner: Option<String>,
    /// Whether it has any owner.
    pub has_owners: bool,
    /// Its role, from its labels.
    pub role: Option<Role>,
    /// UID of the Shop that made or adopted it, of objects that may outlive it.
    pub shop_uid: Option<String>,
    /// Whether it has a deletion timestamp.
    pub deleting: bool,
    /// `status`, for kinds whose status matters.
    pub status: Value,
}

impl Seen {
    /// Keeps what is remembered of an object.
    pub fn new(metadata: &ObjectMeta, status: Value) -> Self {
        let owners = metadata.owner_references.as_deref().unwrap_or_default();
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            version: metadata.resource_version.clone().unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            owner: owners.iter().find(|o| o.controller == Some(true)).map(|o| o.uid.clone()),
            has_owners: !owners.is_empty(),
            role: metadata.labels.as_ref().and_then(Role::of),
            shop_uid: names::shop_uid(metadata).map(str::to_owned),
            deleting: metadata.deletion_timestamp.is_some(),
            status,
        }
    }

    /// Keeps what is remembered of an object that was read or written.
    pub fn of(object: &DynamicObject) -> Self {
        Self::new(&object.metadata, object.data.get("status").cloned().unwrap_or_default())
    }
}
