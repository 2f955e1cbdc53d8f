//! The API server and the engines under test.

use std::env;
use std::path::Path;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleRef, Subject};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON,
};
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Config};
use operator_core::crd;
use serde::Deserialize as _;
use tokio::sync::OnceCell;

/// Value of `deletionPolicy` that the tests' definition allows and the operator cannot parse.
pub(crate) const FUTURE: &str = "Archive";
/// Who the operator is to the API server.
const OPERATOR_USER: &str = "system:serviceaccount:shop-operator:shop-operator";

/// A variable that `cluster/engines env` prints.
pub(crate) fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        panic!(
            "{name} is not set: run `cluster/engines up`, then `eval \"$(cluster/engines env)\"`"
        )
    })
}

/// The configuration of an administrator.
pub(crate) async fn admin_config() -> Config {
    let kubeconfig = Kubeconfig::read_from(Path::new(&variable("TEST_KUBECONFIG"))).unwrap();
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()
}

/// The configuration of the operator, with the rights that the chart grants.
pub(crate) async fn operator_config() -> Config {
    let mut config = admin_config().await;
    config.auth_info.impersonate = Some(OPERATOR_USER.to_owned());
    config
}

/// An administrator's client of a server that knows Shops.
pub(crate) async fn admin() -> Client {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let client = Client::try_from(admin_config().await).unwrap();
    INSTALLED.get_or_init(|| install(client.clone())).await;
    client
}

async fn install(client: Client) {
    let params = PatchParams::apply("tests").force();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut definition = crd::definition();
    let name = definition.metadata.name.clone().unwrap();
    // A newer operator would accept it; the one under test cannot parse it.
    let schema = definition.spec.versions[0].schema.as_mut().unwrap();
    let properties = schema.open_api_v3_schema.as_mut().unwrap().properties.as_mut().unwrap();
    let spec = properties.get_mut("spec").unwrap().properties.as_mut().unwrap();
    let policies = spec.get_mut("deletionPolicy").unwrap().enum_.as_mut().unwrap();
    policies.push(JSON(FUTURE.into()));
    definitions.patch(&name, &params, &Patch::Apply(definition)).await.unwrap();
    await_condition(definitions, &name, is_crd_established()).await.unwrap();

    let granted = include_str!("../../rbac.yaml");
    let role = serde_yaml_ng::Deserializer::from_str(granted).next().unwrap();
    let role = ClusterRole::deserialize(role).unwrap();
    let roles: Api<ClusterRole> = Api::all(client.clone());
    roles.patch("shop-operator", &params, &Patch::Apply(role)).await.unwrap();
    let binding = ClusterRoleBinding {
        metadata: ObjectMeta { name: Some("shop-operator".to_owned()), ..ObjectMeta::default() },
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: "shop-operator".to_owned(),
        },
        subjects: Some(vec![Subject {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "User".to_owned(),
            name: OPERATOR_USER.to_owned(),
            namespace: None,
        }]),
    };
    let bindings: Api<ClusterRoleBinding> = Api::all(client);
    bindings.patch("shop-operator", &params, &Patch::Apply(binding)).await.unwrap();
}
