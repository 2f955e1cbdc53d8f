//! Backups, and a new shop from one.

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::Resource as _;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use operator_core::crd::Shop;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::kubelet::BROKEN;
use crate::world::{PATIENCE, World, condition};

fn backups_are(reason: &'static str) -> impl Fn(&Shop) -> bool {
    move |shop| condition(shop, "BackupsReady").1 == reason
}

async fn jobs(world: &World, beginning: &str) -> Vec<String> {
    let list = world.api::<Job>().list(&ListParams::default()).await.unwrap();
    let names = list.items.into_iter().filter_map(|job| job.metadata.name);
    names.filter(|name| name.starts_with(beginning)).collect()
}

/// What the controller of schedules does when one is due; its pod says this at its end.
async fn fall_due(world: &World, name: &str, image: &str, last: &str) {
    let schedule = world.api::<CronJob>().get("demo-backup").await.unwrap();
    let labels = json!({ "batch.kubernetes.io/job-name": name });
    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": name, "labels": labels },
        "spec": {
            "serviceAccountName": "demo-backup", "automountServiceAccountToken": false,
            "containers": [{ "name": "backup", "image": image }],
        },
    }))
    .unwrap();
    let pods: kube::Api<Pod> = world.api();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    let ended = json!({ "terminated": { "exitCode": 1, "message": last } });
    let status = json!({ "status": { "containerStatuses": [{
        "name": "backup", "image": image, "imageID": "", "ready": false, "restartCount": 0, "state": ended,
    }] } });
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();

    let template = schedule.spec.as_ref().unwrap().job_template.clone();
    let mut spec = template.spec.unwrap();
    spec.template.spec.as_mut().unwrap().containers[0].image = Some(image.to_owned());
    let mut metadata = template.metadata.unwrap();
    metadata.name = Some(name.to_owned());
    metadata.owner_references = Some(vec![schedule.controller_owner_ref(&()).unwrap()]);
    let job = Job { metadata, spec: Some(spec), status: None };
    world.api::<Job>().create(&PostParams::default(), &job).await.unwrap();
}

fn request(value: &str) -> Value {
    json!({ "metadata": { "annotations": { "shop-operator.io/backup": value } } })
}

#[tokio::test]
async fn backups_are_made_by_schedule_and_once_for_each_request_and_told_of() {
    let world = World::new().await;
    world.create(json!({ "backup": { "schedule": "0 4 * * *", "keep": 2 } })).await;
    let operator = world.operator().await;
    let shop = world.until_ready().await;
    assert_eq!(condition(&shop, "BackupsReady"), ("False", "NoBackupYet"));
    assert_eq!(condition(&shop, "Degraded").0, "False");
    assert_eq!(condition(&shop, "Progressing").0, "False");
    let schedule = world.api::<CronJob>().get("demo-backup").await.unwrap().spec.unwrap();
    assert_eq!(schedule.schedule, "0 4 * * *");

    fall_due(&world, "demo-backup-29573960", &format!("example.com/{BROKEN}:1"), "no space left\n")
        .await;
    let shop = world.until("failed", backups_are("BackupFailed")).await;
    assert_eq!(condition(&shop, "Degraded"), ("True", "BackupFailed"));
    assert_eq!(condition(&shop, "Ready").0, "True", "a shop sells without a backup");
    let failure = shop.status.unwrap().backup.unwrap().last_failure.unwrap();
    assert_eq!((&*failure.job, &*failure.message), ("demo-backup-29573960", "no space left"));

    world.change(request("before the sale")).await;
    let shop = world.until("backed up", backups_are("BackedUp")).await;
    let status = shop.status.as_ref().unwrap().backup.clone().unwrap();
    assert_eq!(status.requested.as_deref(), Some("before the sale"));
    assert!(status.last_successful.is_some(), "{status:?}");
    assert_eq!(condition(&shop, "Degraded").0, "False");
    operator.settle(&world).await;
    assert!(jobs(&world, "demo-backup-now-").await.is_empty(), "it is not made again");
    assert_eq!(
        jobs(&world, "demo-backup-").await,
        ["demo-backup-29573960"],
        "it is the schedule's"
    );
    let text = String::from_utf8(operator.context.metrics.encode().unwrap()).unwrap();
    let of_shop = format!("{{shop=\"demo\",shop_namespace=\"{}\"}}", world.namespace);
    for line in [
        format!("shop_operator_backup_failed{of_shop} 0"),
        format!("shop_operator_backup_interval_seconds{of_shop} 86400"),
        format!("shop_operator_backup_last_success_timestamp_seconds{of_shop} "),
    ] {
        assert!(text.contains(&line), "{line} is not in {text}");
    }

    world.change(json!({ "spec": { "backup": { "suspend": true } } })).await;
    world.until("suspended", backups_are("BackupsSuspended")).await;
    world.change(json!({ "spec": { "backup": null } })).await;
    let shop = world.until("forgotten", |shop| {
        shop.status.as_ref().is_some_and(|status| status.backup.is_none())
    });
    assert_eq!(condition(&shop.await, "BackupsReady"), ("", ""), "nobody has asked");
    let gone = await_condition(world.api::<CronJob>(), "demo-backup", |found: Option<&CronJob>| {
        found.is_none()
    });
    timeout(PATIENCE, gone).await.unwrap().unwrap();
    // Nobody collects what waits for its dependents in a cluster that has an API server only.
    let gone = await_condition(
        world.api::<ServiceAccount>(),
        "demo-backup",
        |found: Option<&ServiceAccount>| {
            found.is_none_or(|account| account.metadata.deletion_timestamp.is_some())
        },
    );
    timeout(PATIENCE, gone).await.unwrap().unwrap();
    operator.settle(&world).await;
    let text = String::from_utf8(operator.context.metrics.encode().unwrap()).unwrap();
    assert!(!text.contains(&of_shop), "{text}");
}

#[tokio::test]
async fn a_new_shop_is_filled_before_anything_is_migrated() {
    let world = World::new().await;
    let backup = "20261128T033000Z-1f3a";
    let broken = json!({ "backup": { "toolsImage": format!("example.com/{BROKEN}:1") } });
    let mut spec =
        json!({ "restoreFrom": { "backup": backup, "shop": "first", "namespace": "others" } });
    crate::world::merge(&mut spec, broken);
    world.create(spec).await;
    let operator = world.operator().await;
    let failed = |shop: &Shop| condition(shop, "Restored") == ("False", "RestoreFailed");
    let shop = world.until("failed", failed).await;
    assert_eq!(condition(&shop, "Degraded"), ("True", "RestoreFailed"));
    assert_eq!(condition(&shop, "Ready"), ("False", "RestoreFailed"));
    operator.settle(&world).await;
    assert_eq!(jobs(&world, "demo-").await.len(), 1, "nothing else touches the databases");

    world.change(json!({ "spec": { "backup": { "toolsImage": null } } })).await;
    let shop = world.until_ready().await;
    let restored = shop.status.as_ref().unwrap().restored.clone().unwrap();
    assert_eq!((&*restored.backup, &*restored.shop), (backup, "others/first"));
    assert_eq!(condition(&shop, "Restored"), ("True", "Restored"));
    operator.settle(&world).await;
    assert!(jobs(&world, "demo-restore-").await.is_empty(), "it is done once");
    operator.comes_to_rest(&world, async || world.operator().await).await;
}
