//! `(assessment, previous status) → status`, without I/O.

mod assessment;
mod conditions;
mod payments;
mod proxies;
mod reason;
mod rollouts;
mod route;
mod unreadable;

pub use assessment::{Assessment, DemoData, Migration, Part, Rollout, ServiceState};
pub use conditions::CONDITIONS;
pub use reason::Reason;
pub use rollouts::describe;
pub use route::route;
pub use unreadable::unreadable;

use crate::crd::{ServiceStatus, Shop, ShopStatus};
use crate::names;
use crate::problem::Problem;
use crate::validate::{DatabaseEngine, EventsEngine, ValidatedShop};

use jiff::Timestamp;

/// The status that follows from the state of a shop, `now`.
pub fn status(shop: &Shop, assessment: &Assessment, now: Timestamp) -> ShopStatus {
    let old = shop.status.clone().unwrap_or_default();
    let generation = shop.metadata.generation;
    let conditions = conditions::conditions(assessment, &old.conditions, generation, now);
    let Some(valid) = &assessment.valid else {
        // Nothing is known of a spec that makes no sense; what runs still runs.
        return ShopStatus { observed_generation: generation, conditions, ..old };
    };
    ShopStatus {
        observed_generation: generation,
        version: Some(valid.version.clone()),
        url: Some(valid.url.clone()),
        admin_secret: Some(names::admin_secret(&valid.name)),
        ready_services: Some(ratio(&assessment.services, ServiceState::can_serve)),
        database: Some(format!(
            "{} {}",
            database_kind(valid),
            assessment.database.reason().as_str()
        )),
        events: Some(format!("{} {}", events_kind(valid), assessment.events.reason().as_str())),
        kafka_cluster_id: assessment.kafka_cluster_id.clone(),
        data_loss: assessment.data_loss.clone(),
        backup: assessment.backup.clone(),
        restored: assessment.restored.clone(),
        migrations: Some(migrations(&assessment.services)),
        services: assessment.services.iter().map(service_status).collect(),
        rollouts: assessment.rollouts.clone().unwrap_or(old.rollouts),
        conditions,
    }
}

/// The status of a Shop that is being deleted: what was known of it, and what the deletion waits for.
pub fn deleting(shop: &Shop, message: &str, now: Timestamp) -> ShopStatus {
    let old = shop.status.clone().unwrap_or_default();
    let generation = shop.metadata.generation;
    let conditions = conditions::deleting(message, &old.conditions, generation, now);
    ShopStatus { observed_generation: generation, conditions, ..old }
}

/// The status of a Shop that could not be observed: what was known of it, and that it needs help.
pub fn unobserved(shop: &Shop, problem: &Problem, now: Timestamp) -> ShopStatus {
    let old = shop.status.clone().unwrap_or_default();
    let known = old.conditions.clone();
    let conditions = conditions::degraded_by(problem, known, shop.metadata.generation, now);
    ShopStatus { conditions, ..old }
}

fn service_status(service: &ServiceState) -> ServiceStatus {
    let rollout = service.rollout.as_ref();
    ServiceStatus {
        name: service.name,
        image: Some(service.image.clone()),
        ready_replicas: rollout.map_or(0, |rollout| rollout.ready),
        desired_replicas: rollout.map_or(service.replicas, |rollout| rollout.desired),
        migrated_image: match &service.migration {
            Some(Migration::Applied) => Some(service.image.clone()),
            Some(_) => service.migrated_image.clone(),
            None => None,
        },
        seeded: service.demo_data == DemoData::Written,
    }
}

fn ratio(services: &[ServiceState], holds: impl Fn(&ServiceState) -> bool) -> String {
    let count = services.iter().filter(|service| holds(service)).count();
    format!("{count}/{}", services.len())
}

fn migrations(services: &[ServiceState]) -> String {
    let migrations: Vec<&Migration> =
        services.iter().filter_map(|s| s.migration.as_ref()).collect();
    let applied = migrations.iter().filter(|m| matches!(m, Migration::Applied)).count();
    format!("{applied}/{}", migrations.len())
}

const fn database_kind(shop: &ValidatedShop) -> &'static str {
    match shop.database {
        DatabaseEngine::Bundled(_) => "bundled",
        DatabaseEngine::External { .. } => "external",
    }
}

const fn events_kind(shop: &ValidatedShop) -> &'static str {
    match shop.events {
        EventsEngine::Bundled(_) => "bundled",
        EventsEngine::External { .. } => "external",
    }
}
