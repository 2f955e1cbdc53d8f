//! Definitions of APIs that a cluster may have or not, as their projects publish them.

use std::fs::{self, File};
use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::Value;

use crate::server::variable;

pub(crate) const SERVICE_MONITORS: &str = "servicemonitors.monitoring.coreos.com";
pub(crate) const GATEWAYS: &str = "gateways.gateway.networking.k8s.io";
pub(crate) const HTTP_ROUTES: &str = "httproutes.gateway.networking.k8s.io";

/// The definitions of the whole server. Whoever has them is alone with them, among all tests of all
/// processes, until it drops them; nobody else looks at which definitions there are.
pub(crate) struct Definitions {
    api: Api<CustomResourceDefinition>,
    _lock: File,
}

impl Definitions {
    /// Waits for its turn; there is none of the definitions then.
    pub(crate) async fn none(client: &Client) -> Self {
        let lock = tokio::task::spawn_blocking(|| {
            let file = File::open(variable("TEST_KUBECONFIG")).unwrap();
            file.lock().unwrap();
            file
        });
        let definitions = Self { api: Api::all(client.clone()), _lock: lock.await.unwrap() };
        // A test that failed leaves its own.
        for name in [SERVICE_MONITORS, GATEWAYS, HTTP_ROUTES] {
            definitions.remove(name).await;
        }
        definitions
    }

    /// Adds a definition; the server takes objects of it then.
    pub(crate) async fn add(&self, name: &str) {
        let file = Path::new(&variable("TEST_DEFINITIONS")).join(format!("{name}.yaml"));
        let definition: Value =
            serde_yaml_ng::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let params = PatchParams::apply("tests").force();
        self.api.patch(name, &params, &Patch::Apply(definition)).await.unwrap();
        await_condition(self.api.clone(), name, is_crd_established()).await.unwrap();
    }

    /// Removes a definition, if it is there, and with it all objects of it.
    pub(crate) async fn remove(&self, name: &str) {
        match self.api.delete(name, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(answer)) if answer.code == 404 => return,
            Err(error) => panic!("{name} cannot be removed: {error}"),
        }
        let gone = |definition: Option<&CustomResourceDefinition>| definition.is_none();
        await_condition(self.api.clone(), name, gone).await.unwrap();
    }
}
