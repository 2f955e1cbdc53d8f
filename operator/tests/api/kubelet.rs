//! A stand-in for everything that runs pods: it only writes statuses.

use std::fmt::Debug;

use futures_util::future::join;
use futures_util::{StreamExt as _, pin_mut};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Part of the image of a Job that is to fail.
pub(crate) const BROKEN: &str = "broken";
/// Part of the image of a Job that runs until the test ends it.
pub(crate) const HELD: &str = "held";

/// Makes every Deployment available and ends every Job of a namespace, until it is dropped.
pub(crate) async fn run(client: Client, namespace: String) {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let jobs: Api<Job> = Api::namespaced(client, &namespace);
    Box::pin(join(follow(deployments, available), follow(jobs, ended))).await;
}

/// Writes the status that an object lacks, whenever it lacks one.
async fn follow<K>(api: Api<K>, status: impl Fn(&K) -> Option<Value>)
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let events = watcher(api.clone(), watcher::Config::default()).default_backoff();
    pin_mut!(events);
    while let Some(event) = events.next().await {
        if let Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) = event
            && let Some(status) = status(&object)
        {
            write(&api, object.meta().name.as_deref().unwrap(), status).await;
        }
    }
}

fn available(deployment: &Deployment) -> Option<Value> {
    let observed = deployment.status.as_ref().and_then(|status| status.observed_generation);
    if observed == deployment.metadata.generation {
        return None;
    }
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    Some(json!({
        "observedGeneration": deployment.metadata.generation,
        "replicas": replicas, "updatedReplicas": replicas,
        "readyReplicas": replicas, "availableReplicas": replicas,
    }))
}

fn ended(job: &Job) -> Option<Value> {
    if job.status.as_ref().is_some_and(|status| status.conditions.is_some()) {
        return None;
    }
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let image = pod.and_then(|pod| pod.containers[0].image.clone()).unwrap_or_default();
    if image.contains(HELD) {
        return None;
    }
    Some(if image.contains(BROKEN) { failed() } else { complete() })
}

fn condition(type_: &str) -> Value {
    let now = Timestamp::now();
    json!({ "type": type_, "status": "True", "lastTransitionTime": now, "lastProbeTime": now })
}

/// The status of a Job that has failed.
pub(crate) fn failed() -> Value {
    let conditions = [condition("FailureTarget"), condition("Failed")];
    json!({ "startTime": Timestamp::now(), "failed": 4, "conditions": conditions })
}

/// The status of a Job that has completed.
pub(crate) fn complete() -> Value {
    let conditions = [condition("SuccessCriteriaMet"), condition("Complete")];
    let now = Timestamp::now();
    json!({ "startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions })
}

/// An object that was deleted meanwhile needs no status.
pub(crate) async fn write<K>(api: &Api<K>, name: &str, status: Value)
where
    K: Clone + DeserializeOwned + Debug,
{
    let patch = Patch::Merge(json!({ "status": status }));
    match api.patch_status(name, &PatchParams::default(), &patch).await {
        Ok(_) => {}
        Err(kube::Error::Api(answer)) if answer.code == 404 => {}
        Err(error) => panic!("the stand-in for a kubelet cannot write: {error}"),
    }
}
