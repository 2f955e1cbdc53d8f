//! Every name, label and annotation of the operator. Nothing else invents one.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use sha2::{Digest, Sha256};

use crate::crd::ServiceName;
use crate::role::{EngineKind, Role};

/// API group of the operator, and the prefix of its own labels and annotations.
pub const GROUP: &str = "shop-operator.io";
/// Name of the product: field manager, `managed-by`, `part-of`.
pub const OPERATOR: &str = "shop-operator";

/// What kind of application an object belongs to.
pub const NAME_LABEL: &str = "app.kubernetes.io/name";
/// Which shop an object belongs to.
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";
/// Which part of the shop an object belongs to.
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// Version of that part.
pub const VERSION_LABEL: &str = "app.kubernetes.io/version";
/// Who keeps an object true.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// The larger whole.
pub const PART_OF_LABEL: &str = "app.kubernetes.io/part-of";
/// The service that a pod runs the image of: the service itself and its Jobs.
pub const SERVICE_LABEL: &str = "shop-operator.io/service";
/// `"true"` on pods that have metrics on their admin port.
pub const METRICS_LABEL: &str = "shop-operator.io/metrics";
/// Value of [`NAME_LABEL`].
pub const APP: &str = "shop";

/// Hash of the Secrets that a pod reads; a change restarts the pod.
pub const SECRETS_HASH: &str = "shop-operator.io/secrets-hash";
/// UID of the Shop that made or adopted an object that may outlive it. Such objects carry no owner reference, because
/// the garbage collector knows no `deletionPolicy`.
pub const SHOP_UID: &str = "shop-operator.io/shop-uid";
/// Argo CD deletes what has the label of an application, no owner, and no place in Git, unless these say otherwise (its manual:
/// "Sync Options", "Compare Options").
const ARGO_CD: [(&str, &str); 2] = [
    ("argocd.argoproj.io/sync-options", "Prune=false"),
    ("argocd.argoproj.io/compare-options", "IgnoreExtraneous"),
];
/// Image that a Job runs for.
pub const IMAGE_ANNOTATION: &str = "shop-operator.io/image";
/// The template of a Deployment's pods, on one whose service is rolled out in steps: it stays what it is until
/// the new one has passed.
pub const TEMPLATE: &str = "shop-operator.io/template";
/// On a Shop: the service whose rollout is to go on. The operator takes it away when it has seen it.
pub const PROMOTE: &str = "shop-operator.io/promote";
/// On a Shop: the service whose rollout is to be taken back. The operator takes it away when it has seen it.
pub const ABORT: &str = "shop-operator.io/abort";
/// On a Shop: that its data were lost is known, and need not be said any more. The operator takes it away when it has
/// seen it.
pub const ACKNOWLEDGE_DATA_LOSS: &str = "shop-operator.io/acknowledge-data-loss";
/// Any new value on a Shop makes one backup now.
pub const BACKUP_REQUEST: &str = "shop-operator.io/backup";
/// Any new value on a Shop rotates the key that access tokens are signed with.
pub const ROTATE_SIGNING_KEY: &str = "shop-operator.io/rotate-signing-key";
/// On a pod that restores: the shop whose bundled object store it reads.
pub const RESTORES_FROM: &str = "shop-operator.io/restores-from";
/// `"true"` on a Shop stops writes.
pub const PAUSED: &str = "shop-operator.io/paused";

/// Longest name of a shop. The longest child is the Job `<shop>-notification-migrate-<8 digits>`,
/// and Kubernetes puts the name of a Job into a label, which has 63 characters at most; the rest
/// is left for suffixes to come.
pub const MAX_SHOP_NAME: usize = 30;

/// Name of the image of the program that makes backups.
pub const BACKUP: &str = "backup";
/// Part of the name of the Job of a backup that was asked for.
pub const BACKUP_NOW: &str = "backup-now";
/// Part of the name of the Secret with the first administrator's account.
pub const ADMIN: &str = "admin";
/// Part of the name of the Secret with the private signing key.
pub const SIGNING_KEY: &str = "signing-key";
/// Part of the name of the ConfigMap that shares requests between two versions of a service.
pub const WEIGHTS: &str = "weights";
/// Part of the name of the Secret with the public keys.
pub const PUBLIC_KEYS: &str = "public-keys";

/// Whether a Shop may have this name: a DNS label in the sense of RFC 1035, as the names of
/// Services are, and short enough.
pub fn is_shop_name(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= MAX_SHOP_NAME
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(is_word)
        && name.chars().all(|c| is_word(c) || c == '-')
}

/// Name of a child object: `<shop>-<component>`.
pub fn child(shop: &str, component: impl fmt::Display) -> String {
    format!("{shop}-{component}")
}

/// Name of the volume claim of a bundled engine.
pub fn volume_claim(shop: &str, engine: EngineKind) -> String {
    format!("{shop}-{engine}-data")
}

/// Name of the Secret with the credentials of a service's database.
pub fn database_secret(shop: &str, service: ServiceName) -> String {
    format!("{shop}-{service}-database")
}

/// Name of the Secret with the first administrator's account.
pub fn admin_secret(shop: &str) -> String {
    child(shop, ADMIN)
}

/// Name of the Job that runs a component of a shop; `identity` is what makes it another Job.
pub fn job(shop: &str, component: impl fmt::Display, identity: &str) -> String {
    format!("{shop}-{component}-{}", short_hash(identity))
}

/// Name of a service's database and of its role: `<namespace>_<shop>_<service>`.
///
/// Names in Kubernetes have no underscore, hence two shops never share a database, even in one
/// external server. Longer ones than Postgres takes (63 bytes) end in a hash instead.
pub fn database(namespace: &str, shop: &str, service: ServiceName) -> String {
    let name = format!("{namespace}_{shop}_{service}");
    if name.len() <= 63 {
        return name;
    }
    format!("{}_{}", name.get(..54).unwrap_or(&name), short_hash(&name))
}

/// First part of the names of a shop's topics, unless its spec says otherwise.
pub fn topic_prefix(namespace: &str, shop: &str) -> String {
    format!("{namespace}.{shop}")
}

/// What stands before a shop's keys in a Redis that it may share, unless its spec says otherwise.
/// No part has a full stop or a colon in it, hence no prefix is the beginning of another.
pub fn key_prefix(namespace: &str, shop: &str) -> String {
    format!("{namespace}.{shop}:")
}

/// What stands before the names of a shop's objects in a bucket that it may share.
pub fn object_prefix(namespace: &str, shop: &str) -> String {
    format!("{namespace}.{shop}/")
}

/// DNS name of a child Service, as every pod of the cluster can resolve it.
pub fn host(
    shop: &str,
    component: impl fmt::Display,
    namespace: &str,
    cluster_domain: &str,
) -> String {
    format!("{}.{namespace}.svc.{cluster_domain}", child(shop, component))
}

/// The labels that select the pods of a component. They never change: a Deployment cannot change
/// its selector, hence no version is among them.
pub fn selector(shop: &str, role: impl Into<Role>) -> BTreeMap<String, String> {
    let component = role.into().to_string();
    labels([(NAME_LABEL, APP), (INSTANCE_LABEL, shop), (COMPONENT_LABEL, &component)])
}

/// The labels that select every pod of a shop.
pub fn shop_selector(shop: &str) -> BTreeMap<String, String> {
    labels([(NAME_LABEL, APP), (INSTANCE_LABEL, shop)])
}

/// The labels that select every pod that runs a service's image: the service and its Jobs.
pub fn service_selector(shop: &str, service: ServiceName) -> BTreeMap<String, String> {
    let mut selector = shop_selector(shop);
    selector.insert(SERVICE_LABEL.into(), service.to_string());
    selector
}

/// The labels of every object of a component.
pub fn object_labels(shop: &str, role: impl Into<Role>) -> BTreeMap<String, String> {
    let mut object_labels = selector(shop, role);
    object_labels.extend(labels([(MANAGED_BY_LABEL, OPERATOR), (PART_OF_LABEL, OPERATOR)]));
    object_labels
}

/// The annotations of an object without owner reference, which a Shop of this UID made or adopted.
pub fn unowned_annotations(shop_uid: &str) -> BTreeMap<String, String> {
    let mut annotations = labels(ARGO_CD);
    annotations.insert(SHOP_UID.to_owned(), shop_uid.to_owned());
    annotations
}

/// The UID in [`SHOP_UID`], if an object has it.
pub fn shop_uid(metadata: &ObjectMeta) -> Option<&str> {
    metadata.annotations.as_ref()?.get(SHOP_UID).map(String::as_str)
}

/// The labels by which the operator finds the objects of every shop.
pub fn managed_selector() -> String {
    format!("{MANAGED_BY_LABEL}={OPERATOR},{NAME_LABEL}={APP}")
}

/// A map from pairs.
pub fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// A selector of exactly these labels.
pub fn label_selector(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), match_expressions: None }
}

/// An image's tag as the value of a label, if it is one. A tag may begin or end with what a label may not.
pub fn version_label(image: &str) -> Option<String> {
    let name = image.split('@').next().unwrap_or(image);
    let (_, tag) = name.rsplit('/').next()?.split_once(':')?;
    let version = tag.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    (!version.is_empty() && is_label_value(version)).then(|| version.to_owned())
}

/// Whether a label may have this value (Kubernetes' manual, "Labels and Selectors").
pub fn is_label_value(value: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric();
    value.is_empty()
        || value.len() <= 63
            && value.starts_with(is_word)
            && value.ends_with(is_word)
            && value.chars().all(|c| is_word(c) || matches!(c, '-' | '_' | '.'))
}

/// Whether a label or annotation may have this key: a word of at most 63 characters, which may stand behind a DNS name
/// and a slash.
pub fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    let is_dns_label = |label: &str| {
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        label.starts_with(is_word)
            && label.ends_with(is_word)
            && label.chars().all(|c| is_word(c) || c == '-')
    };
    !name.is_empty()
        && is_label_value(name)
        && prefix.is_none_or(|dns| dns.len() <= 253 && dns.split('.').all(is_dns_label))
}

/// What is wrong with a key that is not [one of a label](is_label_key).
pub fn not_a_label_key(key: &str) -> String {
    format!(
        "`{key}` is not a key of labels or annotations: at most 63 letters, digits, `-`, `_` and `.`, optionally behind a DNS name and `/`"
    )
}

/// Eight hexadecimal digits that stand for a longer text.
pub fn short_hash(text: &str) -> String {
    hash(text)[..8].to_owned()
}

/// SHA-256 of a text in hexadecimal digits.
pub fn hash(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}
