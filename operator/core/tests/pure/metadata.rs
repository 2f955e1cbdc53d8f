//! Labels and annotations that are passed on.

use operator_core::names;
use serde_json::{Value, json};

use crate::build::{get, objects, templates};
use crate::support::{judged, validated};

#[test]
fn pods_have_the_labels_and_annotations_of_the_shop_and_of_their_service() {
    let metadata = |team: &str| json!({ "labels": { "team": team }, "annotations": { "example.com/a": team } });
    let mut order = metadata("orders");
    order["labels"]["tier"] = json!("core");
    let spec = |with: bool| {
        let mut spec = json!({ "demoData": true, "backup": {} });
        if with {
            spec["podMetadata"] = metadata("shop");
            spec["services"] = json!([{ "name": "order", "podMetadata": order }]);
        }
        templates(&objects(&validated(spec)))
    };
    let without: Vec<_> = spec(false);
    let mut of_order = 0;
    for ((owner, with), (_, without)) in spec(true).into_iter().zip(without) {
        let is_order = with["metadata"]["labels"][names::SERVICE_LABEL] == "order";
        of_order += usize::from(is_order);
        let team = if is_order { "orders" } else { "shop" };
        let mut expected = without["metadata"].clone();
        expected["labels"]["team"] = json!(team);
        expected["annotations"]["example.com/a"] = json!(team);
        if is_order {
            expected["labels"]["tier"] = json!("core");
        }
        assert_eq!(with["metadata"], expected, "{owner}");
        assert_eq!(with["spec"], without["spec"], "{owner}");
    }
    assert_eq!(of_order, 2, "the service and its migration");
}

#[test]
fn the_gateways_service_has_what_its_load_balancer_wants() {
    let service = json!({
        "type": "LoadBalancer",
        "annotations": { "example.com/lb": "external" },
        "loadBalancerClass": "example.com/lb",
        "loadBalancerSourceRanges": ["203.0.113.0/24"],
        "externalTrafficPolicy": "Local",
    });
    let shop = validated(json!({ "gateway": { "service": service } }));
    let gateway = get(&shop, "Service", "demo-gateway");
    assert_eq!(gateway["metadata"]["annotations"], service["annotations"]);
    for field in ["type", "loadBalancerClass", "loadBalancerSourceRanges", "externalTrafficPolicy"]
    {
        assert_eq!(gateway["spec"][field], service[field], "{field}");
    }
    let order = get(&shop, "Service", "demo-order");
    assert_eq!(order["spec"]["type"], "ClusterIP");
    assert!(order["metadata"].get("annotations").is_none());
}

#[test]
fn a_selector_of_prometheus_finds_the_monitor() {
    let shop =
        validated(json!({ "observability": { "serviceMonitorLabels": { "release": "p" } } }));
    let labels = &get(&shop, "ServiceMonitor", "demo-metrics")["metadata"]["labels"];
    assert_eq!(labels["release"], "p");
    assert_eq!(labels[names::INSTANCE_LABEL], "demo");
}

#[test]
fn what_is_no_key_or_network_is_refused() {
    let map = |key: &str| -> Value { [(key.to_owned(), json!("a"))].into_iter().collect() };
    for (spec, path) in [
        (json!({ "podMetadata": { "labels": map("a/b/c") } }), "spec.podMetadata.labels"),
        (json!({ "podMetadata": { "annotations": map("") } }), "spec.podMetadata.annotations"),
        (
            json!({ "services": [{ "name": "order", "podMetadata": { "labels": map("a b") } }] }),
            "spec.services[0].podMetadata.labels",
        ),
        (
            json!({ "gateway": { "service": { "annotations": map("ä") } } }),
            "spec.gateway.service.annotations",
        ),
        (
            json!({ "host": "a.example", "gateway": { "ingress": { "annotations": map("/a") } } }),
            "spec.gateway.ingress.annotations",
        ),
        (
            json!({ "observability": { "serviceMonitorLabels": map("a_") } }),
            "spec.observability.serviceMonitorLabels",
        ),
        (
            json!({ "gateway": { "service": {
                "type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/33"],
            } } }),
            "spec.gateway.service.loadBalancerSourceRanges[0]",
        ),
    ] {
        let errors = judged(spec).expect_err(path);
        let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(paths, [path]);
    }
    let capitals = json!({ "podMetadata": { "annotations": map("Example.com/A") } });
    judged(capitals).expect("the API server takes it");
}
