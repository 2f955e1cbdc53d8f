//! The services: Deployments, Services, autoscalers and disruption budgets.

use std::collections::BTreeMap;

use contracts::ports;
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        autoscaling::v2::{
            CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec,
            MetricSpec, MetricTarget, ResourceMetricSource,
        },
        core::v1::{
            Container, ContainerPort, PodSpec, PodTemplateSpec, Service, ServiceAccount,
            ServicePort, ServiceSpec, TopologySpreadConstraint,
        },
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{Scope, env, meta, pod};
use crate::{
    crd::{self, ServiceName},
    names,
    object::Object,
    role::{Duty, Role},
    rollout,
    validate::{Scaling, ServiceInstance, ValidatedShop},
};

/// User of the services' images, which have no others.
const USER: i64 = 65532;
/// [`env`]'s drain time, then half a minute for the slowest request.
const GRACE_SECONDS: i64 = 40;
/// Label by which a Deployment tells the pods of its revisions apart.
const REVISION: &str = "pod-template-hash";
/// Port of the gateway's Service, so that its URL needs none.
pub(super) const PUBLIC_PORT: i32 = 80;

/// One account per service, without any rights.
pub(super) fn accounts(shop: &ValidatedShop) -> impl Iterator<Item = Object> {
    shop.services.iter().map(|service| account(shop, service.component.name))
}

/// An account without a token.
pub(super) fn account(shop: &ValidatedShop, role: impl Into<Role>) -> Object {
    Object::new(&ServiceAccount {
        metadata: meta::child(shop, role),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}

/// Every object of every service.
pub(super) fn objects(scope: &Scope<'_>) -> Vec<Object> {
    let shop = scope.shop;
    let objects = |service| {
        let [canary_service, canary] = canary(scope, service);
        [
            Some(Object::new(&network_service(shop, service))),
            Some(Object::new(&own_deployment(scope, service))),
            autoscaler(shop, service).as_ref().map(Object::new),
            disruption_budget(shop, service).as_ref().map(Object::new),
            canary_service,
            canary,
        ]
    };
    shop.services.iter().flat_map(objects).flatten().collect()
}

/// The service's own pods, as the spec wants them or as they are until the wanted ones have passed.
fn own_deployment(scope: &Scope<'_>, service: &ServiceInstance) -> Deployment {
    let replicas = match service.scaling {
        Scaling::Fixed(replicas) => Some(replicas),
        Scaling::Auto { .. } => None,
    };
    let kept = scope.rollouts.get(&service.component.name).and_then(|plan| plan.kept.as_ref());
    let template = kept.map_or_else(|| template(scope, service), |kept| pod::kept(scope, kept));
    let note = service.recipe.is_some().then(|| rollout::note(&template));
    deployment(scope.shop, service.component.name.into(), replicas, template, note)
}

/// The address of a service's new version, where it may have one beside the old, and its pods, while it has.
fn canary(scope: &Scope<'_>, service: &ServiceInstance) -> [Option<Object>; 2] {
    if service.recipe.is_none() {
        return [None, None];
    }
    let shop = scope.shop;
    let name = service.component.name;
    let role = Role::Service(name, Duty::Canary);
    let mut address = network_service(shop, service);
    address.metadata = meta::child(shop, role);
    if let Some(spec) = &mut address.spec {
        spec.selector = Some(names::selector(&shop.name, role));
    }
    let plan = scope.rollouts.get(&name);
    let pods = plan.and_then(|plan| plan.canary).map(|pods| {
        let note = rollout::note(&template(scope, service));
        let template = template_of(scope, service, role);
        Object::new(&deployment(shop, role, Some(pods), template, Some(note)))
    });
    [Some(Object::new(&address)), pods]
}

/// The template of a service's own pods, as the spec wants them.
pub(super) fn template(scope: &Scope<'_>, service: &ServiceInstance) -> PodTemplateSpec {
    template_of(scope, service, service.component.name.into())
}

fn template_of(scope: &Scope<'_>, service: &ServiceInstance, role: Role) -> PodTemplateSpec {
    let shop = scope.shop;
    let mut labels = names::service_selector(&shop.name, service.component.name);
    labels.extend(names::selector(&shop.name, role));
    labels.extend(names::labels([(names::METRICS_LABEL, "true")]));
    pod::template(scope, labels, &service.pod_metadata, serving(shop, service, role))
}

/// Pods that serve. The note says what they are, where that must outlive the operator.
fn deployment(
    shop: &ValidatedShop,
    role: Role,
    replicas: Option<i32>,
    template: PodTemplateSpec,
    note: Option<String>,
) -> Deployment {
    let containers = template.spec.as_ref().map(|spec| spec.containers.as_slice());
    let image = containers.and_then(|containers| containers.first()?.image.clone());
    let mut metadata = meta::versioned(meta::child(shop, role), &image.unwrap_or_default());
    metadata.annotations = note.map(|note| BTreeMap::from([(names::TEMPLATE.to_owned(), note)]));
    Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            replicas,
            revision_history_limit: Some(3),
            selector: names::label_selector(names::selector(&shop.name, role)),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template,
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// A pod that serves.
fn serving(shop: &ValidatedShop, service: &ServiceInstance, role: Role) -> PodSpec {
    let mut spec = running(shop, service, "serve");
    spec.termination_grace_period_seconds = Some(GRACE_SECONDS);
    let pods = names::selector(&shop.name, role);
    let asked = pod::spread(&service.scheduling, &pods, &[REVISION]);
    spec.topology_spread_constraints = Some(asked.unwrap_or_else(|| vec![spread(pods)]));
    let ports = service.component.ports().map(|(name, port)| ContainerPort {
        name: Some(name.into()),
        container_port: port.into(),
        ..ContainerPort::default()
    });
    let admin = |path| pod::http_probe(ports::ADMIN_NAME, path);
    for container in &mut spec.containers {
        container.ports = Some(ports.clone().collect());
        container.startup_probe = Some(pod::every(1, 120, admin("/live")));
        container.readiness_probe = Some(pod::every(2, 3, admin("/ready")));
        container.liveness_probe = Some(pod::every(10, 3, admin("/live")));
    }
    spec
}

/// A pod that runs one command of a service's image, configured as the service is.
pub(super) fn running(shop: &ValidatedShop, service: &ServiceInstance, command: &str) -> PodSpec {
    let name = service.component.name;
    let (volumes, mounts) = env::files(shop, service).into_iter().unzip();
    let container = Container {
        name: name.to_string(),
        image: Some(service.image.clone()),
        args: Some(command.split(' ').map(str::to_owned).collect()),
        env: Some(env::variables(shop, service)),
        resources: Some(service.resources.clone()),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    pod::spec(shop, name.into(), USER, &service.scheduling, container, volumes)
}

/// Pods of one revision keep apart from each other where the nodes allow it.
fn spread(pods: BTreeMap<String, String>) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".into(),
        when_unsatisfiable: "ScheduleAnyway".into(),
        label_selector: Some(names::label_selector(pods)),
        match_label_keys: Some(vec![REVISION.into()]),
        ..TopologySpreadConstraint::default()
    }
}

/// The address of a service. The admin port is not in it, because the gateway's may be public.
fn network_service(shop: &ValidatedShop, service: &ServiceInstance) -> Service {
    let name = service.component.name;
    let gateway = name == ServiceName::Gateway;
    let ports = service.component.ports().filter(|(port, _)| *port != ports::ADMIN_NAME);
    let ports = ports.map(|(port_name, port)| ServicePort {
        name: Some(port_name.into()),
        port: if gateway { PUBLIC_PORT } else { port.into() },
        target_port: Some(IntOrString::String(port_name.into())),
        app_protocol: (port == ports::GRPC).then(|| "kubernetes.io/h2c".into()),
        ..ServicePort::default()
    });
    let asked = if gateway { shop.gateway.service.clone() } else { crd::Service::default() };
    let mut metadata = meta::child(shop, name);
    metadata.annotations = (!asked.annotations.is_empty()).then_some(asked.annotations);
    let ranges = asked.load_balancer_source_ranges;
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(asked.type_.as_str().into()),
            selector: Some(names::selector(&shop.name, name)),
            ports: Some(ports.collect()),
            load_balancer_class: asked.load_balancer_class,
            load_balancer_source_ranges: (!ranges.is_empty()).then_some(ranges),
            external_traffic_policy: asked.external_traffic_policy.map(|p| p.as_str().into()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn autoscaler(shop: &ValidatedShop, service: &ServiceInstance) -> Option<HorizontalPodAutoscaler> {
    let Scaling::Auto { min, max, cpu_percent } = service.scaling else {
        return None;
    };
    let metadata = meta::child(shop, service.component.name);
    let cpu = MetricSpec {
        type_: "Resource".into(),
        resource: Some(ResourceMetricSource {
            name: "cpu".into(),
            target: MetricTarget {
                type_: "Utilization".into(),
                average_utilization: Some(cpu_percent),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    };
    Some(HorizontalPodAutoscaler {
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".into()),
                kind: "Deployment".into(),
                name: metadata.name.clone().unwrap_or_default(),
            },
            min_replicas: Some(min),
            max_replicas: max,
            metrics: Some(vec![cpu]),
            behavior: None,
        }),
        metadata,
        status: None,
    })
}

/// A budget where there are two pods to choose from; with one it would only block a node's drain.
fn disruption_budget(
    shop: &ValidatedShop,
    service: &ServiceInstance,
) -> Option<PodDisruptionBudget> {
    let name = service.component.name;
    (service.scaling.min() >= 2).then(|| PodDisruptionBudget {
        metadata: meta::child(shop, name),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(service.max_unavailable)),
            selector: Some(names::label_selector(names::selector(&shop.name, name))),
            // A pod that does not work anyway must not hold up a drain.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    })
}
