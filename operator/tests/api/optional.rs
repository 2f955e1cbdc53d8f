//! APIs that a cluster may have or not.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use shop_operator::metrics::Metrics;
use shop_operator::{app, watches};
use tokio::sync::watch;

use crate::server;
use crate::world::{World, condition};

const DEFINITION: &str = "servicemonitors.monitoring.coreos.com";

#[tokio::test]
async fn an_api_that_appears_is_used_without_a_restart() {
    let world = World::new().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let _ = definitions.delete(DEFINITION, &DeleteParams::default()).await;
    let gone = kube::runtime::wait::await_condition(
        definitions.clone(),
        DEFINITION,
        |definition: Option<&CustomResourceDefinition>| definition.is_none(),
    );
    gone.await.unwrap();

    let metrics = Metrics::new().unwrap();
    let client = app::client(server::operator_config().await, &metrics).unwrap();
    let (found, _) = watch::channel(watches::capabilities(&client).await);
    world.create(json!({})).await;
    let operator = world.operator_with(client.clone(), metrics, found).await;
    let discovery = tokio::spawn(async move { watches::discover(client, &operator.found).await });
    let shop = world.until_ready().await;
    assert_eq!(condition(&shop, "MonitoringReady"), ("False", "ApiMissing"));

    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": DEFINITION },
        "spec": {
            "group": "monitoring.coreos.com", "scope": "Namespaced",
            "names": { "kind": "ServiceMonitor", "plural": "servicemonitors", "singular": "servicemonitor" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                } },
            }],
        },
    });
    let params = PatchParams::apply("tests").force();
    definitions.patch(DEFINITION, &params, &Patch::Apply(definition)).await.unwrap();
    world.until("monitoring", |shop| condition(shop, "MonitoringReady").0 == "True").await;
    definitions.delete(DEFINITION, &DeleteParams::default()).await.unwrap();
    discovery.abort();
}
