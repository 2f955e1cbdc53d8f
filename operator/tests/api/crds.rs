//! The CRD in the cluster: applied, and compared while the operator runs. Each test has a CRD of its own, made from
//! ours, because all tests share the one of Shops.

use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, Role, RoleBinding, RoleRef, Subject,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt as _};
use operator_core::crd;
use operator_core::installed::VERSION_ANNOTATION;
use serde::Deserialize as _;
use serde_json::json;
use shop_operator::crds::{self, Error, Installed, Outcome, Pod};
use shop_operator::metrics::Metrics;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::server;
use crate::world::{PATIENCE, World};

/// Rules of the operator, of its Lease, and of what applies the CRD.
const RULES: &str = include_str!("../../rbac.yaml");

/// Our CRD under a group of its own.
fn own() -> CustomResourceDefinition {
    let group = format!("t{:08x}.example", rand::random::<u32>());
    let mut crd = crd::definition();
    crd.metadata.name = Some(format!("shops.{group}"));
    crd.spec.group = group;
    // Short names belong to whoever has them first.
    crd.spec.names.short_names = None;
    crd
}

/// The same, of an operator that knew less.
fn older(crd: &CustomResourceDefinition) -> CustomResourceDefinition {
    let mut older = serde_json::to_value(crd).unwrap();
    older["metadata"]["annotations"] = json!(null);
    let status = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties";
    older.pointer_mut(status).unwrap().as_object_mut().unwrap().remove("rollouts").unwrap();
    serde_json::from_value(older).unwrap()
}

fn with_version(crd: &CustomResourceDefinition, version: &str) -> CustomResourceDefinition {
    let mut marked = crd.clone();
    marked.annotations_mut().insert(VERSION_ANNOTATION.to_owned(), version.to_owned());
    marked
}

async fn all() -> Api<CustomResourceDefinition> {
    Api::all(server::admin().await)
}

/// The n-th document of the rules.
fn rules<T: serde::de::DeserializeOwned>(index: usize) -> T {
    let document = serde_yaml_ng::Deserializer::from_str(RULES).nth(index).unwrap();
    serde_json::from_value(serde_json::Value::deserialize(document).unwrap()).unwrap()
}

/// Someone who has the rights of the chart's hook, for this CRD, until it is dropped.
async fn applier(name: &str) -> Client {
    let mut role: ClusterRole = rules(2);
    for rule in role.rules.iter_mut().flatten() {
        assert_eq!(rule.resource_names.as_deref(), Some(&[crd::definition().name_any()][..]));
        rule.resource_names = Some(vec![name.to_owned()]);
    }
    grant_everywhere(name, role).await
}

async fn grant_everywhere(user: &str, mut role: ClusterRole) -> Client {
    let admin = server::admin().await;
    let name = ObjectMeta { name: Some(format!("test-{user}")), ..ObjectMeta::default() };
    role.metadata = name.clone();
    Api::all(admin.clone()).create(&PostParams::default(), &role).await.unwrap();
    let binding = ClusterRoleBinding {
        role_ref: reference("ClusterRole", &role.name_any()),
        metadata: name,
        subjects: Some(vec![subject(user)]),
    };
    Api::all(admin).create(&PostParams::default(), &binding).await.unwrap();
    impersonating(user).await
}

fn reference(kind: &str, name: &str) -> RoleRef {
    let api_group = "rbac.authorization.k8s.io".to_owned();
    RoleRef { api_group, kind: kind.to_owned(), name: name.to_owned() }
}

fn subject(user: &str) -> Subject {
    let (kind, name) = ("User".to_owned(), user.to_owned());
    let api_group = Some("rbac.authorization.k8s.io".to_owned());
    Subject { api_group, kind, name, namespace: None }
}

async fn impersonating(user: &str) -> Client {
    let mut config = server::admin_config().await;
    config.auth_info.impersonate = Some(user.to_owned());
    Client::try_from(config).unwrap()
}

/// Applies once the rights that were just granted are known to the API server.
async fn apply(client: &Client, crd: &CustomResourceDefinition) -> Result<Outcome, Error> {
    let attempts = async {
        loop {
            match crds::apply(client, crd).await {
                Err(Error::Api(kube::Error::Api(status))) if status.code == 403 => {
                    sleep(Duration::from_millis(100)).await;
                }
                result => return result,
            }
        }
    };
    timeout(PATIENCE, attempts).await.expect("the rights of the hook are enough")
}

async fn remove(name: &str) {
    let admin = server::admin().await;
    let params = DeleteParams::default();
    all().await.delete(name, &params).await.unwrap();
    let role = format!("test-{name}");
    Api::<ClusterRole>::all(admin.clone()).delete(&role, &params).await.unwrap();
    Api::<ClusterRoleBinding>::all(admin).delete(&role, &params).await.unwrap();
}

#[tokio::test]
async fn a_missing_crd_is_created_with_the_rights_of_the_hook() {
    let ours = own();
    let client = applier(&ours.name_any()).await;
    assert_eq!(apply(&client, &ours).await.unwrap(), Outcome::Created);
    assert_eq!(apply(&client, &ours).await.unwrap(), Outcome::Unchanged);
    // These rights are for that one only.
    let other = own();
    let result = crds::apply(&client, &other).await;
    assert!(
        matches!(&result, Err(Error::Api(kube::Error::Api(status))) if status.code == 403),
        "{result:?}"
    );
    remove(&ours.name_any()).await;
}

/// Helm creates the CRD at the first installation and owns its fields.
#[tokio::test]
async fn the_crd_of_an_older_operator_is_upgraded() {
    let ours = own();
    let params = PostParams { field_manager: Some("helm".to_owned()), ..PostParams::default() };
    all().await.create(&params, &older(&ours)).await.unwrap();
    let client = applier(&ours.name_any()).await;
    assert_eq!(apply(&client, &ours).await.unwrap(), Outcome::Updated);
    let stored = all().await.get(&ours.name_any()).await.unwrap();
    assert_eq!(operator_core::installed::gaps(&stored, &ours), Vec::<String>::new());
    assert_eq!(stored.annotations()[VERSION_ANNOTATION], env!("CARGO_PKG_VERSION"));
    // A field that this version does not have any more goes too.
    let more = apply(&client, &older(&with_version(&ours, "0.0.1"))).await;
    assert_eq!(more.unwrap(), Outcome::Updated);
    let stored = all().await.get(&ours.name_any()).await.unwrap();
    assert_eq!(operator_core::installed::gaps(&stored, &ours), ["status.rollouts is missing"]);
    remove(&ours.name_any()).await;
}

#[tokio::test]
async fn the_crd_of_a_newer_operator_is_left_alone() {
    let ours = own();
    let newer = with_version(&ours, "99.0.0");
    let created = all().await.create(&PostParams::default(), &newer).await.unwrap();
    let client = applier(&ours.name_any()).await;
    let error = apply(&client, &ours).await.unwrap_err();
    assert!(matches!(error, Error::Downgrade(_)), "{error:?}");
    let message = error.to_string();
    assert!(message.contains("99.0.0") && message.contains("crds.upgrade=false"), "{message}");
    let stored = all().await.get(&ours.name_any()).await.unwrap();
    assert_eq!(stored.spec, created.spec);
    assert_eq!(stored.annotations()[VERSION_ANNOTATION], "99.0.0");
    remove(&ours.name_any()).await;
}

/// The operator has no more rights here than the chart grants it where it watches some namespaces.
#[tokio::test]
async fn an_outdated_crd_is_reported_until_it_is_upgraded() {
    let world = World::new().await;
    let ours = own();
    all().await.create(&PostParams::default(), &older(&ours)).await.unwrap();
    let user = ours.name_any();
    let discovery = json!({ "rules": [{
        "apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"],
        "verbs": ["list", "watch"],
    }] });
    let client = grant_everywhere(&user, serde_json::from_value(discovery).unwrap()).await;
    let mut role: Role = rules(1);
    role.metadata = ObjectMeta { name: Some(user.clone()), ..ObjectMeta::default() };
    world.api().create(&PostParams::default(), &role).await.unwrap();
    let binding = RoleBinding {
        metadata: role.metadata.clone(),
        role_ref: reference("Role", &user),
        subjects: Some(vec![subject(&user)]),
    };
    world.api().create(&PostParams::default(), &binding).await.unwrap();

    let uid = Some("00000000-0000-4000-8000-000000000000".to_owned());
    let pod = Pod { namespace: world.namespace.clone(), name: "operator-a".to_owned(), uid };
    let (state, mut states) = watch::channel(Installed::default());
    let metrics = Metrics::new().unwrap();
    let (measured, followed) = (metrics.clone(), ours.clone());
    let following = tokio::spawn(async move {
        crds::follow(client, &followed, &pod, &measured, &state).await;
    });
    let outdated = |state: &Installed| matches!(state, Installed::Outdated(_));
    let problem = timeout(PATIENCE, states.wait_for(outdated)).await.unwrap().unwrap().clone();
    let Installed::Outdated(problem) = problem else { unreachable!("it was waited for") };
    assert!(problem.contains("status.rollouts is missing"), "{problem}");
    assert!(problem.contains("exec operator-a -- /shop-operator crd | kubectl apply"), "{problem}");
    assert_eq!(metrics.crd_outdated.get(), 1);
    let events: Api<Event> = world.api();
    let noted = events.list(&ListParams::default()).await.unwrap().items;
    let noted = noted.iter().find(|event| event.reason.as_deref() == Some("CrdOutdated")).unwrap();
    assert!(noted.note.as_ref().is_some_and(|note| note.contains("status.rollouts is missing")));

    apply(&server::admin().await, &ours).await.unwrap();
    let current = |state: &Installed| *state == Installed::Current;
    timeout(PATIENCE, states.wait_for(current)).await.unwrap().unwrap();
    assert_eq!(metrics.crd_outdated.get(), 0);
    remove(&user).await;
    let gone = |state: &Installed| matches!(state, Installed::Outdated(text) if text.contains("is not installed"));
    timeout(PATIENCE, states.wait_for(gone)).await.unwrap().unwrap();
    following.abort();
}
