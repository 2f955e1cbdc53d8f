//! The table of components: one row per service. A tenth service is a tenth row.

use contracts::ports;

use crate::crd::ServiceName;

use Need::{AdminAccount, Cache, Database, Events, Mail, Objects, SigningKey};

/// What a service cannot run without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A Postgres database and role of its own, and with it a `migrate` Job.
    Database,
    /// The shop's Redis.
    Cache,
    /// The shop's Kafka.
    Events,
    /// The shop's mail server.
    Mail,
    /// The shop's object store. Alone of all it may be away: what is in it cannot be seen until it is back.
    Objects,
    /// The private key that access tokens are signed with.
    SigningKey,
    /// The first administrator's e-mail address and password.
    AdminAccount,
}

/// One service of a shop.
#[derive(Debug, PartialEq)]
pub struct Component {
    /// Its name.
    pub name: ServiceName,
    /// Whether a shop can sell without it.
    pub optional: bool,
    /// Whether it listens on the gRPC port too, beside HTTP and admin.
    pub grpc: bool,
    /// What it cannot run without.
    pub needs: &'static [Need],
    /// Services whose HTTP port it calls.
    pub http_peers: &'static [ServiceName],
    /// Services whose gRPC port it calls.
    pub grpc_peers: &'static [ServiceName],
    /// Whether it can fill itself with demo data (`seed`).
    pub seeds: bool,
}

impl Component {
    /// The row of a service.
    pub fn of(name: ServiceName) -> &'static Self {
        COMPONENTS.iter().find(|c| c.name == name).expect("every service has a row")
    }

    /// Whether the service cannot run without this.
    pub fn needs(&self, need: Need) -> bool {
        self.needs.contains(&need)
    }

    /// Names and numbers of the ports it listens on.
    pub fn ports(&self) -> impl Iterator<Item = (&'static str, u16)> + Clone + use<> {
        let grpc = self.grpc.then_some((ports::GRPC_NAME, ports::GRPC));
        [(ports::HTTP_NAME, ports::HTTP), (ports::ADMIN_NAME, ports::ADMIN)].into_iter().chain(grpc)
    }

    /// Every service it calls, over whichever port.
    pub fn peers(&self) -> impl Iterator<Item = ServiceName> {
        let grpc_only = self.grpc_peers.iter().filter(|peer| !self.http_peers.contains(peer));
        self.http_peers.iter().chain(grpc_only).copied()
    }
}

/// What a service requests and may use, unless its Shop says otherwise.
pub const REQUESTS: [(&str, &str); 2] = [("cpu", "10m"), ("memory", "32Mi")];
/// Memory alone is limited: a CPU limit slows a service down without protecting its neighbours.
pub const LIMITS: [(&str, &str); 1] = [("memory", "256Mi")];
/// Pods of a service, unless its Shop says otherwise.
pub const REPLICAS: i32 = 1;

/// Every service of a shop.
pub static COMPONENTS: [Component; 9] = [
    Component {
        name: ServiceName::Gateway,
        optional: false,
        grpc: false,
        needs: &[Cache],
        http_peers: &[
            ServiceName::User,
            ServiceName::Catalog,
            ServiceName::Cart,
            ServiceName::Order,
            ServiceName::Payment,
            ServiceName::Inventory,
            ServiceName::Review,
            ServiceName::Notification,
        ],
        grpc_peers: &[
            ServiceName::User,
            ServiceName::Catalog,
            ServiceName::Inventory,
            ServiceName::Review,
        ],
        seeds: false,
    },
    Component {
        name: ServiceName::User,
        optional: false,
        grpc: true,
        needs: &[Database, Cache, Events, SigningKey, AdminAccount],
        http_peers: &[],
        grpc_peers: &[],
        seeds: true,
    },
    Component {
        name: ServiceName::Catalog,
        optional: false,
        grpc: true,
        needs: &[Database, Cache, Events, Objects],
        http_peers: &[],
        grpc_peers: &[],
        seeds: true,
    },
    Component {
        name: ServiceName::Cart,
        optional: false,
        grpc: false,
        needs: &[Cache, Events],
        http_peers: &[],
        grpc_peers: &[ServiceName::Catalog, ServiceName::Inventory],
        seeds: false,
    },
    Component {
        name: ServiceName::Order,
        optional: false,
        grpc: true,
        needs: &[Database, Cache, Events],
        http_peers: &[ServiceName::Cart],
        grpc_peers: &[ServiceName::Catalog],
        seeds: false,
    },
    Component {
        name: ServiceName::Payment,
        optional: false,
        grpc: false,
        needs: &[Database, Events],
        http_peers: &[],
        grpc_peers: &[],
        seeds: false,
    },
    Component {
        name: ServiceName::Inventory,
        optional: false,
        grpc: true,
        needs: &[Database, Events],
        http_peers: &[],
        grpc_peers: &[ServiceName::Catalog],
        seeds: true,
    },
    Component {
        name: ServiceName::Review,
        optional: true,
        grpc: true,
        needs: &[Database, Events],
        http_peers: &[],
        grpc_peers: &[ServiceName::Order, ServiceName::Catalog],
        seeds: false,
    },
    Component {
        name: ServiceName::Notification,
        optional: true,
        grpc: false,
        needs: &[Database, Events, Mail],
        http_peers: &[],
        grpc_peers: &[],
        seeds: false,
    },
];
