//! Which optional APIs the cluster has.

use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use operator_core::kinds::optional;
use operator_core::object::{CustomKind, HTTP_ROUTE, SERVICE_MONITOR};
use operator_core::validate::Capabilities;
use tokio::sync::watch;
use tokio::time::{interval, sleep};
use tracing::{info, warn};

/// How often optional APIs are looked for although no definition changed.
const DISCOVERY: Duration = Duration::from_mins(1);
/// A new definition is served a moment after it is established.
const SERVED: Duration = Duration::from_secs(1);

/// Finds out which optional APIs there are, now and whenever their definitions change.
pub async fn discover(client: Client, found: &watch::Sender<Capabilities>) {
    let definitions: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(client.clone());
    let events = watcher(definitions, watcher::Config::default()).default_backoff();
    pin_mut!(events);
    let mut tick = interval(DISCOVERY);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            event = events.next() => match event {
                Some(Ok(Event::Apply(definition) | Event::Delete(definition)))
                    if is_optional(&definition.metadata) => sleep(SERVED).await,
                Some(Err(error)) => { warn!(%error, "cannot watch definitions"); continue }
                Some(Ok(_)) => continue,
                None => return,
            }
        }
        let before = *found.borrow();
        let now = capabilities(&client, before).await;
        found.send_if_modified(|before| {
            let changed = *before != now;
            if changed {
                info!(?now, "optional APIs changed");
                *before = now;
            }
            changed
        });
    }
}

fn is_optional(metadata: &ObjectMeta) -> bool {
    let name = metadata.name.as_deref().unwrap_or_default();
    let all = Capabilities { service_monitors: true, http_routes: true };
    optional(all).iter().any(|kind| name == format!("{}.{}", kind.plural, kind.group))
}

/// Which optional APIs the cluster has now. Without an answer it is what was known `before`: what
/// leans on an API is not to go because the API server was busy.
pub async fn capabilities(client: &Client, before: Capabilities) -> Capabilities {
    let has = async |kind: CustomKind, before: bool| {
        let version = format!("{}/{}", kind.0, kind.1);
        match client.list_api_group_resources(&version).await {
            Ok(list) => list.resources.iter().any(|resource| resource.kind == kind.2),
            Err(kube::Error::Api(answer)) if answer.code == 404 => false,
            Err(error) => {
                warn!(%error, version, "cannot ask for an optional API");
                before
            }
        }
    };
    Capabilities {
        service_monitors: has(SERVICE_MONITOR, before.service_monitors).await,
        http_routes: has(HTTP_ROUTE, before.http_routes).await,
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response, StatusCode};
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::*;

    /// A client whose server gives this answer to everything.
    fn answered(code: StatusCode) -> Client {
        let answer = move |_: Request<Body>| async move {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "no", "reason": "no", "code": code.as_u16(),
            });
            let response = Response::builder().status(code);
            Ok::<_, std::convert::Infallible>(
                response.body(Body::from(status.to_string().into_bytes())).unwrap(),
            )
        };
        Client::new(service_fn(answer), "default")
    }

    #[tokio::test]
    async fn an_api_is_gone_when_the_server_says_so_and_not_when_it_fails() {
        let all = Capabilities { service_monitors: true, http_routes: true };
        let none = Capabilities::default();
        assert_eq!(capabilities(&answered(StatusCode::NOT_FOUND), all).await, none);
        assert_eq!(capabilities(&answered(StatusCode::SERVICE_UNAVAILABLE), all).await, all);
        assert_eq!(capabilities(&answered(StatusCode::SERVICE_UNAVAILABLE), none).await, none);
    }
}
