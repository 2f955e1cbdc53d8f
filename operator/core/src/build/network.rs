//! Network policies: nothing is allowed but the edges of the picture, and every edge is taken from
//! the table of components.

use std::collections::{BTreeMap, BTreeSet};

use contracts::ports;
use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
        util::intstr::IntOrString,
    },
};

use super::{
    backup,
    env::SMTP_PORT,
    extra, meta,
    plans::{OBJECTS_PORT, REDIS_PORT, databases, topics},
};
use crate::{
    components::Need,
    crd::{EnvVar, ServiceName},
    names,
    object::Object,
    role::{EngineKind, Role},
    validate::{
        CacheEngine, DatabaseEngine, EventsEngine, MailEngine, ObjectStoreEngine, ServiceInstance,
        ValidatedShop,
    },
};

/// Where the cluster's DNS servers are, by the label of their pods that distributions give them. A rule is about the
/// pods' ports, and these need not be the Service's.
const DNS_NAMESPACE: &str = "kube-system";
const DNS_PODS: [&str; 3] = ["kube-dns", "coredns", "node-local-dns"];
/// Where OKD has them; nothing else is there.
const OKD_DNS: &str = "openshift-dns";
/// Label of every namespace with its name.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

/// Every policy of a shop.
pub(super) fn policies(shop: &ValidatedShop) -> Vec<Object> {
    if !shop.network_policies.enabled {
        return Vec::new();
    }
    let services = shop.services.iter().map(|service| service_policy(shop, service));
    let engines = backends(shop).into_iter().filter_map(|backend| engine_policy(shop, &backend));
    let jobs = jobs(shop).map(|component| job_policy(shop, component));
    [base(shop)]
        .into_iter()
        .chain(services)
        .chain(jobs)
        .chain(engines)
        .map(|p| Object::new(&p))
        .collect()
}

/// An engine, as its users see it.
struct Backend {
    need: Need,
    /// The bundled engine.
    engine: Option<EngineKind>,
    ports: BTreeSet<u16>,
    /// Whether the operator itself talks to it.
    operated: bool,
}

fn backends(shop: &ValidatedShop) -> [Backend; 5] {
    let backend = |need, bundled: Option<_>, ports: &[u16], operated| Backend {
        need,
        engine: bundled,
        ports: ports.iter().copied().collect(),
        operated,
    };
    let database = databases(shop).port;
    let postgres =
        matches!(shop.database, DatabaseEngine::Bundled(_)).then_some(EngineKind::Postgres);
    let (redis, redis_port) = match &shop.cache {
        CacheEngine::Bundled(_) => (Some(EngineKind::Redis), REDIS_PORT),
        CacheEngine::External { port, .. } => (None, *port),
    };
    let (mail, mail_port) = match &shop.mail {
        MailEngine::Bundled { .. } => (Some(EngineKind::Mail), SMTP_PORT),
        MailEngine::External { port, .. } => (None, *port),
    };
    let (objects, objects_port) = match &shop.object_store {
        ObjectStoreEngine::Bundled(_) => (Some(EngineKind::Objects), OBJECTS_PORT),
        ObjectStoreEngine::External(store) => (None, endpoint_port(&store.endpoint)),
    };
    let kafka = matches!(shop.events, EventsEngine::Bundled(_)).then_some(EngineKind::Kafka);
    let brokers: Vec<u16> = topics(shop)
        .bootstrap_servers
        .iter()
        .filter_map(|server| server.rsplit_once(':')?.1.parse().ok())
        .collect();
    [
        backend(Need::Database, postgres, &[database], true),
        backend(Need::Cache, redis, &[redis_port], false),
        backend(Need::Events, kafka, &brokers, true),
        backend(Need::Mail, mail, &[mail_port], false),
        backend(Need::Objects, objects, &[objects_port], false),
    ]
}

/// Denies everything but names (DNS), the admin port to the cluster (probes and Prometheus), and what the spec adds.
fn base(shop: &ValidatedShop) -> NetworkPolicy {
    let anywhere_in_cluster = NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        ..Default::default()
    };
    let admin = NetworkPolicyIngressRule {
        from: Some(vec![anywhere_in_cluster]),
        ports: Some(tcp([ports::ADMIN])),
    };
    let mut egress = dns(&shop.network_policies.dns.ports);
    egress.extend(shop.network_policies.additional_egress.clone());
    policy(shop, Role::Shop, names::shop_selector(&shop.name), vec![admin], egress)
}

/// The way to DNS servers: by these ports wherever they are, which may be an address of the node, and to the cluster's own.
fn dns(ports: &[u16]) -> Vec<NetworkPolicyEgressRule> {
    let anywhere = NetworkPolicyEgressRule {
        to: None,
        ports: Some(
            ports.iter().flat_map(|&number| ["UDP", "TCP"].map(|p| port(p, number))).collect(),
        ),
    };
    let namespace = |name| Some(names::label_selector(names::labels([(NAMESPACE_LABEL, name)])));
    let servers = LabelSelectorRequirement {
        key: "k8s-app".into(),
        operator: "In".into(),
        values: Some(DNS_PODS.map(str::to_owned).into()),
    };
    let servers = NetworkPolicyPeer {
        namespace_selector: namespace(DNS_NAMESPACE),
        pod_selector: Some(LabelSelector {
            match_expressions: Some(vec![servers]),
            match_labels: None,
        }),
        ip_block: None,
    };
    let okd = NetworkPolicyPeer {
        namespace_selector: namespace(OKD_DNS),
        ..NetworkPolicyPeer::default()
    };
    let own = NetworkPolicyEgressRule { to: Some(vec![servers, okd]), ports: None };
    // Without a port the rule would let everything out.
    (!ports.is_empty()).then_some(anywhere).into_iter().chain([own]).collect()
}

/// What a service and its Jobs may be called by, and may call.
fn service_policy(shop: &ValidatedShop, service: &ServiceInstance) -> NetworkPolicy {
    let component = service.component;
    let name = component.name;
    let ingress = if name == ServiceName::Gateway {
        vec![NetworkPolicyIngressRule { from: None, ports: Some(tcp([ports::HTTP])) }]
    } else {
        let callers = |calls: fn(&ServiceInstance) -> &[ServiceName], port| {
            let callers = shop.services.iter().filter(|caller| calls(caller).contains(&name));
            let callers: Vec<_> = callers.map(|caller| caller.component.name).collect();
            (!callers.is_empty()).then(|| NetworkPolicyIngressRule {
                from: Some(vec![pods_of(shop, &callers)]),
                ports: Some(tcp([port])),
            })
        };
        let http = callers(|caller| caller.component.http_peers, ports::HTTP);
        let grpc = callers(|caller| caller.component.grpc_peers, ports::GRPC);
        http.into_iter().chain(grpc).collect()
    };
    let selector = names::service_selector(&shop.name, name);
    policy(shop, name.into(), selector, ingress, egress(shop, service))
}

fn egress(shop: &ValidatedShop, service: &ServiceInstance) -> Vec<NetworkPolicyEgressRule> {
    let component = service.component;
    let backends =
        backends(shop).into_iter().filter(|backend| component.needs(backend.need)).map(|backend| {
            NetworkPolicyEgressRule {
                to: backend.engine.map(|engine| vec![pods(names::selector(&shop.name, engine))]),
                ports: Some(tcp(backend.ports)),
            }
        });
    let peers = |peers: &[ServiceName], port| {
        let peers: Vec<_> =
            peers.iter().copied().filter(|peer| shop.service(*peer).is_some()).collect();
        (!peers.is_empty()).then(|| NetworkPolicyEgressRule {
            to: Some(vec![pods_of(shop, &peers)]),
            ports: Some(tcp([port])),
        })
    };
    // What is outside has no labels: its port alone is known.
    let stripe = shop.payments.stripe.as_ref().filter(|_| component.name == ServiceName::Payment);
    let sms = shop.sms.as_ref().filter(|_| component.name == ServiceName::Notification);
    let outside = [
        shop.otlp_endpoint.as_deref(),
        stripe.map(|stripe| &*stripe.api_url),
        sms.map(|sms| &*sms.url),
    ];
    let outside = outside
        .into_iter()
        .flatten()
        .map(|url| NetworkPolicyEgressRule { to: None, ports: Some(tcp([endpoint_port(url)])) });
    backends
        .chain(peers(component.http_peers, ports::HTTP))
        .chain(peers(component.grpc_peers, ports::GRPC))
        .chain(outside)
        .chain(proxies(&service.env))
        .collect()
}

/// Components whose Jobs work on all databases and in the object store.
fn jobs(shop: &ValidatedShop) -> impl Iterator<Item = Role> {
    let backup = shop.backups.as_ref().map(|_| Role::Backup);
    backup.into_iter().chain(backup::due(shop).map(|_| Role::Restore))
}

/// Whether those Jobs use an engine.
fn serves_jobs(backend: &Backend) -> bool {
    matches!(backend.need, Need::Database | Need::Objects)
}

/// What such a Job may call. Nobody calls it.
fn job_policy(shop: &ValidatedShop, role: Role) -> NetworkPolicy {
    let source = backup::due(shop).filter(|_| role == Role::Restore);
    let egress = backends(shop).into_iter().filter(serves_jobs).map(|backend| {
        let owner = source.filter(|_| backend.need == Need::Objects).map(|from| &from.shop);
        let owner = owner.unwrap_or(&shop.name);
        NetworkPolicyEgressRule {
            to: backend.engine.map(|engine| vec![pods(names::selector(owner, engine))]),
            ports: Some(tcp(backend.ports)),
        }
    });
    let selector = names::selector(&shop.name, role);
    policy(shop, role, selector, Vec::new(), egress.chain(proxies(&shop.env)).collect())
}

/// The way to the proxies among variables that are passed on.
fn proxies(variables: &[EnvVar]) -> Option<NetworkPolicyEgressRule> {
    let ports = extra::proxy_ports(variables);
    (!ports.is_empty()).then(|| NetworkPolicyEgressRule { to: None, ports: Some(tcp(ports)) })
}

/// The Jobs among the callers of a bundled engine: the shop's own, and those of shops that begin with one
/// of its backups.
fn calling_jobs(shop: &ValidatedShop, backend: &Backend) -> Vec<NetworkPolicyPeer> {
    let of_ours = |role| pods(names::selector(&shop.name, role));
    let mut peers: Vec<_> =
        if serves_jobs(backend) { jobs(shop).map(of_ours).collect() } else { Vec::new() };
    if backend.need == Need::Objects && shop.backups.is_some() {
        let labels = [(names::NAME_LABEL, names::APP), (names::RESTORES_FROM, shop.name.as_str())];
        peers.push(pods(names::labels(labels)));
    }
    peers
}

/// What a bundled engine may be called by: its users, and the operator where it works on it.
fn engine_policy(shop: &ValidatedShop, backend: &Backend) -> Option<NetworkPolicy> {
    let engine = backend.engine?;
    let users = shop.services.iter().filter(|service| service.component.needs(backend.need));
    let users: Vec<_> = users.map(|service| service.component.name).collect();
    let operator = backend.operated.then(|| operator_pods(shop));
    let from: Vec<_> = (!users.is_empty())
        .then(|| pods_of(shop, &users))
        .into_iter()
        .chain(operator)
        .chain(calling_jobs(shop, backend))
        .collect();
    let rule = NetworkPolicyIngressRule {
        from: Some(from),
        ports: Some(tcp(backend.ports.iter().copied())),
    };
    // Without a source the rule would admit everybody.
    let ingress = rule.from.as_ref().is_some_and(|from| !from.is_empty()).then_some(rule);
    let selector = names::selector(&shop.name, engine);
    Some(policy(shop, engine.into(), selector, ingress.into_iter().collect(), Vec::new()))
}

fn policy(
    shop: &ValidatedShop,
    role: Role,
    selector: BTreeMap<String, String>,
    ingress: Vec<NetworkPolicyIngressRule>,
    egress: Vec<NetworkPolicyEgressRule>,
) -> NetworkPolicy {
    NetworkPolicy {
        metadata: meta::child(shop, role),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(names::label_selector(selector)),
            policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
            ingress: (!ingress.is_empty()).then_some(ingress),
            egress: (!egress.is_empty()).then_some(egress),
        }),
    }
}

fn pods(labels: BTreeMap<String, String>) -> NetworkPolicyPeer {
    NetworkPolicyPeer { pod_selector: Some(names::label_selector(labels)), ..Default::default() }
}

/// The pods of some services, and of their Jobs.
fn pods_of(shop: &ValidatedShop, services: &[ServiceName]) -> NetworkPolicyPeer {
    let is_one_of = LabelSelectorRequirement {
        key: names::SERVICE_LABEL.into(),
        operator: "In".into(),
        values: Some(services.iter().map(ToString::to_string).collect()),
    };
    let selector = LabelSelector {
        match_labels: Some(names::shop_selector(&shop.name)),
        match_expressions: Some(vec![is_one_of]),
    };
    NetworkPolicyPeer { pod_selector: Some(selector), ..Default::default() }
}

fn operator_pods(shop: &ValidatedShop) -> NetworkPolicyPeer {
    let namespace = names::labels([(NAMESPACE_LABEL, shop.operator_namespace.as_str())]);
    NetworkPolicyPeer {
        namespace_selector: Some(names::label_selector(namespace)),
        pod_selector: Some(names::label_selector(shop.operator_pod_labels.clone())),
        ip_block: None,
    }
}

fn tcp(ports: impl IntoIterator<Item = u16>) -> Vec<NetworkPolicyPort> {
    ports.into_iter().map(|number| port("TCP", number)).collect()
}

fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(number.into())),
        protocol: Some(protocol.into()),
        end_port: None,
    }
}

/// Port of a URL, its scheme's if it names none. The spec's pattern admits http and https only.
fn endpoint_port(endpoint: &str) -> u16 {
    url::Url::parse(endpoint).ok().and_then(|url| url.port_or_known_default()).unwrap_or(4317)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_without_a_port_has_that_of_its_scheme() {
        assert_eq!(endpoint_port("http://collector.monitoring:4317"), 4317);
        assert_eq!(endpoint_port("http://collector.monitoring"), 80);
        assert_eq!(endpoint_port("https://traces.example.com/team"), 443);
    }
}
