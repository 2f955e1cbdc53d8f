//! Changes the Shop itself: its finalizer, its annotations and its status.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use operator_core::crd::{Shop, ShopStatus};
use operator_core::names;
use operator_core::plan::{DeletionProgress, FINALIZER};
use operator_core::problem::Problem;
use operator_core::status::Reason;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::objects::api_problem;
use super::{Effect, Executor};
use crate::context::Context;

impl Executor<'_> {
    /// Adds or removes the finalizer, and no other.
    pub(super) async fn set_finalizer(&self, wanted: bool) -> Result<Effect, Problem> {
        if let Some(DeletionProgress::Done { left: Some(left) }) = &self.plan.deletion {
            let note = format!("left behind: {left}");
            self.context.events.warn(self.shop, Reason::DataLeft, "Delete", &note).await;
        }
        let finalizers = self.shop.finalizers().iter().map(String::as_str);
        let mut finalizers: Vec<&str> = finalizers.filter(|name| *name != FINALIZER).collect();
        if wanted {
            finalizers.push(FINALIZER);
        }
        self.patch_shop(&json!({ "finalizers": finalizers }), Reason::FinalizerFailed).await
    }

    /// Removes annotations that were followed. The version keeps those that have changed since.
    pub(super) async fn remove_annotations(
        &self,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Effect, Problem> {
        let none: BTreeMap<&str, Value> =
            annotations.keys().map(|name| (name.as_str(), Value::Null)).collect();
        self.patch_shop(&json!({ "annotations": none }), Reason::AnnotationUpdateFailed).await
    }

    /// Changes the metadata of the Shop at the version that was read.
    async fn patch_shop(&self, metadata: &Value, reason: Reason) -> Result<Effect, Problem> {
        let mut metadata = metadata.clone();
        metadata["resourceVersion"] = json!(self.shop.metadata.resource_version);
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        match self.shops().patch(&self.name.name, &PatchParams::default(), &patch).await {
            Ok(shop) => Ok(Effect::Shop(Box::new(shop))),
            Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => {
                Ok(Effect::Outdated)
            }
            Err(error) => {
                Err(Problem { reason, ..api_problem("patch", "Shop", &self.name.name, &error) })
            }
        }
    }
}

/// Writes the status of a Shop, and its events. Returns the Shop with it, unless the Shop was changed meanwhile.
pub async fn write_status(
    context: &Context,
    shop: &Shop,
    status: &ShopStatus,
) -> kube::Result<Option<Shop>> {
    let namespace = shop.namespace().unwrap_or_default();
    let api: Api<Shop> = Api::namespaced(context.client.clone(), &namespace);
    let written = apply_status(&api, &shop.metadata, status).await?;
    if written.is_some() {
        context.events.transition(shop, status).await;
        context.events.rollouts(shop, status).await;
    }
    Ok(written)
}

/// Applies the status of a Shop, of whatever Rust type. Returns the Shop with it, unless it was changed or deleted since it was read: the
/// watch sends an event.
pub async fn apply_status<K>(
    api: &Api<K>,
    shop: &ObjectMeta,
    status: &impl Serialize,
) -> kube::Result<Option<K>>
where
    K: Clone + DeserializeOwned + Debug,
{
    // The version keeps a status from being computed from one that is no longer there.
    let patch = Patch::Apply(json!({
        "apiVersion": "shop-operator.io/v1alpha1",
        "kind": "Shop",
        "metadata": { "resourceVersion": shop.resource_version, "uid": shop.uid },
        "status": status,
    }));
    let (name, params) = (shop.name.as_deref(), PatchParams::apply(names::OPERATOR).force());
    match api.patch_status(name.unwrap_or_default(), &params, &patch).await {
        Ok(shop) => Ok(Some(shop)),
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => Ok(None),
        Err(error) => Err(error),
    }
}
