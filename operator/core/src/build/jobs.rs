//! Jobs that run before a service: migrations, and demo data.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};

use super::{Scope, meta, pod, services};
use crate::role::{Duty, Role};
use crate::{names, object::Object, validate::ServiceInstance};

/// Attempts after the first. A migration that fails four times needs a person.
const RETRIES: i32 = 3;
/// Demo data that takes longer has hung.
const SEED_DEADLINE_SECONDS: i64 = 900;

/// One Job per service whose database does not have the schema of its image yet.
pub(super) fn migrations(scope: &Scope<'_>) -> Vec<Object> {
    let due = scope.shop.services.iter().filter(|service| service.migration_due);
    due.map(|service| {
        let role = Role::Service(service.component.name, Duty::Migration);
        let deadline = scope.shop.migrations.active_deadline_seconds;
        Object::new(&job(scope, service, role, "migrate up", deadline))
    })
    .collect()
}

/// One Job per service whose demo data is wanted and not written yet.
pub(super) fn seeds(scope: &Scope<'_>) -> Vec<Object> {
    let due = scope.shop.services.iter().filter(|service| service.seed_due);
    due.map(|service| {
        let role = Role::Service(service.component.name, Duty::Seed);
        Object::new(&job(scope, service, role, "seed", SEED_DEADLINE_SECONDS))
    })
    .collect()
}

/// A Job whose name stands for its pod: a Job cannot be changed, hence another image, or the
/// credential that the first attempt lacked, makes another Job. Its deadline can be changed while it runs.
fn job(
    scope: &Scope<'_>,
    service: &ServiceInstance,
    role: Role,
    command: &str,
    deadline_seconds: i64,
) -> Job {
    let shop = scope.shop;
    let mut labels = names::service_selector(&shop.name, service.component.name);
    labels.extend(names::selector(&shop.name, role));
    let mut spec = services::running(shop, service, command);
    spec.restart_policy = Some("Never".into());
    let template = pod::template(scope, labels.clone(), &service.pod_metadata, spec);
    let identity = serde_json::to_string(&template).expect("a pod template is JSON");
    let name = names::job(&shop.name, role, &identity);
    let mut metadata = meta::versioned(meta::owned(shop, name, role), &service.image);
    metadata.labels.get_or_insert_default().extend(labels);
    metadata.annotations =
        Some(BTreeMap::from([(names::IMAGE_ANNOTATION.into(), service.image.clone())]));
    Job {
        metadata,
        spec: Some(JobSpec {
            backoff_limit: Some(RETRIES),
            active_deadline_seconds: Some(deadline_seconds),
            template,
            ..JobSpec::default()
        }),
        status: None,
    }
}
