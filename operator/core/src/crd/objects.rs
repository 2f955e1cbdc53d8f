//! The object store of a shop, where images of products are.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::BundledEngine;

/// The object store of the shop: an S3 API. Images of products and backups are in it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.bundled) != has(self.external)")
        .message("exactly one of bundled and external must be set"),
    validation = Rule::new("!(has(self.bundled) && has(oldSelf.external)) && !(has(self.external) && has(oldSelf.bundled))")
        .message("the kind of object store cannot be changed, because the images would stay behind: create another Shop with the new kind and copy the objects"),
)]
pub struct ObjectStore {
    /// A single server in the shop's namespace: for a laptop, a demo or a small shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundled: Option<BundledEngine>,

    /// An object store that somebody else runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalObjectStore>,
}

impl Default for ObjectStore {
    fn default() -> Self {
        Self { bundled: Some(BundledEngine::default()), external: None }
    }
}

/// An object store that somebody else runs. The shop's objects are under `<namespace>.<name of the shop>/`
/// in the bucket, so that shops may share one.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.endpoint == oldSelf.endpoint && self.bucket == oldSelf.bucket) || (has(self.dataMovedFrom) && self.dataMovedFrom.endpoint == oldSelf.endpoint && self.dataMovedFrom.bucket == oldSelf.bucket)")
        .message("endpoint and bucket cannot be changed while images and backups are in the old ones: copy the objects, or see that there are none yet, and set dataMovedFrom to the old endpoint and bucket"),
    validation = Rule::new("!has(self.dataMovedFrom) || self.dataMovedFrom.endpoint != self.endpoint || self.dataMovedFrom.bucket != self.bucket")
        .message("dataMovedFrom has the old endpoint and bucket: it is set with the change and not before"),
)]
pub struct ExternalObjectStore {
    /// URL of its S3 API, e.g. `https://s3.eu-central-1.amazonaws.com`. It takes path-style addresses.
    #[schemars(length(max = 255), regex(pattern = r"^https?://[A-Za-z0-9][A-Za-z0-9.:-]*$"))]
    pub endpoint: String,

    /// Name of the bucket, which is there.
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$"))]
    pub bucket: String,

    /// Confirms a change of endpoint or bucket: the old ones, whose objects have been copied to the new bucket, or which are the
    /// same bucket's. It may stay here afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_moved_from: Option<BucketAddress>,

    /// Region that requests are signed for.
    #[serde(default = "default_region")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9-]+$"))]
    pub region: String,

    /// A key that may get, put and delete objects of the bucket, and list them where there are backups.
    pub secret_ref: ObjectStoreSecretRef,
}

/// Where a bucket is.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketAddress {
    /// URL of its S3 API.
    #[schemars(length(max = 255), regex(pattern = r"^https?://[A-Za-z0-9][A-Za-z0-9.:-]*$"))]
    pub endpoint: String,

    /// Name of the bucket.
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$"))]
    pub bucket: String,
}

fn default_region() -> String {
    "us-east-1".into()
}

/// A key of an object store, in a Secret in the shop's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStoreSecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Key, in the Secret, of the access key's id.
    #[serde(default = "default_access_key_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._A-Za-z0-9]+$"))]
    pub access_key_key: String,

    /// Key, in the Secret, of the secret access key.
    #[serde(default = "default_secret_key_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._A-Za-z0-9]+$"))]
    pub secret_key_key: String,
}

fn default_access_key_key() -> String {
    "accessKey".into()
}

fn default_secret_key_key() -> String {
    "secretKey".into()
}
