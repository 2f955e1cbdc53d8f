//! `(facts, previous status) → status`, without I/O.

mod conditions;
mod facts;
mod payments;
mod proxies;
mod reason;
mod rollouts;
mod route;
mod unreadable;

pub use facts::{DemoData, Facts, Migration, Part, Rollout, ServiceFacts};
pub use reason::Reason;
pub use rollouts::describe;
pub use route::route;
pub use unreadable::unreadable;

use crate::crd::{ServiceStatus, Shop, ShopStatus};
use crate::names;
use crate::validate::{DatabaseEngine, EventsEngine, ValidatedShop};

use jiff::Timestamp;

/// The status that follows from what one reconciliation found, `now`.
pub fn status(shop: &Shop, facts: &Facts, now: Timestamp) -> ShopStatus {
    let old = shop.status.clone().unwrap_or_default();
    let generation = shop.metadata.generation;
    let conditions = conditions::conditions(facts, &old.conditions, generation, now);
    let Some(valid) = &facts.valid else {
        // Nothing is known of a spec that makes no sense; what runs still runs.
        return ShopStatus { observed_generation: generation, conditions, ..old };
    };
    ShopStatus {
        observed_generation: generation,
        version: Some(valid.version.clone()),
        url: Some(valid.url.clone()),
        admin_secret: Some(names::admin_secret(&valid.name)),
        ready_services: Some(ratio(&facts.services, ServiceFacts::can_serve)),
        database: Some(format!("{} {}", database_kind(valid), facts.database.reason().as_str())),
        events: Some(format!("{} {}", events_kind(valid), facts.events.reason().as_str())),
        kafka_cluster_id: facts.kafka_cluster_id.clone(),
        data_loss: facts.data_loss.clone(),
        backup: facts.backup.clone(),
        restored: facts.restored.clone(),
        migrations: Some(migrations(&facts.services)),
        services: facts.services.iter().map(service_status).collect(),
        rollouts: facts.rollouts.clone().unwrap_or(old.rollouts),
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

fn service_status(service: &ServiceFacts) -> ServiceStatus {
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

fn ratio(services: &[ServiceFacts], holds: impl Fn(&ServiceFacts) -> bool) -> String {
    let count = services.iter().filter(|service| holds(service)).count();
    format!("{count}/{}", services.len())
}

fn migrations(services: &[ServiceFacts]) -> String {
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
