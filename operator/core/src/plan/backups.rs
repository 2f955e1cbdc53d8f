//! Backups, and the restoration that comes before everything else in a database.

use std::cmp::Reverse;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;

use super::basis::Basis;
use super::draft::Draft;
use crate::child::Seen;
use crate::crd::{BackupStatus, FailedBackup, Restored, SuccessfulBackup};
use crate::jobs;
use crate::object::{Desired, Object, Stage};
use crate::role::Role;
use crate::status::{Part, Reason};

/// What a pod says when a backup is complete.
#[derive(Deserialize)]
struct Report {
    backup: String,
    bytes: i64,
}

/// The state of the restoration, and what the databases were filled from.
pub(super) fn restore(
    basis: &Basis<'_>,
    desired: &Desired,
    databases_ready: bool,
    draft: &mut Draft<'_>,
) -> (Part, Option<Restored>) {
    let status = basis.facts.shop.status.as_ref();
    let restored = status.and_then(|status| status.restored.clone());
    let Some(from) = &basis.valid.restoration else {
        let part = Part::Missing(Reason::NotWanted, "spec.restoreFrom is not set".to_owned());
        return (part, restored);
    };
    let source = format!("{}/{}", from.namespace, from.shop);
    let done = || {
        let text = format!("the databases are those of the backup {} of {source}", from.backup);
        Part::Ready(Reason::Restored, text)
    };
    if restored.is_some() {
        return (done(), restored);
    }
    let running = |text: &str| Part::Waiting(Reason::RestoreRunning, text.to_owned());
    if !databases_ready {
        return (running("the databases are not there yet"), None);
    }
    for object in desired.stage(Stage::Restore) {
        draft.apply_stage(Stage::Restore, [object]);
        let job = object.name();
        match basis.facts.current(object) {
            Some(seen) if jobs::is_complete(seen) => {
                let time = Time(jobs::ended_at(seen).unwrap_or(basis.facts.now));
                let (backup, shop) = (from.backup.clone(), source.clone());
                return (done(), Some(Restored { backup, shop, time }));
            }
            Some(seen) if jobs::is_failed(seen) => {
                let why = why(basis, job, seen);
                let text = format!("Job {job} failed: {why}; delete the Job to try again");
                return (Part::Failed(Reason::RestoreFailed, text), None);
            }
            _ => {}
        }
    }
    (running(&format!("the backup {} is being restored", from.backup)), None)
}

/// Plans the schedule, and the Job that was requested once the databases are there. Returns the state of backups, for the condition
/// and for the status.
pub(super) fn backups(
    basis: &Basis<'_>,
    desired: &Desired,
    databases_ready: bool,
    draft: &mut Draft<'_>,
) -> (Part, Option<BackupStatus>) {
    let Some(backups) = &basis.valid.backups else {
        let part = Part::Missing(Reason::NotWanted, "spec.backup is not set".to_owned());
        return (part, None);
    };
    let due = |object: &&Object| databases_ready || object.kind() != "Job";
    let due: Vec<&Object> = desired.stage(Stage::Backups).iter().filter(due).collect();
    let ended = |seen: &Seen| jobs::is_complete(seen) || jobs::is_failed(seen);
    let answered = due
        .iter()
        .any(|object| object.kind() == "Job" && basis.facts.current(object).is_some_and(ended));
    draft.apply_stage(Stage::Backups, due);
    let old = basis.facts.shop.status.as_ref().and_then(|status| status.backup.clone());
    let mut status = outcomes(basis, old.unwrap_or_default());
    if answered {
        status.requested.clone_from(&backups.requested);
    }
    (part(&status, backups.suspended), Some(status))
}

/// Adds what has ended since.
fn outcomes(basis: &Basis<'_>, mut status: BackupStatus) -> BackupStatus {
    let mut found: Vec<(&str, &Seen)> = backup_jobs(basis).collect();
    found.sort_by_key(|(_, seen)| Reverse(jobs::ended_at(seen)));
    let newest = |has_ended: fn(&Seen) -> bool| {
        let (name, seen) = found.iter().find(|(_, seen)| has_ended(seen))?;
        Some((*name, Time(jobs::ended_at(seen)?), *seen))
    };
    if let Some((job, time, _)) = newest(jobs::is_complete)
        && status.last_successful.as_ref().is_none_or(|last| last.time.0 < time.0)
    {
        let message = basis.facts.job_messages.get(job).map_or("", String::as_str);
        let report = serde_json::from_str::<Report>(message).ok();
        let (name, bytes) = report.map(|report| (report.backup, report.bytes)).unzip();
        status.last_successful = Some(SuccessfulBackup { name, time, bytes });
    }
    if let Some((job, time, seen)) = newest(jobs::is_failed)
        && status.last_failure.as_ref().is_none_or(|last| last.time.0 < time.0)
    {
        let (job, message) = (job.to_owned(), why(basis, job, seen));
        status.last_failure = Some(FailedBackup { job, time, message });
    }
    status
}

/// The Jobs that make backups: the schedule's, and those that were requested.
pub(super) fn backup_jobs<'b>(basis: &'b Basis<'_>) -> impl Iterator<Item = (&'b str, &'b Seen)> {
    let children = basis.facts.children.iter();
    children
        .filter(|(key, child)| {
            &*key.resource == "jobs.batch" && child.seen.role == Some(Role::Backup)
        })
        .map(|(key, child)| (key.name.as_str(), &child.seen))
}

/// Why a Job failed: the last words of its newest pod, or else what the Job says itself.
fn why(basis: &Basis<'_>, job: &str, seen: &Seen) -> String {
    let message = basis.facts.job_messages.get(job).filter(|message| !message.is_empty());
    message
        .cloned()
        .unwrap_or_else(|| jobs::failure_message(seen).unwrap_or("its pods are gone").to_owned())
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
