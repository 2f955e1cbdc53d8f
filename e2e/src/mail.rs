//! The shop's own mail sink, through its web API.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::eventually;
use crate::shopper::SAGA_PATIENCE;

/// The mails that this address has got.
pub async fn mails_to(sink: &str, address: &str) -> Result<Vec<Value>> {
    let mails: Vec<Value> = crate::client()?
        .get(format!("{sink}/email"))
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    let to = |mail: &Value| {
        mail["to"].as_array().is_some_and(|all| all.iter().any(|to| to["address"] == address))
    };
    Ok(mails.into_iter().filter(to).collect())
}

/// Waits for a mail with a link to this page of the shop; returns the token that the link brings along.
pub async fn token_for(sink: &str, address: &str, page: &str) -> Result<String> {
    eventually(&format!("a mail that leads to {page}"), SAGA_PATIENCE, async || {
        let mails = mails_to(sink, address).await?;
        let words = mails.iter().filter_map(|mail| mail["text"].as_str());
        let mut words = words.flat_map(str::split_whitespace);
        let token = words.find_map(|word| word.split_once(&format!("/{page}#")));
        token.map(|(_, token)| token.to_owned()).with_context(|| format!("{mails:?}"))
    })
    .await
}
