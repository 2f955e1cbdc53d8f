//! Compares the CRD of the cluster with the one that this version needs, at start and whenever it changes. With an
//! older one the API server refuses or drops what the operator writes.

use futures_util::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::watcher::watch_object;
use kube::{Api, Client, ResourceExt as _};
use operator_core::installed::gaps;
use operator_core::names::OPERATOR;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::metrics::Metrics;

/// Differences that are spelt out; the rest is counted.
const SHOWN: usize = 5;
/// Longest note that the events API takes.
const NOTE_LIMIT: usize = 1024;

/// What is known of the CRD in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Installed {
    /// It has not been read yet.
    #[default]
    Pending,
    /// It cannot be read, for example for lack of rights.
    Unknown,
    /// It can hold what this version writes.
    Current,
    /// It cannot; what is wrong, and what to do.
    Outdated(String),
}

/// The pod that events are about: the namespace of the operator is the one where it may write them.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID; `kubectl describe` finds events by it.
    pub uid: Option<String>,
}

/// Compares until the watch ends, which it never should.
pub async fn follow(
    client: Client,
    ours: &CustomResourceDefinition,
    pod: &Pod,
    metrics: &Metrics,
    state: &watch::Sender<Installed>,
) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let reporter = Reporter { controller: OPERATOR.to_owned(), instance: Some(pod.name.clone()) };
    let recorder = Recorder::new(client, reporter);
    let found = watch_object(api, &ours.name_any()).default_backoff();
    pin_mut!(found);
    while let Some(found) = found.next().await {
        let new = match found {
            Ok(found) => compare(found.as_ref(), ours, pod),
            Err(error) => {
                warn!(%error, "cannot read the CRD of Shops");
                // What was last seen remains true until something else is seen.
                state.send_if_modified(|state| {
                    let first = *state == Installed::Pending;
                    if first {
                        *state = Installed::Unknown;
                    }
                    first
                });
                continue;
            }
        };
        if *state.borrow() == new {
            continue;
        }
        if let Installed::Outdated(problem) = &new {
            metrics.crd_outdated.set(1);
            error!("{problem}");
            record(&recorder, pod, problem).await;
        } else {
            metrics.crd_outdated.set(0);
            info!("the CRD of Shops is current");
        }
        state.send_replace(new);
    }
}

fn compare(
    found: Option<&CustomResourceDefinition>,
    ours: &CustomResourceDefinition,
    pod: &Pod,
) -> Installed {
    let name = ours.name_any();
    let problem = match found {
        None => format!("the CRD {name} is not installed"),
        Some(found) => {
            let gaps = gaps(found, ours);
            if gaps.is_empty() {
                return Installed::Current;
            }
            let more = match gaps.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            let shown = gaps.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            format!(
                "the CRD {name} is not that of operator {}: {shown}{more}",
                env!("CARGO_PKG_VERSION")
            )
        }
    };
    let Pod { namespace, name: pod, .. } = pod;
    Installed::Outdated(format!(
        "{problem}. Upgrade it: helm upgrade with crds.upgrade=true, or kubectl --namespace {namespace} exec {pod} -- /shop-operator crd | kubectl apply --server-side --force-conflicts -f -"
    ))
}

async fn record(recorder: &Recorder, pod: &Pod, problem: &str) {
    let event = Event {
        type_: EventType::Warning,
        reason: "CrdOutdated".to_owned(),
        note: Some(problem.chars().take(NOTE_LIMIT).collect()),
        action: "CompareCrd".to_owned(),
        secondary: None,
    };
    let about = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(pod.namespace.clone()),
        name: Some(pod.name.clone()),
        uid: pod.uid.clone(),
        ..ObjectReference::default()
    };
    // The log, readiness and a metric say so too.
    if let Err(error) = recorder.publish(&event, &about).await {
        warn!(%error, "could not record an event");
    }
}
