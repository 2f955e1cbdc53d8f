//! What the tests start from.

use std::{collections::BTreeMap, fs, path::PathBuf};

use k8s_openapi::api::core::v1::Secret;
use operator_core::{
    build::{RolloutPlans, SecretHashes, credentials, desired_with},
    crd::{self, Shop, ShopSpec},
    names,
    object::Object,
    validate::{
        Capabilities, Config, EngineImages, FieldError, Observed, SecretFacts, ValidatedShop,
        validate,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

/// A path in the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The YAML files of a folder of the repository, by name without extension.
pub(crate) fn yaml_files(folder: &str) -> BTreeMap<String, String> {
    let entries = fs::read_dir(repository(folder)).expect("the folder exists");
    let files = entries.map(|entry| entry.expect("the entry is readable").path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(path).expect("the file is text"))
        })
        .collect()
}

/// The documents of a YAML file.
pub(crate) fn documents(yaml: &str) -> Vec<Value> {
    let documents = serde_yaml_ng::Deserializer::from_str(yaml);
    documents.map(|document| Value::deserialize(document).expect("the document is YAML")).collect()
}

/// A Shop as the API server stores it: with a spec, a namespace and a UID.
pub(crate) fn stored(mut shop: Value) -> Shop {
    if shop.get("spec").is_none() {
        shop["spec"] = json!({});
    }
    shop["metadata"]["namespace"] = json!("shops");
    shop["metadata"]["uid"] = json!("6f1c6c1e-0000-4000-8000-000000000001");
    serde_json::from_value(shop).expect("the document is a Shop")
}

/// A Shop named `demo` with this spec.
pub(crate) fn shop(spec: Value) -> Shop {
    let spec: ShopSpec = serde_json::from_value(spec).expect("the value is a spec");
    let mut shop = Shop::new("demo", spec);
    shop.metadata.namespace = Some("shops".into());
    shop.metadata.uid = Some("6f1c6c1e-0000-4000-8000-000000000001".into());
    shop
}

/// The operator's configuration.
pub(crate) fn config() -> Config {
    Config {
        image_repository: "localhost/shop-operator".into(),
        version: "1.0.0".into(),
        engine_images: EngineImages {
            postgres: "localhost/shop-operator/postgres:17".into(),
            redis: "localhost/shop-operator/redis:8".into(),
            kafka: "localhost/shop-operator/kafka:4".into(),
            mail: "localhost/shop-operator/mail:1".into(),
            objects: "localhost/shop-operator/objects:2".into(),
        },
        operator_namespace: "shop-operator".into(),
        operator_pod_labels: names::labels([(names::NAME_LABEL, names::OPERATOR)]),
        cluster_domain: "cluster.local".into(),
    }
}

/// A cluster that has every optional API, and these Secrets.
pub(crate) fn observed(secrets: &[Secret]) -> Observed {
    let facts = |secret: &Secret| {
        let content = secret.string_data.clone().unwrap_or_default();
        let name = secret.metadata.name.clone().unwrap_or_default();
        let hash = names::hash(&format!("content of {name}"));
        (name, SecretFacts { hash, ..SecretFacts::of(&content) })
    };
    Observed {
        capabilities: Capabilities { service_monitors: true, http_routes: true },
        secrets: secrets.iter().map(facts).collect(),
        ..Observed::default()
    }
}

/// A Shop with this spec, resolved in a cluster that has everything.
pub(crate) fn validated(spec: Value) -> ValidatedShop {
    judged(spec).expect("the shop is valid")
}

/// A Shop with this spec, judged in a cluster that has every API and no Secret.
pub(crate) fn judged(spec: Value) -> Result<ValidatedShop, Vec<FieldError>> {
    validate(&shop(spec), &observed(&[]), &config())
}

/// The objects of a shop that is rolling out something.
pub(crate) fn objects_with(shop: &ValidatedShop, rollouts: &RolloutPlans) -> Vec<Object> {
    desired_with(shop, &hashes(shop), rollouts).iter().map(|(_, object)| object.clone()).collect()
}

/// Hashes of the Secrets that the operator makes for a shop.
pub(crate) fn hashes(shop: &ValidatedShop) -> SecretHashes {
    let names = credentials(shop).into_iter().map(|secret| secret.name);
    names.map(|name| (name.clone(), names::hash(&format!("content of {name}")))).collect()
}

/// Schema of a Shop.
pub(crate) fn schema() -> Value {
    let crd = serde_json::to_value(crd::definition()).expect("a CRD is JSON");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}
