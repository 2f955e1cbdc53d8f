//! A namespace with a Shop, an operator for it, and words to wait with.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt as _};
use operator_core::crd::Shop;
use operator_core::kinds;
use operator_core::validate::Capabilities;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::Url;

use crate::{kubelet, server};

/// Longest wait for anything; the machine may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// Name of every Shop under test.
pub(crate) const NAME: &str = "demo";

/// A namespace of its own.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// How long a deletion may fail; nothing is what operators have by default.
    pub(crate) deletion_limit: Option<Duration>,
    tasks: JoinSet<()>,
}

impl World {
    /// A namespace with a stand-in for kubelets and the credentials of the external engines.
    pub(crate) async fn new() -> Self {
        let client = server::admin().await;
        let namespace = format!("t-{:08x}", rand::random::<u32>());
        let named = ObjectMeta { name: Some(namespace.clone()), ..ObjectMeta::default() };
        let object = Namespace { metadata: named, ..Namespace::default() };
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&PostParams::default(), &object).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(kubelet::run(client.clone(), namespace.clone()));
        let world = Self { client, namespace, deletion_limit: None, tasks };
        let database = Url::parse(&server::variable("TEST_DATABASE_URL")).unwrap();
        world
            .secret(
                "postgres-admin",
                &[("username", database.username()), ("password", database.password().unwrap())],
            )
            .await;
        world.secret("redis", &[("url", &server::variable("TEST_REDIS_URL"))]).await;
        world.secret("objects", &[("accessKey", "test"), ("secretKey", "test-secret")]).await;
        world
    }

    /// Creates a Secret that somebody else keeps.
    pub(crate) async fn secret(&self, name: &str, content: &[(&str, &str)]) {
        let content = content.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let object = Secret {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            string_data: Some(content.collect()),
            ..Secret::default()
        };
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    pub(crate) fn shops(&self) -> Api<Shop> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A Shop with external engines and this on top of its spec.
    pub(crate) async fn create(&self, more: Value) -> Shop {
        self.create_named(NAME, more).await
    }

    /// The same under another name.
    pub(crate) async fn create_named(&self, name: &str, more: Value) -> Shop {
        let mut spec = Self::external();
        merge(&mut spec, more);
        self.store(name, spec).await
    }

    /// A Shop with this spec.
    pub(crate) async fn create_exactly(&self, spec: Value) -> Shop {
        self.store(NAME, spec).await
    }

    async fn store(&self, name: &str, spec: Value) -> Shop {
        let shop = json!({
            "apiVersion": "shop-operator.io/v1alpha1", "kind": "Shop",
            "metadata": { "name": name }, "spec": spec,
        });
        let shop = serde_json::from_value(shop).unwrap();
        self.shops().create(&PostParams::default(), &shop).await.unwrap()
    }

    fn external() -> Value {
        let database = Url::parse(&server::variable("TEST_DATABASE_URL")).unwrap();
        let redis = Url::parse(&server::variable("TEST_REDIS_URL")).unwrap();
        json!({
            "database": { "external": {
                "host": database.host_str(), "port": database.port(), "sslMode": "disable",
                "adminSecretRef": { "name": "postgres-admin" },
            } },
            "cache": { "external": { "secretRef": { "name": "redis" }, "port": redis.port() } },
            "events": { "external": {
                "bootstrapServers": [server::variable("TEST_KAFKA_BROKERS")],
            } },
            "objectStore": { "external": {
                "endpoint": server::variable("TEST_OBJECT_STORE_URL"), "bucket": "test",
                "secretRef": { "name": "objects" },
            } },
            "topics": { "partitions": 1, "replicationFactor": 1 },
        })
    }

    pub(crate) async fn change(&self, patch: Value) -> Shop {
        let patch = Patch::Merge(patch);
        self.shops().patch(NAME, &PatchParams::default(), &patch).await.unwrap()
    }

    pub(crate) async fn shop(&self) -> Shop {
        self.shops().get(NAME).await.unwrap()
    }

    /// Waits until something is true of the Shop.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Shop) -> bool) -> Shop {
        self.until_of(NAME, what, holds).await
    }

    /// Waits until something is true of a Shop.
    pub(crate) async fn until_of(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&Shop) -> bool,
    ) -> Shop {
        let condition = |shop: Option<&Shop>| shop.is_some_and(&holds);
        match timeout(PATIENCE, await_condition(self.shops(), name, condition)).await {
            Ok(shop) => shop.unwrap().unwrap(),
            Err(late) => {
                panic!("{name}: {what}: {late}: {:#?}", self.shops().get_status(name).await)
            }
        }
    }

    /// Waits until a shopper can buy, from the services that the newest spec asks for.
    pub(crate) async fn until_ready(&self) -> Shop {
        self.until("ready", |shop| {
            ["Ready", "ServicesReady"].iter().all(|type_| condition(shop, type_).0 == "True")
                && observed(shop) == shop.metadata.generation
        })
        .await
    }

    pub(crate) async fn until_gone(&self) {
        self.until_none(NAME).await;
    }

    /// Waits until there is no Shop of this name.
    pub(crate) async fn until_none(&self, name: &str) {
        let gone = await_condition(self.shops(), name, |shop: Option<&Shop>| shop.is_none());
        timeout(PATIENCE, gone).await.expect("the Shop goes in time").unwrap();
    }

    /// An API of any kind in this namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Every object that operators make in this namespace, by kind and name.
    pub(crate) async fn children(&self) -> BTreeMap<(String, String), DynamicObject> {
        let mut children = BTreeMap::new();
        for kind in kinds::prunable(Capabilities::default()) {
            for object in self.list(&kind).await {
                children.insert((kind.kind.clone(), object.name_any()), object);
            }
        }
        children
    }

    async fn list(&self, kind: &ApiResource) -> Vec<DynamicObject> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, kind);
        let ours = ListParams::default().labels(&operator_core::names::managed_selector());
        api.list(&ours).await.unwrap().items
    }

    /// Does what the garbage collector would do for a deleted owner.
    pub(crate) async fn collect_garbage(&self, owner: &str) {
        for kind in kinds::prunable(Capabilities::default()) {
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), &self.namespace, &kind);
            for object in self.list(&kind).await {
                if object.owner_references().iter().any(|reference| reference.uid == owner) {
                    api.delete(&object.name_any(), &DeleteParams::background()).await.unwrap();
                }
            }
        }
    }
}

impl Drop for World {
    /// The namespace stays for whoever looks into a failure; engines are thrown away as a whole.
    fn drop(&mut self) {
        self.tasks.abort_all();
    }
}

/// Status and reason of a condition.
pub(crate) fn condition<'s>(shop: &'s Shop, type_: &str) -> (&'s str, &'s str) {
    let conditions = shop.status.as_ref().map(|status| status.conditions.as_slice());
    let condition = conditions.unwrap_or_default().iter().find(|c| c.type_ == type_);
    condition.map_or(("", ""), |c| (&c.status, &c.reason))
}

pub(crate) fn observed(shop: &Shop) -> Option<i64> {
    shop.status.as_ref()?.observed_generation
}

/// JSON merge patch (RFC 7396).
pub(crate) fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(&key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch,
    }
}
