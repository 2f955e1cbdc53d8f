//! The shop's own mail sink, through its web API.

use anyhow::Result;
use serde_json::Value;

/// Subjects of the mails that this address has got.
pub async fn subjects_to(sink: &str, address: &str) -> Result<Vec<String>> {
    let mails: Vec<Value> =
        reqwest::get(format!("{sink}/email")).await?.error_for_status()?.json().await?;
    let to = |mail: &Value| {
        mail["to"].as_array().is_some_and(|all| all.iter().any(|to| to["address"] == address))
    };
    Ok(mails
        .iter()
        .filter(|mail| to(mail))
        .filter_map(|mail| mail["subject"].as_str().map(str::to_owned))
        .collect())
}
