//! Environment variables that are passed on.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// An environment variable.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.value) != has(self.valueFrom)")
    .message("exactly one of value and valueFrom must be set"))]
pub struct EnvVar {
    /// Name of the variable. Those that the operator sets itself are refused.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,

    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,

    /// Where its value is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvVarSource>,
}

/// Where the value of a variable is.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretKeyRef) != has(self.configMapKeyRef)")
    .message("exactly one of secretKeyRef and configMapKeyRef must be set"))]
pub struct EnvVarSource {
    /// A key of a Secret in the shop's namespace. Pods restart when the Secret changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<EnvKeySelector>,

    /// A key of a ConfigMap in the shop's namespace. A change takes effect when pods start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<EnvKeySelector>,
}

/// A key of a Secret or ConfigMap in the shop's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvKeySelector {
    /// Name of the Secret or ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Key in it.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._A-Za-z0-9]+$"))]
    pub key: String,

    /// Whether pods start without it, and without the variable.
    #[serde(default)]
    pub optional: bool,
}
