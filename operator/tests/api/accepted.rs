//! What is built of a Shop, put to the API server without being stored.

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use operator_core::build::{SecretHashes, desired};
use operator_core::crd::Shop;
use operator_core::validate::{Observed, SecretFacts, referenced_secrets, validate};
use serde_json::{Value, json};
use shop_operator::{app, settings::Cli};

use crate::server::variable;
use crate::world::{NAME, World, condition};

/// What the API server says of a Shop with this spec, and then of every object that is built of it.
async fn refusals(world: &World, spec: Value) -> Vec<String> {
    let shop = json!({
        "apiVersion": "shop-operator.io/v1alpha1", "kind": "Shop",
        "metadata": { "name": NAME }, "spec": spec,
    });
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let shop: Shop = serde_json::from_value(shop).unwrap();
    let shop = match world.shops().create(&params, &shop).await {
        Ok(shop) => shop,
        Err(kube::Error::Api(status)) => return vec![status.message],
        Err(error) => panic!("{error}"),
    };
    let facts = |name: String| (name, complete());
    let observed = Observed {
        secrets: referenced_secrets(&shop.spec).into_iter().map(facts).collect(),
        ..Observed::default()
    };
    let cli = <Cli as clap::Parser>::parse_from(["shop-operator"]);
    let shop = match validate(&shop, &observed, &app::configuration(&cli.settings)) {
        Ok(shop) => shop,
        Err(errors) => return errors.iter().map(ToString::to_string).collect(),
    };
    let mut refused = Vec::new();
    let params = PatchParams { dry_run: true, ..PatchParams::apply("tests") };
    for (_, object) in desired(&shop, &SecretHashes::new()).iter() {
        let api: Api<DynamicObject> =
            Api::namespaced_with(world.client.clone(), &world.namespace, &object.resource);
        if let Err(error) = api.patch(object.name(), &params, &Patch::Apply(&object.body)).await {
            refused.push(format!("{} {}: {error}", object.kind(), object.name()));
        }
    }
    refused
}

/// A Secret with every key that a test's spec names.
fn complete() -> SecretFacts {
    let keys = ["url", "username", "password", "accessKey", "secretKey", "token"];
    SecretFacts { keys: keys.map(str::to_owned).into(), ..SecretFacts::default() }
}

#[tokio::test]
async fn any_tag_of_an_image_makes_objects_that_are_accepted() {
    let world = World::new().await;
    for tag in ["_1.0", "1.0_", "-._", "__", ".1", &"1".repeat(64), "1:2", "1.0@sha256:00"] {
        let image = format!("localhost:5000/order:{tag}");
        let spec = json!({ "services": [{ "name": "order", "image": image }], "backup": {} });
        assert_eq!(refusals(&world, spec).await, [""; 0], "{tag}");
    }
}

#[tokio::test]
async fn pods_may_be_scheduled_by_every_field() {
    let world = World::new().await;
    let settings = json!({
        "nodeSelector": { "example.com/pool": "shop" },
        "tolerations": [{ "key": "dedicated", "operator": "Exists", "tolerationSeconds": 60, "effect": "NoExecute" }],
        "affinity": {
            "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{ "matchExpressions": [
                    { "key": "zone", "operator": "Exists" },
                ] }],
            } },
            "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
                "weight": 1,
                "podAffinityTerm": {
                    "topologyKey": "zone", "labelSelector": { "matchLabels": { "a": "b" } },
                },
            }] },
        },
        "priorityClassName": "shop",
        "topologySpreadConstraints": [
            { "maxSkew": 1, "minDomains": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule" },
        ],
    });
    let spec = json!({ "demoData": true, "backup": {}, "scheduling": settings });
    assert_eq!(refusals(&world, spec).await, [""; 0]);
    let spec = json!({ "backup": settings, "cache": { "bundled": settings } });
    assert_eq!(refusals(&world, spec).await, [""; 0]);
}

#[tokio::test]
async fn labels_and_annotations_are_passed_on() {
    let world = World::new().await;
    let service = json!({
        "type": "LoadBalancer",
        "annotations": { "service.beta.kubernetes.io/aws-load-balancer-type": "external" },
        "loadBalancerClass": "service.k8s.aws/nlb",
        "loadBalancerSourceRanges": ["203.0.113.0/24", "2001:db8::/32"],
        "externalTrafficPolicy": "Local",
    });
    let pods = json!({
        "labels": { "team": "shop", "example.com/cost-centre": "" },
        "annotations": { "Example.com/Owner": "shop" },
    });
    let spec = json!({
        "demoData": true, "backup": {}, "gateway": { "service": service }, "podMetadata": pods,
        "services": [{ "name": "order", "podMetadata": pods }],
    });
    assert_eq!(refusals(&world, spec).await, [""; 0]);
    let node_port = json!({ "type": "NodePort", "externalTrafficPolicy": "Cluster" });
    let spec = json!({ "gateway": { "service": node_port } });
    assert_eq!(refusals(&world, spec).await, [""; 0]);
    let taken = json!({ "podMetadata": { "labels": { "app.kubernetes.io/name": "mine" } } });
    let refused = refusals(&world, taken).await;
    assert!(refused[0].contains("are the operator's"), "{refused:?}");
}

#[tokio::test]
async fn variables_are_passed_on() {
    let world = World::new().await;
    let key = json!({ "name": "team", "key": "name" });
    let env = json!([
        { "name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128" },
        { "name": "no_proxy", "value": "" },
        { "name": "TEAM", "valueFrom": { "configMapKeyRef": key } },
    ]);
    let token = json!({ "name": "token", "key": "token", "optional": true });
    let own = json!([{ "name": "TOKEN", "valueFrom": { "secretKeyRef": token } }]);
    let spec = json!({
        "demoData": true, "backup": {}, "env": env, "services": [{ "name": "order", "env": own }],
    });
    assert_eq!(refusals(&world, spec).await, [""; 0]);
    let spec = json!({ "env": [{ "name": "DATABASE_URL", "value": "postgres://elsewhere" }] });
    let refused = refusals(&world, spec).await;
    assert_eq!(refused, ["spec.env[0].name: `DATABASE_URL` is set by the operator, from the spec"]);
}

#[tokio::test]
async fn network_policies_can_be_widened() {
    let world = World::new().await;
    let rules = json!([
        { "to": [{ "ipBlock": { "cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"] } }] },
        { "to": [{ "namespaceSelector": {}, "podSelector": { "matchLabels": { "app": "redis" } } }],
          "ports": [{ "port": 6380, "protocol": "TCP" }, { "port": "redis-tls" }] },
        { "ports": [{ "port": 30000, "endPort": 32767, "protocol": "UDP" }] },
        {},
    ]);
    let policies = json!({ "dns": { "ports": [53, 8053] }, "additionalEgress": rules });
    let spec = json!({ "backup": {}, "networkPolicies": policies });
    assert_eq!(refusals(&world, spec).await, [""; 0]);
    let no_port = json!({ "networkPolicies": { "dns": { "ports": [] } } });
    assert_eq!(refusals(&world, no_port).await, [""; 0]);
    let bad = json!({ "networkPolicies": { "additionalEgress": [
        { "to": [{ "ipBlock": { "cidr": "10.0.0.0/33" } }] },
    ] } });
    let refused = refusals(&world, bad).await;
    assert!(refused[0].contains("additionalEgress[0].to[0].ipBlock.cidr"), "{refused:?}");
}

/// As `echo` and `kubectl create secret --from-file` write it.
#[tokio::test]
async fn a_line_break_in_a_secret_is_reported_and_its_removal_helps() {
    let world = World::new().await;
    let url = variable("TEST_REDIS_URL");
    world.secret("cache", &[("url", &format!("{url}\n"))]).await;
    world.create(json!({ "cache": { "external": { "secretRef": { "name": "cache" } } } })).await;
    let _operator = world.operator().await;
    let invalid = |shop: &Shop| condition(shop, "Ready") == ("False", "SecretInvalid");
    let shop = world.until("refused", invalid).await;
    let conditions = shop.status.unwrap().conditions;
    let message = &conditions.iter().find(|found| found.type_ == "Ready").unwrap().message;
    assert!(message.contains("the key `url` of the Secret `cache`"), "{message}");
    let patch = Patch::Merge(json!({ "stringData": { "url": url } }));
    world.api::<Secret>().patch("cache", &PatchParams::default(), &patch).await.unwrap();
    world.until_ready().await;
}

#[tokio::test]
async fn a_load_balancer_comes_and_goes() {
    let world = World::new().await;
    world.create(json!({})).await;
    let operator = world.operator().await;
    world.until_ready().await;
    let balanced = |class: &str| {
        json!({
            "type": "LoadBalancer", "loadBalancerClass": class,
            "loadBalancerSourceRanges": ["203.0.113.0/24"], "externalTrafficPolicy": "Local",
            "annotations": { "example.com/class": class },
        })
    };
    let none = json!({
        "type": null, "loadBalancerClass": null, "loadBalancerSourceRanges": null,
        "externalTrafficPolicy": null, "annotations": null,
    });
    let node_port = json!({ "type": "NodePort", "externalTrafficPolicy": "Local" });
    for asked in
        [balanced("example.com/a"), none.clone(), node_port, balanced("example.com/b"), none]
    {
        world.change(json!({ "spec": { "gateway": { "service": null } } })).await;
        world.change(json!({ "spec": { "gateway": { "service": asked } } })).await;
        let shop = world.until_ready().await;
        assert_eq!(condition(&shop, "Degraded").0, "False", "{asked}");
        operator.settle(&world).await;
        let service = world.api::<Service>().get("demo-gateway").await.unwrap();
        let spec = serde_json::to_value(service.spec.unwrap()).unwrap();
        let default =
            if asked["type"].is_null() { json!("ClusterIP") } else { asked["type"].clone() };
        assert_eq!(spec["type"], default);
        for field in ["loadBalancerClass", "loadBalancerSourceRanges", "externalTrafficPolicy"] {
            assert_eq!(spec[field], asked[field], "{asked}: {field}");
        }
        let annotations = json!(service.metadata.annotations);
        assert_eq!(annotations["example.com/class"], asked["annotations"]["example.com/class"]);
    }
}
