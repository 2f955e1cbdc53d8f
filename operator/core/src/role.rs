//! The role of each object of a shop.

use std::collections::BTreeMap;
use std::fmt;

use crate::crd::ServiceName;
use crate::names::COMPONENT_LABEL;

/// The role of an object. Labels and most names are derived from it; [`Role::of`] alone parses it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// For all pods of the shop.
    Shop,
    /// Part of a service.
    Service(ServiceName, Duty),
    /// Part of a bundled engine.
    Engine(EngineKind),
    /// Service discovery of Prometheus.
    Metrics,
    /// The record of the topics that the shop owns in an external Kafka.
    Topics,
    /// Backups.
    Backup,
    /// Restoration of a backup into empty databases.
    Restore,
}

/// The duty of a service's pods. Each has its own component, so that the Service selects the stable pods alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Duty {
    /// They serve requests.
    Stable,
    /// They run a new version beside the stable one; only the gateway sends them requests.
    Canary,
    /// They migrate the database to the schema of the image.
    Migration,
    /// They write demo data.
    Seed,
}

/// A server that the operator can run for a shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngineKind {
    /// Postgres.
    Postgres,
    /// Redis.
    Redis,
    /// Kafka.
    Kafka,
    /// The object store.
    Objects,
    /// The mail catcher.
    Mail,
}

/// Roles without a service or an engine.
const SINGLE: [Role; 5] = [Role::Shop, Role::Metrics, Role::Topics, Role::Backup, Role::Restore];

impl Duty {
    const ALL: [Self; 4] = [Self::Stable, Self::Canary, Self::Migration, Self::Seed];

    /// Suffix of the component.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Stable => "",
            Self::Canary => "-canary",
            Self::Migration => "-migrate",
            Self::Seed => "-seed",
        }
    }
}

impl EngineKind {
    /// Every engine.
    pub const ALL: [Self; 5] =
        [Self::Postgres, Self::Redis, Self::Kafka, Self::Objects, Self::Mail];

    /// Its component.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Kafka => "kafka",
            Self::Objects => "objects",
            Self::Mail => "mail",
        }
    }
}

impl Role {
    /// The service, of objects that belong to one.
    pub const fn service(self) -> Option<ServiceName> {
        match self {
            Self::Service(service, _) => Some(service),
            _ => None,
        }
    }

    /// The role in the labels of an object, if they name one.
    pub fn of(labels: &BTreeMap<String, String>) -> Option<Self> {
        let component = labels.get(COMPONENT_LABEL)?;
        let of_service = |duty: Duty| {
            let service = ServiceName::parse(component.strip_suffix(duty.suffix())?)?;
            Some(Self::Service(service, duty))
        };
        let mut others = SINGLE.into_iter().chain(EngineKind::ALL.map(Self::Engine));
        others
            .find(|role| role.word() == component)
            .or_else(|| Duty::ALL.into_iter().find_map(of_service))
    }

    /// The component without the suffix of a duty.
    const fn word(self) -> &'static str {
        match self {
            Self::Shop => "base",
            Self::Service(service, _) => service.as_str(),
            Self::Engine(engine) => engine.as_str(),
            Self::Metrics => "metrics",
            Self::Topics => "topics",
            Self::Backup => "backup",
            Self::Restore => "restore",
        }
    }
}

impl From<ServiceName> for Role {
    fn from(service: ServiceName) -> Self {
        Self::Service(service, Duty::Stable)
    }
}

impl From<EngineKind> for Role {
    fn from(engine: EngineKind) -> Self {
        Self::Engine(engine)
    }
}

/// The value of the component label, and part of names.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::Service(_, duty) => f.write_str(duty.suffix()),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names;

    #[test]
    fn roles_round_trip_through_labels() {
        let services = ServiceName::ALL
            .into_iter()
            .flat_map(|service| Duty::ALL.map(|duty| Role::Service(service, duty)));
        let roles: Vec<Role> =
            SINGLE.into_iter().chain(EngineKind::ALL.map(Role::Engine)).chain(services).collect();
        assert_eq!(roles.len(), 46);
        for role in roles {
            assert_eq!(Role::of(&names::object_labels("demo", role)), Some(role), "{role}");
        }
    }

    #[test]
    fn foreign_labels_have_no_role() {
        for component in ["", "order-", "order-canary-canary", "Order", "proxy", "-canary"] {
            let labels = names::labels([(COMPONENT_LABEL, component)]);
            assert_eq!(Role::of(&labels), None, "{component}");
        }
        assert_eq!(Role::of(&BTreeMap::new()), None);
    }
}
