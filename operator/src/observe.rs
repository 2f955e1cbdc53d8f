//! Reads what a Shop refers to: Secrets, the APIs of the cluster, Jobs that have ended.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, ResourceExt as _};
use operator_core::child::{ChildKey, Seen};
use operator_core::components::COMPONENTS;
use operator_core::crd::Shop;
use operator_core::credentials::{self, Content};
use operator_core::role::{Duty, Role};
use operator_core::validate::{Capabilities, Observed, SecretFacts, referenced_secrets};

use crate::cache::Cache;
use crate::error::Error;

/// What was read, and the Secrets' content, which goes no further than the steps with I/O.
pub struct Observation {
    /// What validation may know.
    pub observed: Observed,
    /// Secrets that somebody else keeps, by name.
    pub secrets: BTreeMap<String, Content>,
}

/// Reads everything that a Shop is judged by.
pub async fn observe(
    client: &Client,
    cache: &Cache,
    capabilities: Capabilities,
    shop: &Shop,
) -> Result<Observation, Error> {
    let secrets = read_secrets(client, shop).await?;
    let children = cache.children(&ObjectRef::from_obj(shop));
    let known = shop.status.iter().flat_map(|status| &status.services);
    let mut observed = Observed {
        capabilities,
        secrets: secrets
            .iter()
            .map(|(name, content)| (name.clone(), SecretFacts::of(content)))
            .collect(),
        migrated: known
            .clone()
            .filter_map(|service| Some((service.name, service.migrated_image.clone()?)))
            .collect(),
        seeded: known.filter(|service| service.seeded).map(|service| service.name).collect(),
    };
    for component in &COMPONENTS {
        let name = component.name;
        if component.seeds && completed(&children, Role::Service(name, Duty::Seed)) {
            observed.seeded.insert(name);
        }
    }
    Ok(Observation { observed, secrets })
}

async fn read_secrets(client: &Client, shop: &Shop) -> Result<BTreeMap<String, Content>, Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &shop.namespace().unwrap_or_default());
    let reads = referenced_secrets(&shop.spec).into_iter().map(|name| {
        let api = api.clone();
        async move {
            let secret = api.get_opt(&name).await;
            let secret =
                secret.map_err(|source| Error::Observe { what: "a referenced Secret", source })?;
            Ok::<_, Error>(secret.map(|secret| (name, credentials::content(&secret))))
        }
    });
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}

/// Whether a Job of this role has completed.
fn completed(children: &BTreeMap<ChildKey, Seen>, role: Role) -> bool {
    let mut jobs = children.values().filter(|seen| seen.role == Some(role));
    jobs.any(|seen| job_ended(seen, "Complete"))
}

/// Whether a Job has ended in this way: `Complete` or `Failed`.
pub fn job_ended(job: &Seen, way: &str) -> bool {
    let conditions = job.status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == way && condition["status"] == "True")
}

/// Whether an engine's StatefulSet has a ready pod, and one of its wanted state: an older one may
/// know another password.
pub fn has_ready_pod(workload: &Seen) -> bool {
    let number = |field: &str| workload.status[field].as_i64().unwrap_or(0);
    number("observedGeneration") >= workload.generation
        && number("updatedReplicas") > 0
        && number("readyReplicas") > 0
}
