//! The kinds of objects that a Shop has.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::ApiResource;

use crate::object::{HTTP_ROUTE, SERVICE_MONITOR, custom_resource};
use crate::validate::Capabilities;

/// Kinds whose status matters.
pub fn workloads() -> [ApiResource; 3] {
    [
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<StatefulSet>(&()),
        ApiResource::erase::<Job>(&()),
    ]
}

/// Kinds of which the metadata is enough.
pub fn others() -> [ApiResource; 9] {
    [
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Secret>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<ServiceAccount>(&()),
        ApiResource::erase::<HorizontalPodAutoscaler>(&()),
        ApiResource::erase::<CronJob>(&()),
        ApiResource::erase::<Ingress>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
    ]
}

/// Volumes are never deleted because a spec does not name them; the deletion of a Shop decides about them.
pub fn volumes() -> ApiResource {
    ApiResource::erase::<PersistentVolumeClaim>(&())
}

/// Optional kinds that the cluster has.
pub fn optional(capabilities: Capabilities) -> Vec<ApiResource> {
    let monitors = capabilities.service_monitors.then(|| custom_resource(SERVICE_MONITOR));
    let routes = capabilities.http_routes.then(|| custom_resource(HTTP_ROUTE));
    monitors.into_iter().chain(routes).collect()
}

/// Kinds of which objects are deleted when the Shop does not want them any more.
pub fn prunable(capabilities: Capabilities) -> Vec<ApiResource> {
    workloads().into_iter().chain(others()).chain(optional(capabilities)).collect()
}

/// Kinds that hold data, which are kept or deleted with their Shop by its `deletionPolicy`.
pub fn data() -> [ApiResource; 3] {
    [volumes(), ApiResource::erase::<Secret>(&()), ApiResource::erase::<ConfigMap>(&())]
}

/// Every kind.
pub fn all(capabilities: Capabilities) -> Vec<ApiResource> {
    prunable(capabilities).into_iter().chain([volumes()]).collect()
}
