//! Jobs that work on all databases of a shop: backups, and a new shop's restoration.
//!
//! Their pods run Postgres' own programs from the image that has them; ours is put beside them by a
//! container that runs before.

use contracts::env;
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, Job, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::{Container, EnvVar, PodTemplateSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::engines::USER;
use super::env::{common_of_jobs, objects, objects_of};
use super::plans::{SecretKey, databases};
use super::services::account;
use super::{Scope, extra, meta, pod};
use crate::names;
use crate::object::Object;
use crate::role::Role;
use crate::validate::{Backups, Restoration, ValidatedShop, quantities};

/// Attempts after the first.
const RETRIES: i32 = 2;
/// A Job that takes longer has hung.
const DEADLINE_SECONDS: i64 = 6 * 3600;
/// A backup that could not begin in this time after it was due is left out: the next one comes.
const STARTING_SECONDS: i64 = 3600;
/// Where our program is put.
const PROGRAM: &str = "/opt/backup";

/// Accounts of the Jobs, without any rights.
pub(super) fn accounts(shop: &ValidatedShop) -> Vec<Object> {
    let backup = shop.backups.as_ref().map(|_| account(shop, Role::Backup));
    let restore = due(shop).map(|_| account(shop, Role::Restore));
    backup.into_iter().chain(restore).collect()
}

/// The restoration that is still to be done.
pub(super) fn due(shop: &ValidatedShop) -> Option<&Restoration> {
    shop.restoration.as_ref().filter(|restoration| restoration.due)
}

/// The schedule, and what is asked for beside it.
pub(super) fn backups(scope: &Scope<'_>) -> Vec<Object> {
    let Some(backups) = &scope.shop.backups else { return Vec::new() };
    let now = backups.requested.as_ref().map(|value| Object::new(&now(scope, backups, value)));
    [Object::new(&schedule(scope, backups))].into_iter().chain(now).collect()
}

fn schedule(scope: &Scope<'_>, backups: &Backups) -> CronJob {
    let shop = scope.shop;
    let template = JobTemplateSpec {
        // By these the operator knows the Jobs, which are the schedule's own.
        metadata: Some(ObjectMeta {
            labels: Some(names::object_labels(&shop.name, Role::Backup)),
            ..ObjectMeta::default()
        }),
        spec: Some(job(template(scope, Role::Backup, "create", backup_variables(shop, backups)))),
    };
    CronJob {
        metadata: meta::versioned(meta::child(shop, Role::Backup), &shop.backup_images.program),
        spec: Some(CronJobSpec {
            schedule: backups.schedule.clone(),
            time_zone: Some("Etc/UTC".into()),
            suspend: Some(backups.suspended),
            concurrency_policy: Some("Forbid".into()),
            starting_deadline_seconds: Some(STARTING_SECONDS),
            successful_jobs_history_limit: Some(1),
            failed_jobs_history_limit: Some(1),
            job_template: template,
        }),
        status: None,
    }
}

fn now(scope: &Scope<'_>, backups: &Backups, value: &str) -> Job {
    let shop = scope.shop;
    let template = template(scope, Role::Backup, "create", backup_variables(shop, backups));
    let content = serde_json::to_string(&template).expect("a pod template is JSON");
    let name = names::job(&shop.name, names::BACKUP_NOW, &format!("{value}\n{content}"));
    let metadata =
        meta::versioned(meta::owned(shop, name, Role::Backup), &shop.backup_images.program);
    Job { metadata, spec: Some(job(template)), status: None }
}

/// The Job that fills empty databases, as long as that is to be done.
pub(super) fn restoration(scope: &Scope<'_>) -> Option<Object> {
    let (shop, from) = (scope.shop, due(scope.shop)?);
    let mut variables = variables(shop);
    variables.extend(objects_of(shop, &from.namespace, &from.shop));
    variables.push(pod::var(env::BACKUP_NAME, &from.backup));
    let mut template = template(scope, Role::Restore, "restore", variables);
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(names::RESTORES_FROM.into(), from.shop.clone());
    let content = serde_json::to_string(&template).expect("a pod template is JSON");
    let name = names::job(&shop.name, Role::Restore, &content);
    let metadata =
        meta::versioned(meta::owned(shop, name, Role::Restore), &shop.backup_images.program);
    Some(Object::new(&Job { metadata, spec: Some(job(template)), status: None }))
}

fn backup_variables(shop: &ValidatedShop, backups: &Backups) -> Vec<EnvVar> {
    let mut variables = variables(shop);
    variables.extend(objects(shop));
    variables.push(pod::var(env::BACKUP_KEEP, backups.keep.to_string()));
    variables
}

/// Who the shop is, and every service's own login to its own database.
fn variables(shop: &ValidatedShop) -> Vec<EnvVar> {
    let databases = databases(shop).databases;
    let services: Vec<&str> = databases.iter().map(|spec| spec.service.as_str()).collect();
    let mut variables = common_of_jobs(shop);
    variables.push(pod::var(env::BACKUP_SERVICES, services.join(",")));
    variables.extend(databases.iter().map(|spec| {
        pod::secret_var(&env::database_url(spec.service.as_str()), &spec.secret, SecretKey::URL)
    }));
    variables
}

fn template(
    scope: &Scope<'_>,
    role: Role,
    command: &str,
    mut variables: Vec<EnvVar>,
) -> PodTemplateSpec {
    let shop = scope.shop;
    variables.push(pod::var("SSL_CERT_FILE", format!("{PROGRAM}/authorities.pem")));
    variables.extend(extra::variables(&shop.env, &shop.cluster_domain));
    let images = &shop.backup_images;
    let (volume, mount) = pod::scratch("program", PROGRAM);
    let resources = ResourceRequirements {
        requests: Some(quantities(&[("cpu", "20m"), ("memory", "64Mi")])),
        limits: Some(quantities(&[("memory", "512Mi")])),
        claims: None,
    };
    let before = Container {
        name: "install".into(),
        image: Some(images.program.clone()),
        args: Some(["install", PROGRAM].map(str::to_owned).into()),
        resources: Some(resources.clone()),
        volume_mounts: Some(vec![mount.clone()]),
        ..Container::default()
    };
    let container = Container {
        name: role.to_string(),
        image: Some(images.tools.clone()),
        command: Some(vec![format!("{PROGRAM}/backup"), command.to_owned()]),
        env: Some(variables),
        resources: Some(resources),
        volume_mounts: Some(vec![mount]),
        // What did not come so far as to say why has its log for it.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    };
    let mut spec = pod::spec(shop, role, USER, &shop.backup_scheduling, container, vec![volume]);
    spec.init_containers = Some(vec![pod::confined(shop, before)]);
    spec.restart_policy = Some("Never".into());
    pod::template(scope, names::selector(&shop.name, role), &shop.pod_metadata, spec)
}

fn job(template: PodTemplateSpec) -> JobSpec {
    JobSpec {
        backoff_limit: Some(RETRIES),
        active_deadline_seconds: Some(DEADLINE_SECONDS),
        template,
        ..JobSpec::default()
    }
}
