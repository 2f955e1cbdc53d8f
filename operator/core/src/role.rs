//! What an object of a shop is there for.

use std::collections::BTreeMap;
use std::fmt;

use crate::crd::ServiceName;
use crate::names::COMPONENT_LABEL;

/// What an object of a shop is there for: labels and most names are made from it. It is read back from labels in one
/// place, [`Role::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It is for all pods of the shop.
    Shop,
    /// It belongs to a service.
    Service(ServiceName, Duty),
    /// It belongs to a bundled engine.
    Engine(EngineKind),
    /// It leads Prometheus to the services.
    Metrics,
    /// It says which topics of an external Kafka are the shop's.
    Topics,
    /// It makes backups.
    Backup,
    /// It fills empty databases from a backup.
    Restore,
}

/// What pods of a service do. All but those that serve have a component of their own, so that none of them is sent requests
/// that are meant for these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Duty {
    /// They serve.
    Stable,
    /// They are of a new version beside the old one, and get their share of requests from the gateway alone.
    Canary,
    /// They bring the database to the schema of the image.
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

/// Roles that nothing has to be added to.
const ALONE: [Role; 5] = [Role::Shop, Role::Metrics, Role::Topics, Role::Backup, Role::Restore];

impl Duty {
    const ALL: [Self; 4] = [Self::Stable, Self::Canary, Self::Migration, Self::Seed];

    /// What follows the name of the service.
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
    /// The service that an object belongs to.
    pub const fn service(self) -> Option<ServiceName> {
        match self {
            Self::Service(service, _) => Some(service),
            _ => None,
        }
    }

    /// The role that the labels of an object tell; nothing if they tell none that there is.
    pub fn of(labels: &BTreeMap<String, String>) -> Option<Self> {
        let component = labels.get(COMPONENT_LABEL)?;
        let of_service = |duty: Duty| {
            let service = ServiceName::parse(component.strip_suffix(duty.suffix())?)?;
            Some(Self::Service(service, duty))
        };
        let alone = ALONE.into_iter().chain(EngineKind::ALL.map(Self::Engine));
        alone
            .into_iter()
            .find(|role| role.word() == component)
            .or_else(|| Duty::ALL.into_iter().find_map(of_service))
    }

    /// The component of what is no service, or the service.
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

/// The component: a word that stands for the role in labels and names.
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
    fn every_role_is_read_back_from_its_labels() {
        let services = ServiceName::ALL
            .into_iter()
            .flat_map(|service| Duty::ALL.map(|duty| Role::Service(service, duty)));
        let roles: Vec<Role> =
            ALONE.into_iter().chain(EngineKind::ALL.map(Role::Engine)).chain(services).collect();
        assert_eq!(roles.len(), 46);
        for role in roles {
            assert_eq!(Role::of(&names::object_labels("demo", role)), Some(role), "{role}");
        }
    }

    #[test]
    fn labels_of_others_tell_no_role() {
        for component in ["", "order-", "order-canary-canary", "Order", "proxy", "-canary"] {
            let labels = names::labels([(COMPONENT_LABEL, component)]);
            assert_eq!(Role::of(&labels), None, "{component}");
        }
        assert_eq!(Role::of(&BTreeMap::new()), None);
    }
}
