//! The operator is granted what it uses, and nothing else. That nothing is missing, every other test shows, because all run
//! with these rights.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, header};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::client::{Body, ClientBuilder};
use operator_core::crd::Shop;
use operator_core::names;
use operator_core::validate::Capabilities;
use serde::Deserialize as _;
use serde_json::json;
use shop_operator::metrics::Metrics;
use shop_operator::watches;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tower::util::MapRequestLayer;

use crate::definitions::{Definitions, HTTP_ROUTES, SERVICE_MONITORS};
use crate::kubelet::{self, HELD};
use crate::server;
use crate::world::{PATIENCE, World, condition};

/// Verb, API group, and resource with its subresource.
type Right = (String, String, String);
type Rights = BTreeSet<Right>;

fn right(verb: &str, group: &str, resource: &str) -> Right {
    (verb.to_owned(), group.to_owned(), resource.to_owned())
}

/// What no request of the operator shows.
fn unseen() -> Rights {
    [
        // An admission plugin asks for it, which this API server does not have.
        right("update", "shop-operator.io", "shops/finalizers"),
    ]
    .into()
}

fn granted() -> Rights {
    let document = serde_yaml_ng::Deserializer::from_str(include_str!("../../rbac.yaml")).next();
    let role = ClusterRole::deserialize(document.unwrap()).unwrap();
    let mut rights = Rights::new();
    for rule in role.rules.unwrap() {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                rights.extend(rule.verbs.iter().map(|verb| right(verb, group, resource)));
            }
        }
    }
    rights
}

/// The rights that the API server asks for when it gets a request.
fn asked(request: &Request<Body>) -> Rights {
    let path: Vec<&str> = request.uri().path().trim_start_matches('/').split('/').collect();
    let (group, rest) = match &path[..] {
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => return Rights::new(),
    };
    let rest = match rest {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        rest => rest,
    };
    let (resource, named) = match rest {
        // Which resources a group has, every user may ask.
        [] => return Rights::new(),
        [resource] => ((*resource).to_owned(), false),
        [resource, _] => ((*resource).to_owned(), true),
        [resource, _, subresource, ..] => (format!("{resource}/{subresource}"), true),
    };
    let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
    let verbs: &[&str] = match (request.method(), named) {
        (&Method::GET, true) => &["get"],
        (&Method::GET, false) if watches => &["watch"],
        (&Method::GET, false) => &["list"],
        (&Method::POST, _) => &["create"],
        (&Method::PUT, _) => &["update"],
        // Server-side apply of what does not exist creates it.
        (&Method::PATCH, _) if is_apply(request) && !resource.contains('/') => &["patch", "create"],
        (&Method::PATCH, _) => &["patch"],
        (&Method::DELETE, true) => &["delete"],
        (&Method::DELETE, false) => &["deletecollection"],
        other => panic!("{other:?}"),
    };
    verbs.iter().map(|verb| right(verb, group, &resource)).collect()
}

fn is_apply(request: &Request<Body>) -> bool {
    let content = request.headers().get(header::CONTENT_TYPE);
    content.is_some_and(|content| content.as_bytes().starts_with(b"application/apply-patch"))
}

/// Fails the migration of `order`, which has a pod.
async fn fail_migration(world: &World) {
    let of_order = ListParams::default().labels(&format!("{}=order", names::SERVICE_LABEL));
    let jobs = world.api::<Job>();
    let find = async {
        loop {
            if let Some(job) = jobs.list(&of_order).await.unwrap().items.pop() {
                return job.name_any();
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let job = timeout(PATIENCE, find).await.expect("a migration is due in time");
    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": job, "labels": { "batch.kubernetes.io/job-name": job } },
        "spec": {
            "serviceAccountName": "demo-order", "automountServiceAccountToken": false,
            "containers": [{ "name": "migrate", "image": "example.com/none" }],
        },
    }))
    .unwrap();
    world.api::<Pod>().create(&PostParams::default(), &pod).await.unwrap();
    kubelet::write(&jobs, &job, kubelet::failed()).await;
    let failed = |shop: &Shop| condition(shop, "MigrationsApplied").1 == "MigrationFailed";
    world.until("failed", failed).await;
}

#[tokio::test]
async fn the_operator_uses_every_right_that_it_is_granted() {
    let world = World::new().await;
    let definitions = Definitions::none(&world.client).await;
    definitions.add(SERVICE_MONITORS).await;
    definitions.add(HTTP_ROUTES).await;
    let used = Arc::new(Mutex::new(Rights::new()));
    let recorded = used.clone();
    let record = MapRequestLayer::new(move |request: Request<Body>| {
        recorded.lock().unwrap().extend(asked(&request));
        request
    });
    let config = server::operator_config().await;
    let client = ClientBuilder::try_from(config).unwrap().with_layer(&record).build();

    let is_there = async || watches::capabilities(&client, Capabilities::default()).await;
    let all = Capabilities { service_monitors: true, http_routes: true };
    let served = async {
        while is_there().await != all {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, served).await.expect("the optional APIs are served in time");
    let (found, _) = watch::channel(all);
    let (discovered, discovering) = (watch::channel(all).0, client.clone());
    let discovery = tokio::spawn(async move { watches::discover(discovering, &discovered).await });

    // Everything that a Shop may have, ...
    world
        .create(json!({
            "host": "shop.example.com",
            "deletionPolicy": "Delete",
            "backup": {},
            "gateway": { "ingress": {}, "httpRoute": { "parentRefs": [{ "name": "public" }] } },
            "objectStore": { "external": null, "bundled": { "storage": { "size": "1Gi" } } },
            "services": [
                { "name": "order", "image": format!("example.com/{HELD}:1") },
                { "name": "catalog", "autoscaling": { "minReplicas": 2, "maxReplicas": 3 } },
            ],
        }))
        .await;
    let operator = world.operator_with(client, Metrics::new().unwrap(), found).await;
    Box::pin(fail_migration(&world)).await;
    // ... and then less, ...
    world
        .change(json!({ "spec": {
            "host": null, "backup": null, "gateway": null,
            "observability": { "serviceMonitors": false },
            "networkPolicies": { "enabled": false },
            "services": [{ "name": "review", "enabled": false }],
        } }))
        .await;
    world.until("migrated", |shop| condition(shop, "MigrationsApplied").0 == "True").await;
    operator.settle(&world).await;
    // ... and nothing.
    world.shops().delete(crate::world::NAME, &DeleteParams::default()).await.unwrap();
    world.until_gone().await;
    let wanted: Rights = granted().difference(&unseen()).cloned().collect();
    let missing = || wanted.difference(&used.lock().unwrap()).cloned().collect::<Vec<_>>();
    let complete = async {
        // What is watched begins to be so a moment later.
        while !missing().is_empty() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let complete = timeout(PATIENCE, complete).await;
    assert!(complete.is_ok(), "granted and not used: {:#?}", missing());
    discovery.abort();
    operator.stop().await;
    definitions.remove(SERVICE_MONITORS).await;
    definitions.remove(HTTP_ROUTES).await;
}
