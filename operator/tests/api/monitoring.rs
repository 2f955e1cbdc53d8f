//! ServiceMonitors, by the definition of the Prometheus operator.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, PodTemplateSpec, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::ListParams;
use kube::core::DynamicObject;
use operator_core::crd::{ServiceName, Shop};
use operator_core::object::{SERVICE_MONITOR, custom_resource};
use serde_json::{Value, json};

use crate::definitions::{Definitions, SERVICE_MONITORS};
use crate::world::{World, condition};

type Labels = BTreeMap<String, String>;

const METRICS: &str = "demo-metrics";

fn monitors(world: &World) -> Api<DynamicObject> {
    let kind = custom_resource(SERVICE_MONITOR);
    Api::namespaced_with(world.client.clone(), &world.namespace, &kind)
}

fn is_missing(shop: &Shop) -> bool {
    condition(shop, "MonitoringReady") == ("False", "ApiMissing")
}

fn is_applied(shop: &Shop) -> bool {
    condition(shop, "MonitoringReady") == ("True", "ServiceMonitorsApplied")
}

#[tokio::test]
async fn a_monitor_appears_with_its_api_and_covers_every_service() {
    let world = World::new().await;
    let definitions = Definitions::none(&world.client).await;
    world.create(json!({})).await;
    let operator = world.discovering_operator().await;
    let shop = world.until_ready().await;
    assert!(is_missing(&shop), "{:#?}", shop.status);
    assert_eq!(condition(&shop, "Degraded").0, "False", "a shop sells without it");
    assert!(world.api::<Service>().get_opt(METRICS).await.unwrap().is_none());

    definitions.add(SERVICE_MONITORS).await;
    world.until("monitored", is_applied).await;
    let monitor = monitors(&world).get(METRICS).await.unwrap();
    assert_eq!(
        scraped(&world, &monitor).await,
        ServiceName::ALL.map(|name| name.to_string()).into()
    );
    // A field that the definition does not know is refused; of what it knows nothing is drift.
    operator.comes_to_rest(&world, async || world.discovering_operator().await).await;
    assert_eq!(monitors(&world).get(METRICS).await.unwrap(), monitor);
    definitions.remove(SERVICE_MONITORS).await;
}

#[tokio::test]
async fn an_api_may_go_and_come_back() {
    let world = World::new().await;
    let definitions = Definitions::none(&world.client).await;
    definitions.add(SERVICE_MONITORS).await;
    world.create(json!({})).await;
    let _operator = world.discovering_operator().await;
    world.until_ready().await;
    world.until("monitored", is_applied).await;
    let first = monitors(&world).get(METRICS).await.unwrap();

    definitions.remove(SERVICE_MONITORS).await;
    world.until("missing", is_missing).await;
    world.change(json!({ "spec": { "version": "9.9.9" } })).await;
    let shop = world.until_ready().await;
    assert!(is_missing(&shop) && condition(&shop, "Degraded").0 == "False", "{:#?}", shop.status);

    definitions.add(SERVICE_MONITORS).await;
    world.until("monitored again", is_applied).await;
    let second = monitors(&world).get(METRICS).await.unwrap();
    assert_ne!(second.metadata.uid, first.metadata.uid);
    assert_eq!(second.data, first.data);
    definitions.remove(SERVICE_MONITORS).await;
}

/// What Prometheus would scrape by the shop's one monitor: the `job` of every pod that it finds,
/// followed from the selector to the Services, their ports, and the pods behind them.
async fn scraped(world: &World, monitor: &DynamicObject) -> BTreeSet<String> {
    let spec = &monitor.data["spec"];
    let wanted = labels(&spec["selector"]["matchLabels"]);
    let services = world.api::<Service>().list(&ListParams::default()).await.unwrap();
    let mut found: Vec<Service> = services.items;
    found.retain(|service| selects(&wanted, service.metadata.labels.as_ref()));
    assert_eq!(found.len(), 1, "one Service stands for all");
    let service = found.remove(0).spec.unwrap();
    let [endpoint] = &spec["endpoints"].as_array().unwrap()[..] else { panic!("{spec}") };
    assert_eq!(endpoint["path"], "/metrics");
    let port = service
        .ports
        .into_iter()
        .flatten()
        .find(|port| port.name.as_deref() == endpoint["port"].as_str());
    let Some(IntOrString::String(target)) = port.unwrap().target_port else { panic!("no name") };
    let behind = service.selector.unwrap();
    let deployments = world.api::<Deployment>().list(&ListParams::default()).await.unwrap();
    let pods = deployments.items.into_iter().map(|deployment| deployment.spec.unwrap().template);
    pods.filter(|pod| selects(&behind, labels_of(pod)))
        .map(|pod| {
            let open = |container: &Container| {
                container.ports.iter().flatten().any(|port| port.name.as_ref() == Some(&target))
            };
            assert!(pod.spec.as_ref().unwrap().containers.iter().any(open), "no port {target}");
            job(&endpoint["relabelings"], labels_of(&pod).unwrap())
        })
        .collect()
}

/// The `job` that relabelling makes of a pod's labels, as Prometheus writes their names.
fn job(relabelings: &Value, labels: &Labels) -> String {
    let rules = relabelings.as_array().unwrap();
    let rule = rules.iter().find(|rule| rule["targetLabel"] == "job").unwrap();
    let source = rule["sourceLabels"][0].as_str().unwrap();
    let name = source.strip_prefix("__meta_kubernetes_pod_label_").unwrap();
    let is_it = |label: &str| label.replace(['.', '/', '-'], "_") == name;
    labels.iter().find(|(label, _)| is_it(label)).unwrap().1.clone()
}

fn labels(value: &Value) -> Labels {
    serde_json::from_value(value.clone()).unwrap()
}

fn labels_of(pod: &PodTemplateSpec) -> Option<&Labels> {
    pod.metadata.as_ref()?.labels.as_ref()
}

fn selects(selector: &Labels, labels: Option<&Labels>) -> bool {
    let has = |(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value);
    selector.iter().all(has)
}
