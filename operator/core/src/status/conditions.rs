//! Assessment put into conditions.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::assessment::{Assessment, DemoData, Migration, Part, ServiceState};
use super::reason::Reason;
use super::{payments, proxies, rollouts};
use crate::names;
use crate::pods::PodProblem;
use crate::problem::Problem;
use crate::role::Role;

/// Most characters that the API takes in a condition's message.
const MESSAGE_LIMIT: usize = 32_768;

/// Every condition of a Shop, with what it says when it is true.
pub const CONDITIONS: [(&str, &str); 20] = [
    ("Ready", "A shopper can buy now, from pods of whatever version."),
    ("UpToDate", "What runs is what the spec asks for."),
    ("Progressing", "Something is under way that ends by itself."),
    ("Degraded", "Something needs help. `Ready` says whether the shop sells nevertheless."),
    ("DataLost", "Databases were recreated without the data that the shop had in them."),
    ("DatabaseReady", "Every database is there, with its role and password."),
    ("CacheReady", "Redis answers."),
    ("EventsReady", "Kafka answers and has every topic as the spec asks for."),
    ("Restored", "The databases were filled from a backup (`spec.restoreFrom`)."),
    ("MigrationsApplied", "Every database has the schema of the image of its service."),
    (
        "ServicesReady",
        "Every service answers in the version and configuration that the spec asks for.",
    ),
    ("ObjectStoreReady", "The object store of the catalog's images answers."),
    ("MonitoringReady", "ServiceMonitors are applied (`spec.observability.serviceMonitors`)."),
    ("RouteAccepted", "Every Gateway has taken the HTTPRoute (`spec.gateway.httpRoute`)."),
    ("DemoDataReady", "Demo data is written (`spec.demoData`)."),
    ("RolloutsSettled", "Every service that is rolled out in steps has the wanted version."),
    ("BackupsReady", "There is a backup, and the last one has not failed (`spec.backup`)."),
    ("TestPaymentsEnabled", "Anybody can pay with the provider for tests, which moves no money."),
    ("ClientAddressesKnown", "Guests are told apart behind an Ingress or Gateway."),
    ("Paused", "The annotation `shop-operator.io/paused` stops all writes."),
];

/// One condition before it has times.
struct Verdict {
    type_: &'static str,
    status: &'static str,
    reason: Reason,
    message: String,
}

impl Verdict {
    fn new(type_: &'static str, holds: bool, reason: Reason, message: String) -> Self {
        Self { type_, status: if holds { "True" } else { "False" }, reason, message }
    }

    fn of(type_: &'static str, part: &Part) -> Self {
        let status = match part {
            Part::Unknown => "Unknown",
            Part::Ready(..) => "True",
            Part::Waiting(..) | Part::Failed(..) | Part::Missing(..) => "False",
        };
        Self { type_, status, reason: part.reason(), message: part.message().to_owned() }
    }
}

/// The conditions that follow from the assessment. `lastTransitionTime` moves only when a status flips.
pub(super) fn conditions(
    assessment: &Assessment,
    old: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let migrations = migrations(&assessment.services);
    let services = hindered(assessment).unwrap_or_else(|| services(&assessment.services));
    let demo_data = demo_data(&assessment.services);
    let rollouts = rollouts::part(assessment);
    let test_payments = payments::part(assessment);
    let addresses = proxies::part(assessment);
    let parts = [
        ("DatabaseReady", &assessment.database),
        ("CacheReady", &assessment.cache),
        ("EventsReady", &assessment.events),
        ("Restored", &assessment.restore),
        ("MigrationsApplied", &migrations),
        ("ServicesReady", &services),
        // Behind the services, which do not wait for it.
        ("ObjectStoreReady", &assessment.object_store),
        ("MonitoringReady", &assessment.monitoring),
        ("RouteAccepted", &assessment.route),
        ("DemoDataReady", &demo_data),
        ("RolloutsSettled", &rollouts),
        ("BackupsReady", &assessment.backups),
        ("TestPaymentsEnabled", &test_payments),
        ("ClientAddressesKnown", &addresses),
    ];
    let mut verdicts = vec![ready(assessment, &parts), up_to_date(assessment, &parts)];
    verdicts.push(progressing(&parts));
    verdicts.push(degraded(assessment, &parts));
    verdicts.push(data_lost(assessment));
    // What nobody has asked for has no state.
    let wanted = parts.iter().filter(|(_, part)| part.reason() != Reason::NotWanted);
    verdicts.extend(wanted.map(|(type_, part)| Verdict::of(type_, part)));
    verdicts.push(paused(assessment.paused));
    verdicts.iter().map(|verdict| condition(verdict, old, generation, now)).collect()
}

/// The conditions of a Shop that is being deleted. Its parts are not observed any more.
pub(super) fn deleting(
    message: &str,
    old: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let verdicts = [("Ready", false), ("Progressing", true)]
        .map(|(type_, holds)| Verdict::new(type_, holds, Reason::Deleting, message.to_owned()));
    let is_said = |type_: &str| verdicts.iter().any(|verdict| verdict.type_ == type_);
    let others = old.iter().filter(|condition| !is_said(&condition.type_)).cloned();
    verdicts.iter().map(|verdict| condition(verdict, old, generation, now)).chain(others).collect()
}

/// Sets `Degraded` and keeps every other condition.
pub(super) fn degraded_by(
    problem: &Problem,
    known: Vec<Condition>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let verdict = Verdict::new("Degraded", true, problem.reason, problem.message.clone());
    let degraded = condition(&verdict, &known, generation, now);
    let others = known.into_iter().filter(|condition| condition.type_ != verdict.type_);
    others.chain([degraded]).collect()
}

fn condition(
    verdict: &Verdict,
    old: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let same = old.iter().find(|c| c.type_ == verdict.type_ && c.status == verdict.status);
    Condition {
        type_: verdict.type_.to_owned(),
        status: verdict.status.to_owned(),
        reason: verdict.reason.as_str().to_owned(),
        message: verdict.message.chars().take(MESSAGE_LIMIT).collect(),
        observed_generation: generation,
        last_transition_time: same.map_or(Time(now), |same| same.last_transition_time.clone()),
    }
}

/// Whether a shopper can buy now, in whatever version. The first thing in the way gives the reason.
fn ready(assessment: &Assessment, parts: &[(&'static str, &Part)]) -> Verdict {
    let type_ = "Ready";
    if assessment.silent.is_empty() {
        return Verdict::new(type_, true, Reason::Available, "a shopper can buy".to_owned());
    }
    let (reason, message) = obstacle(assessment, parts.iter().map(|(_, part)| *part))
        .unwrap_or_else(|| {
            let names: Vec<&str> = assessment.silent.iter().map(|name| name.as_str()).collect();
            (Reason::NoPods, format!("no pod of {} answers", names.join(", ")))
        });
    Verdict::new(type_, false, reason, message)
}

/// Whether what runs is what the spec asks for.
fn up_to_date(assessment: &Assessment, parts: &[(&'static str, &Part)]) -> Verdict {
    let type_ = "UpToDate";
    // What others have to do, and what is no part of a shop that runs.
    let others = ["RouteAccepted", "BackupsReady", "TestPaymentsEnabled", "ClientAddressesKnown"];
    let own = parts.iter().filter(|(name, _)| !others.contains(name)).map(|(_, part)| *part);
    if let Some((reason, message)) = obstacle(assessment, own) {
        return Verdict::new(type_, false, reason, message);
    }
    let message = "what runs is what the spec asks for".to_owned();
    Verdict::new(type_, true, Reason::UpToDate, message)
}

/// The first thing that is not as it should be.
fn obstacle<'p>(
    assessment: &Assessment,
    mut parts: impl Iterator<Item = &'p Part>,
) -> Option<(Reason, String)> {
    if let Some(Problem { reason, message, .. }) = &assessment.problem {
        return Some((*reason, message.clone()));
    }
    let part = parts.find(|part| matches!(part, Part::Waiting(..) | Part::Failed(..)))?;
    Some((part.reason(), part.message().to_owned()))
}

fn progressing(parts: &[(&'static str, &Part)]) -> Verdict {
    let type_ = "Progressing";
    match parts.iter().find(|(_, part)| matches!(part, Part::Waiting(..))) {
        Some((_, part)) => Verdict::new(type_, true, part.reason(), part.message().to_owned()),
        None => Verdict::new(type_, false, Reason::Settled, "nothing is under way".to_owned()),
    }
}

fn degraded(assessment: &Assessment, parts: &[(&'static str, &Part)]) -> Verdict {
    let type_ = "Degraded";
    if let Some(Problem { reason, message, .. }) = &assessment.problem {
        return Verdict::new(type_, true, *reason, message.clone());
    }
    if assessment.data_loss.is_some() {
        let Verdict { reason, message, .. } = data_lost(assessment);
        return Verdict::new(type_, true, reason, message);
    }
    // Before the parts, for it is why they wait.
    if let Some((reason, message)) = in_words(&assessment.pod_problems, |_| true) {
        return Verdict::new(type_, true, reason, message);
    }
    if let Some((_, part)) = parts.iter().find(|(_, part)| matches!(part, Part::Failed(..))) {
        return Verdict::new(type_, true, part.reason(), part.message().to_owned());
    }
    Verdict::new(type_, false, Reason::AsDesired, "nothing needs help".to_owned())
}

/// What was lost, and what to do about it. It holds until it is acknowledged.
fn data_lost(assessment: &Assessment) -> Verdict {
    let type_ = "DataLost";
    let Some(loss) = &assessment.data_loss else {
        let message = "no loss of data is known".to_owned();
        return Verdict::new(type_, false, Reason::NoDataLost, message);
    };
    let newest = assessment
        .backup
        .as_ref()
        .and_then(|backup| backup.last_successful.as_ref()?.name.as_ref());
    let restore = newest.map_or_else(
        || "restore them from a backup of your own (this Shop has made none)".to_owned(),
        |name| format!("create another Shop with restoreFrom.backup: {name}"),
    );
    let message = format!(
        "on {} these databases were missing or empty at {}, although the shop had data in them: {}. They were \
         recreated without the data: {restore}, or set the annotation {}=true on the Shop to accept the loss",
        loss.engine,
        loss.time.0,
        loss.databases.join(", "),
        names::ACKNOWLEDGE_DATA_LOSS,
    );
    Verdict::new(type_, true, Reason::DataLost, message)
}

fn paused(paused: bool) -> Verdict {
    if paused {
        let message = "the annotation shop-operator.io/paused stops all writes".to_owned();
        Verdict::new("Paused", true, Reason::PausedByAnnotation, message)
    } else {
        Verdict::new("Paused", false, Reason::NotPaused, "changes are applied".to_owned())
    }
}

fn migrations(services: &[ServiceState]) -> Part {
    if services.is_empty() {
        return Part::Unknown;
    }
    let mut waiting = Vec::new();
    for service in services {
        match &service.migration {
            Some(Migration::Failed { job, line }) => {
                let name = service.name;
                let message = format!(
                    "{name}: Job {job} failed: {line}; it is repeated every ten minutes, and at once when you \
                     delete the Job"
                );
                return Part::Failed(Reason::MigrationFailed, message);
            }
            Some(Migration::WaitsForDatabase | Migration::Running) => {
                waiting.push(service.name.as_str());
            }
            Some(Migration::Applied) | None => {}
        }
    }
    if waiting.is_empty() {
        return Part::Ready(
            Reason::Applied,
            "every database has the schema of its service".to_owned(),
        );
    }
    Part::Waiting(Reason::MigrationsRunning, format!("waiting for {}", waiting.join(", ")))
}

/// The services whose own pods have a problem; what is beside them, or before them, has conditions of its own.
fn hindered(assessment: &Assessment) -> Option<Part> {
    let is_service = |role: Role| assessment.services.iter().any(|s| Role::from(s.name) == role);
    let (reason, message) = in_words(&assessment.pod_problems, is_service)?;
    Some(Part::Failed(reason, message))
}

/// Problems of some roles: the reason of the first, and all messages.
fn in_words(problems: &[PodProblem], of: impl Fn(Role) -> bool) -> Option<(Reason, String)> {
    let such: Vec<&PodProblem> = problems.iter().filter(|problem| of(problem.role)).collect();
    let messages: Vec<&str> = such.iter().map(|problem| problem.message.as_str()).collect();
    Some((such.first()?.reason, messages.join("; ")))
}

fn services(services: &[ServiceState]) -> Part {
    if services.is_empty() {
        return Part::Unknown;
    }
    let missing: Vec<&ServiceState> = services.iter().filter(|s| !s.can_serve()).collect();
    if missing.is_empty() {
        return Part::Ready(Reason::Available, "every service answers".to_owned());
    }
    let words: Vec<String> = missing.iter().map(|service| describe(service)).collect();
    let stuck = missing.iter().any(|s| s.rollout.as_ref().is_some_and(|r| r.stuck));
    if stuck {
        Part::Failed(Reason::RolloutStuck, words.join(", "))
    } else {
        Part::Waiting(Reason::RollingOut, format!("waiting for {}", words.join(", ")))
    }
}

fn demo_data(services: &[ServiceState]) -> Part {
    if services.is_empty() {
        return Part::Unknown;
    }
    let failed = services.iter().find_map(|service| match &service.demo_data {
        DemoData::Failed { job } => Some(job),
        _ => None,
    });
    if let Some(job) = failed {
        let message = format!("Job {job} failed; delete it to try again");
        return Part::Failed(Reason::DemoDataFailed, message);
    }
    let of = |state: &DemoData| -> Vec<&str> {
        let such = services.iter().filter(|service| service.demo_data == *state);
        such.map(|service| service.name.as_str()).collect()
    };
    let due = of(&DemoData::Due);
    if !due.is_empty() {
        return Part::Waiting(Reason::DemoDataDue, format!("waiting for {}", due.join(", ")));
    }
    let written = of(&DemoData::Written);
    if written.is_empty() {
        return Part::Missing(Reason::NotWanted, "spec.demoData is false".to_owned());
    }
    Part::Ready(Reason::DemoDataWritten, format!("written by {}", written.join(", ")))
}

fn describe(service: &ServiceState) -> String {
    let name = service.name;
    match (&service.rollout, service.held) {
        (_, Some(held)) => format!("{name} (held until {held})"),
        (Some(rollout), None) => format!("{name} ({}/{} ready)", rollout.ready, rollout.desired),
        (None, None) => format!("{name} (not applied)"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::crd::ServiceName;
    use crate::status::Rollout;

    fn service(name: ServiceName, optional: bool, ready: i32) -> ServiceState {
        ServiceState {
            name,
            optional,
            image: "i:1".to_owned(),
            replicas: 1,
            migrated_image: None,
            migration: Some(Migration::Applied),
            demo_data: DemoData::NotWanted,
            rollout: Some(Rollout { desired: 1, ready, complete: true, stuck: false }),
            held: None,
        }
    }

    fn conditions_of(assessment: &Assessment, old: &[Condition], second: i64) -> Vec<Condition> {
        conditions(assessment, old, Some(3), Timestamp::from_second(second).unwrap())
    }

    fn of<'c>(conditions: &'c [Condition], type_: &str) -> &'c Condition {
        conditions.iter().find(|condition| condition.type_ == type_).unwrap()
    }

    #[test]
    fn times_move_only_when_a_status_flips() {
        let mut assessment = Assessment {
            database: Part::Waiting(Reason::Starting, "a".to_owned()),
            ..Assessment::default()
        };
        let first = conditions_of(&assessment, &[], 1);
        assessment.database = Part::Failed(Reason::DatabaseUnreachable, "b".to_owned());
        let second = conditions_of(&assessment, &first, 2);
        assert_eq!(of(&second, "DatabaseReady").reason, "DatabaseUnreachable");
        assert_eq!(
            of(&second, "DatabaseReady").last_transition_time,
            of(&first, "DatabaseReady").last_transition_time
        );
        assessment.database = Part::Ready(Reason::DatabasesReady, "c".to_owned());
        let third = conditions_of(&assessment, &second, 3);
        let moved = &of(&third, "DatabaseReady").last_transition_time;
        assert_eq!(moved.0, Timestamp::from_second(3).unwrap());
        assert!(third.iter().all(|condition| condition.observed_generation == Some(3)));
    }

    #[test]
    fn every_condition_is_described() {
        let all = conditions_of(&Assessment::default(), &[], 1);
        // Only shops that roll out in steps have this one.
        let rollouts = ["RolloutsSettled"].into_iter();
        let emitted = all.iter().map(|condition| condition.type_.as_str()).chain(rollouts);
        let described = CONDITIONS.iter().map(|(name, _)| *name);
        assert_eq!(emitted.collect::<BTreeSet<_>>(), described.collect());
    }

    #[test]
    fn a_failed_migration_is_named_and_degrades() {
        let mut order = service(ServiceName::Order, false, 0);
        let (job, line) = ("demo-order-migrate-1".to_owned(), "no such column".to_owned());
        order.migration = Some(Migration::Failed { job, line });
        order.rollout = None;
        let silent = vec![ServiceName::Order];
        let assessment = Assessment { services: vec![order], silent, ..Assessment::default() };
        let conditions = conditions_of(&assessment, &[], 1);
        let migrations = of(&conditions, "MigrationsApplied");
        assert_eq!(migrations.reason, "MigrationFailed");
        assert!(migrations.message.contains("no such column"), "{}", migrations.message);
        assert_eq!(of(&conditions, "Degraded").status, "True");
        assert_eq!(of(&conditions, "Ready").reason, "MigrationFailed");
        assert_eq!(of(&conditions, "UpToDate").reason, "MigrationFailed");
    }

    #[test]
    fn a_shop_that_sells_in_an_older_version_is_ready_and_not_up_to_date() {
        let mut order = service(ServiceName::Order, false, 0);
        let backups = Part::Failed(Reason::BackupFailed, "no space".to_owned());
        let sells = Assessment {
            services: vec![service(ServiceName::Order, false, 1)],
            backups: backups.clone(),
            ..Assessment::default()
        };
        let conditions = conditions_of(&sells, &[], 1);
        assert_eq!(of(&conditions, "UpToDate").status, "True", "a backup is no part of what runs");
        order.rollout = Some(Rollout { desired: 1, ready: 0, complete: false, stuck: true });
        let assessment = Assessment { services: vec![order], ..sells };
        let conditions = conditions_of(&assessment, &[], 1);
        assert_eq!(of(&conditions, "Ready").status, "True");
        assert_eq!(of(&conditions, "UpToDate").reason, "RolloutStuck");
        assert_eq!(of(&conditions, "Degraded").reason, "RolloutStuck");
        let problem = Problem::transient(Reason::ApplyFailed, "timed out".to_owned());
        let hindered = Assessment { problem: Some(problem), ..assessment };
        let conditions = conditions_of(&hindered, &[], 1);
        assert_eq!(of(&conditions, "Ready").status, "True", "pods sell on");
        assert_eq!(of(&conditions, "UpToDate").reason, "ApplyFailed");
        let silent = vec![ServiceName::Order, ServiceName::Cart];
        let conditions = conditions_of(&Assessment { silent, ..Assessment::default() }, &[], 1);
        assert_eq!(of(&conditions, "Ready").message, "no pod of order, cart answers");
    }

    #[test]
    fn what_is_missing_neither_degrades_nor_progresses() {
        let monitoring = Part::Missing(Reason::ApiMissing, "no API".to_owned());
        let assessment = Assessment { monitoring, ..Assessment::default() };
        let conditions = conditions_of(&assessment, &[], 1);
        assert_eq!(of(&conditions, "MonitoringReady").status, "False");
        assert_eq!(of(&conditions, "Degraded").status, "False");
        assert_eq!(of(&conditions, "Progressing").status, "False");
    }

    #[test]
    fn demo_data_is_under_way_until_it_is_written_and_nobody_hears_of_it_unless_it_is_wanted() {
        let of_demo_data = |demo_data| {
            let mut catalog = service(ServiceName::Catalog, false, 1);
            catalog.demo_data = demo_data;
            let services = vec![service(ServiceName::Order, false, 1), catalog];
            conditions_of(&Assessment { services, ..Assessment::default() }, &[], 1)
        };
        let conditions = of_demo_data(DemoData::Due);
        assert_eq!(of(&conditions, "DemoDataReady").message, "waiting for catalog");
        assert_eq!(of(&conditions, "Progressing").reason, "DemoDataDue");
        assert_eq!(of(&conditions, "Degraded").status, "False");

        let conditions = of_demo_data(DemoData::Failed { job: "demo-catalog-seed-1".to_owned() });
        assert!(of(&conditions, "DemoDataReady").message.contains("demo-catalog-seed-1"));
        assert_eq!(of(&conditions, "Degraded").reason, "DemoDataFailed");
        assert_eq!(of(&conditions, "Progressing").status, "False");

        let conditions = of_demo_data(DemoData::Written);
        assert_eq!(of(&conditions, "DemoDataReady").status, "True");
        let conditions = of_demo_data(DemoData::NotWanted);
        assert!(conditions.iter().all(|condition| condition.type_ != "DemoDataReady"));
    }

    #[test]
    fn a_service_without_a_ready_pod_is_waited_for() {
        let services =
            vec![service(ServiceName::Order, false, 1), service(ServiceName::Review, true, 0)];
        let assessment = Assessment { services, ..Assessment::default() };
        let conditions = conditions_of(&assessment, &[], 1);
        assert_eq!(of(&conditions, "ServicesReady").message, "waiting for review (0/1 ready)");
        assert_eq!(of(&conditions, "Progressing").status, "True");
    }
}
