//! One purchase is one trace: from the request, over HTTP, gRPC and Kafka, to the last service.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use e2e::kubectl::Kubectl;
use e2e::shopper::{SAGA_PATIENCE, Shopper};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{NAMESPACE, READY_PATIENCE, SERVICES, SHOP, World};

/// The pod that takes the traces, and its Service.
const SINK: &str = "trace-sink";
/// Ports of the sink: JSON for us, OTLP/gRPC for the shop.
const JSON: u16 = 8080;
const OTLP: u16 = 4317;
/// What tells a program where its traces go (named by OpenTelemetry).
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// From the last thing that a purchase leads to, back to the request: who did what.
const ORDER_PAID: [&str; 14] = [
    "notification consumer process",
    "order producer send",
    "order consumer process",
    "payment producer send",
    "payment internal charge",
    "payment consumer process",
    "order producer send",
    "order consumer process",
    "inventory producer send",
    "inventory consumer process",
    "order producer send",
    "order server POST /api/v1/orders",
    "gateway client POST",
    "gateway server POST /api/v1/orders",
];
/// Same, from the question for prices.
const PRICES: [&str; 5] = [
    "catalog server shop.catalog.v1.Catalog/GetProducts",
    "order client shop.catalog.v1.Catalog/GetProducts",
    "order server POST /api/v1/orders",
    "gateway client POST",
    "gateway server POST /api/v1/orders",
];
/// Where the secrets are.
const SECRETIVE: [&str; 3] = ["/api/v1/auth/register", "/api/v1/auth/login", "/api/v1/live"];

/// With an endpoint in the Shop, and in the operator's settings, both send their traces there.
pub(crate) async fn traced(world: World) -> Result<()> {
    deploy(&world).await?;
    export(&world, Some(&format!("http://{SINK}.{NAMESPACE}:{OTLP}"))).await?;
    let mut seen = buy(&world).await;
    if seen.is_err() {
        seen = seen.context(complaints(&world).await?);
    }
    export(&world, None).await?;
    // Waits until both are gone: a repetition creates them again.
    world.kubectl.run(&["delete", "pod,service", SINK]).await?;
    seen
}

/// Selects the pods of all services.
fn services() -> String {
    format!("app.kubernetes.io/instance={SHOP},shop-operator.io/metrics=true")
}

/// Log lines of the services' trace exporters.
async fn complaints(world: &World) -> Result<String> {
    let services = services();
    let logs = ["logs", "--prefix", "--tail=-1", "--max-log-requests=20", "--selector", &services];
    let logs = world.kubectl.run(&logs).await?;
    let lines = logs.lines().filter(|line| line.contains("opentelemetry"));
    Ok(format!("log lines about traces:\n{}", lines.collect::<Vec<_>>().join("\n")))
}

/// The sink is not of the shop: nothing but the Shop's own rules lets its services reach it.
async fn deploy(world: &World) -> Result<()> {
    let catalog = world.kubectl.get(&["deployment", &format!("{SHOP}-catalog")]).await?;
    let image = catalog["spec"]["template"]["spec"]["containers"][0]["image"].as_str();
    let image = image.context("no image")?.replace("/catalog:", &format!("/{SINK}:"));
    let metadata = json!({"name": SINK, "labels": {"app": SINK}});
    let container = json!({
        "name": SINK,
        "image": image,
        "ports": [{"containerPort": JSON}, {"containerPort": OTLP}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": JSON}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
    });
    let pod = json!({
        "automountServiceAccountToken": false,
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
    });
    let ports = json!([{"name": "http", "port": JSON}, {"name": "otlp", "port": OTLP}]);
    let service = json!({"selector": {"app": SINK}, "ports": ports});
    let items = json!([
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
    ]);
    world.kubectl.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items})).await?;
    world.kubectl.wait("condition=Ready", &format!("pod/{SINK}"), READY_PATIENCE).await
}

/// Sends traces to this endpoint, or to none, and waits until no process does otherwise.
async fn export(world: &World, endpoint: Option<&str>) -> Result<()> {
    let patch = json!({"spec": {"observability": {"otlpEndpoint": endpoint}}});
    world.kubectl.patch(&format!("shop/{SHOP}"), &patch).await?;
    let operator = Kubectl::new("shop-system");
    let (deployment, unset) = ("deployment/shop-operator", format!("{ENDPOINT}-"));
    let set = endpoint.map_or(unset, |endpoint| format!("{ENDPOINT}={endpoint}"));
    operator.run(&["set", "env", deployment, &set]).await?;
    operator.run(&["rollout", "status", deployment, "--timeout=180s"]).await?;
    let services = services();
    eventually("every pod is of the new kind", READY_PATIENCE, async || {
        let pods = world.kubectl.pods(&services).await?;
        ensure!(pods.len() == SERVICES.len(), "{} pods", pods.len());
        for pod in &pods {
            let name = &pod["metadata"]["name"];
            let variables = pod["spec"]["containers"][0]["env"].as_array().context("no env")?;
            let set = variables.iter().find(|variable| variable["name"] == ENDPOINT);
            ensure!(set.map(|set| &set["value"]) == endpoint.map(Value::from).as_ref(), "{name}");
            ensure!(pod["status"]["containerStatuses"][0]["ready"] == true, "{name} is not ready");
        }
        Ok(())
    })
    .await?;
    world.ready().await
}

/// Buys something as a client that traces its own requests, and looks at what has arrived.
async fn buy(world: &World) -> Result<()> {
    let shopper = world.shopper().await?;
    let page = shopper.find_product(1).await?;
    let product = page["id"].as_str().context("a product has an id")?;
    let (trace, root) = (Uuid::new_v4().simple().to_string(), Uuid::new_v4().simple().to_string());
    let root = &root[..16];
    let tracing = shopper.clone().tracing(&format!("00-{trace}-{root}-01"));
    let mut live = shopper.live().await?;
    let order = tracing.order(product, 1, "tok_visa").await?;
    live.until(&order, "paid").await?;
    let sink = world.kubectl.reach(SINK, JSON).await?;
    let read = async |query: &str| -> Result<Vec<Value>> {
        let answer = e2e::client()?.get(format!("{}/spans{query}", sink.url)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    };
    let spans = eventually("the trace is whole", SAGA_PATIENCE, async || {
        let spans = read(&format!("?trace={trace}")).await?;
        whole(&spans, root)?;
        Ok(spans)
    })
    .await?;
    spans.iter().try_for_each(conventional)?;
    let all = eventually("all other traces have arrived", SAGA_PATIENCE, async || {
        let all = read("").await?;
        for route in SECRETIVE {
            let seen = all.iter().any(|span| span["attributes"]["http.route"] == route);
            ensure!(seen, "nothing was sent of {route}");
        }
        let reconciled = |span: &Value| {
            span["resource"]["service.name"] == "shop-operator"
                && span["name"] == "reconcile Shop"
                && span["attributes"]["k8s.namespace.name"] == NAMESPACE
                && span["attributes"]["shop.name"] == SHOP
        };
        ensure!(all.iter().any(reconciled), "none of {} spans is a reconciliation", all.len());
        Ok(all)
    })
    .await?;
    discreet(&all, &shopper)
}

/// Every span has its parent, and the longest ways through the shop are those that are expected.
fn whole(spans: &[Value], root: &str) -> Result<()> {
    let by_id: BTreeMap<&str, &Value> =
        spans.iter().filter_map(|span| Some((span["id"].as_str()?, span))).collect();
    for span in spans {
        let parent = span["parent"].as_str().unwrap_or_default();
        let is_root = parent == root && span["resource"]["service.name"] == "gateway";
        ensure!(is_root || by_id.contains_key(parent), "the parent is not there of {span}");
    }
    let way = |from: &dyn Fn(&Value) -> bool| {
        let first = spans.iter().find(|span| from(span));
        std::iter::successors(first, |span| by_id.get(span["parent"].as_str()?).copied())
            .map(step)
            .collect::<Vec<_>>()
    };
    let told = way(&|span| {
        span["resource"]["service.name"] == "notification"
            && span["attributes"]["cloudevents.event_type"] == "io.shop-operator.order.paid.v1"
    });
    ensure!(told == ORDER_PAID, "from the confirmation back it is {told:#?}");
    let asked = way(&|span| span["resource"]["service.name"] == "catalog");
    ensure!(asked == PRICES, "from the catalog back it is {asked:#?}");
    Ok(())
}

/// Who did what; names of topics are left out.
fn step(span: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let topic = format!(" {}", text(&span["attributes"]["messaging.destination.name"]));
    let name = text(&span["name"]);
    let name = name.strip_suffix(&topic).unwrap_or(&name);
    format!("{} {} {name}", text(&span["resource"]["service.name"]), text(&span["kind"]))
}

/// The span says whose it is, and has what OpenTelemetry's conventions require of its kind.
fn conventional(span: &Value) -> Result<()> {
    let (resource, attributes) = (&span["resource"], &span["attributes"]);
    ensure!(SERVICES.iter().any(|service| resource["service.name"] == *service), "{span}");
    ensure!(resource["service.namespace"] == SHOP, "{span}");
    ensure!(resource["service.version"].is_string(), "{span}");
    let has = |names: &[&str]| {
        let missing: Vec<_> = names.iter().filter(|name| attributes[**name].is_null()).collect();
        ensure!(missing.is_empty(), "{missing:?} missing in {span}");
        Ok(())
    };
    let kind = span["kind"].as_str().unwrap_or_default();
    match kind {
        "client" | "server" if attributes["rpc.system"] == "grpc" => {
            has(&["rpc.service", "rpc.method", "rpc.grpc.status_code"])?;
        }
        "client" | "server" => has(&["http.request.method", "http.response.status_code"])?,
        _ => {}
    }
    match kind {
        "client" => has(&["server.address", "server.port"]),
        "server" if attributes["rpc.system"].is_null() => {
            has(&["http.route", "url.path", "url.scheme"])
        }
        "producer" | "consumer" => {
            ensure!(attributes["messaging.system"] == "kafka", "{span}");
            has(&["messaging.destination.name", "messaging.operation.type", "messaging.message.id"])
        }
        _ => Ok(()),
    }
}

/// Nothing that was sent holds what only the shopper may know.
fn discreet(spans: &[Value], shopper: &Shopper) -> Result<()> {
    let text = Value::from(spans.to_vec()).to_string().to_lowercase();
    let secrets = shopper.secrets().map(str::to_lowercase);
    let words =
        ["authorization", "bearer", "password", "tok_visa", "access_token"].map(str::to_owned);
    for secret in secrets.iter().chain(&words) {
        ensure!(!text.contains(secret), "{secret} is in a span");
    }
    Ok(())
}
