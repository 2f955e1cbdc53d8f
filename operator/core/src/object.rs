//! An object of any kind, as it should stand in the cluster, and the order in which objects are
//! applied.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Write};
use std::sync::OnceLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Resource,
    core::{ApiResource, DynamicObject, GroupVersionKind, TypeMeta},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::role::Role;

/// Group, version, kind and plural of a kind that somebody else's operator has.
pub type CustomKind = (&'static str, &'static str, &'static str, &'static str);

/// What tells Prometheus where to find metrics.
pub const SERVICE_MONITOR: CustomKind =
    ("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors");
/// A route of Gateway API.
pub const HTTP_ROUTE: CustomKind = ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes");

/// An object of any kind, as it should stand in the cluster.
#[derive(Clone, Debug)]
pub struct Object {
    /// Where the API server keeps objects of this kind.
    pub resource: ApiResource,
    /// The object: what the operator owns of it, and nothing else.
    pub body: DynamicObject,
    fingerprint: OnceLock<u64>,
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.resource == other.resource && self.body == other.body
    }
}

impl Object {
    /// The object of a kind that Kubernetes itself has.
    pub fn new<K>(object: &K) -> Self
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        let body = serde_json::to_value(object)
            .and_then(serde_json::from_value)
            .expect("a Kubernetes object is JSON with a kind");
        Self { resource: ApiResource::erase::<K>(&()), body, fingerprint: OnceLock::new() }
    }

    /// The object of a kind that somebody else's operator has.
    pub fn custom(kind: CustomKind, metadata: ObjectMeta, spec: &Value) -> Self {
        let resource = custom_resource(kind);
        let types =
            TypeMeta { api_version: resource.api_version.clone(), kind: resource.kind.clone() };
        let data = json!({ "spec": spec });
        let body = DynamicObject { types: Some(types), metadata, data };
        Self { resource, body, fingerprint: OnceLock::new() }
    }

    /// Name of the object.
    pub fn name(&self) -> &str {
        self.body.metadata.name.as_deref().expect("every built object has a name")
    }

    /// Namespace of the object.
    pub fn namespace(&self) -> &str {
        self.body.metadata.namespace.as_deref().expect("every built object has a namespace")
    }

    /// Role of the object, from its labels.
    pub fn role(&self) -> Option<Role> {
        self.body.metadata.labels.as_ref().and_then(Role::of)
    }

    /// The object as JSON.
    pub fn value(&self) -> Value {
        serde_json::to_value(&self.body).unwrap_or_default()
    }

    /// A short stand-in for the object as it is when first asked for, for comparison within one process.
    pub fn fingerprint(&self) -> u64 {
        *self.fingerprint.get_or_init(|| {
            let mut hasher = DefaultHasher::new();
            serde_json::to_writer(HashWriter(&mut hasher), &self.body)
                .expect("a Kubernetes object is JSON");
            hasher.finish()
        })
    }

    /// Kind of the object.
    pub fn kind(&self) -> &str {
        &self.resource.kind
    }
}

/// Hashes what is written.
struct HashWriter<'a>(&'a mut DefaultHasher);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the API server keeps objects of a kind that somebody else's operator has.
pub fn custom_resource((group, version, kind, plural): CustomKind) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// When an object is applied. A stage begins when what it stands on is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Stage {
    /// Service accounts, network policies, configuration: stands on nothing.
    Foundation,
    /// The bundled Postgres, Redis, Kafka, object store and mail server.
    Engines,
    /// The Job that fills empty databases from a backup.
    Restore,
    /// Jobs that bring each database to the schema of its service's image.
    Migrations,
    /// Jobs that write demo data, once the schemas are there.
    Seeds,
    /// The services.
    Workloads,
    /// What leads to the services from outside: Ingress, HTTPRoute, ServiceMonitors.
    Exposure,
    /// What makes backups.
    Backups,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 8] = [
        Self::Foundation,
        Self::Engines,
        Self::Restore,
        Self::Migrations,
        Self::Seeds,
        Self::Workloads,
        Self::Exposure,
        Self::Backups,
    ];
}

/// All objects of a shop, by stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    stages: BTreeMap<Stage, Vec<Object>>,
}

impl Desired {
    /// Adds objects to a stage.
    pub fn add(&mut self, stage: Stage, objects: impl IntoIterator<Item = Object>) {
        self.stages.entry(stage).or_default().extend(objects);
    }

    /// The objects of a stage.
    pub fn stage(&self, stage: Stage) -> &[Object] {
        self.stages.get(&stage).map_or(&[], Vec::as_slice)
    }

    /// Every object, in the order of stages.
    pub fn iter(&self) -> impl Iterator<Item = (Stage, &Object)> {
        self.stages.iter().flat_map(|(stage, objects)| objects.iter().map(|o| (*stage, o)))
    }
}
