//! How a shop sends short messages.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A provider of short messages, or a gateway before one: it takes `POST {"to", "text", "id"}` with a bearer token, and
/// sends a message of the same id once.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sms {
    /// What is posted to, e.g. `https://sms.example.com/messages`. Its port is opened by the network policies.
    #[schemars(
        length(max = 512),
        regex(pattern = r"^https?://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?(/[^\s?#]*)?$")
    )]
    pub url: String,

    /// Where the bearer token is.
    pub token_secret_ref: TokenSecretRef,

    /// Countries whose telephone numbers get messages, by their codes, e.g. `+49`, `+1876`; numbers of others are refused.
    /// Empty: all, each with at most 300 codes a day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 250),
        inner(length(min = 2, max = 8), regex(pattern = r"^\+[1-9][0-9]{0,6}$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub countries: Vec<String>,
}

/// A token in a Secret in the shop's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenSecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Key in the Secret.
    #[serde(default = "default_token_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._A-Za-z0-9]+$"))]
    pub key: String,
}

fn default_token_key() -> String {
    "token".into()
}
