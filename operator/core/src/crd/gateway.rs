//! The public entry of a shop.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{empty, yes};

/// The public entry of the shop.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// The Service in front of the gateway's pods.
    #[serde(default)]
    pub service: Service,

    /// Makes an Ingress for the shop's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,

    /// Makes an HTTPRoute for the shop's host, where the Gateway API is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_route: Option<HttpRoute>,

    /// Requests a minute that one client may send.
    #[serde(default = "default_rate_limit")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub rate_limit_per_minute: i32,

    /// Addresses and networks of the proxies in front of the gateway, e.g. `10.244.0.0/16`: those of
    /// the pods of an Ingress controller, or of a load balancer. From these alone `X-Forwarded-For` is
    /// believed. Absent: from nobody; guests that come through an Ingress or an HTTPRoute then share one rate limit, twenty
    /// times as wide, and the condition `ClientAddressesKnown` says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 2, max = 49), regex(pattern = r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub trusted_proxies: Vec<String>,

    /// Origins whose pages may call the shop from a browser, e.g. `https://www.example.com`; `*` for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 255), regex(pattern = r"^(\*|https?://[^\s/,]+)$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub cors_allowed_origins: Vec<String>,
}

fn default_rate_limit() -> i32 {
    600
}

impl Default for Gateway {
    fn default() -> Self {
        empty()
    }
}

/// The Service in front of the gateway's pods.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Type of the Service.
    #[serde(default, rename = "type")]
    pub type_: ServiceType,
}

/// Type of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Reached from inside the cluster, or through an Ingress or an HTTPRoute.
    #[default]
    ClusterIP,
    /// Reached on a port of every node.
    NodePort,
    /// Reached through a load balancer of the cloud.
    LoadBalancer,
}

impl ServiceType {
    /// The word that Kubernetes knows the type by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// An Ingress for the shop's host.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// Name of the ingress class. Absent: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,

    /// Name of the Secret with the certificate of the host. Absent: no TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_secret_name: Option<String>,

    /// Annotations of the Ingress, for its controller.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: BTreeMap<String, String>,
}

/// An HTTPRoute for the shop's host.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRoute {
    /// The Gateways that the route attaches to.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub parent_refs: Vec<ParentRef>,

    /// Whether shoppers reach these Gateways over https.
    #[serde(default = "yes")]
    pub tls: bool,
}

/// A Gateway of the Gateway API.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Name of the Gateway.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Namespace of the Gateway. Absent: the shop's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,

    /// Name of the Gateway's listener. Absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
}
