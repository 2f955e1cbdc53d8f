//! The cluster and the servers beside it, and everything in them that is not the operator.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::DynamicObject;
use operator_core::child::ChildKey;
use operator_core::crd::Shop;
use operator_core::facts::Comment;
use operator_core::names;
use operator_core::pods::PodProblem;
use operator_core::role::{Duty, Role};
use operator_core::validate::Capabilities;
use serde_json::{Value, json};

use super::objects::{Objects, merge};
use super::servers::{Kafka, Postgres};

/// Part of an image that fails: as a Job, and as a pod that never becomes ready.
pub(crate) const BROKEN: &str = "broken";
/// Name of the Shop.
pub(crate) const NAME: &str = "demo";
/// Its namespace.
pub(crate) const NAMESPACE: &str = "shops";
/// Host of the external Postgres.
pub(crate) const DATABASE: &str = "db.example.com";
/// Address of the external Kafka.
pub(crate) const BROKERS: &str = "kafka.example.com:9092";

/// Everything that is not the operator.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) shop: Option<Shop>,
    pub(crate) objects: Objects,
    /// Secrets that the spec refers to.
    pub(crate) references: BTreeMap<String, BTreeMap<String, String>>,
    /// Postgres servers by host; bundled ones by the UID of their volume.
    pub(crate) postgres: BTreeMap<String, Postgres>,
    /// Kafka clusters by their first bootstrap server.
    pub(crate) kafka: BTreeMap<String, Kafka>,
    /// Servers that do not answer.
    pub(crate) down: BTreeSet<String>,
    pub(crate) capabilities: Capabilities,
    /// What is wrong with pods.
    pub(crate) pod_problems: Vec<PodProblem>,
    /// Whether the new versions of services answer with errors.
    pub(crate) canaries_fail: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        let reference = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        Self {
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            shop: None,
            objects: Objects::default(),
            references: [
                ("postgres-admin", reference(&[("username", "postgres"), ("password", "p")])),
                ("redis", reference(&[("url", "redis://redis.example.com:6379")])),
                ("objects", reference(&[("accessKey", "a"), ("secretKey", "s")])),
            ]
            .map(|(name, content)| (name.to_owned(), content))
            .into(),
            postgres: [(DATABASE.to_owned(), Postgres::default())].into(),
            kafka: [(BROKERS.to_owned(), Kafka { cluster: "C".to_owned(), ..Kafka::default() })]
                .into(),
            down: BTreeSet::new(),
            capabilities: Capabilities { service_monitors: true, http_routes: true },
            pod_problems: Vec::new(),
            canaries_fail: false,
        }
    }

    /// Creates the Shop.
    pub(crate) fn create(&mut self, spec: Value) {
        let mut shop = Shop::new(NAME, serde_json::from_value(spec).unwrap());
        let number = self.objects.next();
        shop.metadata.namespace = Some(NAMESPACE.to_owned());
        shop.metadata.uid = Some(format!("shop-{number}"));
        shop.metadata.generation = Some(1);
        shop.metadata.resource_version = Some(number.to_string());
        shop.metadata.creation_timestamp = Some(Time(self.now));
        self.shop = Some(shop);
    }

    /// Replaces the spec of the Shop; false if it is no spec.
    pub(crate) fn set_spec(&mut self, spec: &Value) -> bool {
        let Ok(spec) = serde_json::from_value(spec.clone()) else { return false };
        self.change_shop(|shop| {
            shop.spec = spec;
            shop.metadata.generation = shop.metadata.generation.map(|g| g + 1);
        });
        true
    }

    /// Merges into the spec of the Shop.
    pub(crate) fn patch_spec(&mut self, patch: &Value) {
        let Some(shop) = &self.shop else { return };
        let mut spec = serde_json::to_value(&shop.spec).unwrap();
        merge(&mut spec, patch);
        assert!(self.set_spec(&spec), "{patch} makes no spec");
    }

    pub(crate) fn annotate(&mut self, name: &str, value: Option<&str>) {
        self.change_shop(|shop| {
            let annotations = shop.metadata.annotations.get_or_insert_default();
            match value {
                Some(value) => drop(annotations.insert(name.to_owned(), value.to_owned())),
                None => drop(annotations.remove(name)),
            }
        });
    }

    /// Deletes the Shop: with a finalizer it waits for that.
    pub(crate) fn delete_shop(&mut self) {
        let now = self.now;
        self.change_shop(|shop| shop.metadata.deletion_timestamp = Some(Time(now)));
        self.remove_shop_without_finalizers();
    }

    pub(crate) fn change_shop(&mut self, change: impl FnOnce(&mut Shop)) {
        let version = self.objects.next();
        if let Some(shop) = &mut self.shop {
            change(shop);
            shop.metadata.resource_version = Some(version.to_string());
        }
    }

    pub(crate) fn remove_shop_without_finalizers(&mut self) {
        let is_gone = self.shop.as_ref().is_some_and(|shop| {
            let finalizers = shop.metadata.finalizers.as_deref().unwrap_or_default();
            shop.metadata.deletion_timestamp.is_some() && finalizers.is_empty()
        });
        if is_gone {
            self.shop = None;
        }
    }

    /// The Postgres server of a host, if it answers.
    pub(crate) fn postgres(&mut self, host: &str) -> Option<&mut Postgres> {
        if self.down.contains(host) {
            return None;
        }
        if host == DATABASE {
            return self.postgres.get_mut(host);
        }
        let claim = ChildKey {
            resource: "persistentvolumeclaims.".into(),
            name: format!("{NAME}-postgres-data"),
        };
        let set =
            ChildKey { resource: "statefulsets.apps".into(), name: format!("{NAME}-postgres") };
        self.objects.all.get(&set).filter(|set| set.data["status"]["readyReplicas"] == 1)?;
        let volume = self.objects.all.get(&claim)?.metadata.uid.clone()?;
        Some(self.postgres.entry(volume).or_default())
    }

    /// The Kafka cluster of a bootstrap server, if it answers.
    pub(crate) fn kafka(&mut self, server: &str) -> Option<&mut Kafka> {
        if self.down.contains(server) {
            return None;
        }
        if !self.kafka.contains_key(server) {
            let set =
                ChildKey { resource: "statefulsets.apps".into(), name: format!("{NAME}-kafka") };
            self.objects.all.get(&set).filter(|set| set.data["status"]["readyReplicas"] == 1)?;
            let kafka = Kafka { cluster: "bundled".to_owned(), ..Kafka::default() };
            self.kafka.insert(server.to_owned(), kafka);
        }
        self.kafka.get_mut(server)
    }

    /// Everything that the cluster's own controllers do; true if they did anything.
    pub(crate) fn control(&mut self) -> bool {
        self.remove_shop_without_finalizers();
        let uid = self.shop.as_ref().and_then(|shop| shop.metadata.uid.clone());
        let mut changed = self.objects.collect_garbage(uid.as_deref());
        let keys: Vec<ChildKey> = self.objects.all.keys().cloned().collect();
        for key in keys {
            let object = self.objects.all[&key].clone();
            let status = match &*key.resource {
                "deployments.apps" => deployment(&object),
                "statefulsets.apps" => stateful_set(&object),
                "jobs.batch" if object.data["status"]["conditions"].is_null() => self.run(&object),
                _ => continue,
            };
            changed |= self.objects.set_status(&key, &status);
        }
        changed
    }

    /// Runs a Job to its end.
    fn run(&mut self, job: &DynamicObject) -> Value {
        let role = job.metadata.labels.as_ref().and_then(Role::of);
        let succeeds = !image(job).contains(BROKEN)
            && match role {
                Some(Role::Service(service, Duty::Migration)) => {
                    self.migrate(&names::database(NAMESPACE, NAME, service), &image(job))
                }
                _ => true,
            };
        let type_ = if succeeds { "Complete" } else { "Failed" };
        json!({ "conditions": [{
            "type": type_, "status": "True", "lastTransitionTime": self.now.to_string(),
        }] })
    }

    fn migrate(&mut self, database: &str, image: &str) -> bool {
        let Some(shop) = &self.shop else { return false };
        let external = shop.spec.database.external.is_some();
        let host = if external { DATABASE } else { "bundled" };
        let database = self.postgres(host).and_then(|server| server.databases.get_mut(database));
        let Some(database) = database else { return false };
        database.schema = Some(image.to_owned());
        database.migrated.insert(image.to_owned());
        true
    }

    pub(crate) fn advance(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// Writes an order into every database that has a schema.
    pub(crate) fn sell(&mut self) {
        for server in self.postgres.values_mut() {
            let own = server.databases.values_mut().filter(|found| found.comment != Comment::None);
            let migrated = own.filter(|found| found.schema.is_some());
            migrated.for_each(|database| database.orders += 1);
        }
    }
}

pub(crate) fn image(object: &DynamicObject) -> String {
    let containers = &object.data["spec"]["template"]["spec"]["containers"];
    containers[0]["image"].as_str().unwrap_or_default().to_owned()
}

fn deployment(object: &DynamicObject) -> Value {
    let replicas = object.data["spec"]["replicas"].as_i64().unwrap_or(1);
    let generation = object.metadata.generation;
    if image(object).contains(BROKEN) {
        // One pod more, which is not ready; the old ones serve on, if there were any.
        let available = object.data["status"]["availableReplicas"].as_i64().unwrap_or(0);
        return json!({
            "observedGeneration": generation, "replicas": available + 1, "updatedReplicas": 1,
            "readyReplicas": available, "availableReplicas": available, "unavailableReplicas": 1,
            "conditions": [{
                "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
            }],
        });
    }
    json!({
        "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
        "readyReplicas": replicas, "availableReplicas": replicas,
    })
}

fn stateful_set(object: &DynamicObject) -> Value {
    let ready = i64::from(!image(object).contains(BROKEN));
    json!({
        "observedGeneration": object.metadata.generation, "replicas": 1, "updatedReplicas": 1,
        "readyReplicas": ready,
    })
}
