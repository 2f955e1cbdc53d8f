//! Applies and deletes objects: one generic server-side apply with one field manager. Reasons: `docs/decisions/0020-apply.md`.

use std::fmt::Debug;

use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::{ApiResource, DynamicObject};
use operator_core::apply::{self, HANDOVER, Refusal, Step, decide, refused};
use operator_core::child::{ChildKey, Seen};
use operator_core::names::OPERATOR;
use operator_core::object::Object;
use operator_core::plan::Deletion;
use operator_core::problem::Problem;
use operator_core::status::Reason;
use serde::Serialize;
use serde_json::json;
use telemetry::chain;

use super::Executor;

impl Executor<'_> {
    /// Makes an object what it should be, or only finds out whether it is.
    pub(super) async fn apply(&self, object: &Object, only_confirm: bool) -> Result<(), Problem> {
        let live = self.get(&object.resource, object.name()).await?;
        let key = ChildKey::of(object);
        let cache = &self.context.cache;
        let (live, confirmed) = match decide(object, live.as_ref(), self.applicant())? {
            Step::Unchanged => (live, Some(object.fingerprint())),
            Step::Write(_) if only_confirm => (live, None),
            Step::Write(handover) => {
                if let Some(handover) = handover {
                    let patched = self.patch(object, HANDOVER, &handover).await;
                    patched.map_err(|error| failed("apply", object, &error))?;
                }
                (Some(self.write(object, live).await?), Some(object.fingerprint()))
            }
        };
        if let Some(live) = live {
            cache.record(&self.name, &key, Seen::of(&live), confirmed);
        }
        Ok(())
    }

    async fn write(
        &self,
        object: &Object,
        live: Option<DynamicObject>,
    ) -> Result<DynamicObject, Problem> {
        let error = match self.patch(object, OPERATOR, &object.body).await {
            Ok(written) => return Ok(written),
            Err(error) => error,
        };
        let kube::Error::Api(answer) = &error else { return Err(failed("apply", object, &error)) };
        match refused(object, live.as_ref(), answer.code, &answer.message) {
            Refusal::Report(problem) => Err(problem),
            Refusal::Recreate { orphan } => {
                let policy =
                    if orphan { PropagationPolicy::Orphan } else { PropagationPolicy::Background };
                let metadata = live.unwrap_or_else(|| object.body.clone()).metadata;
                let exactly = Preconditions {
                    uid: metadata.uid,
                    resource_version: metadata.resource_version,
                };
                let params = DeleteParams {
                    propagation_policy: Some(policy),
                    preconditions: Some(exactly),
                    ..DeleteParams::default()
                };
                let deleted = self.api(&object.resource).delete(object.name(), &params).await;
                if let Err(error) = deleted
                    && !is_gone_or_changed(&error)
                {
                    return Err(failed("delete", object, &error));
                }
                let written = self.patch(object, OPERATOR, &object.body).await;
                written.map_err(|error| failed("apply", object, &error))
            }
        }
    }

    /// Deletes an object if it is still the one that was seen.
    pub(super) async fn delete(&self, deletion: &Deletion) -> Result<(), Problem> {
        let Deletion { resource, name, uid, version } = deletion;
        let exactly = Preconditions { uid: Some(uid.clone()), resource_version: version.clone() };
        let params = DeleteParams::background().preconditions(exactly);
        let key = ChildKey::new(resource, name);
        match self.api(resource).delete(name, &params).await {
            // The answer is a Status, the object that is gone, or one that a finalizer holds.
            Ok(answer) => match answer.left().filter(|left| left.metadata.finalizers.is_some()) {
                Some(held) => self.context.cache.record(&self.name, &key, Seen::of(&held), None),
                None => self.context.cache.forget_child(&self.name, &key, uid),
            },
            Err(error) if is_gone_or_changed(&error) => {}
            Err(error) => return Err(api_problem("delete", &resource.kind, name, &error)),
        }
        Ok(())
    }

    /// Removes the owner references to the Shop.
    pub(super) async fn disown(&self, resource: &ApiResource, name: &str) -> Result<(), Problem> {
        let Some(live) = self.get(resource, name).await? else { return Ok(()) };
        let owners = live.metadata.owner_references.as_deref().unwrap_or_default();
        let others: Vec<_> = owners.iter().filter(|owner| owner.uid != self.uid()).collect();
        let patch = Patch::Merge(json!({ "metadata": {
            "resourceVersion": live.metadata.resource_version, "ownerReferences": others,
        } }));
        match self.api(resource).patch(name, &PatchParams::default(), &patch).await {
            Ok(live) => {
                let key = ChildKey::new(resource, name);
                self.context.cache.record(&self.name, &key, Seen::of(&live), None);
                Ok(())
            }
            Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
            Err(error) => Err(api_problem("disown", &resource.kind, name, &error)),
        }
    }

    async fn get(
        &self,
        resource: &ApiResource,
        name: &str,
    ) -> Result<Option<DynamicObject>, Problem> {
        let found = self.api(resource).get_opt(name).await;
        found.map_err(|error| api_problem("get", &resource.kind, name, &error))
    }

    async fn patch(
        &self,
        object: &Object,
        manager: &str,
        body: &(impl Serialize + Debug),
    ) -> kube::Result<DynamicObject> {
        let params = PatchParams::apply(manager).force();
        self.api(&object.resource).patch(object.name(), &params, &Patch::Apply(body)).await
    }

    fn api(&self, resource: &ApiResource) -> Api<DynamicObject> {
        let namespace = self.name.namespace.as_deref().unwrap_or_default();
        Api::namespaced_with(self.context.client.clone(), namespace, resource)
    }
}

fn is_gone_or_changed(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(answer) if matches!(answer.code, 404 | 409))
}

fn failed(verb: &str, object: &Object, error: &kube::Error) -> Problem {
    api_problem(verb, object.kind(), object.name(), error)
}

/// The API server's own words where it answered, and not a dump of its answer.
pub(super) fn api_problem(verb: &str, kind: &str, name: &str, error: &kube::Error) -> Problem {
    let (message, permanent) = match error {
        kube::Error::Api(answer) => (answer.message.clone(), apply::is_permanent(answer.code)),
        error => (chain(error), false),
    };
    let message = format!("{verb} {kind} {name}: {message}");
    Problem { reason: Reason::ApplyFailed, message, permanent }
}
