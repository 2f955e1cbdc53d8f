//! Backups, and the restoration that comes before everything else: what was asked for is applied, and what
//! became of it is read from the Jobs.

use std::cmp::Reverse;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ListParams;
use kube::core::ApiResource;
use kube::{Api, ResourceExt};
use operator_core::child::Seen;
use operator_core::crd::{BackupStatus, FailedBackup, Restored, Shop, SuccessfulBackup};
use operator_core::object::{Desired, Object, Stage};
use operator_core::role::Role;
use operator_core::status::{Part, Reason};
use operator_core::validate::ValidatedShop;
use serde::Deserialize;

use crate::apply::{Applier, Live};
use crate::error::Error;
use crate::observe::job_ended;

/// Most characters of what a pod has said that are kept.
const WORD_LIMIT: usize = 1024;

/// Applies what belongs to backups and collects what becomes of it.
pub struct Backups<'a> {
    /// Who applies, and whether it may.
    pub applier: &'a Applier<'a>,
    /// The Shop.
    pub shop: &'a Shop,
    /// The Shop, resolved.
    pub valid: &'a ValidatedShop,
    /// What should be there.
    pub desired: &'a Desired,
}

/// What backups are like.
#[derive(Default)]
pub struct BackupFacts {
    /// For the status.
    pub status: Option<BackupStatus>,
    /// For the condition.
    pub part: Part,
}

/// What a pod says when a backup is complete.
#[derive(Deserialize)]
struct Report {
    backup: String,
    bytes: i64,
}

impl Backups<'_> {
    /// Applies the schedule, and the Job that was asked for once the databases are there.
    pub async fn keep(&self, databases_ready: bool) -> (BackupFacts, Vec<Error>) {
        let Some(backups) = &self.valid.backups else {
            let part = Part::Missing(Reason::NotWanted, "spec.backup is not set".to_owned());
            return (BackupFacts { status: None, part }, Vec::new());
        };
        let due = |object: &&Object| databases_ready || object.kind() != "Job";
        let due: Vec<&Object> = self.desired.stage(Stage::Backups).iter().filter(due).collect();
        let (mut errors, mut answered) = (Vec::new(), false);
        for (object, result) in self.applier.apply_all(due).await {
            match result {
                Ok(live) => answered |= object.kind() == "Job" && has_ended(&live),
                Err(error) => errors.push(error.into()),
            }
        }
        let old = self.shop.status.as_ref().and_then(|status| status.backup.clone());
        let mut status = self.take_in(old.unwrap_or_default()).await;
        if answered {
            status.requested.clone_from(&backups.requested);
        }
        let part = part(&status, backups.suspended);
        (BackupFacts { status: Some(status), part }, errors)
    }

    /// Takes in what has ended since.
    async fn take_in(&self, mut status: BackupStatus) -> BackupStatus {
        let mut jobs = self.jobs();
        jobs.sort_by_key(|(_, seen)| Reverse(ended_at(seen)));
        let newest = |way: &str| {
            let (name, seen) = jobs.iter().find(|(_, seen)| job_ended(seen, way))?;
            Some((name.clone(), Time(ended_at(seen)?), seen))
        };
        if let Some((job, time, _)) = newest("Complete")
            && status.last_successful.as_ref().is_none_or(|last| last.time.0 < time.0)
        {
            let word = self.last_word(&job).await.unwrap_or_default();
            let report = serde_json::from_str::<Report>(&word).ok();
            let (name, bytes) = report.map(|report| (report.backup, report.bytes)).unzip();
            status.last_successful = Some(SuccessfulBackup { name, time, bytes });
        }
        if let Some((job, time, seen)) = newest("Failed")
            && status.last_failure.as_ref().is_none_or(|last| last.time.0 < time.0)
        {
            let message = self.why(&job, seen).await;
            status.last_failure = Some(FailedBackup { job, time, message });
        }
        status
    }

    /// The Jobs that make backups, whoever has made them.
    fn jobs(&self) -> Vec<(String, Seen)> {
        let kind = ApiResource::erase::<k8s_openapi::api::batch::v1::Job>(&());
        let children = self.applier.cache.children(&self.applier.shop).into_iter();
        children
            .filter(|(key, seen)| key.is_of(&kind) && seen.role == Some(Role::Backup))
            .map(|(key, seen)| (key.name, seen))
            .collect()
    }

    /// Fills empty databases, if that is still to be done. Nothing else may write to them before.
    pub async fn restore(&self, databases_ready: bool) -> (Part, Option<Restored>, Vec<Error>) {
        let restored = self.shop.status.as_ref().and_then(|status| status.restored.clone());
        let Some(from) = &self.valid.restoration else {
            let part = Part::Missing(Reason::NotWanted, "spec.restoreFrom is not set".to_owned());
            return (part, restored, Vec::new());
        };
        let source = format!("{}/{}", from.namespace, from.shop);
        let done = || {
            let text = format!("the databases are those of the backup {} of {source}", from.backup);
            Part::Ready(Reason::Restored, text)
        };
        if restored.is_some() {
            return (done(), restored, Vec::new());
        }
        let running = |text: &str| Part::Waiting(Reason::RestoreRunning, text.to_owned());
        if !databases_ready {
            return (running("the databases are not there yet"), None, Vec::new());
        }
        let mut errors = Vec::new();
        for (object, result) in self.applier.apply_all(self.desired.stage(Stage::Restore)).await {
            let job = object.name();
            match result {
                Err(error) => errors.push(error.into()),
                Ok(Live { seen: Some(seen), .. }) if job_ended(&seen, "Complete") => {
                    let time = Time(ended_at(&seen).unwrap_or_else(jiff::Timestamp::now));
                    let (backup, shop) = (from.backup.clone(), source.clone());
                    return (done(), Some(Restored { backup, shop, time }), errors);
                }
                Ok(Live { seen: Some(seen), .. }) if job_ended(&seen, "Failed") => {
                    let why = self.why(job, &seen).await;
                    let text = format!("Job {job} failed: {why}; delete the Job to try again");
                    return (Part::Failed(Reason::RestoreFailed, text), None, errors);
                }
                Ok(_) => {}
            }
        }
        (running(&format!("the backup {} is being restored", from.backup)), None, errors)
    }

    /// Why a Job failed: the last word of its newest pod, or else what the Job says itself.
    async fn why(&self, job: &str, seen: &Seen) -> String {
        let word = self.last_word(job).await.filter(|word| !word.is_empty());
        word.unwrap_or_else(|| {
            let said = conditions(seen).iter().find(|condition| condition["type"] == "Failed");
            let said = said.and_then(|condition| condition["message"].as_str());
            said.unwrap_or("its pods are gone").to_owned()
        })
    }

    /// What the newest pod of a Job has left in its termination message. It is a help, not a need.
    async fn last_word(&self, job: &str) -> Option<String> {
        let namespace = self.applier.shop.namespace.as_deref().unwrap_or_default();
        let pods: Api<Pod> = Api::namespaced(self.applier.client.clone(), namespace);
        let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
        let list = pods.list(&of_job).await.ok()?;
        let pod = list.items.into_iter().max_by_key(ResourceExt::creation_timestamp)?;
        let status = pod.status?;
        let containers = status.container_statuses.into_iter().flatten();
        let before = status.init_container_statuses.into_iter().flatten();
        let ended =
            containers.chain(before).find_map(|container| container.state?.terminated?.message);
        Some(ended?.trim().chars().take(WORD_LIMIT).collect())
    }
}

fn part(status: &BackupStatus, suspended: bool) -> Part {
    let succeeded = status.last_successful.as_ref();
    let failed = status.last_failure.as_ref();
    // Of two that ended in the same second the good one counts: there is a backup.
    let failed = failed.filter(|failed| succeeded.is_none_or(|last| last.time.0 < failed.time.0));
    match (succeeded, failed) {
        (_, Some(FailedBackup { job, message, .. })) => {
            Part::Failed(Reason::BackupFailed, format!("Job {job} failed: {message}"))
        }
        _ if suspended => {
            Part::Missing(Reason::BackupsSuspended, "spec.backup.suspend is true".to_owned())
        }
        (Some(last), None) => {
            let name = last.name.as_deref().unwrap_or("the last one");
            Part::Ready(Reason::BackedUp, format!("{name} was complete at {}", last.time.0))
        }
        (None, None) => {
            Part::Missing(Reason::NoBackupYet, "the first backup is not due yet".to_owned())
        }
    }
}

fn has_ended(live: &Live) -> bool {
    let ended = |job: &Seen| job_ended(job, "Complete") || job_ended(job, "Failed");
    live.seen.as_ref().is_some_and(ended)
}

fn conditions(job: &Seen) -> &[serde_json::Value] {
    job.status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// When a Job ended, if it has.
fn ended_at(job: &Seen) -> Option<jiff::Timestamp> {
    let end = conditions(job).iter().find(|condition| {
        condition["status"] == "True"
            && matches!(condition["type"].as_str(), Some("Complete" | "Failed"))
    });
    end?["lastTransitionTime"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time(jiff::Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn the_last_word_counts_and_a_stopped_schedule_says_so() {
        let good =
            |second| SuccessfulBackup { name: Some("b".to_owned()), time: at(second), bytes: None };
        let bad = |second| {
            let (job, message) = ("demo-backup-1".to_owned(), "no space".to_owned());
            FailedBackup { job, time: at(second), message }
        };
        let reason = |good, bad, suspended| {
            let status = BackupStatus { last_successful: good, last_failure: bad, requested: None };
            part(&status, suspended).reason()
        };
        assert_eq!(reason(None, None, false), Reason::NoBackupYet);
        assert_eq!(reason(Some(good(1)), None, false), Reason::BackedUp);
        assert_eq!(reason(Some(good(1)), Some(bad(2)), false), Reason::BackupFailed);
        assert_eq!(reason(Some(good(1)), Some(bad(2)), true), Reason::BackupFailed);
        assert_eq!(reason(Some(good(2)), Some(bad(2)), false), Reason::BackedUp);
        assert_eq!(reason(Some(good(3)), Some(bad(2)), false), Reason::BackedUp);
        assert_eq!(reason(Some(good(3)), Some(bad(2)), true), Reason::BackupsSuspended);
    }
}
