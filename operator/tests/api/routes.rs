//! Routes, by the definition of the Gateway API. The test itself says what a Gateway would.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use operator_core::crd::Shop;
use operator_core::object::{HTTP_ROUTE, custom_resource};
use operator_core::validate::Capabilities;
use serde_json::{Value, json};
use shop_operator::watches;
use tokio::time::timeout;

use crate::definitions::{Definitions, GATEWAYS, HTTP_ROUTES};
use crate::world::{World, condition, merge};

const ROUTE: &str = "demo-gateway";

fn routes(world: &World) -> Api<DynamicObject> {
    let kind = custom_resource(HTTP_ROUTE);
    Api::namespaced_with(world.client.clone(), &world.namespace, &kind)
}

fn parents() -> Value {
    json!([{ "name": "public", "namespace": "gateways", "sectionName": "https" }])
}

/// A Shop that wants a route and no monitor.
async fn create(world: &World, more: Value) -> Shop {
    let mut spec = json!({
        "host": "shop.example.com",
        "gateway": { "httpRoute": { "parentRefs": parents() } },
        "observability": { "serviceMonitors": false },
    });
    merge(&mut spec, more);
    world.create(spec).await
}

/// Says of the route as it is now what a Gateway's controller would.
async fn answer(world: &World, status: &str, reason: &str) {
    let route = routes(world).get(ROUTE).await.unwrap();
    let condition = |type_: &str, status: &str, reason: &str| {
        json!({
            "type": type_, "status": status, "reason": reason, "message": "words of the Gateway",
            "observedGeneration": route.metadata.generation,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let conditions =
        [condition("Accepted", status, reason), condition("ResolvedRefs", "True", "ResolvedRefs")];
    let parent = json!({
        "controllerName": "example.com/gateways", "parentRef": parents()[0], "conditions": conditions,
    });
    let patch = Patch::Merge(json!({ "status": { "parents": [parent] } }));
    routes(world).patch_status(ROUTE, &PatchParams::default(), &patch).await.unwrap();
}

async fn until(world: &World, status: &'static str, reason: &'static str) -> Shop {
    let holds = |shop: &Shop| condition(shop, "RouteAccepted") == (status, reason);
    world.until(reason, holds).await
}

#[tokio::test]
async fn a_route_appears_with_its_api_and_says_what_its_gateway_says() {
    let world = World::new().await;
    let definitions = Definitions::none(&world.client).await;
    create(&world, json!({})).await;
    let operator = world.discovering_operator().await;
    let shop = world.until_ready().await;
    assert_eq!(condition(&shop, "RouteAccepted"), ("False", "ApiMissing"));
    assert_eq!(condition(&shop, "Degraded"), ("True", "ApiMissing"));

    definitions.add(HTTP_ROUTES).await;
    let shop = until(&world, "False", "RouteUnanswered").await;
    assert_eq!(condition(&shop, "Degraded").0, "False");
    assert_eq!(condition(&shop, "Progressing"), ("True", "RouteUnanswered"));
    leads_to_the_gateway(&world, "shop.example.com").await;

    answer(&world, "False", "NotAllowedByListeners").await;
    let shop = until(&world, "False", "RouteRefused").await;
    assert_eq!(condition(&shop, "Degraded"), ("True", "RouteRefused"));
    assert_eq!(condition(&shop, "Ready").0, "True");
    let refused = "Gateway gateways/public: NotAllowedByListeners: words of the Gateway";
    let conditions = shop.status.unwrap().conditions;
    assert!(conditions.iter().any(|c| c.type_ == "RouteAccepted" && c.message == refused));

    answer(&world, "True", "Accepted").await;
    let shop = until(&world, "True", "RouteAccepted").await;
    assert_eq!(condition(&shop, "Degraded").0, "False");
    // Neither what the server fills in nor what the Gateway says is drift.
    operator.comes_to_rest(&world, async || world.discovering_operator().await).await;
    definitions.remove(HTTP_ROUTES).await;
}

#[tokio::test]
async fn another_host_is_another_question_and_the_api_may_go() {
    let world = World::new().await;
    let definitions = Definitions::none(&world.client).await;
    definitions.add(HTTP_ROUTES).await;
    create(&world, json!({})).await;
    let _operator = world.discovering_operator().await;
    until(&world, "False", "RouteUnanswered").await;
    answer(&world, "True", "Accepted").await;
    until(&world, "True", "RouteAccepted").await;

    world.change(json!({ "spec": { "host": "shop.example.org" } })).await;
    until(&world, "False", "RouteUnanswered").await;
    leads_to_the_gateway(&world, "shop.example.org").await;
    answer(&world, "True", "Accepted").await;
    until(&world, "True", "RouteAccepted").await;

    definitions.remove(HTTP_ROUTES).await;
    until(&world, "False", "ApiMissing").await;
    world.change(json!({ "spec": { "version": "9.9.9" } })).await;
    let shop = world.until_ready().await;
    assert_eq!(condition(&shop, "RouteAccepted"), ("False", "ApiMissing"));
}

/// The definition has rules of its own, which a Shop's does not repeat.
#[tokio::test]
async fn what_the_definition_refuses_is_said() {
    let world = World::new().await;
    let definitions = Definitions::none(&world.client).await;
    definitions.add(HTTP_ROUTES).await;
    let twice = json!([{ "name": "public" }, { "name": "public" }]);
    create(&world, json!({ "gateway": { "httpRoute": { "parentRefs": twice } } })).await;
    let _operator = world.discovering_operator().await;
    let shop = world.until_ready().await;
    assert_eq!(condition(&shop, "RouteAccepted"), ("False", "NotApplied"));
    assert_eq!(condition(&shop, "Degraded"), ("True", "ApplyFailed"));
    let conditions = shop.status.unwrap().conditions;
    let degraded = conditions.iter().find(|c| c.type_ == "Degraded").unwrap();
    assert!(degraded.message.contains("sectionName must be unique"), "{}", degraded.message);

    world
        .change(json!({ "spec": { "gateway": { "httpRoute": { "parentRefs": parents() } } } }))
        .await;
    until(&world, "False", "RouteUnanswered").await;
    definitions.remove(HTTP_ROUTES).await;
}

#[tokio::test]
async fn a_group_is_not_yet_the_kind() {
    let world = World::new().await;
    let definitions = Definitions::none(&world.client).await;
    let found = async || watches::capabilities(&world.client, Capabilities::default()).await;
    let group = "gateway.networking.k8s.io/v1";
    definitions.add(GATEWAYS).await;
    eventually(async || world.client.list_api_group_resources(group).await.is_ok()).await;
    assert!(!found().await.http_routes);
    definitions.add(HTTP_ROUTES).await;
    eventually(async || found().await.http_routes).await;
    definitions.remove(HTTP_ROUTES).await;
    eventually(async || !found().await.http_routes).await;
    definitions.remove(GATEWAYS).await;
}

/// The server serves a definition, or stops to, a moment after it says so, and nothing tells when.
async fn eventually(holds: impl AsyncFn() -> bool) {
    let asked = async { while !holds().await {} };
    timeout(Duration::from_mins(1), asked).await.expect("the server follows its definitions");
}

/// The host goes to a port that the gateway's Service has.
async fn leads_to_the_gateway(world: &World, host: &str) {
    let route = routes(world).get(ROUTE).await.unwrap();
    let spec = &route.data["spec"];
    assert_eq!(spec["hostnames"], json!([host]));
    let parent = json!({
        "group": "gateway.networking.k8s.io", "kind": "Gateway",
        "name": "public", "namespace": "gateways", "sectionName": "https",
    });
    assert_eq!(spec["parentRefs"], json!([parent]));
    assert_eq!(
        spec["rules"][0]["matches"],
        json!([{ "path": { "type": "PathPrefix", "value": "/" } }])
    );
    let [backend] = &spec["rules"][0]["backendRefs"].as_array().unwrap()[..] else {
        panic!("{spec}")
    };
    assert_eq!(backend["kind"], "Service");
    let name = backend["name"].as_str().unwrap();
    let service = world.api::<Service>().get(name).await.unwrap();
    assert_eq!(name, ROUTE);
    let ports: Vec<_> = service.spec.unwrap().ports.into_iter().flatten().map(|p| p.port).collect();
    assert!(ports.iter().any(|port| backend["port"] == *port), "{ports:?}");
}
