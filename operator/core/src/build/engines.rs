//! The bundled engines: one pod each, with one volume that outlives it.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, StatefulSet, StatefulSetSpec},
        core::v1::{
            Container, ContainerPort, EnvVar, PodTemplateSpec, Probe, ResourceRequirements,
            Service, ServicePort, ServiceSpec,
        },
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    Scope,
    env::SMTP_PORT,
    meta,
    plans::{KAFKA_PORT, OBJECTS_PORT, POSTGRES_PORT, REDIS_PORT, SecretKey},
    pod::{self, Mounted, exec_probe, scratch, secret_dir, secret_files, tcp_probe, var},
    services::account,
    volume,
};
use crate::{
    crd::{Scheduling, Storage},
    names,
    object::Object,
    role::EngineKind,
    validate::{
        BundledServer, CacheEngine, DatabaseEngine, EventsEngine, MailEngine, ObjectStoreEngine,
        ValidatedShop, memory_share,
    },
};

/// User of the engines' images.
pub(super) const USER: i64 = 999;
/// Where the volume is mounted.
const DATA: &str = "/data";
/// A server flushes what it holds in memory within this time.
const GRACE_SECONDS: i64 = 60;
/// Port of the bundled mail server for its web page.
const MAIL_WEB_PORT: u16 = 1080;
/// The one bucket of the bundled object store.
pub(super) const BUCKET: &str = "shop";
/// Enough for nine services with a few pods of ten connections each.
const POSTGRES_CONNECTIONS: &str = "max_connections=300";
/// Run before Postgres, on a volume that has data already.
const TAKE_PASSWORD: &str = include_str!("take-password.sh");
/// Whether Redis has loaded its data. It comes along, because nodes may keep an image whose own script leaks a process
/// per probe.
const REDIS_READY: &str = include_str!("../../../../cluster/images/redis/ready.sh");

/// One bundled engine: what makes it different from the others.
struct Engine<'a> {
    kind: EngineKind,
    image: &'a str,
    /// A script that runs before the server, with all that the server has.
    before: Option<&'static str>,
    args: Vec<String>,
    env: Vec<EnvVar>,
    ports: &'static [(&'static str, u16)],
    mounted: Vec<Mounted>,
    ready: Probe,
    resources: &'a ResourceRequirements,
    scheduling: &'a Scheduling,
    storage: Option<&'a Storage>,
}

/// Accounts of the bundled engines, without any rights.
pub(super) fn accounts(shop: &ValidatedShop) -> Vec<Object> {
    engines(shop).into_iter().map(|engine| account(shop, engine.kind)).collect()
}

/// Every object of the bundled engines.
pub(super) fn objects(scope: &Scope<'_>) -> Vec<Object> {
    let shop = scope.shop;
    let objects = |engine: Engine<'_>| {
        let service = Object::new(&service(shop, &engine));
        let claim =
            engine.storage.map(|storage| Object::new(&volume::claim(shop, engine.kind, storage)));
        let workload = if engine.storage.is_some() {
            Object::new(&stateful_set(scope, engine))
        } else {
            Object::new(&deployment(scope, engine))
        };
        [Some(service), claim, Some(workload)]
    };
    engines(shop).into_iter().flat_map(objects).flatten().collect()
}

fn engines(shop: &ValidatedShop) -> Vec<Engine<'_>> {
    let mut engines = Vec::new();
    if let DatabaseEngine::Bundled(server) = &shop.database {
        engines.push(postgres(shop, server));
    }
    if let CacheEngine::Bundled(server) = &shop.cache {
        engines.push(redis(shop, server));
    }
    if let EventsEngine::Bundled(server) = &shop.events {
        engines.push(kafka(shop, server));
    }
    if let ObjectStoreEngine::Bundled(server) = &shop.object_store {
        engines.push(objects_engine(shop, server));
    }
    if let MailEngine::Bundled { image, resources, scheduling, .. } = &shop.mail {
        engines.push(mail(image, resources, scheduling));
    }
    engines
}

fn postgres<'a>(shop: &ValidatedShop, server: &'a BundledServer) -> Engine<'a> {
    let kind = EngineKind::Postgres;
    Engine {
        kind,
        image: &server.image,
        before: Some(TAKE_PASSWORD),
        args: vec!["-c".into(), POSTGRES_CONNECTIONS.into()],
        env: vec![
            var("PGDATA", format!("{DATA}/pgdata")),
            password_file("POSTGRES_PASSWORD_FILE", kind),
        ],
        ports: &[("postgres", POSTGRES_PORT)],
        mounted: vec![password(shop, kind), scratch("tmp", "/tmp")],
        ready: exec_probe(&["pg_isready", "-q", "-h", "127.0.0.1"]),
        resources: &server.resources,
        scheduling: &server.scheduling,
        storage: Some(&server.storage),
    }
}

/// Carts live in Redis, hence it refuses a write rather than forget one that it took.
fn redis<'a>(shop: &ValidatedShop, server: &'a BundledServer) -> Engine<'a> {
    let kind = EngineKind::Redis;
    let memory = format!("{}mb", memory_share(&server.resources, 2, 128));
    let args = ["--maxmemory", &memory, "--maxmemory-policy", "noeviction"];
    Engine {
        kind,
        image: &server.image,
        before: None,
        args: args.map(str::to_owned).into(),
        env: vec![password_file("REDIS_PASSWORD_FILE", kind)],
        ports: &[("redis", REDIS_PORT)],
        mounted: vec![password(shop, kind), scratch("tmp", "/tmp")],
        ready: exec_probe(&["sh", "-c", REDIS_READY]),
        resources: &server.resources,
        scheduling: &server.scheduling,
        storage: Some(&server.storage),
    }
}

fn kafka<'a>(shop: &ValidatedShop, server: &'a BundledServer) -> Engine<'a> {
    Engine {
        kind: EngineKind::Kafka,
        image: &server.image,
        before: None,
        args: Vec::new(),
        env: vec![
            var("KAFKA_ADVERTISED_HOST", shop.host_of(EngineKind::Kafka)),
            var("KAFKA_HEAP", format!("{}m", memory_share(&server.resources, 3, 256))),
        ],
        ports: &[("kafka", KAFKA_PORT)],
        mounted: vec![scratch("tmp", "/tmp")],
        ready: tcp_probe("kafka"),
        resources: &server.resources,
        scheduling: &server.scheduling,
        storage: Some(&server.storage),
    }
}

/// It makes its bucket itself, before it opens its port.
fn objects_engine<'a>(shop: &ValidatedShop, server: &'a BundledServer) -> Engine<'a> {
    let kind = EngineKind::Objects;
    let file = |key: &str| format!("{}/{key}", secret_dir(kind.as_str()));
    Engine {
        kind,
        image: &server.image,
        before: None,
        args: Vec::new(),
        env: vec![
            var("OBJECTS_BUCKET", BUCKET),
            var("OBJECTS_ACCESS_KEY_FILE", file(SecretKey::ACCESS_KEY)),
            var("OBJECTS_SECRET_KEY_FILE", file(SecretKey::SECRET_KEY)),
        ],
        ports: &[("s3", OBJECTS_PORT)],
        mounted: vec![password(shop, kind)],
        ready: tcp_probe("s3"),
        resources: &server.resources,
        scheduling: &server.scheduling,
        storage: Some(&server.storage),
    }
}

fn mail<'a>(
    image: &'a str,
    resources: &'a ResourceRequirements,
    scheduling: &'a Scheduling,
) -> Engine<'a> {
    Engine {
        kind: EngineKind::Mail,
        image,
        before: None,
        args: Vec::new(),
        env: Vec::new(),
        ports: &[("smtp", SMTP_PORT), ("web", MAIL_WEB_PORT)],
        mounted: vec![scratch("tmp", "/tmp")],
        ready: tcp_probe("smtp"),
        resources,
        scheduling,
        storage: None,
    }
}

fn password(shop: &ValidatedShop, engine: EngineKind) -> Mounted {
    secret_files(engine.as_str(), names::child(&shop.name, engine))
}

fn password_file(variable: &str, engine: EngineKind) -> EnvVar {
    var(variable, format!("{}/{}", secret_dir(engine.as_str()), SecretKey::PASSWORD))
}

fn stateful_set(scope: &Scope<'_>, engine: Engine<'_>) -> StatefulSet {
    let shop = scope.shop;
    let metadata = meta::versioned(meta::child(shop, engine.kind), engine.image);
    let selector = names::selector(&shop.name, engine.kind);
    StatefulSet {
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            revision_history_limit: Some(3),
            service_name: metadata.name.clone(),
            selector: names::label_selector(selector.clone()),
            template: template(scope, selector, engine),
            ..StatefulSetSpec::default()
        }),
        metadata,
        status: None,
    }
}

fn deployment(scope: &Scope<'_>, engine: Engine<'_>) -> Deployment {
    let shop = scope.shop;
    let selector = names::selector(&shop.name, engine.kind);
    Deployment {
        metadata: meta::versioned(meta::child(shop, engine.kind), engine.image),
        spec: Some(DeploymentSpec {
            replicas: Some(1),
            revision_history_limit: Some(3),
            selector: names::label_selector(selector.clone()),
            // Two of them would each have half of the mail.
            strategy: Some(DeploymentStrategy {
                type_: Some("Recreate".into()),
                rolling_update: None,
            }),
            template: template(scope, selector, engine),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn template(
    scope: &Scope<'_>,
    labels: BTreeMap<String, String>,
    engine: Engine<'_>,
) -> PodTemplateSpec {
    let shop = scope.shop;
    let (mut volumes, mut mounts): (Vec<_>, Vec<_>) = engine.mounted.into_iter().unzip();
    if engine.storage.is_some() {
        volumes.push(volume::data(shop, engine.kind));
        mounts.push(pod::mount("data", DATA));
    }
    let ports = engine.ports.iter().map(|(name, port)| ContainerPort {
        name: Some((*name).into()),
        container_port: (*port).into(),
        ..ContainerPort::default()
    });
    let before = engine.before.map(|script| Container {
        name: "before".into(),
        image: Some(engine.image.to_owned()),
        command: Some(["sh", "-c", script].map(str::to_owned).into()),
        env: Some(engine.env.clone()),
        resources: Some(engine.resources.clone()),
        volume_mounts: Some(mounts.clone()),
        ..Container::default()
    });
    let container = Container {
        name: engine.kind.to_string(),
        image: Some(engine.image.to_owned()),
        args: (!engine.args.is_empty()).then_some(engine.args),
        env: (!engine.env.is_empty()).then_some(engine.env),
        ports: Some(ports.collect()),
        resources: Some(engine.resources.clone()),
        volume_mounts: Some(mounts),
        // A server that replays its log after a crash may take minutes.
        startup_probe: Some(pod::every(1, 600, engine.ready.clone())),
        readiness_probe: Some(pod::every(5, 3, engine.ready)),
        liveness_probe: Some(pod::every(20, 6, tcp_probe(engine.ports[0].0))),
        ..Container::default()
    };
    let mut spec = pod::spec(shop, engine.kind.into(), USER, engine.scheduling, container, volumes);
    spec.topology_spread_constraints = pod::spread(engine.scheduling, &labels, &[]);
    spec.init_containers = before.map(|container| vec![pod::confined(shop, container)]);
    spec.termination_grace_period_seconds = Some(GRACE_SECONDS);
    pod::template(scope, labels, &shop.pod_metadata, spec)
}

fn service(shop: &ValidatedShop, engine: &Engine<'_>) -> Service {
    let ports = engine.ports.iter().map(|(name, port)| ServicePort {
        name: Some((*name).into()),
        port: (*port).into(),
        target_port: Some(IntOrString::String((*name).into())),
        ..ServicePort::default()
    });
    Service {
        metadata: meta::child(shop, engine.kind),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".into()),
            selector: Some(names::selector(&shop.name, engine.kind)),
            ports: Some(ports.collect()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}
